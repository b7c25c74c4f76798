//! Agents that are somewhere else, as agents of this node: one that behaves, and ones that do not.
#![allow(clippy::unwrap_used, reason = "a test")]

mod by_url;
mod far;
mod far_task;
mod lab;
mod near;
mod node;
mod older;
mod ways;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use bobbinet_auth::{CardKeys, KeyRing};
use bobbinet_core::{Effect, State, chain::Chain};
use bobbinet_engine::{Agent, Env, SystemEnv};
use bobbinet_peer::{ClientCredentials, PeerAuth, PeerConfig, SecretSource, VIA_KEY};
use serde_json::json;

use crate::{
    far::{Form, Way},
    lab::{Lab, Names},
    node::{Node, name, said, wait_for},
};

#[tokio::test]
async fn what_the_peer_makes_becomes_ours() {
    let lab = Lab::new(Form::default()).await;
    let node = lab.node().await;
    let task = node.send("go").await;
    assert_eq!(task.state, State::Completed, "{task:?}");
    // Two pieces of one artifact, each once.
    let texts: Vec<&str> = task.artifacts[0].parts.iter().filter_map(|part| part.as_text()).collect();
    assert_eq!((task.artifacts.len(), texts), (1, vec!["one", "two"]));
    assert_eq!(task.status_message.as_ref().unwrap().text(), "done");
    let description = node.agent.describe();
    assert_eq!((description.name.as_str(), description.skills.len()), ("far", 1));
    assert_eq!(description.skills[0].effect, Effect::AtMostOnce);
    // Who is asked with what: a context of its own, a key, a chain.
    let sent = lab.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].key.as_deref(), Some(format!("{}/1", task.id).as_str()));
    assert_ne!(sent[0].message["contextId"], task.context.as_str());
    let chain = &sent[0].message["metadata"]["urn:bobbinet:chain:v1"];
    assert_eq!((&chain["hops"], &chain["path"]), (&json!(7), &json!(["node/far"])));
    assert_eq!(node.shutdown().await, Duration::ZERO);
}

#[tokio::test]
async fn one_that_does_not_stream_is_looked_at() {
    let lab = Lab::new(Form { streams: false, ..Form::default() }).await;
    let node = lab.node().await;
    let task = node.send("go").await;
    assert_eq!((task.state, task.artifacts[0].parts.len()), (State::Completed, 2), "{task:?}");
    assert_eq!(lab.sent().len(), 1);
}

#[tokio::test]
async fn an_answer_without_a_task_is_an_artifact() {
    let lab = Lab::new(Form { way: Way::Message, ..Form::default() }).await;
    let node = lab.node().await;
    let task = node.send("go").await;
    assert_eq!(task.state, State::Completed, "{task:?}");
    assert_eq!(task.artifacts[0].parts[0].as_text(), Some("just so"));
}

/// What another key has signed, or nobody, is not read: neither where the peer is nor what it can do is known then.
#[tokio::test]
async fn a_peer_whose_key_is_pinned_is_called_by_a_card_of_that_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let ring = |name: &str| Arc::new(KeyRing::open_or_create(&folder.path().join(name), SystemEnv.now()).unwrap());
    let (ours, another) = (ring("ours"), ring("another"));
    let pinned = CardKeys::of_set(ours.jwks().to_string().as_bytes()).unwrap();
    for (signer, is_called) in [(Some(&ours), true), (Some(&another), false), (None, false)] {
        let lab = Lab::new(Form { signer: signer.cloned(), ..Form::default() }).await;
        let node = lab.node_with(|config| config.card_keys = Some(pinned.clone())).await;
        if is_called {
            assert_eq!(node.send("go").await.state, State::Completed);
        } else {
            wait_for(|| node.agent.ready().is_err_and(|why| why.contains("pinned"))).await;
        }
        assert_eq!(lab.sent().len(), usize::from(is_called));
    }
}

