//! Events: their order, their ids, and coming back for those that were missed.

use std::time::Duration;

use bobbinet_http::HttpLimits;
use serde_json::{Value, json};

use crate::node::{Events, Node, message, reply};

#[tokio::test]
async fn a_streamed_task_tells_all_from_its_submission_to_its_end() {
    let node = Node::start().await;
    node.worker.gate.add_permits(2);
    let mut events = node.stream("SendStreamingMessage", &message("steps 2")).await;
    let expected = ["1 task SUBMITTED", "2 WORKING", "3 artifact 1", "4 artifact 2 append lastChunk", "5 COMPLETED"];
    assert_eq!(events.rest().await, expected);
    let mut events = node.stream("SendStreamingMessage", &message("echo x")).await;
    assert_eq!(events.rest().await, ["1 task SUBMITTED", "2 WORKING", "3 artifact x lastChunk", "4 COMPLETED"]);
}

#[tokio::test]
async fn events_come_as_they_happen() {
    let node = Node::start().await;
    let mut events = node.stream("SendStreamingMessage", &message("steps 2")).await;
    assert_eq!(events.short().await.unwrap(), "1 task SUBMITTED");
    assert_eq!(events.short().await.unwrap(), "2 WORKING");
    node.worker.gate.add_permits(1);
    assert_eq!(events.short().await.unwrap(), "3 artifact 1");
    node.worker.gate.add_permits(1);
    assert_eq!(events.rest().await, ["4 artifact 2 append lastChunk", "5 COMPLETED"]);
}

#[tokio::test]
async fn all_who_follow_hear_the_same() {
    let node = Node::start().await;
    let task = node.begin("steps 3").await;
    let mut first = node.subscribe(&task, None).await;
    let mut second = node.subscribe(&task, None).await;
    let mut leaver = node.subscribe(&task, None).await;
    assert_eq!(first.short().await.unwrap(), "2 task WORKING");
    assert_eq!(second.short().await.unwrap(), "2 task WORKING");
    assert_eq!(leaver.short().await.unwrap(), "2 task WORKING");
    drop(leaver);
    node.worker.gate.add_permits(3);
    let expected = ["3 artifact 1", "4 artifact 2 append", "5 artifact 3 append lastChunk", "6 COMPLETED"];
    assert_eq!(first.rest().await, expected);
    assert_eq!(second.rest().await, expected);
}

#[tokio::test]
async fn the_stream_of_a_message_ends_with_the_question_and_a_subscription_does_not() {
    let node = Node::start().await;
    let mut events = node.stream("SendStreamingMessage", &message("ask")).await;
    assert_eq!(events.rest().await, ["1 task SUBMITTED", "2 INPUT_REQUIRED"]);
    assert_eq!(events.retry(), None, "nobody is told to come back");
    let task = node.result("ListTasks", json!({})).await["tasks"][0].take();
    let mut subscription = node.subscribe(&task, None).await;
    assert_eq!(subscription.short().await.unwrap(), "2 task INPUT_REQUIRED");
    // Who comes back after what the closed stream told, hears what follows, and over the next question.
    let mut resumed = node.subscribe(&task, Some("2")).await;
    let answer = node.stream("SendStreamingMessage", &reply("that", &task)).await.rest().await;
    assert!(answer[0].contains(" task "), "the task comes first: {answer:?}");
    assert!(answer.last().unwrap().contains("COMPLETED"), "{answer:?}");
    let rest = subscription.rest().await;
    assert!(rest.iter().any(|event| event.contains("artifact that")), "{rest:?}");
    assert!(rest.last().unwrap().contains("COMPLETED"), "{rest:?}");
    assert_eq!(resumed.rest().await, rest);
}

