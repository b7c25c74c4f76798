//! The whole mesh as one MCP server: a host on the official SDK lists and calls it over both doors, in both eras.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::node::{Node, bobbinet, repository, tools};

fn mesh(folder: &Path) {
    std::fs::create_dir(folder.join("docs")).unwrap();
    std::fs::write(folder.join("docs/a.txt"), "written down").unwrap();
    let bin = tools().join("npm/node_modules/.bin");
    let command = |name: &str| bin.join(name).display().to_string();
    let config = json!({
        "node": {"listen": "127.0.0.1:0", "data": "./data"},
        "agents": {
            "everything": {"mcp": {"command": command("mcp-server-everything"), "args": ["stdio"]}},
            "files": {"mcp": {"command": command("mcp-server-filesystem"), "args": ["docs"]}},
            "gone": {"mcp": {"command": "sh", "args": ["-c", "exit 1"]}},
        },
    });
    std::fs::write(folder.join("bobbinet.yaml"), config.to_string()).unwrap();
}

fn host(folder: &Path, mode: &str, rest: &[&str]) -> Value {
    let python = tools().join("servers/bin/python");
    let mut command = Command::new(python);
    command.arg(repository("tests/python/mcp_host.py")).arg(mode).args(rest).current_dir(folder);
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{mode} {rest:?}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

fn check(said: &Value) {
    let tools: Vec<&str> = said["tools"].as_array().unwrap().iter().map(|tool| tool.as_str().unwrap()).collect();
    for tool in ["everything__echo", "files__read_text_file", "mesh_agents", "mesh_send", "mesh_task"] {
        assert!(tools.contains(&tool), "{tools:?}");
    }
    assert!(!tools.iter().any(|tool| tool.starts_with("gone")), "{tools:?}");
    assert!(said["sum"]["texts"][0].as_str().unwrap().contains('5'), "{}", said["sum"]);
    assert!(said["structured"]["structured"]["temperature"].is_number(), "{}", said["structured"]);
    assert!(said["image"]["kinds"].as_array().unwrap().contains(&json!("image")), "{}", said["image"]);
    let links = said["links"]["kinds"].as_array().unwrap().iter().filter(|kind| **kind == "resource_link").count();
    assert_eq!(links, 2, "{}", said["links"]);
    assert_eq!(said["wrong"]["error"], true);
    assert_eq!(said["read"]["texts"][0], "written down");
    assert!(said["agents"]["texts"][0].as_str().unwrap().contains("everything"));
    assert_eq!(said["long"]["error"], false, "{}", said["long"]);
    let progress: Vec<f64> = said["progress"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(progress.len() >= 2 && progress.is_sorted(), "{progress:?}");
    assert_eq!(said["asked"].as_array().unwrap().len(), 1, "{}", said["asked"]);
    assert_eq!(said["asks"]["error"], false, "{}", said["asks"]);
    assert!(said["asks"]["texts"].to_string().contains("Ann"), "{}", said["asks"]);
}

#[test]
fn a_host_has_every_agent_of_a_node_by_one_entry() {
    let folder = tempfile::tempdir().unwrap();
    mesh(folder.path());
    let node = Node::start(folder.path(), &[]).unwrap();
    let url = format!("{}/mcp", node.url);
    let minted =
        bobbinet(folder.path()).args(["token", "mint", "--data-dir", "data", "--audience", &url]).output().unwrap();
    let token = String::from_utf8(minted.stdout).unwrap().trim().to_owned();
    for mode in ["legacy", "2026-07-28"] {
        check(&host(folder.path(), mode, &["http", &url, &token]));
        check(&host(folder.path(), mode, &["stdio", env!("CARGO_BIN_EXE_bobbinet"), "mcp"]));
    }
    node.stop();
    // Without a node, a file has one for as long as its host is there.
    let file = folder.path().join("bobbinet.yaml").display().to_string();
    check(&host(folder.path(), "legacy", &["stdio", env!("CARGO_BIN_EXE_bobbinet"), "mcp", &file]));
}

#[test]
fn the_entry_of_a_host_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let printed = bobbinet(folder.path()).args(["mcp", "--print-config", "cursor"]).output().unwrap();
    let entry: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let server = &entry["mcpServers"]["bobbinet"];
    assert_eq!((&server["args"][0], &server["args"][1]), (&json!("mcp"), &json!("--data-dir")));
    assert!(Path::new(server["command"].as_str().unwrap()).is_absolute());
}