#[tokio::test]
async fn arguments_are_checked_by_the_card_and_a_skill_is_named_as_the_peer_reads_it() {
    let lab = Lab::new(Form { keys: true, ..Form::default() }).await;
    let node = lab.node().await;
    node.ready().await;
    let task = node.send_data(&json!({"skill": "work", "arguments": {"n": "three"}})).await;
    assert_eq!(task.state, State::Rejected, "{task:?}");
    assert!(task.status_message.as_ref().unwrap().text().contains("/n"), "a pointer to it");
    let task = node.send_data(&json!({"skill": "work", "arguments": {"n": 3}})).await;
    assert_eq!(task.state, State::Completed, "{task:?}");
    assert_eq!(task.calls[0].effect, Effect::Keyed);
    let sent = lab.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].message["parts"][0]["data"], json!({"n": 3}));
    assert_eq!(sent[0].message["metadata"]["urn:bobbinet:skills:v1"]["skill"], "work");
    let mut message = said("no");
    message.metadata = Some(bobbinet_core::Json::from(&json!({"urn:bobbinet:skills:v1": {"skill": "wrok"}})));
    let task = node.send_message(message).await;
    assert!(task.status_message.as_ref().unwrap().text().contains("did you mean `work`?"));
}

#[tokio::test]
async fn a_question_comes_through_and_its_answer_goes_back() {
    let lab = Lab::new(Form { way: Way::Asks, ..Form::default() }).await;
    let node = lab.node().await;
    let asked = node.send("go").await;
    assert_eq!(asked.state, State::InputRequired, "{asked:?}");
    let question = asked.question.clone().unwrap();
    assert_eq!(question.message.text(), "which?");
    assert!(question.schema.as_ref().unwrap().as_str().contains("colour"));
    let origin = question.message.metadata.as_ref().unwrap().to_value();
    assert_eq!(origin["urn:bobbinet:origin:v1"], json!({"agent": "far", "task": "t-1"}));
    let task = node.answer(&asked.id, "blue").await;
    assert_eq!(task.state, State::Completed, "{task:?}");
    assert_eq!(task.artifacts[0].parts[0].as_text(), Some("blue"));
    let sent = lab.sent();
    assert_eq!((sent.len(), &sent[1].message["taskId"]), (2, &json!("t-1")));
    assert_ne!(sent[0].key, sent[1].key);
}

#[tokio::test]
async fn an_answer_that_may_have_arrived_is_not_given_again() {
    let lab = Lab::new(Form { way: Way::AsksAndBreaks, ..Form::default() }).await;
    let node = lab.node().await;
    let asked = node.send("go").await;
    let task = node.answer(&asked.id, "yes").await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::InputRequired && text.contains("whether it has the answer is not known"), "{text}");
    assert_eq!(lab.sent().len(), 2);
}

#[tokio::test]
async fn a_task_that_ends_over_there_without_our_answer_ends_here() {
    let lab = Lab::new(Form { way: Way::Asks, ..Form::default() }).await;
    let node = lab.node().await;
    let asked = node.send("go").await;
    assert_eq!(asked.state, State::InputRequired, "{asked:?}");
    // Somebody else has answered.
    lab.answer("red");
    let handle = asked.id;
    wait_for_task(&node, &handle, |task| task.state == State::Completed).await;
    let done = node.settled(&handle).await;
    assert_eq!(done.artifacts[0].parts[0].as_text(), Some("red"));
    assert_eq!(lab.sent().len(), 1);
}

#[tokio::test]
async fn a_question_that_somebody_else_has_answered_is_withdrawn() {
    let lab = Lab::new(Form { way: Way::AsksAndWorks, ..Form::default() }).await;
    let node = lab.node().await;
    let handle = node.begin("go");
    node.until(&handle, |task| task.state == State::InputRequired).await;
    lab.answer("red");
    // The task over there works on, and so does ours.
    node.until(&handle, |task| task.state == State::Working && task.question.is_none()).await;
    lab.let_go();
    node.until(&handle, |task| task.state == State::Completed).await;
    let done = node.settled(&handle.id()).await;
    assert_eq!(done.artifacts[0].parts[0].as_text(), Some("red"), "{done:?}");
    assert_eq!(lab.sent().len(), 1);
}

#[tokio::test]
async fn what_an_agent_asks_that_stands_in_is_asked_of_our_caller() {
    for is_restarted in [false, true] {
        let lab = Lab::new(Form { keys: true, ..Form::default() }).await;
        let mut node = lab.node_with(|config| config.fallback = Some(name("asks"))).await;
        node.ready().await;
        lab.stop();
        let asked = node.send("go").await;
        assert_eq!(asked.state, State::InputRequired, "{asked:?}");
        assert_eq!(asked.question.as_ref().unwrap().message.text(), "near or far?");
        if is_restarted {
            node.die().await;
            node = lab.node_with(|config| config.fallback = Some(name("asks"))).await;
        }
        let task = node.answer(&asked.id, "near").await;
        assert_eq!(task.state, State::Completed, "{task:?}");
        let text = task.artifacts[0].parts[0].as_text();
        assert_eq!((text, lab.sent().len()), (Some("near"), 0), "{is_restarted}");
        assert!(task.artifacts[0].metadata.as_ref().unwrap().as_str().contains("\"asks\""));
    }
}

