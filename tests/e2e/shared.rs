//! A published server that loses writes when several come at the same time, shared by many callers.

use std::path::Path;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::node::{Agent, Node, bobbinet, data_message, tools};

/// The official memory server, whose graph is in this folder.
fn memory(folder: &Path) -> String {
    let server = tools().join("npm/node_modules/.bin/mcp-server-memory");
    format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data }}\nagents:\n  memory: {{ use: memory, mcp: {{ command: [{server:?}], env: \
         {{ MEMORY_FILE_PATH: {:?} }} }} }}\n",
        folder.join("graph.json")
    )
}

async fn call(agent: &Agent, http: &reqwest::Client, id: &str, skill: &str, arguments: Value) -> Value {
    let message = data_message(id, &json!({"skill": skill, "arguments": arguments}));
    let result = agent.call(http, "SendMessage", &json!({ "message": message })).await.unwrap();
    assert_eq!(result["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{result}");
    result
}

/// Directly, one of fifty survives.
#[tokio::test]
async fn fifty_who_write_at_the_same_time_have_all_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bobbinet.yaml"), memory(folder.path())).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap();
    let (agent, http) = (node.agent("memory"), reqwest::Client::new());
    let write = |number: usize| {
        let (agent, http) = (agent.clone(), http.clone());
        async move {
            let entity = json!({"name": format!("e{number}"), "entityType": "thing", "observations": []});
            call(&agent, &http, &format!("w{number}"), "create_entities", json!({"entities": [entity]})).await;
        }
    };
    (0..50).map(write).collect::<JoinSet<()>>().join_all().await;
    let graph = call(&agent, &http, "r", "read_graph", json!({})).await.to_string();
    let missing: Vec<usize> = (0..50).filter(|number| !graph.contains(&format!("\"e{number}\""))).collect();
    let kept = std::fs::read_to_string(folder.path().join("graph.json")).unwrap();
    assert_eq!((kept.lines().count(), missing), (50, Vec::new()), "{graph}");
    node.stop();
}

#[test]
fn a_check_says_what_callers_share() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bobbinet.yaml"), memory(folder.path())).unwrap();
    let told = bobbinet(folder.path()).args(["check", "--verbose", "bobbinet.yaml"]).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("session shared, writes one at a time"), "{told}");
}
