//! MCP servers with tasks of their own: a node that is killed follows the same one in its next life, and calls nothing again.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    node::{Agent, Node, Started, data_message, log_of, repository, tools},
    peers::{http, settled, until, wait_until},
};

/// A server that outlives the node, and where it listens.
fn outside(notes: &Path) -> (Started, u16) {
    let mut child = Command::new("python3")
        .arg(repository("crates/bobbinet-mcp/tests/fixtures/task_server.py"))
        .args(["http", notes.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    (Started(child), port.trim().parse().unwrap())
}

fn calls(notes: &Path) -> usize {
    std::fs::read_to_string(notes.join("calls")).unwrap_or_default().lines().count()
}

/// Begins a call, and gives its task.
async fn begin(agent: &Agent, skill: &str, arguments: Value) -> String {
    let message = data_message(&format!("{skill}-{arguments}"), &json!({"skill": skill, "arguments": arguments}));
    let params = json!({"message": message, "configuration": {"returnImmediately": true}});
    agent.call(&http(), "SendMessage", &params).await.unwrap()["task"]["id"].as_str().unwrap().to_owned()
}

async fn answer(agent: &Agent, task: &str, text: &str) {
    let said = json!({"messageId": text, "role": "ROLE_USER", "taskId": task, "parts": [{"text": text}]});
    let params = json!({"message": said, "configuration": {"returnImmediately": true}});
    agent.call(&http(), "SendMessage", &params).await.unwrap();
}

fn is_asking(state: &str) -> bool {
    state == "TASK_STATE_INPUT_REQUIRED"
}

#[tokio::test]
async fn a_killed_node_follows_the_same_task_of_its_server_in_both_eras() {
    for era in ["core", "modern"] {
        let (folder, notes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_server, port) = outside(notes.path());
        let config = format!(
            "node: {{ listen: \"127.0.0.1:0\", data: ./data }}\nagents:\n  it: {{ mcp: {{ url: \"http://127.0.0.1:{port}/{era}\" }}, \
             share: {{ writes: concurrent }} }}\n"
        );
        std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
        let node = Node::start(folder.path(), &[]).unwrap();
        let agent = node.agent("it");
        let [work, query, order] = ["work", "query", if era == "modern" { "order" } else { "query" }];
        let work = begin(&agent, work, json!({})).await;
        let query = begin(&agent, query, json!({})).await;
        let order = begin(&agent, order, json!({"other": true})).await;
        wait_until("the calls", || calls(notes.path()) == 3).await;
        for asking in [&query, &order] {
            until(&agent, &http(), asking, is_asking).await;
        }
        node.kill();
        let node = Node::start(folder.path(), &[]).unwrap();
        let agent = node.agent("it");
        // It still asks, and the answer reaches the same task of the server's.
        for asking in [&query, &order] {
            until(&agent, &http(), asking, is_asking).await;
            answer(&agent, asking, "Ann").await;
            let done = settled(&agent, &http(), asking).await;
            assert!(done.to_string().contains("Ann"), "{era}: {done}\n{}", log_of(folder.path()));
        }
        std::fs::write(notes.path().join("finish"), "x").unwrap();
        let done = settled(&agent, &http(), &work).await;
        assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{era}: {done}\n{}", log_of(folder.path()));
        // One more for the second round of the one that has no task.
        assert_eq!(calls(notes.path()), if era == "modern" { 4 } else { 3 }, "{era}");
        assert!(node.stop().success());
    }
}

/// The reference server of the MCP project has a tool that runs only as a task, and may ask in the middle of it.
#[tokio::test]
async fn a_published_tool_that_runs_only_as_a_task_is_called_and_asks() {
    let folder = tempfile::tempdir().unwrap();
    let server = tools().join("npm/node_modules/.bin/mcp-server-everything");
    let config = format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data }}\nagents: {{ it: {{ mcp: {{ command: [{server:?}, stdio] }} }} }}\n"
    );
    std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap();
    let agent = node.agent("it");
    let task = begin(&agent, "simulate-research-query", json!({"topic": "python", "ambiguous": true})).await;
    let asked = settled(&agent, &http(), &task).await;
    assert!(asked.to_string().contains("multiple interpretations"), "{asked}\n{}", log_of(folder.path()));
    answer(&agent, &task, "snake").await;
    let done = settled(&agent, &http(), &task).await;
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done}");
    assert!(done.to_string().contains("Research Report: python (snake)"), "{done}");
    assert!(node.stop().success());
}