async fn wait_for_task(node: &Node, id: &bobbinet_core::TaskId, is_it: impl Fn(&bobbinet_core::Task) -> bool) {
    for _ in 0..2_000 {
        if is_it(&*node.settled(id).await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to that");
}

#[tokio::test]
async fn a_cancel_reaches_the_peer() {
    let lab = Lab::new(Form { way: Way::Hangs, ..Form::default() }).await;
    let node = lab.node().await;
    let handle = node.begin("go");
    wait_for(|| !lab.sent().is_empty()).await;
    node.until(&handle, |task| task.checkpoint.is_some()).await;
    let task = node.cancel(&handle.id()).await;
    assert_eq!(task.state, State::Canceled);
    wait_for(|| lab.canceled.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn what_was_made_comes_along_where_a_task_has_ended_before_it_could_be_canceled() {
    let lab = Lab::new(Form { way: Way::Hangs, ..Form::default() }).await;
    let node = lab.node().await;
    let mut chain = Chain::default().passed_on_by("other/a").unwrap();
    chain.by = Some(SystemEnv.now().after(Duration::from_secs(1)));
    let mut message = said("go");
    message.metadata = Some(chain.put(None));
    let handle = node.begin_message(message);
    node.until(&handle, |task| !task.artifacts.is_empty()).await;
    lab.end_in_silence();
    let task = node.settled(&handle.id()).await;
    assert_eq!(task.state, State::Completed, "{task:?}");
    let texts: Vec<&str> = task.artifacts[0].parts.iter().filter_map(|part| part.as_text()).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[tokio::test]
async fn how_a_task_ends_over_there_is_how_ours_ends() {
    for (way, state, words) in [
        (Way::Fails, State::Failed, "no luck"),
        (Way::Rejects, State::Rejected, "not me"),
        (Way::CanceledThere, State::Failed, "canceled over there"),
        (Way::SaysNo, State::Rejected, "bad parameters"),
    ] {
        let lab = Lab::new(Form { way, ..Form::default() }).await;
        let node = lab.node().await;
        let task = node.send("go").await;
        let text = task.status_message.as_ref().unwrap().text();
        assert!(task.state == state && text.contains(words), "{way:?}: {task:?}");
        assert_eq!(lab.sent().len(), 1, "{way:?}");
    }
}

#[tokio::test]
async fn a_restart_goes_on_with_the_very_same_task() {
    for keys in [true, false] {
        let lab = Lab::new(Form { way: Way::Hangs, keys, ..Form::default() }).await;
        let node = lab.node().await;
        let handle = node.begin("go");
        node.until(&handle, |task| task.checkpoint.is_some() && !task.artifacts.is_empty()).await;
        let id = handle.id();
        node.die().await;
        lab.let_go();
        let node = lab.node().await;
        let task = node.settled(&id).await;
        let texts: Vec<&str> = task.artifacts[0].parts.iter().filter_map(|part| part.as_text()).collect();
        assert_eq!((task.state, texts), (State::Completed, vec!["one", "two"]), "{keys}: {task:?}");
        assert_eq!(lab.sent().len(), 1, "sent once");
    }
}

#[tokio::test]
async fn a_quick_call_under_a_key_is_kept_when_it_ends_and_no_sooner() {
    for (keys, records) in [(true, "no checkpoint"), (false, "a checkpoint")] {
        let lab = Lab::new(Form { way: Way::Quick, keys, ..Form::default() }).await;
        let node = lab.node().await;
        node.ready().await;
        let task = node.send("go").await;
        assert_eq!((task.state, task.artifacts[0].parts[0].as_text()), (State::Completed, Some("one")), "{task:?}");
        assert_eq!(if task.checkpoint.is_some() { "a checkpoint" } else { "no checkpoint" }, records);
    }
}

#[tokio::test]
async fn a_node_that_stops_does_not_wait_for_what_is_done_elsewhere() {
    let lab = Lab::new(Form { way: Way::Hangs, keys: true, ..Form::default() }).await;
    let node = lab.node().await;
    let handle = node.begin("go");
    node.until(&handle, |task| task.checkpoint.is_some() && !task.artifacts.is_empty()).await;
    let begun = tokio::time::Instant::now();
    node.stop(Duration::from_secs(15)).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(lab.canceled.load(Ordering::SeqCst), 0);
    lab.let_go();
    let node = lab.node().await;
    assert_eq!(node.settled(&handle.id()).await.state, State::Completed);
    assert_eq!(lab.sent().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_given_while_nobody_runs_is_handed_on() {
    let lab = Lab::new(Form { way: Way::Asks, keys: true, ..Form::default() }).await;
    let node = lab.node().await;
    let asked = node.send("go").await;
    node.die().await;
    let node = lab.node().await;
    let task = node.answer(&asked.id, "green").await;
    assert_eq!(task.state, State::Completed, "{task:?}");
    assert_eq!(task.artifacts[0].parts[0].as_text(), Some("green"));
    assert_eq!(lab.sent().len(), 2, "the message, and the answer");
}

#[tokio::test]
async fn what_may_have_been_sent_is_sent_again_only_under_a_key() {
    for (keys, state, count) in [(true, State::Completed, 3), (false, State::InputRequired, 1)] {
        let lab = Lab::new(Form { way: Way::BreaksTwice, keys, ..Form::default() }).await;
        let node = lab.node().await;
        let task = node.send("go").await;
        assert_eq!((task.state, lab.sent().len()), (state, count), "{task:?}");
        let keys: std::collections::BTreeSet<_> = lab.sent().into_iter().map(|sent| sent.key).collect();
        assert_eq!(keys.len(), 1);
    }
}

#[tokio::test]
async fn one_that_is_busy_is_asked_again_within_a_budget() {
    let lab = Lab::new(Form { way: Way::Busy, ..Form::default() }).await;
    let node = lab.node_with(|config| config.limits.patience = Duration::from_secs(30)).await;
    let task = node.send("go").await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::Failed && text.contains("takes nothing now"), "{text}");
    // What is saved up, and no more.
    assert_eq!(lab.sent().len(), 11);
}

#[tokio::test]
async fn a_proxy_does_not_say_what_became_of_a_message() {
    let lab = Lab::new(Form { way: Way::BreaksAndIsGone, keys: true, ..Form::default() }).await;
    let task = lab.node().await.send("go").await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::Failed && text.contains("nobody knows what became of it"), "{text}");
}

#[tokio::test]
async fn garbage_a_hang_and_a_task_that_is_forgotten_end_as_the_effect_says() {
    for (way, words) in [
        (Way::Garbage, "nobody knows what became of it"),
        (Way::Silent, "nobody knows what became of it"),
        (Way::Forgets, "knows no such task any more"),
        (Way::DiesAfter, "nothing was heard of its task"),
    ] {
        for (keys, state) in [(true, State::Failed), (false, State::InputRequired)] {
            let lab = Lab::new(Form { way, keys, ..Form::default() }).await;
            let node = lab.node().await;
            let begun = tokio::time::Instant::now();
            let task = node.send("go").await;
            let text = task.status_message.as_ref().unwrap().text();
            assert_eq!(task.state, state, "{way:?} {keys}: {text}");
            assert!(text.contains(words), "{way:?} {keys}: {text}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{way:?} {keys}");
        }
    }
}

#[tokio::test]
async fn a_task_that_was_forgotten_is_sent_again_when_its_caller_says_so() {
    let lab = Lab::new(Form { way: Way::Forgets, ..Form::default() }).await;
    let node = lab.node().await;
    let asked = node.send("go").await;
    assert_eq!((asked.state, lab.sent().len()), (State::InputRequired, 1), "{asked:?}");
    lab.set_way(Way::Works);
    let task = node.answer(&asked.id, "retry").await;
    let sent = lab.sent();
    assert_eq!((task.state, sent.len()), (State::Completed, 2), "{task:?}");
    assert_eq!(
        sent[1].message["parts"], sent[0].message["parts"],
        "what was said, and not the word that has it said again"
    );
}

#[tokio::test]
async fn one_that_takes_no_context_is_sent_none_and_one_whose_time_was_up_is_sent_nothing_more() {
    for (way, state, count) in [(Way::MakesContexts, State::Completed, 2), (Way::RunsOut, State::Failed, 1)] {
        let lab = Lab::new(Form { way, ..Form::default() }).await;
        let task = lab.node().await.send("go").await;
        assert_eq!((task.state, lab.sent().len()), (state, count), "{way:?}: {task:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_told_at_once_and_another_agent_stands_in() {
    let lab = Lab::new(Form::default()).await;
    let node = lab.node().await;
    node.ready().await;
    lab.stop();
    let task = node.send("go").await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::Failed && text.contains("nothing was sent"), "{text}");
    // It has failed often enough to be left alone.
    node.send("go").await;
    let begun = tokio::time::Instant::now();
    let task = node.send("go").await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(text.contains("left alone for a while"), "{text}");
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
    assert!(node.agent.ready().unwrap_err().contains("left alone"));
    drop(node);
    let node = lab.node_with(|config| config.fallback = Some(name("near"))).await;
    let task = node.send("go").await;
    assert_eq!(task.state, State::Completed, "{task:?}");
    assert_eq!(task.artifacts[0].parts[0].as_text(), Some("near does it"));
    let metadata = task.artifacts[0].metadata.as_ref().unwrap().to_value();
    assert_eq!(metadata[VIA_KEY], "near");
}

#[tokio::test]
async fn what_was_not_sent_is_no_question_when_the_time_is_up_or_the_node_stops() {
    let lab = Lab::new(Form::default()).await;
    let patient = |config: &mut PeerConfig| config.limits.patience = Duration::from_secs(30);
    let node = lab.node_with(patient).await;
    node.ready().await;
    lab.stop();
    let mut chain = Chain::default().passed_on_by("other/a").unwrap();
    chain.by = Some(SystemEnv.now().after(Duration::from_millis(300)));
    let mut message = said("go");
    message.metadata = Some(chain.put(None));
    let task = node.send_message(message).await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::Failed && text.contains("nothing was sent: the time was up"), "{text}");
    let waiting = node.begin("go");
    node.until(&waiting, |task| task.checkpoint.is_some()).await;
    let begun = tokio::time::Instant::now();
    node.stop(Duration::from_secs(15)).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let node = lab.node().await;
    let task = node.settled(&waiting.id()).await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::Failed && text.contains("nothing was sent"), "{task:?}");
}

#[tokio::test]
async fn what_was_tried_in_vain_more_than_once_is_no_question_when_the_node_stops() {
    let lab = Lab::new(Form::default()).await;
    let patient = |config: &mut PeerConfig| {
        config.limits.patience = Duration::from_secs(30);
        // It is not left alone, but tried.
        config.limits.failures_max = u32::MAX;
    };
    let node = lab.node_with(patient).await;
    node.ready().await;
    lab.stop();
    let waiting = node.begin("go");
    node.until(&waiting, |task| task.checkpoint.is_some()).await;
    // Each try after the first is kept before it is made, and taken back once it is known that nothing was sent.
    let (seen, tries) = (node.task(&waiting).await.version, 3);
    node.until(&waiting, |task| {
        let may_be_sent = task.checkpoint.as_ref().is_some_and(|kept| kept.as_str().contains("sentAt"));
        task.version >= seen + 2 * tries && !may_be_sent
    })
    .await;
    node.stop(Duration::from_secs(15)).await;
    let node = lab.node().await;
    let task = node.settled(&waiting.id()).await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::Failed && text.contains("nothing was sent"), "{task:?}");
}

#[tokio::test]
async fn no_other_agent_stands_in_once_something_was_sent() {
    let lab = Lab::new(Form { way: Way::Garbage, ..Form::default() }).await;
    let node = lab.node_with(|config| config.fallback = Some(name("near"))).await;
    let task = node.send("go").await;
    assert_eq!((task.state, task.children.len()), (State::InputRequired, 0), "{task:?}");
}

#[tokio::test]
async fn a_circle_and_too_many_hops_are_refused_with_the_path() {
    let lab = Lab::new(Form::default()).await;
    let node = lab.node().await;
    let mut chain = Chain::default().passed_on_by("other/a").unwrap();
    let with = |chain: &Chain| {
        let mut message = said("go");
        message.metadata = Some(chain.put(None));
        message
    };
    let circle = chain.clone().passed_on_by("node/far").unwrap();
    let task = node.send_message(with(&circle)).await;
    assert_eq!(task.state, State::Rejected);
    let text = task.status_message.as_ref().unwrap().text();
    assert!(text.contains("other/a -> node/far -> node/far"), "{text}");
    chain.hops = 0;
    let task = node.send_message(with(&chain)).await;
    assert!(task.status_message.as_ref().unwrap().text().contains("as often as it may be"));
    // Whoever began it needs it done by now.
    chain.hops = 5;
    chain.by = Some(bobbinet_core::Timestamp::from_millis(1));
    lab.set_way(Way::Hangs);
    let task = node.send_message(with(&chain)).await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::Failed && text.contains("nothing was sent: the time was up"), "{text}");
    chain.by = None;
    lab.set_way(Way::Works);
    assert_eq!(node.send_message(with(&chain)).await.state, State::Completed);
    assert_eq!(lab.sent().last().unwrap().message["metadata"]["urn:bobbinet:chain:v1"]["hops"], 4);
}

#[tokio::test]
async fn a_card_that_changes_is_taken_up_and_one_that_leads_elsewhere_is_not() {
    let lab = Lab::new(Form::default()).await;
    let node = lab.node().await;
    node.ready().await;
    let looks = lab.cards.load(Ordering::SeqCst);
    lab.set_skill("other");
    wait_for(|| node.agent.describe().skills[0].id.as_str() == "other").await;
    assert!(lab.cards.load(Ordering::SeqCst) > looks);
    lab.lead_elsewhere();
    wait_for(|| lab.cards.load(Ordering::SeqCst) > looks + 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(node.agent.describe().skills[0].id.as_str(), "other");
    assert_eq!(node.send("go").await.state, State::Completed, "as the card said that could be used");
}

#[tokio::test]
async fn a_token_is_fetched_for_a_client_and_fetched_again_when_it_is_not_taken() {
    let lab = Lab::new(Form { token: Some("fresh"), ..Form::default() }).await;
    let auth = |guard: &bobbinet_outbound::Guard| {
        let secret = SecretSource::Text("s3cret".to_owned());
        let client =
            ClientCredentials::new(lab.url("/token"), "node".to_owned(), secret, Some("a2a".to_owned()), guard.clone());
        PeerAuth::ClientCredentials(std::sync::Arc::new(client))
    };
    let node = lab.node_with(|config| config.auth = auth(&config.guard)).await;
    let task = node.send("go").await;
    assert_eq!(task.state, State::Completed, "{task:?}");
    assert_eq!(lab.tokens.load(Ordering::SeqCst), 2, "the first one is stale");
    drop(node);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "stale\n").unwrap();
    let node = lab.node_with(|config| config.auth = PeerAuth::Bearer(SecretSource::File(file.clone()))).await;
    let task = node.send("go").await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::Failed && text.contains("does not let this node in"), "{text}");
    std::fs::write(&file, "fresh\n").unwrap();
    assert_eq!(node.send("go").await.state, State::Completed);
    // Once with each node: whoever was not let in has had nothing taken.
    assert_eq!(lab.sent().len(), 2);
}

#[tokio::test]
async fn an_authorization_server_that_is_away_is_not_the_peer_that_is() {
    let lab = Lab::new(Form::default()).await;
    let auth = |guard: &bobbinet_outbound::Guard| {
        let secret = SecretSource::Text("s3cret".to_owned());
        let url = lab.url("/no-token");
        PeerAuth::ClientCredentials(Arc::new(ClientCredentials::new(url, "n".to_owned(), secret, None, guard.clone())))
    };
    let node = lab.node_with(|config| config.auth = auth(&config.guard)).await;
    let task = node.send("go").await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::Failed && text.contains("nothing was sent"), "{text}");
    assert!(!text.contains("no-token"), "where it is is not the caller's business: {text}");
    node.die().await;
    let node = lab
        .node_with(|config| {
            config.auth = auth(&config.guard);
            config.fallback = Some(name("near"));
        })
        .await;
    assert_eq!(node.send("go").await.state, State::Completed);
}

