//! A2A 0.3 over JSON-RPC, beside 1.0 at the same URL: the method's name says which.

use bobbinet_outbound::sse::SseEvent;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::node::{Events, Node, reply, short, whole};

/// A request in words of 0.3, which says nothing of its version as clients of 0.3 do.
fn request(node: &Node, method: &str, params: &Value) -> RequestBuilder {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    node.post("/").bearer_auth(node.token()).body(body.to_string())
}

async fn answer(node: &Node, method: &str, params: Value) -> Value {
    let (status, answer) = whole(request(node, method, &params)).await;
    assert_eq!((status, &answer["jsonrpc"], &answer["id"]), (StatusCode::OK, &json!("2.0"), &json!(7)), "{answer}");
    answer
}

async fn result(node: &Node, method: &str, params: Value) -> Value {
    let mut answer = answer(node, method, params).await;
    assert_eq!(answer["error"], Value::Null, "{answer}");
    answer["result"].take()
}

fn message(text: &str) -> Value {
    let parts = json!([{ "kind": "text", "text": text }]);
    json!({ "message": { "kind": "message", "messageId": "m", "role": "user", "parts": parts } })
}

fn message_to(text: &str, task: &Value) -> Value {
    let mut params = message(text);
    params["message"]["taskId"] = task["id"].clone();
    params
}

/// What an event says in short: `1 task submitted`, `2 working`, `4 completed final`, `3 artifact 1 append lastChunk`.
fn short_0_3(event: &SseEvent) -> String {
    let data: Value = serde_json::from_str(&event.data).unwrap();
    let result = &data["result"];
    let id = event.id.as_deref().unwrap_or("-");
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut text = match result["kind"].as_str() {
        Some("task") => format!("{id} task {}", word(&result["status"]["state"])),
        Some("status-update") => format!("{id} {}", word(&result["status"]["state"])),
        Some("artifact-update") => format!("{id} artifact {}", word(&result["artifact"]["parts"][0]["text"])),
        _ => return format!("{id} error {}", data["error"]["code"]),
    };
    for flag in ["final", "append", "lastChunk"] {
        if result[flag] == true {
            text = format!("{text} {flag}");
        }
    }
    text
}

async fn rest(mut events: Events) -> Vec<String> {
    let mut rest = Vec::new();
    while let Some(event) = events.next().await {
        rest.push(short_0_3(&event));
    }
    rest
}

