//! MCP servers as `bobbinet agent` starts them: published ones without a flag, and one that cannot start.

use std::{path::Path, time::Instant};

use serde_json::Value;

use crate::node::{Node, PATIENCE, log_of, repository, tools};

/// One server as an agent, in a folder of its own.
fn agent(folder: &Path, options: &[&str], command: &[&str]) -> Node {
    let own = ["agent", "--name", "it", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    Node::run(folder, &[&own[..], options, &["--"], command].concat(), &[]).unwrap()
}

/// Asks `/readyz` until it answers as it is wanted.
async fn readiness(node: &Node, folder: &Path, what: &str, is_wanted: impl Fn(u16, &str) -> bool) {
    let begun = Instant::now();
    loop {
        let answer = reqwest::get(format!("{}/readyz?verbose", node.url)).await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        if is_wanted(status, &text) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "never {what}: {status} {text}\n{}", log_of(folder));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn skills(node: &Node) -> Vec<String> {
    let card = reqwest::get(format!("{}/.well-known/agent-card.json", node.url)).await.unwrap();
    let card: Value = card.json().await.unwrap();
    card["skills"].as_array().unwrap().iter().map(|skill| skill["id"].as_str().unwrap().to_owned()).collect()
}

/// Made with the Rust SDK of 2025-07, which ends at any first request that it does not know. It needs no Elasticsearch to list
/// its tools.
#[tokio::test]
async fn a_published_server_that_ends_at_a_question_starts_without_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let program = tools().join("rust-sdk/bin/es-mcp");
    let node = agent(folder.path(), &["--env", "ES_URL=http://127.0.0.1:9"], &[program.to_str().unwrap(), "stdio"]);
    readiness(&node, folder.path(), "ready", |status, _| status == 200).await;
    assert!(skills(&node).await.contains(&"list_indices".to_owned()), "{:?}", skills(&node).await);
    node.stop();
    // It is known from then on.
    let log = log_of(folder.path());
    let node = agent(folder.path(), &["--env", "ES_URL=http://127.0.0.1:9"], &[program.to_str().unwrap(), "stdio"]);
    readiness(&node, folder.path(), "ready again", |status, _| status == 200).await;
    node.stop();
    let again = log_of(folder.path())[log.len()..].to_owned();
    assert!(log.contains("as an old one") && !again.contains("as an old one"), "{log}\n{again}");
}

#[tokio::test]
async fn an_agent_whose_only_server_never_started_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let node = agent(folder.path(), &[], &["python3", "-c", "raise SystemExit('no key, no service')"]);
    readiness(&node, folder.path(), "left alone", |status, text| {
        assert_eq!(status, 503, "{text}");
        assert!(!text.contains("no key"), "what the server said is for its owner: {text}");
        text.contains("dies too often")
    })
    .await;
    assert!(log_of(folder.path()).contains("no key, no service"));
    node.stop();
}

#[tokio::test]
async fn a_server_gets_what_it_needs_of_the_environment_and_what_is_withheld_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let own = ["agent", "--name", "it", "--listen", "127.0.0.1:0", "--data-dir", "data", "--"];
    let server = ["sh", "-c", "env > seen.new; mv seen.new seen; exec sleep 600"];
    let set = [
        ("HTTPS_PROXY", "http://proxy.example:3128"),
        ("NODE_EXTRA_CA_CERTS", "/etc/ca.pem"),
        ("LC_MESSAGES", "C"),
        ("XDG_CACHE_HOME", "/tmp/cache"),
        ("PIP_INDEX_URL", "https://somebody:hunter22@packages.example"),
    ];
    let node = Node::run(folder.path(), &[&own[..], &server].concat(), &set).unwrap();
    let begun = Instant::now();
    let seen = loop {
        if let Ok(seen) = std::fs::read_to_string(folder.path().join("seen")) {
            break seen;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", log_of(folder.path()));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    for (name, value) in &set[..4] {
        assert!(seen.lines().any(|line| line == format!("{name}={value}")), "{name}: {seen}");
    }
    assert!(!seen.contains("PIP_INDEX_URL"), "{seen}");
    // It is not missing in silence, and its value stays where it is.
    let log = log_of(folder.path());
    assert!(log.contains("PIP_INDEX_URL") && !log.contains("hunter22"), "{log}");
    node.stop();
}

#[tokio::test]
async fn what_is_odd_in_a_list_is_told_once_however_often_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let script = repository("crates/bobbinet-mcp/tests/fixtures/bad_server.py");
    let node = agent(folder.path(), &[], &["python3", script.to_str().unwrap(), "list-loop", "."]);
    let lists = || std::fs::read_to_string(folder.path().join("listed")).unwrap_or_default().lines().count();
    let begun = Instant::now();
    while lists() < 4 {
        assert!(begun.elapsed() < PATIENCE, "{}", log_of(folder.path()));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    node.stop();
    let log = log_of(folder.path());
    assert_eq!(log.matches("1 of its tools have no name").count(), 1, "{log}");
}
