//! Agents that flows call by their URLs: in 0.3's words, whatever they speak.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bobbinet_core::{State, Task};
use serde_json::{Value, json};

use crate::{
    far::{Form, Way},
    lab::Lab,
    node::wait_for,
};

fn result(task: Arc<Task>) -> Value {
    assert_eq!(task.state, State::Completed, "{task:?}");
    let parts: Vec<_> = task.artifacts.iter().flat_map(|artifact| &artifact.parts).collect();
    assert_eq!(parts.len(), 1, "{task:?}");
    parts[0].as_data().unwrap().to_value()
}

fn why(task: &Task) -> String {
    task.status_message.as_ref().map(|message| message.text()).unwrap_or_default()
}

fn said(text: &str) -> Value {
    json!({"message": {"parts": [{"kind": "text", "text": text}]}})
}

#[tokio::test]
async fn a_message_comes_to_the_task_as_0_3_has_it() {
    let lab = Lab::new(Form::default()).await;
    let node = lab.flow_node().await;
    let task = node.call("message/send", &lab.url("/"), &said("go")).await;
    let found = result(task.clone());
    assert_eq!((&found["kind"], &found["id"]), (&json!("task"), &json!("t-1")), "{found}");
    assert_eq!(found["status"]["state"], "completed");
    assert_eq!(found["artifacts"][0]["parts"][1], json!({"kind": "text", "text": "two"}));
    let sent = lab.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].message["messageId"], format!("{}-1", task.id));
    assert_eq!((&sent[0].message["role"], &sent[0].message["parts"]), (&json!("ROLE_USER"), &json!([{"text": "go"}])));
    assert_eq!(sent[0].key.as_deref(), Some(format!("{}/1", task.id).as_str()));
    let path = sent[0].message["metadata"]["urn:bobbinet:chain:v1"]["path"][0].as_str().unwrap();
    assert_eq!(path, format!("node/by-url {}", lab.url("/")));
    // What it says of its task stands in the task, and is no error.
    lab.set_way(Way::Fails);
    let found = result(node.call("message/send", &lab.url("/"), &said("go")).await);
    assert_eq!(found["status"]["state"], "failed", "{found}");
    lab.set_way(Way::Message);
    let found = result(node.call("message/send", &lab.url("/"), &said("go")).await);
    assert_eq!((&found["kind"], &found["parts"][0]["text"]), (&json!("message"), &json!("just so")), "{found}");
    lab.set_way(Way::SaysNo);
    let refused = node.call("message/send", &lab.url("/"), &said("go")).await;
    assert!(refused.state == State::Rejected && why(&refused).contains("bad parameters"), "{refused:?}");
    // One card for all of them.
    assert_eq!(lab.cards.load(Ordering::SeqCst), 2, "one of the peer, one of its URL");
}