#[tokio::test]
async fn a_message_comes_to_a_task_that_says_its_kind() {
    let node = Node::start().await;
    let task = result(&node, "message/send", message("echo")).await;
    assert_eq!((&task["kind"], &task["status"]["state"]), (&json!("task"), &json!("completed")), "{task}");
    assert_eq!(task["history"][0]["kind"], "message");
    assert_eq!(task["history"][0]["role"], "user");
    assert_eq!(task["history"][0]["contextId"], task["contextId"]);
    assert_eq!(task["artifacts"][0]["parts"][0]["kind"], "text");
    let shown = result(&node, "tasks/get", json!({ "id": task["id"], "historyLength": 0 })).await;
    assert_eq!((&shown["id"], &shown["history"]), (&task["id"], &Value::Null));
    // It is the same task in 1.0.
    let in_1_0 = node.result("GetTask", json!({ "id": task["id"] })).await;
    assert_eq!(in_1_0["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(in_1_0["contextId"], task["contextId"]);
}

#[tokio::test]
async fn who_does_not_block_is_answered_at_once_and_cancels() {
    let node = Node::start().await;
    let mut params = message("steps 1");
    params["configuration"] = json!({ "blocking": false, "acceptedOutputModes": ["text/plain"] });
    let task = result(&node, "message/send", params).await;
    assert_ne!(task["status"]["state"], "completed");
    let canceled = result(&node, "tasks/cancel", json!({ "id": task["id"] })).await;
    assert_eq!((&canceled["kind"], &canceled["status"]["state"]), (&json!("task"), &json!("canceled")));
    let again = answer(&node, "tasks/cancel", json!({ "id": task["id"] })).await;
    assert_eq!(again["error"]["code"], -32002);
}

#[tokio::test]
async fn a_question_is_asked_in_one_dialect_and_answered_in_the_other() {
    let node = Node::start().await;
    let asked = result(&node, "message/send", message("ask")).await;
    assert_eq!(asked["status"]["state"], "input-required");
    let done = node.result("SendMessage", reply("yes", &asked)).await;
    assert_eq!(done["task"]["status"]["state"], "TASK_STATE_COMPLETED");

    let asked = node.send("ask").await;
    let done = result(&node, "message/send", message_to("yes", &asked)).await;
    assert_eq!(done["status"]["state"], "completed");
}

#[tokio::test]
async fn a_stream_speaks_the_dialect_of_its_request() {
    let node = Node::start().await;
    let stream = Events::open(request(&node, "message/stream", &message("echo"))).await;
    let told = rest(stream).await;
    assert_eq!(told.first().map(String::as_str), Some("1 task submitted"), "{told:?}");
    assert!(told.last().unwrap().ends_with("completed final"), "{told:?}");
    assert_eq!(told.iter().filter(|event| event.contains("final")).count(), 1, "{told:?}");

    // Both follow one task, each in its own words.
    let task = node.begin("steps 2").await;
    let mut old = Events::open(request(&node, "tasks/resubscribe", &json!({ "id": task["id"] }))).await;
    let mut new = node.subscribe(&task, None).await;
    assert!(short_0_3(&old.next().await.unwrap()).contains(" task "));
    assert!(short(&new.next().await.unwrap()).contains(" task "));
    node.worker.gate.add_permits(2);
    let (old, new) = (rest(old).await, new.rest().await);
    assert!(old.last().unwrap().ends_with("completed final"), "{old:?}");
    assert!(new.last().unwrap().ends_with("COMPLETED"), "{new:?}");
}

#[tokio::test]
async fn a_question_ends_the_stream_of_the_message_and_says_so() {
    let node = Node::start().await;
    let told = rest(Events::open(request(&node, "message/stream", &message("ask"))).await).await;
    assert!(told.last().unwrap().ends_with("input-required final"), "{told:?}");
    // Who follows the task is told more after it.
    let asked = node.send("ask").await;
    let mut events = Events::open(request(&node, "tasks/resubscribe", &json!({ "id": asked["id"] }))).await;
    assert!(short_0_3(&events.next().await.unwrap()).ends_with("task input-required"));
    result(&node, "message/send", message_to("yes", &asked)).await;
    assert!(rest(events).await.last().unwrap().ends_with("completed final"));
}

#[tokio::test]
async fn a_stream_that_does_not_come_about_is_one_error_event() {
    let node = Node::start().await;
    let nowhere = json!({ "id": "0198c0de-0000-7000-8000-000000000000" });
    let told = rest(Events::open(request(&node, "tasks/resubscribe", &nowhere)).await).await;
    assert_eq!(told, ["- error -32001"]);
    let told = rest(Events::open(request(&node, "message/stream", &json!({}))).await).await;
    assert_eq!(told, ["- error -32602"]);
}

#[tokio::test]
async fn errors_have_the_codes_of_0_3_and_say_more_in_an_object() {
    let node = Node::start().await;
    for (method, params, code, reason) in [
        ("tasks/get", json!({ "id": "nobody" }), -32001, "TASK_NOT_FOUND"),
        ("tasks/get", json!({}), -32602, "INVALID_PARAMS"),
        ("message/send", json!({}), -32602, "INVALID_PARAMS"),
        ("agent/getAuthenticatedExtendedCard", Value::Null, -32004, "UNSUPPORTED_OPERATION"),
    ] {
        let error = answer(&node, method, params).await["error"].take();
        assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(code), &json!(reason)), "{method}: {error}");
    }
    let error = answer(&node, "message/send", json!({ "message": { "role": "user" } })).await["error"].take();
    assert_eq!(error["data"]["fieldViolations"][0]["field"], "message.messageId", "{error}");
}

#[tokio::test]
async fn the_version_that_is_said_must_have_the_method() {
    let node = Node::start().await;
    let code = async |version: &str, method: &str| {
        let request = request(&node, method, &json!({ "id": "nobody" })).header("a2a-version", version);
        whole(request).await.1["error"]["code"].as_i64().unwrap()
    };
    assert_eq!(code("0.3", "tasks/get").await, -32001);
    assert_eq!(code("0.3.0", "tasks/get").await, -32001);
    assert_eq!(code("1.0", "GetTask").await, -32001);
    assert_eq!(code("0.3", "GetTask").await, -32009);
    assert_eq!(code("1.0", "tasks/get").await, -32601);
    assert_eq!(code("2.0", "tasks/get").await, -32009);
    assert_eq!(code("0.3", "tasks/dance").await, -32601);
    assert_eq!(answer(&node, "GetTask", json!({ "id": "x" })).await["error"]["code"], -32009);
}

#[tokio::test]
async fn extensions_are_echoed_under_the_name_they_were_asked_by() {
    let node = Node::start().await;
    let asked = request(&node, "tasks/get", &json!({ "id": "nobody" }));
    let uri = bobbinet_wire::EXTENSION_URI;
    let response = asked.header("x-a2a-extensions", format!("https://else.example, {uri}")).send().await.unwrap();
    assert_eq!(response.headers()["x-a2a-extensions"], uri);
    assert!(!response.headers().contains_key("a2a-extensions"));
}