/// Two replicas under one name, and a guard that finds both.
async fn two(form: Form) -> (Lab, Lab, Arc<Names>) {
    let first = Lab::new(form.clone()).await;
    let host = "replicas.test";
    // The first one listens at 127.0.0.1, and is known by its name too.
    let second = first.replica(form.clone(), host, 2).await;
    let third = first.replica(form, host, 3).await;
    let addresses = [2, 3].map(|last| IpAddr::from(Ipv4Addr::new(127, 0, 0, last)));
    (second, third, Arc::new(Names(Mutex::new(addresses.to_vec()))))
}

fn guarded(lab: &Lab, names: &Arc<Names>) -> bobbinet_outbound::Guard {
    let origin = bobbinet_outbound::Origin::of(&lab.url("/")).unwrap();
    bobbinet_outbound::Guard::with_resolver([origin], Default::default(), names.clone()).unwrap()
}

#[tokio::test]
async fn replicas_share_the_calls_and_one_that_is_gone_is_left_out() {
    let (one, other, names) = two(Form { keys: true, ..Form::default() }).await;
    let node = one.node_with(|config| config.guard = guarded(&one, &names)).await;
    node.ready().await;
    for _ in 0..10 {
        assert_eq!(node.send("go").await.state, State::Completed);
    }
    assert_eq!((one.sent().len(), other.sent().len()), (5, 5));
    other.stop();
    for _ in 0..10 {
        let task = node.send("go").await;
        assert_eq!(task.state, State::Completed, "{task:?}");
    }
    assert_eq!((one.sent().len(), other.sent().len()), (15, 5));
}

