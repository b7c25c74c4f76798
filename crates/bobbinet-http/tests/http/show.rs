//! A task's record, which is for the node's owner, and a node that says it is about to go.

use bobbinet_auth::NODE_OWNER;
use bobbinet_engine::{Env, SystemEnv};
use reqwest::StatusCode;
use serde_json::Value;

use crate::node::{Node, whole};

async fn record(node: &Node, task: &Value, subject: Option<&str>) -> (StatusCode, Value) {
    let url = format!("{}/bobbinet/tasks/{}", node.url, task["id"].as_str().unwrap_or("nonsense"));
    let request = node.http.get(url);
    whole(match subject {
        Some(subject) => request.bearer_auth(node.token_of(subject, &node.url, SystemEnv.now())),
        None => request,
    })
    .await
}

#[tokio::test]
async fn the_owner_reads_all_that_is_known_of_a_task() {
    let node = Node::start().await;
    let task = node.send("echo hello").await;
    let (status, record) = record(&node, &task, Some(NODE_OWNER)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&record["id"], &record["contextId"]), (&task["id"], &task["contextId"]));
    assert_eq!((record["state"].as_str(), record["agent"].as_str()), (Some("completed"), Some("worker")));
    let call = &record["calls"][0];
    assert_eq!((call["attempts"].as_u64(), call["effect"].as_str()), (Some(1), Some("read-only")), "{record:#}");
    assert_eq!(call["outcome"].as_str(), Some("done"));
    let log: Vec<String> = record["log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| format!("{} {} {}", line["version"], line["generation"], line["event"].as_str().unwrap()))
        .collect();
    let expected = ["1 1 submitted", "2 2 started", "3 null intended", "4 null settled", "5 3 added", "6 4 ended"];
    assert_eq!(log, expected, "internal records are in it, without a generation");
    assert_eq!(record["log"][0]["details"]["message"]["parts"][0]["content"]["Text"], "echo hello");
}

#[tokio::test]
async fn nobody_else_learns_that_there_is_one() {
    let node = Node::start().await;
    let task = node.send("echo hello").await;
    let (status, strangers) = record(&node, &task, Some("stranger")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(
        record(&node, &Value::Null, Some("stranger")).await,
        (status, strangers.clone()),
        "the same as for none"
    );
    assert_eq!(record(&node, &Value::Null, Some(NODE_OWNER)).await, (status, strangers));
    assert_eq!(record(&node, &task, None).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_node_that_retires_is_not_ready_and_works_on() {
    let node = Node::start().await;
    node.assert_ready().await;
    node.server.retire();
    let probe = node.http.get(format!("http://{}/readyz", node.address)).send().await.unwrap();
    assert_eq!(probe.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(probe.text().await.unwrap(), "listener: the node is about to stop\n");
    assert_eq!(node.send("echo still here").await["status"]["state"], "TASK_STATE_COMPLETED");
}

#[tokio::test]
async fn a_task_without_children_is_a_tree_of_one() {
    let node = Node::start().await;
    let task = node.send("echo hello").await;
    let (_, record) = record(&node, &task, Some(NODE_OWNER)).await;
    assert_eq!((&record["children"], &record["parent"]), (&serde_json::json!([]), &Value::Null), "{record:#}");
    let url = format!("{}/bobbinet/tasks/{}/tree", node.url, task["id"].as_str().unwrap());
    let asked =
        |subject: &str| whole(node.http.get(&url).bearer_auth(node.token_of(subject, &node.url, SystemEnv.now())));
    let (status, tree) = asked(NODE_OWNER).await;
    assert_eq!((status, &tree["id"], &tree["state"]), (StatusCode::OK, &task["id"], &"completed".into()), "{tree:#}");
    assert!(tree["log"].is_null() && tree["millis"].is_u64(), "{tree:#}");
    assert_eq!(asked("stranger").await.0, StatusCode::NOT_FOUND);
}
