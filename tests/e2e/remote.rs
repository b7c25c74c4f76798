//! MCP servers that run elsewhere, reached by their URL: published ones, over both of MCP's HTTP transports and in both eras.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::node::{Agent, Node, Started, data_message, free_port, listens, log_of, repository, tools};

fn started(mut command: Command, port: u16) -> Started {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = Started(child);
    listens(port);
    server
}

/// The reference server of the MCP project, on its TypeScript SDK.
fn everything(transport: &str, port: u16) -> Started {
    let mut command = Command::new(tools().join("npm/node_modules/.bin/mcp-server-everything"));
    command.arg(transport).env("PORT", port.to_string());
    started(command, port)
}

/// A few tools on the official Python SDK, in all revisions that it speaks.
fn python(port: u16) -> Started {
    let mut command = Command::new(tools().join("servers/bin/python"));
    command.arg(repository("tests/python/remote.py")).arg(port.to_string());
    started(command, port)
}

/// The port of a way to a server, and all that goes to it by that.
fn overheard(port: u16) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (own, heard) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<u8>>>::default());
    let all = heard.clone();
    std::thread::spawn(move || {
        for mut near in listener.incoming().flatten() {
            let mut far = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut back, mut to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            // Either side may end it.
            std::thread::spawn(move || std::io::copy(&mut back, &mut to).ok());
            let all = all.clone();
            std::thread::spawn(move || {
                let mut piece = [0; 4 << 10];
                while let Some(length) = near.read(&mut piece).ok().filter(|length| *length > 0) {
                    all.lock().unwrap().extend_from_slice(&piece[..length]);
                    far.write_all(&piece[..length]).ok();
                }
                far.shutdown(std::net::Shutdown::Both).ok();
            });
        }
    });
    (own, heard)
}

fn node(folder: &Path, agents: &str) -> Node {
    let config = format!("node: {{ listen: \"127.0.0.1:0\", data: ./data }}\nagents:\n{agents}");
    std::fs::write(folder.join("bobbinet.yaml"), config).unwrap();
    Node::start(folder, &[]).unwrap()
}

async fn called(agent: &Agent, skill: &str, arguments: Value) -> Value {
    let message = data_message(&format!("m-{skill}-{arguments}"), &json!({"skill": skill, "arguments": arguments}));
    said(agent, message).await
}

async fn said(agent: &Agent, message: Value) -> Value {
    let sent = agent.call(&reqwest::Client::new(), "SendMessage", &json!({ "message": message })).await;
    sent.unwrap_or_else(|error| panic!("{error}"))["task"].clone()
}

/// The events of a call that is streamed.
async fn streamed(agent: &Agent, skill: &str, arguments: Value) -> Vec<Value> {
    let message = data_message(&format!("s-{skill}-{arguments}"), &json!({"skill": skill, "arguments": arguments}));
    let request = agent.request(&reqwest::Client::new(), "SendStreamingMessage", &json!({ "message": message }));
    let told = request.send().await.unwrap().text().await.unwrap();
    let events = told.lines().filter_map(|line| line.strip_prefix("data:"));
    events.map(|event| serde_json::from_str::<Value>(event).unwrap()["result"].take()).collect()
}

