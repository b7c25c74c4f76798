//! The whole mesh as one MCP server: hosts on the official SDKs, and the MCP project's Inspector, list and call it over both doors, in
//! both eras, answer what it asks, hear how far it is, and give up what they have begun.

use std::{
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::node::{Node, bobbinet, repository, tools};

/// A node around some servers and one that cannot start, which keeps nobody from the others.
struct Mesh {
    folder: tempfile::TempDir,
    node: Node,
    url: String,
    token: String,
}

impl Mesh {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("docs")).unwrap();
        std::fs::write(folder.path().join("docs/a.txt"), "written down").unwrap();
        let bin = tools().join("npm/node_modules/.bin");
        let command = |name: &str| bin.join(name).display().to_string();
        let config = json!({
            "node": {"listen": "127.0.0.1:0", "data": "./data"},
            "agents": {
                "everything": {"mcp": {"command": command("mcp-server-everything"), "args": ["stdio"]}},
                // What is canceled goes on over there, and would keep a question of the same server waiting.
                "long": {"mcp": {"command": command("mcp-server-everything"), "args": ["stdio"]}},
                "files": {"mcp": {"command": command("mcp-server-filesystem"), "args": ["docs"]}},
                "rows": {
                    "mcp": {"command": "python3", "args": [repository("tests/python/rows.py")]},
                    "limits": {"result_inline_max": 64 << 10},
                },
                "gone": {"mcp": {"command": "sh", "args": ["-c", "exit 1"]}},
            },
        });
        std::fs::write(folder.path().join("bobbinet.yaml"), config.to_string()).unwrap();
        let node = Node::start(folder.path(), &[]).unwrap();
        let url = format!("{}/mcp", node.url);
        let minted =
            bobbinet(folder.path()).args(["token", "mint", "--data-dir", "data", "--audience", &url]).output().unwrap();
        let token = String::from_utf8(minted.stdout).unwrap().trim().to_owned();
        Self { folder, node, url, token }
    }

    /// Runs a host over both doors of the node.
    fn check(&self, program: &[&str]) {
        check(&self.host(program, &["http", &self.url, &self.token]));
        check(&self.host(program, &["stdio", env!("CARGO_BIN_EXE_bobbinet"), "mcp", "--data-dir", "data"]));
    }

    fn host(&self, program: &[&str], door: &[&str]) -> Value {
        let mut command = Command::new(program[0]);
        said(command.args(&program[1..]).args(door).current_dir(&self.folder))
    }

    /// Waits until so many calls that hosts have given up are canceled, which is soon.
    fn given_up(&self, count: usize) {
        let begun = Instant::now();
        loop {
            let list = ["task", "list", "--data-dir", "data", "-a", "long", "-o", "json"];
            let listed = said(bobbinet(self.folder.path()).args(list));
            let tasks = listed["tasks"].as_array().unwrap();
            let states: Vec<&str> = tasks.iter().filter_map(|task| task["status"]["state"].as_str()).collect();
            if states == vec!["TASK_STATE_CANCELED"; count] {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{states:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What a program says, which must end well.
fn said(command: &mut Command) -> Value {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
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
    // It has gone by reference, and is whole all the same for an SDK that checks what a tool has promised.
    assert_eq!((&said["rows"]["count"], &said["rows"]["error"]), (&json!(300), &json!(false)), "{}", said["rows"]);
    assert!(said["rows"]["kinds"].as_array().unwrap().contains(&json!("resource_link")), "{}", said["rows"]);
    assert!(said["agents"]["texts"][0].as_str().unwrap().contains("everything"));
    assert_eq!(said["long"]["error"], false, "{}", said["long"]);
    let progress: Vec<f64> = said["progress"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(progress.len() >= 2 && progress.is_sorted(), "{progress:?}");
    assert_eq!(said["asked"].as_array().unwrap().len(), 1, "{}", said["asked"]);
    assert_eq!(said["asks"]["error"], false, "{}", said["asks"]);
    assert!(said["asks"]["texts"].to_string().contains("Ann"), "{}", said["asks"]);
    assert_eq!(said["canceled"], "canceled");
}

/// The official Python SDK: its present line in both eras, and the one before it.
#[test]
fn a_host_has_every_agent_of_a_node_by_one_entry() {
    let mesh = Mesh::start();
    let [python, older] = ["servers/bin/python", "servers-1/bin/python"].map(|it| tools().join(it));
    let script = |name: &str| repository(&format!("tests/python/{name}")).display().to_string();
    let [host, host_v1] = ["mcp_host.py", "mcp_host_v1.py"].map(script);
    let python = python.to_str().unwrap();
    mesh.check(&[python, &host, "legacy"]);
    mesh.check(&[python, &host, "2026-07-28"]);
    mesh.check(&[older.to_str().unwrap(), &host_v1]);
    mesh.given_up(6);
    // Without a node, a file has one for as long as its host is there.
    let Mesh { folder, node, .. } = mesh;
    node.stop();
    let mut alone = Command::new(python);
    alone.args([&host, "legacy", "stdio", env!("CARGO_BIN_EXE_bobbinet"), "mcp"]);
    check(&said(alone.arg(folder.path().join("bobbinet.yaml")).current_dir(&folder)));
}

/// The official TypeScript SDK: its present line in both eras, and the one before it.
#[test]
fn a_host_in_typescript_has_them_too() {
    let mesh = Mesh::start();
    let host = repository("tests/javascript/mcp_host.mjs");
    let modules = tools().join("npm-hosts");
    for mode in ["v1", "legacy", "2026-07-28"] {
        mesh.check(&["node", host.to_str().unwrap(), modules.to_str().unwrap(), mode]);
    }
    mesh.given_up(6);
}

/// The MCP project's Inspector by its two programs for a shell: one command for one connection, and several for one that stays.
#[test]
fn the_inspector_lists_calls_and_answers_over_both_doors_in_both_eras() {
    let mesh = Mesh::start();
    let home = tempfile::tempdir().unwrap();
    // It says that it wants a newer Node than others do.
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", tools().join("conformance/node_modules/.bin").display());
    let run = |program: &str, arguments: &[&str]| -> Value {
        let mut command = Command::new(tools().join("npm-hosts/node_modules/.bin").join(program));
        command.args(arguments).current_dir(&mesh.folder);
        command.env("PATH", &path).env("HOME", home.path()).env("MCP_INSPECTOR_SECRET_STORE", "memory");
        said(&mut command)
    };
    let bearer = format!("Authorization: Bearer {}", mesh.token);
    // A header takes all that follows it up to the next option.
    let over_http = ["--server-url", &mesh.url, "--header", &bearer, "--transport", "http"];
    let over_stdio = [env!("CARGO_BIN_EXE_bobbinet"), "mcp", "--data-dir", "data"];
    for era in ["legacy", "modern"] {
        let inspect = |door: &[&str], method: &[&str]| {
            let own = ["--cli", "--format", "json", "--protocol-era", era, "--quiet", "--method"];
            run("mcp-inspector", &[&own[..], method, door].concat())["result"].take()
        };
        for door in [&over_http[..], &over_stdio] {
            let listed = inspect(door, &["tools/list"]);
            let tools: Vec<&str> =
                listed["tools"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
            assert!(tools.contains(&"files__read_text_file") && tools.contains(&"mesh_send"), "{tools:?}");
            let call =
                ["tools/call", "--tool-name", "files__read_text_file", "--tool-args-json", r#"{"path":"a.txt"}"#];
            let read = inspect(door, &call);
            assert_eq!(
                (&read["content"][0]["text"], &read["isError"]),
                (&json!("written down"), &Value::Null),
                "{read}"
            );
        }
        // What is asked in a call is answered by a later command.
        let opened = run("mcpdo", &["--format", "json", "connect", &mesh.url, "--era", era, "--header", &bearer]);
        let name = opened["name"].as_str().unwrap();
        let stays = |command: &[&str]| run("mcpdo", &[&["--format", "json", "--connection", name], command].concat());
        let asks = stays(&["tools/call", "everything__trigger-elicitation-request"]);
        let id = asks["elicitationPending"]["elicitationId"].as_str().unwrap_or_else(|| panic!("{era}: {asks}"));
        let answered = stays(&["elicitation/respond", id, "name:=Ann"]);
        assert!(answered["content"].to_string().contains("Name: Ann"), "{era}: {answered}");
        stays(&["disconnect"]);
    }
    run("mcpdo", &["--format", "json", "daemon", "stop"]);
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