#[tokio::test]
async fn a_stream_is_all_its_events_and_who_does_not_wait_has_the_first_answer() {
    let lab = Lab::new(Form::default()).await;
    let node = lab.flow_node().await;
    let events = result(node.call("message/stream", &lab.url("/"), &said("go")).await);
    let kinds: Vec<&str> = events.as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["task", "artifact-update", "artifact-update", "status-update"]);
    assert_eq!((&events[3]["final"], &events[3]["status"]["state"]), (&json!(true), &json!("completed")));
    let mut plain = said("go");
    plain["configuration"] = json!({"blocking": false});
    let lab = Lab::new(Form { streams: false, way: Way::Hangs, ..Form::default() }).await;
    let node = lab.flow_node().await;
    let found = result(node.call("message/send", &lab.url("/"), &plain).await);
    assert_eq!(found["status"]["state"], "working", "{found}");
    assert_eq!(lab.canceled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn many_calls_at_once_fetch_one_card() {
    let lab = Lab::new(Form::default()).await;
    let node = lab.flow_node().await;
    wait_for(|| lab.cards.load(Ordering::SeqCst) == 1).await;
    let (url, said) = (lab.url("/"), said("go"));
    let calls = (0..8).map(|_| node.call("message/send", &url, &said));
    for task in futures::future::join_all(calls).await {
        assert_eq!(task.state, State::Completed, "{task:?}");
    }
    assert_eq!((lab.sent().len(), lab.cards.load(Ordering::SeqCst)), (8, 2), "one of the peer, one of its URL");
}

#[tokio::test]
async fn requests_about_a_task_are_answered_at_once() {
    let lab = Lab::new(Form { way: Way::Asks, ..Form::default() }).await;
    let node = lab.flow_node().await;
    let url = lab.url("/");
    let found = result(node.call("tasks/get", &url, &json!({"id": "t-1"})).await);
    assert_eq!((&found["kind"], &found["status"]["state"]), (&json!("task"), &json!("input-required")), "{found}");
    let found = result(node.call("tasks/cancel", &url, &json!({"id": "t-1"})).await);
    assert_eq!(found["status"]["state"], "canceled");
    assert_eq!(lab.canceled.load(Ordering::SeqCst), 1);
    let found = result(node.call("tasks/list", &url, &json!({})).await);
    assert_eq!((&found["totalSize"], &found["tasks"][0]["id"]), (&json!(1), &json!("t-1")), "{found}");
    let found = result(node.call("tasks/resubscribe", &url, &json!({"id": "t-1"})).await);
    assert_eq!(found[0]["kind"], "task", "{found}");
    lab.set_way(Way::Forgets);
    let failed = node.call("tasks/get", &url, &json!({"id": "t-1"})).await;
    assert!(failed.state == State::Failed && why(&failed).contains("Task not found"), "{failed:?}");
    for (method, parameters) in [("tasks/get", json!({})), ("message/send", json!({"message": {"parts": []}}))] {
        let refused = node.call(method, &url, &parameters).await;
        assert!(refused.state == State::Rejected && why(&refused).contains("do not fit"), "{refused:?}");
    }
    assert!(lab.sent().is_empty());
}

#[tokio::test]
async fn a_question_comes_through_to_the_flow_and_its_answer_goes_back() {
    for method in ["message/send", "message/stream"] {
        let lab = Lab::new(Form { way: Way::Asks, ..Form::default() }).await;
        let node = lab.flow_node().await;
        let asked = node.call(method, &lab.url("/"), &said("go")).await;
        assert_eq!(asked.state, State::InputRequired, "{asked:?}");
        assert_eq!(asked.question.as_ref().unwrap().message.text(), "which?");
        let found = result(node.answer(&asked.id, "blue").await);
        let text = match method {
            "message/send" => &found["artifacts"][0]["parts"][0]["text"],
            _ => &found.as_array().unwrap().last().unwrap()["artifacts"][0]["parts"][0]["text"],
        };
        assert_eq!((text, lab.sent().len()), (&json!("blue"), 2), "{found}");
        assert_eq!(lab.sent()[1].message["taskId"], "t-1");
    }
}

#[tokio::test]
async fn a_restart_goes_on_with_the_very_same_task_and_a_cancel_reaches_it() {
    for (method, keys) in [("message/send", false), ("message/send", true), ("message/stream", false)] {
        let lab = Lab::new(Form { way: Way::Hangs, keys, ..Form::default() }).await;
        let node = lab.flow_node().await;
        let handle = node.begin_call(method, &lab.url("/"), &said("go"));
        node.until(&handle, |task| task.checkpoint.as_ref().is_some_and(|json| json.as_str().contains("t-1"))).await;
        node.die().await;
        lab.let_go();
        let node = lab.flow_node().await;
        let found = result(node.settled(&handle.id()).await);
        match method {
            "message/send" => assert_eq!(found["artifacts"][0]["parts"][1]["text"], "two", "{found}"),
            _ => assert_eq!(found[0]["kind"], "task", "{found}"),
        }
        assert_eq!(lab.sent().len(), 1, "sent once");
    }
    let lab = Lab::new(Form { way: Way::Hangs, ..Form::default() }).await;
    let node = lab.flow_node().await;
    let handle = node.begin_call("message/send", &lab.url("/"), &said("go"));
    node.until(&handle, |task| task.checkpoint.is_some()).await;
    assert_eq!(node.cancel(&handle.id()).await.state, State::Canceled);
    wait_for(|| lab.canceled.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn what_may_have_been_sent_is_sent_again_only_if_the_card_says_that_repeats_are_dropped() {
    for (keys, state, count) in [(true, State::Completed, 3), (false, State::InputRequired, 1)] {
        let lab = Lab::new(Form { way: Way::BreaksTwice, keys, ..Form::default() }).await;
        let node = lab.flow_node().await;
        let task = node.call("message/send", &lab.url("/"), &said("go")).await;
        assert_eq!((task.state, lab.sent().len()), (state, count), "{keys}: {task:?}");
    }
}

#[tokio::test]
async fn nobody_there_and_where_nothing_may_be_sent_are_told() {
    let lab = Lab::new(Form::default()).await;
    let node = lab.flow_node().await;
    for url in ["http://169.254.169.254/latest", "http://localhost:1/", "http://[::ffff:10.0.0.1]/"] {
        let begun = tokio::time::Instant::now();
        let failed = node.call("message/send", &url.parse().unwrap(), &said("go")).await;
        assert_eq!(failed.state, State::Failed, "{failed:?}");
        assert!(why(&failed).contains("nothing was sent"), "{url}: {}", why(&failed));
        assert!(begun.elapsed() < Duration::from_secs(1), "{url}");
    }
    lab.stop();
    let failed = node.call("message/send", &lab.url("/"), &said("go")).await;
    assert!(failed.state == State::Failed && why(&failed).contains("nothing was sent"), "{failed:?}");
}
