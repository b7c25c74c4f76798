//! Questions of a server: they reach the caller of their call, or nobody.

use std::time::Duration;

use bobbinet_core::{Effect, Limits, QuestionKind, State};

use crate::lab::{Lab, PATIENCE, limits, say, settled, until, view};

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

#[tokio::test]
async fn a_question_that_could_be_anybodys_reaches_nobody_and_is_asked_again_alone() {
    let lab = Lab::new(&["good", "slow"]).await.ready().await;
    // `do` never returns here, so two calls are in flight when the question comes.
    let other = lab.submit("slow", say("do"));
    let begun = lab.notes("slow").join("begun");
    until("the call is at the server", || begun.exists()).await;
    let asking = lab.submit("slow", say("ask"));
    // Declined the first time; the tool may run again, and then it runs alone: after `do` is over.
    let declined = settled(&other).await;
    assert_eq!(view(&declined), "failed: timed-out");
    let task = settled(&asking).await;
    assert_eq!(view(&task), QUESTION);
    assert_eq!(task.ledger[0].attempt, 2);
    // Whatever the first call may still ask is not for this one's caller; this question came after it.
    let done = lab.reply("slow", &task.id, say("Ann")).await;
    assert!(view(&done).contains("Ann"), "{}", view(&done));
    lab.close().await;
}

#[tokio::test]
async fn two_callers_are_asked_one_after_the_other() {
    let lab = Lab::with(&["good"], limits(), |config| config.interactive = vec!["ask".to_owned()]).await.ready().await;
    let calls = [lab.submit("good", say("ask")), lab.submit("good", say("ask"))];
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
        while lab.get("good", &id).await.ledger[0].settlement.is_none() {
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
    let other = lab.submit("slow", say("do"));
    let begun = lab.notes("slow").join("begun");
    until("the call is at the server", || begun.exists()).await;
    let task = lab.send("slow", say("ask")).await;
    assert_eq!(view(&task), r#"completed: {"action": "decline"}"#);
    assert_eq!(task.artifacts[0].metadata.as_ref().unwrap().as_str(), r#"{"questionDeclined":true}"#);
    settled(&other).await;
    lab.close().await;
}