#[tokio::test]
async fn what_follows_goes_to_the_replica_that_has_the_task() {
    let (one, other, names) = two(Form { way: Way::Asks, keys: true, ..Form::default() }).await;
    let node = one.node_with(|config| config.guard = guarded(&one, &names)).await;
    node.ready().await;
    let asked = [node.send("go").await, node.send("go").await];
    assert_eq!((one.sent().len(), other.sent().len()), (1, 1));
    node.die().await;
    // Whoever goes on with them finds each where it is.
    let node = one.node_with(|config| config.guard = guarded(&one, &names)).await;
    for (task, text) in asked.iter().zip(["blue", "green"]) {
        let done = node.answer(&task.id, text).await;
        assert_eq!(done.state, State::Completed, "{done:?}");
        assert_eq!(done.artifacts[0].parts[0].as_text(), Some(text));
    }
    assert_eq!((one.sent().len(), other.sent().len()), (2, 2));
}

#[tokio::test]
async fn what_one_replica_may_have_taken_is_not_sent_to_another() {
    let (one, other, names) = two(Form { way: Way::BreaksTwice, keys: true, ..Form::default() }).await;
    let node = one.node_with(|config| config.guard = guarded(&one, &names)).await;
    node.ready().await;
    let task = node.send("go").await;
    assert_eq!(task.state, State::Completed, "{task:?}");
    let sent = (one.sent().len(), other.sent().len());
    assert!(matches!(sent, (3, 0) | (0, 3)), "{sent:?}");
}