#[tokio::test]
async fn an_answer_that_is_asked_about_again_ends_its_stream_too() {
    let node = Node::start().await;
    let task = node.send("ask").await;
    let mut subscription = node.subscribe(&task, None).await;
    assert_eq!(subscription.short().await.unwrap(), "2 task INPUT_REQUIRED");
    let again = node.stream("SendStreamingMessage", &reply("ask again", &task)).await.rest().await;
    assert!(again.last().unwrap().ends_with("INPUT_REQUIRED"), "{again:?}");
    assert!(again.len() <= 3, "{again:?}");
    // Another message, so another id: under the first one's it would be the same answer again.
    let mut that = reply("that", &task);
    that["message"]["messageId"] = json!("m-2");
    let answer = node.stream("SendStreamingMessage", &that).await.rest().await;
    assert!(answer.last().unwrap().contains("COMPLETED"), "{answer:?}");
    let rest = subscription.rest().await;
    assert!(rest.iter().filter(|event| event.ends_with("INPUT_REQUIRED")).count() == 1, "{rest:?}");
    assert!(rest.last().unwrap().contains("COMPLETED"), "{rest:?}");
}

#[tokio::test]
async fn a_message_that_comes_again_is_streamed_past_the_questions_that_were_answered() {
    let node = Node::start().await;
    let params = message("ask");
    let again = async || {
        let request = node.request("SendStreamingMessage", &params).header("idempotency-key", "k");
        Events::open(request).await.rest().await
    };
    assert_eq!(again().await, ["1 task SUBMITTED", "2 INPUT_REQUIRED"]);
    assert_eq!(again().await, ["1 task SUBMITTED", "2 INPUT_REQUIRED"], "the question is open");
    let task = node.result("ListTasks", json!({})).await["tasks"][0].take();
    node.result("SendMessage", reply("ask again", &task)).await;
    let told = again().await;
    let questions = told.iter().filter(|event| event.ends_with("INPUT_REQUIRED")).count();
    assert_eq!(questions, 2, "one that was answered, and the one that is open: {told:?}");
    assert!(told.last().unwrap().ends_with("INPUT_REQUIRED"), "{told:?}");
    let mut that = reply("that", &task);
    that["message"]["messageId"] = json!("m-2");
    node.result("SendMessage", that).await;
    let told = again().await;
    assert!(told.last().unwrap().contains("COMPLETED"), "{told:?}");
}

#[tokio::test]
async fn what_is_authorised_elsewhere_goes_on_in_its_stream() {
    let node = Node::start().await;
    let mut events = node.stream("SendStreamingMessage", &message("visit")).await;
    assert_eq!(events.short().await.unwrap(), "1 task SUBMITTED");
    assert_eq!(events.short().await.unwrap(), "2 AUTH_REQUIRED");
    let task = node.result("ListTasks", json!({})).await["tasks"][0].take();
    node.result("SendMessage", reply("done", &task)).await;
    assert!(events.rest().await.last().unwrap().contains("COMPLETED"));
}

#[tokio::test]
async fn who_comes_back_hears_what_he_missed_and_only_that() {
    let node = Node::start().await;
    let mut events = node.stream("SendStreamingMessage", &message("steps 3")).await;
    assert_eq!(events.short().await.unwrap(), "1 task SUBMITTED");
    assert_eq!(events.short().await.unwrap(), "2 WORKING");
    let task = node.result("ListTasks", json!({})).await["tasks"][0].take();
    drop(events);
    node.worker.gate.add_permits(1);
    let mut events = node.subscribe(&task, Some("2")).await;
    assert_eq!(events.short().await.unwrap(), "3 artifact 1");
    drop(events);
    node.worker.gate.add_permits(2);
    let rest = ["4 artifact 2 append", "5 artifact 3 append lastChunk", "6 COMPLETED"];
    assert_eq!(node.subscribe(&task, Some("3")).await.rest().await, rest);
    // And again, now that it has ended.
    assert_eq!(node.subscribe(&task, Some("3")).await.rest().await, rest);
    assert_eq!(node.subscribe(&task, Some("6")).await.rest().await, Vec::<String>::new());
    assert_eq!(node.subscribe(&task, Some("0")).await.rest().await.len(), 6);
    assert_eq!(node.error_code("SubscribeToTask", json!({ "id": task["id"] })).await, -32004);
}

