//! What a process of ours keeps to itself, and what does not end it.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::unistd::geteuid;
use serde_json::json;

use crate::node::{Node, PATIENCE, data_message, log_of};

/// Some other user's id, as far as a test needs one.
const NOBODY: u32 = 65_534;

/// The environment and the memory of a node can be read by nobody, not even by programs of the same user: the kernel shows
/// it by giving them to the superuser. Seen only by a test that may become somebody else.
#[test]
fn a_nodes_memory_is_its_own() {
    if !geteuid().is_root() {
        println!("left out: only the superuser can run a node as somebody else");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = folder.path().join("bobbinet");
    fs::copy(env!("CARGO_BIN_EXE_bobbinet"), &program).unwrap();
    let mut node = Command::new(&program)
        .args(["agent", "--name", "idle", "--listen", "127.0.0.1:0", "--data-dir", "data", "--", "sleep", "600"])
        .current_dir(folder.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    // The keys are there when the node has long closed itself off.
    while !folder.path().join("data/keys").exists() {
        assert!(begun.elapsed() < PATIENCE && node.try_wait().unwrap().is_none(), "the node starts");
        std::thread::sleep(Duration::from_millis(10));
    }
    let owner = fs::metadata(format!("/proc/{}/environ", node.id())).map(|found| found.uid());
    node.kill().unwrap();
    node.wait().unwrap();
    assert_eq!(owner.unwrap(), 0);
}

/// A limit on the size of files is met by a write that fails, with words, and not by a signal that ends the process at once.
#[tokio::test]
async fn a_limit_on_files_ends_a_node_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "node: { listen: \"127.0.0.1:0\", data: ./data }\n\
                agents: { echo: { mcp: { command: [cat] }, limits: { start_patience_ms: 200 } } }\n";
    fs::write(folder.path().join("bobbinet.yaml"), yaml).unwrap();
    let mut node = Node::start(folder.path(), &[]).unwrap();
    let limit = format!("--fsize={}", 2 << 20);
    let set = Command::new("prlimit").args(["--pid", &node.pid().to_string(), &limit]).status().unwrap();
    assert!(set.success());
    let (http, agent) = (reqwest::Client::new(), node.agent("echo"));
    let text = "x".repeat(100_000);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = node.wait_for_death(Duration::from_millis(1)) {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            break None;
        }
        let message =
            json!({"message": data_message("m", &json!({"text": text})), "configuration": {"returnImmediately": true}});
        let _ = agent.call(&http, "SendMessage", &message).await;
    };
    let log = log_of(folder.path());
    assert!(log.contains("File too large"), "{log}");
    // Ended by itself, if at all.
    assert!(status.is_none_or(|status| status.code().is_some()), "{status:?}");
}
