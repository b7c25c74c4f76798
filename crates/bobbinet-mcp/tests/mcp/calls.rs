//! Calls of a server that behaves: what goes out, what comes back, and in which order.

use std::fs;

use bobbinet_core::{Effect, Event, State};
use bobbinet_engine::Agent;

use crate::lab::{self, Lab, caller, limits, name_of, say, settled, until, view};

#[tokio::test]
async fn arguments_and_results_keep_every_value_as_it_came() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let arguments = r#"{"z":1.0,"a":1e2,"n":9007199254740993,"s":"\u00e4","o":{"y":[],"b":null}}"#;
    let task = lab.send("good", say(&format!(r#"data:{{"skill":"raw","arguments":{arguments}}}"#))).await;
    let line = task.artifacts[0].parts[0].as_text().unwrap();
    assert!(line.contains(&format!(r#""arguments":{arguments}"#)), "{line}");
    assert!(line.contains(r#""progressToken":"#) && !line.contains("bobbinet/idempotencyKey"), "{line}");
    // One message is one line, however its reader splits lines.
    let task = lab
        .send("good", say("data:{\"skill\":\"raw\",\"arguments\":{\"a\":\n\r [1],\"b\":\"x\u{2028}y\u{85}\"}}"))
        .await;
    let line = task.artifacts[0].parts[0].as_text().unwrap();
    assert!(line.contains(r#""arguments":{"a": [1],"b":"x\u2028y\u0085"}"#), "{line}");
    let task = lab.send("good", say(r#"data:{"skill":"sum","arguments":{"a":0.10,"b":2}}"#)).await;
    assert_eq!(view(&task), r#"completed: {"sum": 2.1}"#);
    assert_eq!(
        task.artifacts[0].parts[0].metadata.as_ref().unwrap().as_str(),
        r#"{"role":"structured","textCopy":true}"#
    );
    lab.close().await;
}

#[tokio::test]
async fn a_read_that_is_waited_for_is_one_commit_and_what_may_have_an_effect_is_two() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let mut reads = Vec::new();
    while !reads.contains(&1) && reads.len() < 50 {
        // Two where the server takes longer than the first commit is withheld.
        reads.push(lab.commits_of("good", say(r#"data:{"skill":"sum","arguments":{"a":1,"b":2}}"#)).await);
    }
    assert!(reads.contains(&1) && reads.iter().all(|commits| *commits <= 2), "{reads:?}");
    for _ in 0..5 {
        assert_eq!(lab.commits_of("good", say("echo text=hello")).await, 2);
    }
    lab.close().await;
}

#[tokio::test]
async fn a_text_that_means_a_number_is_one_and_the_result_says_so() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let task = lab.send("good", say(r#"data:{"skill":"sum","arguments":{"a":"0.10","b":2}}"#)).await;
    assert_eq!(view(&task), r#"completed: {"sum": 2.1}"#);
    assert_eq!(task.artifacts[0].metadata.as_ref().unwrap().as_str(), r#"{"converted":["/a"]}"#);
    assert_eq!(
        view(&lab.send("good", say(r#"data:{"skill":"sum","a":"ten","b":2}"#)).await),
        "rejected: bad-arguments"
    );
    lab.close().await;
}

#[tokio::test]
async fn arguments_that_are_much_work_to_check_are_checked_before_the_server_sees_them() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let long = "x".repeat(5 << 20);
    let task = lab.send("good", say(&format!(r#"data:{{"skill":"sum","arguments":{{"a":"{long}","b":2}}}}"#))).await;
    assert_eq!(view(&task), "rejected: bad-arguments");
    let task = lab.send("good", say(&format!(r#"data:{{"skill":"echo","arguments":{{"text":"{long}"}}}}"#))).await;
    assert_eq!(task.state, State::Completed);
    lab.close().await;
}

#[tokio::test]
async fn a_keyed_tool_gets_its_key_and_the_trace_goes_along() {
    let lab = Lab::with(&["good"], limits(), |config| {
        config.effects.insert("raw".to_owned(), Effect::Keyed);
    })
    .await
    .ready()
    .await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let task = settled(&lab.submit_traced("good", say("raw"), Some(trace))).await;
    let line = task.artifacts[0].parts[0].as_text().unwrap();
    assert!(line.contains(&format!(r#""bobbinet/idempotencyKey":"{}/1""#, task.id)), "{line}");
    assert!(line.contains(&format!(r#""traceparent":"{trace}""#)), "{line}");
    lab.close().await;
}

#[tokio::test]
async fn a_server_finds_a_clean_environment() {
    let lab = Lab::with(&["good"], limits(), |config| {
        lab::command(config).env.insert("GIVEN".to_owned(), "x".to_owned());
    })
    .await
    .ready()
    .await;
    let task = lab.send("good", say("env")).await;
    let names = view(&task);
    // The test runner has set this one for us.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !names.contains("CARGO_MANIFEST_DIR"), "{names}");
    assert!(names.contains("SigBlk:\t0000000000000000"), "{names}");
    assert!(names.contains("GIVEN") && names.contains("PATH") && names.contains("BOBBINET_MCP_TREE"), "{names}");
    lab.close().await;
}

#[tokio::test]
async fn progress_comes_in_order_and_ends_with_the_result() {
    let lab = Lab::new(&["progress"]).await.ready().await;
    let call = lab.submit("progress", say("do"));
    let events = lab.events("progress", &call).await;
    let mut seen = Vec::new();
    for event in &events {
        if let Event::Progressed { message, metadata } = event {
            let value = metadata.as_ref().unwrap().to_value()["progress"]["value"].as_f64().unwrap();
            assert!(message.as_ref().unwrap().text().starts_with("step "));
            seen.push(value);
        }
    }
    assert!(!seen.is_empty() && seen.is_sorted() && seen.iter().all(|value| *value <= 3.0), "{seen:?}");
    assert!(matches!(events.last(), Some(Event::Ended { state: State::Completed, .. })));
    lab.close().await;
}

#[tokio::test]
async fn a_cancel_reaches_the_server() {
    let lab = Lab::new(&["slow"]).await.ready().await;
    let call = lab.submit("slow", say("do"));
    let begun = lab.notes("slow").join("begun");
    until("the call is at the server", || begun.exists()).await;
    let task = lab.engine.cancel(&caller(), &name_of("slow"), &call.id()).await.unwrap();
    assert_eq!(task.state, State::Canceled);
    let note = lab.notes("slow").join("canceled");
    until("the server is told", || note.exists()).await;
    // Its late reply is for its record, and the next call is not confused by it.
    let next = lab.send("slow", say("echo text=next")).await;
    assert_eq!(view(&next), "completed: next");
    assert_eq!(fs::read_to_string(&note).unwrap().lines().count(), 1);
    assert_eq!(lab.get("slow", &call.id()).await.state, State::Canceled);
    lab.close().await;
}

#[tokio::test]
async fn new_tools_are_new_skills() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let agent = &lab.agents["good"];
    let before = agent.describe();
    assert_eq!(before.name, "Bad server");
    assert_eq!(before.skills.len(), 9);
    lab.send("good", say("grow")).await;
    until("the new skill", || agent.describe().skills.len() == 10).await;
    assert_ne!(agent.describe().version, before.version);
    // The script knows nothing to do by that name: its own refusal, so the call went out.
    assert_eq!(view(&lab.send("good", say("grown")).await), "rejected: bad-arguments");
    lab.close().await;
}

#[tokio::test]
async fn a_tool_that_says_no_is_not_a_server_that_breaks() {
    let lab = Lab::new(&["refuses", "error"]).await.ready().await;
    assert_eq!(view(&lab.send("refuses", say("do")).await), "failed: no such thing");
    assert_eq!(lab.send("error", say("do")).await.status_message.as_ref().unwrap().text(), "boom (MCP error -32603)");
    lab.close().await;
}