fn state(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_published_server_is_used_over_both_http_transports() {
    let folder = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port()];
    let servers = [everything("streamableHttp", ports[0]), everything("sse", ports[1])];
    let node = node(
        folder.path(),
        &format!(
            "  streamable: {{ use: everything, mcp: {{ url: \"http://127.0.0.1:{}/mcp\" }} }}\n  \
               older: {{ use: everything, mcp: {{ url: \"http://127.0.0.1:{}/sse\" }} }}\n",
            ports[0], ports[1]
        ),
    );
    for name in ["streamable", "older"] {
        let agent = node.agent(name);
        let sum = called(&agent, "get-sum", json!({"a": 2, "b": 40})).await;
        assert!(state(&sum) == "TASK_STATE_COMPLETED" && sum["artifacts"].to_string().contains("42"), "{name}: {sum}");
        // It says how far it is, and that goes with its task.
        let long = streamed(&agent, "trigger-long-running-operation", json!({"duration": 1, "steps": 4})).await;
        let progress = |event: &Value| event["statusUpdate"]["metadata"]["progress"]["value"].as_f64();
        // The newest counts, so a step may go untold, but not the last one.
        assert_eq!(long.iter().filter_map(progress).next_back(), Some(4.0), "{name}: {long:?}");
        assert_eq!(state(&long.last().unwrap()["statusUpdate"]), "TASK_STATE_COMPLETED", "{name}: {long:?}");
        // What is no tool is called like one.
        let read = called(&agent, "resource:read", json!({"uri": "demo://resource/dynamic/text/7"})).await;
        let part = &read["artifacts"][0]["parts"][0];
        assert!(part["text"].as_str().is_some_and(|text| text.contains("Resource 7")), "{name}: {read}");
        assert_eq!(part["metadata"]["uri"], "demo://resource/dynamic/text/7");
        let prompt = called(&agent, "prompt:args-prompt", json!({"city": "Berlin"})).await;
        let part = &prompt["artifacts"][0]["parts"][0];
        assert!(part["text"].as_str().is_some_and(|text| text.contains("Berlin")), "{name}: {prompt}");
        assert_eq!(part["metadata"]["role"], "user");
        // It asks its user, who is asked by the task.
        let asked = called(&agent, "trigger-elicitation-request", json!({})).await;
        assert_eq!(state(&asked), "TASK_STATE_INPUT_REQUIRED", "{name}: {asked}");
        let answer = json!({"name": "Ada"});
        let mut message = data_message(&format!("answer-{name}"), &answer);
        message["taskId"] = asked["id"].clone();
        let done = said(&agent, message).await;
        assert!(
            state(&done) == "TASK_STATE_COMPLETED" && done["artifacts"].to_string().contains("Ada"),
            "{name}: {done}"
        );
    }
    // It is started again, and knows nothing of the session: another is begun, and the next call goes through.
    let [streamable, older] = servers;
    drop(streamable);
    let again = everything("streamableHttp", ports[0]);
    let sum = called(&node.agent("streamable"), "get-sum", json!({"a": 1, "b": 6})).await;
    assert!(sum["artifacts"].to_string().contains('7'), "{sum} {}", log_of(folder.path()));
    drop((again, older));
    assert!(node.stop().success());
}

#[tokio::test]
async fn a_server_of_both_eras_is_used_in_each() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _server = python(port);
    let (port, heard) = overheard(port);
    let url = format!("http://127.0.0.1:{port}/mcp");
    let node = node(
        folder.path(),
        &format!(
            "  auto: {{ effects: {{ add: read-only }}, mcp: {{ url: \"{url}\" }} }}\n  \
               older: {{ era: legacy, mcp: {{ url: \"{url}\" }} }}\n"
        ),
    );
    for name in ["auto", "older"] {
        let agent = node.agent(name);
        let sum = called(&agent, "add", json!({"a": 2, "b": 40})).await;
        assert!(state(&sum) == "TASK_STATE_COMPLETED" && sum["artifacts"].to_string().contains("42"), "{name}: {sum}");
        let counted = streamed(&agent, "count", json!({"to": 5})).await;
        let said: String = counted.iter().map(Value::to_string).collect();
        assert!(said.contains("at 5") && said.contains("counted to 5"), "{name}: {counted:?}");
        assert_eq!(state(&called(&agent, "fail", json!({})).await), "TASK_STATE_FAILED", "{name}");
        // What callers show this node is for this node: nothing of it is passed through (2025-11-25, token passthrough).
        let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        let signature = agent.token.rsplit('.').next().unwrap_or_default();
        assert!(heard.contains("tools/call") && signature.len() > 40, "{name}: {heard}");
        assert!(!heard.contains(signature) && !heard.to_lowercase().contains("authorization:"), "{name}: {heard}");
    }
    let log = log_of(folder.path());
    assert!(log.contains("2026-07-28") && log.contains("2025-11-25"), "{log}");
    assert!(node.stop().success());
}
