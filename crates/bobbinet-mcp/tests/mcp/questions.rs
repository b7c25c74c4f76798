//! Questions of a server: they reach the caller of their call, or nobody.

use std::time::Duration;

use bobbinet_core::{Effect, Limits, QuestionKind, State};
use bobbinet_mcp::WriteSharing;

use crate::lab::{Lab, PATIENCE, caller_named, limits, name_of, say, settled, until, view};

const QUESTION: &str = "input-required: What is your name?";

#[tokio::test]
async fn an_answer_reaches_the_call_that_asked() {
    let lab = Lab::new(&["good", "modern"]).await.ready().await;
    for (mode, answer) in [
        ("good", r#"completed: {"action": "accept", "content": {"name": "Ann"}}"#),
        ("modern", r#"completed: {"answer": {"action": "accept", "content": {"name": "Ann"}}, "state": "state-1"}"#),
    ] {
        let task = lab.send(mode, say("ask")).await;
        assert_eq!(view(&task), QUESTION, "{mode}");
        let question = task.question.as_ref().unwrap();
        assert_eq!(question.kind, QuestionKind::Elicitation);
        assert!(question.schema.as_ref().unwrap().as_str().contains(r#""minLength": 2"#));
        let again = lab.reply(mode, &task.id, say("A")).await;
        assert!(view(&again).contains("That does not fit: name:"), "{mode}: {}", view(&again));
        let done = lab.reply(mode, &task.id, say("Ann")).await;
        assert_eq!(view(&done), answer, "{mode}");
    }
    lab.close().await;
}

#[tokio::test]
async fn no_is_an_answer_too() {
    let lab = Lab::new(&["good"]).await.ready().await;
    for action in ["decline", "cancel"] {
        let task = lab.send("good", say("ask")).await;
        let done = lab.reply("good", &task.id, say(action)).await;
        assert_eq!(view(&done), format!(r#"completed: {{"action": "{action}"}}"#));
    }
    lab.close().await;
}

#[tokio::test]
async fn a_schema_outside_of_the_usual_arrives_as_it_is() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let task = lab.send("good", say("ask-odd")).await;
    let schema = task.question.as_ref().unwrap().schema.as_ref().unwrap().as_str().to_owned();
    assert!(
        schema.find(r#""z": {"type": ["integer", "null"]}"#) < schema.find(r#""a": {"type": "object""#),
        "{schema}"
    );
    let done = lab.reply("good", &task.id, say(r#"data:{"z":null,"a":{"deep":[1.0]}}"#)).await;
    assert_eq!(view(&done), r#"completed: {"action": "accept", "content": {"z": null, "a": {"deep": [1.0]}}}"#);
    lab.close().await;
}

#[tokio::test]
async fn an_address_to_visit_is_an_authorization() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let task = lab.send("good", say("ask-link")).await;
    assert_eq!(view(&task), "auth-required: Sign in\nhttps://example.com/login");
    let done = lab.reply("good", &task.id, say("done")).await;
    assert_eq!(view(&done), "completed: welcome");
    lab.close().await;
}

/// A second caller's call of `do`, which is at the server and does not come back for a while.
async fn others_call(lab: &Lab, mode: &str) -> bobbinet_engine::Handle {
    let other = lab.submit_as("bob", mode, say("do"));
    let begun = lab.notes(mode).join("begun");
    until("the call is at the server", || begun.exists()).await;
    other
}

#[tokio::test]
async fn a_question_that_could_be_of_two_owners_reaches_neither_and_is_asked_again_alone() {
    let lab = Lab::with(&["forgets"], limits(), |config| config.limits.ghost_ms = 300).await.ready().await;
    let other = others_call(&lab, "forgets").await;
    let asking = lab.submit("forgets", say("ask"));
    // Declined the first time; the tool may run again, and then apart from others' calls: after `do` is over.
    assert_eq!(view(&settled(&other).await), "failed: timed-out");
    let task = settled(&asking).await;
    assert_eq!(view(&task), QUESTION);
    assert_eq!(task.calls[0].attempt, 2);
    let done = lab.reply("forgets", &task.id, say("Ann")).await;
    assert!(view(&done).contains("Ann"), "{}", view(&done));
    lab.close().await;
}

#[tokio::test]
async fn a_call_that_was_given_up_keeps_nobody_of_its_owner_from_being_asked() {
    let lab = Lab::new(&["forgets"]).await.ready().await;
    let other = others_call(&lab, "forgets").await;
    lab.engine.cancel(&caller_named("bob"), &name_of("forgets"), &other.id()).await.unwrap();
    // Its owner is asked at once, though it may still be at work; everybody else waits, and is told why.
    assert_eq!(view(&lab.send_as("bob", "forgets", say("ask")).await), QUESTION);
    lab.close().await;
}

#[tokio::test]
async fn whoever_may_be_asked_waits_for_a_call_of_somebody_else_that_was_given_up() {
    let lab = Lab::with(&["forgets"], limits(), |config| {
        config.limits.ghost_ms = 1_000;
        config.interactive = vec!["ask".to_owned()];
    });
    let lab = lab.await.ready().await;
    let other = others_call(&lab, "forgets").await;
    let asking = lab.submit("forgets", say("ask"));
    lab.until_status("forgets", &asking.id(), "runs without others beside it").await;
    lab.engine.cancel(&caller_named("bob"), &name_of("forgets"), &other.id()).await.unwrap();
    lab.until_status("forgets", &asking.id(), "was given up and may still ask").await;
    let task = settled(&asking).await;
    assert_eq!((view(&task).as_str(), task.calls[0].attempt), (QUESTION, 1));
    lab.close().await;
}

#[tokio::test]
async fn a_large_late_reply_is_no_junk() {
    let lab = Lab::with(&["late"], limits(), |config| {
        config.limits.junk_bytes_max = 500_000;
        config.timeouts.insert("do".to_owned(), Duration::from_millis(200));
    });
    let lab = lab.await.ready().await;
    let asked = lab.send("late", say("ask")).await;
    let other = others_call(&lab, "late").await;
    // Nobody waits for it any more when it comes.
    assert_eq!(view(&settled(&other).await), "failed: timed-out");
    let told = lab.notes("late").join("canceled");
    until("the server is told, and replies", || told.exists()).await;
    assert_eq!(view(&lab.send("late", say("sum a=1 b=2")).await), r#"completed: {"sum": 3}"#);
    // The server that asked is alive.
    let done = lab.reply("late", &asked.id, say("Ann")).await;
    assert!(view(&done).contains("Ann") && done.calls[0].attempt == 1, "{}", view(&done));
    lab.close().await;
}

#[tokio::test]
async fn an_open_question_holds_up_only_those_who_must_wait_and_they_see_why() {
    // One slot: whoever waits lends it.
    let lab = Lab::with(&["good"], limits(), |config| config.max_concurrency = 1).await.ready().await;
    let first = lab.send("good", say("ask")).await;
    assert_eq!(view(&first), QUESTION);
    assert_eq!(view(&lab.send_as("bob", "good", say("sum a=1 b=2")).await), r#"completed: {"sum": 3}"#);
    assert_eq!(view(&lab.send("good", say("echo text=mine")).await), "completed: mine");
    // A second question of the same owner is asked too, of a tool that nothing was said of.
    let second = lab.send("good", say("ask-odd")).await;
    assert_eq!(view(&second), QUESTION);
    let waiting = lab.submit_as("bob", "good", say("echo text=bobs"));
    let seen = lab.until_status("good", &waiting.id(), "another caller's call waits for an answer").await;
    assert_eq!(seen.state, State::Working);
    assert_eq!(view(&lab.send_as("eve", "good", say("sum a=2 b=2")).await), r#"completed: {"sum": 4}"#);
    let done = lab.reply("good", &first.id, say("Ann")).await;
    assert!(view(&done).contains("Ann"));
    let done = lab.reply("good", &second.id, say(r#"data:{"z":7}"#)).await;
    assert!(view(&done).contains('7'), "{}", view(&done));
    assert_eq!(view(&settled(&waiting).await), "completed: bobs");
    lab.close().await;
}

#[tokio::test]
async fn more_calls_in_line_than_slots_are_lent_all_come_to_their_end() {
    /// More than the engine lends slots.
    const CALLS: usize = 40;
    let lab = Lab::with(&["good"], limits(), |config| {
        config.max_concurrency = 1;
        config.interactive = vec!["ask".to_owned(), "echo".to_owned()];
        // They wait for one another for the question's sake alone.
        config.share.writes = Some(WriteSharing::Concurrent);
    });
    let lab = lab.await.ready().await;
    let asked = lab.send("good", say("ask")).await;
    assert_eq!(view(&asked), QUESTION);
    let calls = (0..CALLS).map(|_| lab.submit_as("bob", "good", say("echo text=mine"))).collect::<Vec<_>>();
    // One slot is lent by the call that asked, 31 by those in line behind it, and one is kept by the last of these.
    let waiting = async {
        loop {
            let mut count = 0;
            for call in &calls {
                let task = lab.engine.get(&caller_named("bob"), &name_of("good"), &call.id()).await;
                count += usize::from(task.is_ok_and(|task| task.status_message.is_some()));
            }
            if count >= 32 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("they wait for their turn");
    let done = lab.reply("good", &asked.id, say("Ann")).await;
    assert!(view(&done).contains("Ann"), "{}", view(&done));
    for call in &calls {
        let task = tokio::time::timeout(PATIENCE, settled(call)).await.expect("it comes to its end");
        assert_eq!(view(&task), "completed: mine");
    }
    lab.close().await;
}

#[tokio::test]
async fn a_question_that_others_wait_for_is_let_go_of_and_its_task_says_so() {
    for effect in [Effect::ReadOnly, Effect::AtMostOnce] {
        let lab = Lab::with(&["good"], limits(), |config| {
            config.limits.hold_for_others_ms = 300;
            config.effects.insert("ask".to_owned(), effect);
        });
        let lab = lab.await.ready().await;
        let asked = lab.send("good", say("ask")).await;
        // It waits for the answer, and then is asked itself: each by a question of its own.
        let other = lab.send_as("bob", "good", say("ask")).await;
        assert_eq!(view(&other), QUESTION);
        let told = lab.until_status("good", &asked.id, "Calls of others had to wait for this answer").await;
        assert_eq!(told.state, State::InputRequired);
        assert!(told.status_message.as_ref().unwrap().text().ends_with("What is your name?"));
        let done = lab.reply("good", &other.id, say("Bob")).await;
        assert!(view(&done).contains("Bob"), "{}", view(&done));
        let done = lab.reply("good", &asked.id, say("Ann")).await;
        // The call is made again, and has its answer; or nobody makes it again unasked.
        let expected = match effect.may_run_again() {
            true => r#"completed: {"action": "accept", "content": {"name": "Ann"}}"#,
            false => "input-required: question-lost",
        };
        assert_eq!(view(&done), expected);
        lab.close().await;
    }
}

#[tokio::test]
async fn a_server_that_keeps_no_state_asks_two_callers_at_once() {
    let lab = Lab::with(&["good"], limits(), |config| config.stateless = true).await.ready().await;
    let tasks = [lab.send_as("ann", "good", say("ask")).await, lab.send_as("bob", "good", say("ask")).await];
    for (task, name) in tasks.iter().zip(["Ann", "Bob"]) {
        assert_eq!((view(task).as_str(), task.calls[0].attempt), (QUESTION, 1));
        let done = lab.reply("good", &task.id, say(name)).await;
        assert!(view(&done).contains(name), "{}", view(&done));
    }
    lab.close().await;
}

#[tokio::test]
async fn a_call_that_asks_twice_at_once_is_answered_twice() {
    let lab = Lab::new(&["asks-twice"]).await.ready().await;
    let task = lab.send("asks-twice", say("ask")).await;
    assert_eq!(view(&task), "input-required: First?");
    let task = lab.reply("asks-twice", &task.id, say("Ann")).await;
    assert_eq!(view(&task), "input-required: Second?");
    let done = lab.reply("asks-twice", &task.id, say("Ben")).await;
    assert_eq!(view(&done), r#"completed: {"action": "accept", "content": {"name": "Ben"}}"#);
    let first = std::fs::read_to_string(lab.notes("asks-twice").join("first")).unwrap();
    assert!(first.contains("Ann"), "{first}");
    lab.close().await;
}

#[tokio::test]
async fn two_callers_are_asked_one_after_the_other() {
    let lab = Lab::with(&["good"], limits(), |config| config.interactive = vec!["ask".to_owned()]).await.ready().await;
    let calls = [lab.submit_as("ann", "good", say("ask")), lab.submit_as("bob", "good", say("ask"))];
    let first = tokio::select! {
        _ = settled(&calls[0]) => 0,
        _ = settled(&calls[1]) => 1,
    };
    let second = 1 - first;
    assert_eq!(lab.get("good", &calls[second].id()).await.state, State::Working);
    let done = lab.reply("good", &calls[first].id(), say("First")).await;
    assert!(view(&done).contains("First"));
    let task = settled(&calls[second]).await;
    assert_eq!(view(&task), QUESTION);
    let done = lab.reply("good", &calls[second].id(), say("Second")).await;
    assert!(view(&done).contains("Second"));
    lab.close().await;
}

#[tokio::test]
async fn a_question_outlives_its_call_and_the_answer_is_not_asked_for_twice() {
    let short = Limits { ask_hold_max_ms: 300, ..limits() };
    let lab = Lab::with(&["good"], short, |_| {}).await.ready().await;
    let task = lab.send("good", say("ask")).await;
    assert_eq!(view(&task), QUESTION);
    let id = task.id;
    tokio::time::timeout(PATIENCE, async {
        // The hold expires, the call is declined and over; the question stays.
        while lab.get("good", &id).await.calls[0].outcome.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(lab.get("good", &id).await.state, State::InputRequired);
    let done = lab.reply("good", &id, say("Ann")).await;
    assert_eq!(view(&done), r#"completed: {"action": "accept", "content": {"name": "Ann"}}"#);
    lab.close().await;
}

#[tokio::test]
async fn a_careful_tool_tells_that_its_question_was_declined() {
    let lab = Lab::with(&["slow"], limits(), |config| {
        config.effects.insert("ask".to_owned(), Effect::AtMostOnce);
    })
    .await
    .ready()
    .await;
    let other = others_call(&lab, "slow").await;
    let task = lab.send("slow", say("ask")).await;
    assert_eq!(view(&task), r#"completed: {"action": "decline"}"#);
    assert_eq!(task.artifacts[0].metadata.as_ref().unwrap().as_str(), r#"{"questionDeclined":true}"#);
    settled(&other).await;
    lab.close().await;
}