#[tokio::test]
async fn what_may_go_twice_goes_to_another_replica_when_its_own_breaks() {
    let (one, other, names) = two(Form::default()).await;
    let node = one
        .node_with(|config| {
            config.guard = guarded(&one, &names);
            config.effect = Some(Effect::Idempotent);
        })
        .await;
    node.ready().await;
    one.set_way(Way::Garbage);
    other.set_way(Way::Works);
    for _ in 0..4 {
        let task = node.send("go").await;
        assert_eq!(task.state, State::Completed, "{task:?}");
    }
    assert_eq!(other.sent().len(), 4);
}

#[tokio::test]
async fn what_was_sent_by_name_is_not_sent_to_one_of_several() {
    let (one, other, names) = two(Form { way: Way::Silent, keys: true, ..Form::default() }).await;
    let last = names.0.lock().unwrap().pop().unwrap();
    let node = one.node_with(|config| config.guard = guarded(&one, &names)).await;
    node.ready().await;
    let handle = node.begin("go");
    wait_for(|| !one.sent().is_empty()).await;
    node.die().await;
    names.0.lock().unwrap().push(last);
    one.set_way(Way::Works);
    other.set_way(Way::Works);
    let node = one.node_with(|config| config.guard = guarded(&one, &names)).await;
    let task = node.settled(&handle.id()).await;
    let text = task.status_message.as_ref().unwrap().text();
    assert!(task.state == State::Failed && text.contains("several replicas"), "{text}");
    assert_eq!((one.sent().len(), other.sent().len()), (1, 0));
}
