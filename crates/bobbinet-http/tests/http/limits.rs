//! What is beyond a limit is told so; what is within it goes on.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::node::{Node, PATIENCE, message, whole};

/// The status of a refusal and the limit that it names.
async fn refusal(node: &Node, method: &str, params: Value) -> (StatusCode, String) {
    let request = node.request(method, &params);
    let response = request.try_clone().unwrap().send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "1");
    let (status, answer) = whole(request).await;
    (status, answer["error"]["data"][0]["metadata"]["limit"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn requests_waits_and_streams_are_counted_apart() {
    let unavailable = |limit: &str| (StatusCode::SERVICE_UNAVAILABLE, limit.to_owned());
    let node = Node::limited_by(|_, limits| limits.requests_max = 0).await;
    assert_eq!(refusal(&node, "ListTasks", json!({})).await, unavailable("requests_max"));

    let node = Node::limited_by(|_, limits| limits.waits_max = 0).await;
    assert_eq!(refusal(&node, "SendMessage", message("echo")).await, unavailable("waits_max"));
    assert_eq!(node.result("ListTasks", json!({})).await["totalSize"], 0);
    node.begin("echo").await;

    let node = Node::limited_by(|_, limits| limits.streams_max = 0).await;
    assert_eq!(refusal(&node, "SendStreamingMessage", message("echo")).await, unavailable("streams_max"));
    node.send("echo").await;
}

#[tokio::test]
async fn a_wait_takes_no_place_from_those_who_ask() {
    let node = Node::limited_by(|_, limits| limits.requests_max = 1).await;
    let waiting = node.send("steps 1");
    let asking = async {
        // It has been sent, and its place given back, once its task can be seen.
        loop {
            let (status, answer) = whole(node.request("ListTasks", &json!({}))).await;
            if status == StatusCode::OK && answer["result"]["totalSize"] == 1 {
                break;
            }
            tokio::task::yield_now().await;
        }
        node.worker.gate.add_permits(1);
    };
    let (task, ()) = timeout(PATIENCE, async { tokio::join!(waiting, asking) }).await.unwrap();
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
}

#[tokio::test]
async fn a_caller_has_so_many_streams_and_gets_them_back() {
    let node = Node::limited_by(|limits, admission| {
        admission.streams_per_caller_max = 1;
        limits.half_close_ms = 100;
    })
    .await;
    let task = node.begin("steps 1").await;
    let events = node.subscribe(&task, None).await;
    let params = json!({ "id": task["id"] });
    let full = (StatusCode::TOO_MANY_REQUESTS, "streams_per_caller_max".to_owned());
    assert_eq!(refusal(&node, "SubscribeToTask", params.clone()).await, full);
    drop(events);
    let reopened = async {
        while node.request("SubscribeToTask", &params).send().await.unwrap().status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, reopened).await.expect("the place is given back");
    node.worker.gate.add_permits(1);
}

#[tokio::test]
async fn a_task_has_so_many_followers() {
    let node = Node::start().await;
    let task = node.begin("steps 1").await;
    let mut followers = Vec::new();
    for _ in 0..node.engine.limits().followers_max {
        followers.push(node.subscribe(&task, None).await);
    }
    let full = (StatusCode::TOO_MANY_REQUESTS, "followers_max".to_owned());
    assert_eq!(refusal(&node, "SubscribeToTask", json!({ "id": task["id"] })).await, full);
    node.worker.gate.add_permits(1);
    for mut follower in followers {
        assert_eq!(follower.rest().await.last().unwrap(), "4 COMPLETED");
    }
}

#[tokio::test]
async fn a_reader_who_takes_nothing_is_cut_and_holds_up_nobody() {
    const STEPS: usize = 9;
    const SIZE: usize = 2 << 20;
    let node = Node::limited_by(|limits, admission| {
        limits.send_stall_ms = 100;
        admission.streams_per_caller_max = 1;
    })
    .await;
    let mut slow = TcpStream::connect(node.address).await.unwrap();
    slow.write_all(&node.raw("SendStreamingMessage", &message(&format!("steps {STEPS} {SIZE}")))).await.unwrap();
    let mut first = [0; 12];
    slow.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    node.worker.gate.add_permits(STEPS);
    let task = timeout(PATIENCE, async {
        loop {
            let task = node.result("ListTasks", json!({})).await["tasks"][0].take();
            if task["status"]["state"] == "TASK_STATE_COMPLETED" {
                return task;
            }
            tokio::task::yield_now().await;
        }
    });
    let task = task.await.expect("the task goes on without its reader");
    // The only stream that there may be is cut, although its reader has not taken what there is for it.
    let params = json!({ "id": task["id"] });
    let cut = async {
        let subscribe = || node.request("SubscribeToTask", &params).header("last-event-id", "99");
        while subscribe().send().await.unwrap().status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, cut).await.expect("the place is given back");
    let mut taken = Vec::new();
    // However the connection looks from here: what was sent before it was cut may be read, or be lost.
    timeout(PATIENCE, slow.read_to_end(&mut taken)).await.expect("the connection has ended").ok();
    assert!(taken.len() < STEPS * SIZE, "{}", taken.len());
}
