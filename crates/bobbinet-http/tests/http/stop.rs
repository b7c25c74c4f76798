//! Callers who go, and a server that goes.

use std::{sync::Arc, time::Duration};

use bobbinet_store::{SledOptions, SledStore};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::node::{Form, Node, PATIENCE, message};

#[tokio::test]
async fn a_task_does_not_care_who_has_left() {
    let node = Node::start().await;
    let mut caller = TcpStream::connect(node.address).await.unwrap();
    caller.write_all(&node.raw("SendMessage", &message("steps 1"))).await.unwrap();
    let begun = async {
        loop {
            let page = node.result("ListTasks", json!({})).await;
            if page["totalSize"] == 1 {
                return page["tasks"][0].clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let task = timeout(PATIENCE, begun).await.unwrap();
    drop(caller);
    let mut events = node.subscribe(&task, Some("0")).await;
    node.worker.gate.add_permits(1);
    let all = ["1 task SUBMITTED", "2 WORKING", "3 artifact 1 lastChunk", "4 COMPLETED"];
    assert_eq!(events.rest().await, all);
}

#[tokio::test]
async fn a_server_that_stops_ends_in_order() {
    let mut node = Node::limited(|limits| {
        limits.drain_ms = 200;
        limits.stream_retry_ms = 77;
    })
    .await;
    let task = node.begin("steps 1").await;
    let mut events = node.subscribe(&task, None).await;
    assert_eq!(events.short().await.unwrap(), "2 task WORKING");
    let waiting = {
        let request = node.request("SendMessage", &message("steps 1"));
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let stopping = async {
        // The second task is there, and its caller waits.
        while node.result("ListTasks", json!({})).await["totalSize"] != 2 {
            tokio::task::yield_now().await;
        }
        node.stop.cancel();
        let rest = events.rest().await;
        (rest, events.retry())
    };
    let (answer, (rest, retry)) = timeout(PATIENCE, async { tokio::join!(waiting, stopping) }).await.unwrap();
    assert_eq!((rest, retry), (Vec::new(), Some(Duration::from_millis(77))));
    assert_eq!(answer["result"]["task"]["status"]["state"], "TASK_STATE_WORKING", "{answer}");
    timeout(PATIENCE, node.serving.join_next()).await.expect("it returns").unwrap().unwrap();
    assert!(TcpStream::connect(node.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_request_in_flight_is_finished() {
    let mut node = Node::start().await;
    let request = node.request("SendMessage", &message("steps 1"));
    let waiting = async move { request.send().await.unwrap().json::<Value>().await.unwrap() };
    let stopping = async {
        while node.result("ListTasks", json!({})).await["totalSize"] != 1 {
            tokio::task::yield_now().await;
        }
        node.stop.cancel();
        node.worker.gate.add_permits(1);
    };
    let (answer, ()) = timeout(PATIENCE, async { tokio::join!(waiting, stopping) }).await.unwrap();
    assert_eq!(answer["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    timeout(PATIENCE, node.serving.join_next()).await.expect("it returns").unwrap().unwrap();
}

#[tokio::test]
async fn a_draining_node_takes_no_new_work_and_answers_the_rest() {
    let node = Node::start().await;
    let task = node.send("echo x").await;
    node.engine.drain();
    let response = node.request("SendMessage", &message("echo y")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(node.result("GetTask", json!({ "id": task["id"] })).await["id"], task["id"]);
}

#[tokio::test]
async fn a_node_whose_store_is_gone_takes_nothing_more_and_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(SledOptions::new(folder.path())).unwrap());
    let node = Node::with(Form { store, ..Form::default() }).await;
    node.send("echo x").await;
    node.assert_ready().await;
    std::fs::remove_dir_all(folder.path()).unwrap();
    let response = node.request("SendMessage", &message("echo y")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let probe = async |path: &str| {
        let probe = node.http.get(format!("http://{}{path}", node.address)).send().await.unwrap();
        (probe.status(), probe.text().await.unwrap())
    };
    let (status, why) = probe("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(why.starts_with("store: ") && why.contains("deleted or replaced"), "{why}");
    assert_eq!(probe("/livez").await.0, StatusCode::OK);
}