#[tokio::test]
async fn a_cursor_of_nobody_gets_the_task_and_a_mark() {
    let node = Node::start().await;
    let done = node.send("echo x").await;
    for cursor in ["99", "18446744073709551615", "99999999999999999999", "x", "-1"] {
        assert_eq!(node.subscribe(&done, Some(cursor)).await.rest().await, ["4 task COMPLETED resync"], "{cursor}");
    }
    let busy = node.begin("steps 1").await;
    let mut events = node.subscribe(&busy, Some("99")).await;
    assert_eq!(events.short().await.unwrap(), "2 task WORKING resync");
    node.worker.gate.add_permits(1);
    assert_eq!(events.rest().await, ["3 artifact 1 lastChunk", "4 COMPLETED"]);
}

#[tokio::test]
async fn a_silent_stream_shows_that_it_lives() {
    let node = Node::limited(|limits| limits.keep_alive_ms = 20).await;
    let task = node.begin("steps 1").await;
    let mut response = node.request("SubscribeToTask", &json!({ "id": task["id"] })).send().await.unwrap();
    let mut text = String::new();
    while !text.contains(": alive\n\n: alive\n\n") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    node.worker.gate.add_permits(1);
}

/// The most used HTTP client of Python gives a connection up that says nothing for so long, unless it is told otherwise.
const HTTPX_TIMEOUT: Duration = Duration::from_secs(5);

#[test]
fn no_stream_is_silent_for_as_long_as_a_client_waits() {
    let keep_alive = HttpLimits::default().keep_alive();
    assert!(keep_alive + Duration::from_secs(1) < HTTPX_TIMEOUT, "{keep_alive:?} leaves no time on the way");
    // However small the number is that an operator writes, a silent stream is no busy one.
    assert!(HttpLimits { keep_alive_ms: 0, ..HttpLimits::default() }.keep_alive() > Duration::ZERO);
}

#[tokio::test]
async fn line_ends_of_all_kinds_stay_within_an_event() {
    const ENDS: &str = "a\nb\rc\u{b}d\u{c}e\u{1c}f\u{1d}g\u{1e}h\u{85}i\u{2028}j\u{2029}k";
    let node = Node::start().await;
    let mut params = message(&format!("echo {ENDS}"));
    params["message"]["metadata"] = json!({ ENDS: [ENDS] });
    let body = json!({ "jsonrpc": "2.0", "id": ENDS, "method": "SendStreamingMessage", "params": params });
    let request = node.post("/").bearer_auth(node.token()).header("a2a-version", "1.0").body(body.to_string());
    let text = request.send().await.unwrap().text().await.unwrap();
    let others: Vec<char> = text.chars().filter(|c| *c != '\n' && ENDS.contains(*c) && !c.is_alphabetic()).collect();
    assert!(others.is_empty(), "{others:?} in {text:?}");
    let data: Vec<&str> = text.split('\n').filter_map(|line| line.strip_prefix("data: ")).collect();
    let events: Vec<Value> = data.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    assert!(events.iter().all(|event| event["id"] == ENDS));
    assert!(data.concat().matches("\\u2028").count() > 3, "{data:?}");
    let artifact = events.iter().find_map(|event| event["result"]["artifactUpdate"]["artifact"].as_object());
    assert_eq!(artifact.unwrap()["parts"][0]["text"], ENDS);
}

#[tokio::test]
async fn an_old_stream_ends_with_a_hint_to_come_back() {
    let node = Node::limited(|limits| {
        limits.stream_life_ms = 50;
        limits.stream_retry_ms = 321;
    })
    .await;
    let task = node.begin("steps 1").await;
    let mut events = node.subscribe(&task, None).await;
    assert_eq!(events.rest().await, ["2 task WORKING"]);
    assert_eq!(events.retry(), Some(Duration::from_millis(321)));
    node.worker.gate.add_permits(1);
    assert_eq!(node.subscribe(&task, Some("2")).await.rest().await, ["3 artifact 1 lastChunk", "4 COMPLETED"]);
}
