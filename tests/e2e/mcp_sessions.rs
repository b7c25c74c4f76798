//! Sessions of MCP hosts over a death of the node: by HTTP and by the bridge they go on, each in its own conversation.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{ChildStdin, ChildStdout, Stdio},
};

use serde_json::{Value, json};

use crate::{
    node::{Node, Started, bobbinet, free_port, log_of, repository},
    peers::http,
};

const VERSION: &str = "2025-11-25";

fn hello() -> Value {
    let params =
        json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
}

fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn call(id: u64) -> Value {
    request(id, "tools/call", &json!({"name": "it__do", "arguments": {}}))
}

/// In which conversation a call was made that went well.
fn conversation(answer: &Value) -> String {
    assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
    answer["result"]["_meta"]["bobbinet/task"]["context"].as_str().unwrap().to_owned()
}

/// The message that an answer ends with, whichever form it has.
fn last(text: &str) -> Value {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    serde_json::from_str(data.unwrap_or(text)).unwrap()
}

/// A host that speaks to the node's URL.
struct Host {
    url: String,
    token: String,
    session: Option<String>,
}

impl Host {
    fn to(folder: &Path, node: &Node) -> Self {
        let url = format!("{}/mcp", node.url);
        let minted =
            bobbinet(folder).args(["token", "mint", "--data-dir", "data", "--audience", &url]).output().unwrap();
        Self { url, token: String::from_utf8(minted.stdout).unwrap().trim().to_owned(), session: None }
    }

    fn with(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let request = request
            .bearer_auth(&self.token)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        match &self.session {
            Some(session) => request.header("mcp-session-id", session).header("mcp-protocol-version", VERSION),
            None => request,
        }
    }

    async fn send(&self, message: &Value) -> reqwest::Response {
        self.with(http().post(&self.url)).body(message.to_string()).send().await.unwrap()
    }

    async fn ask(&self, message: &Value) -> Value {
        last(&self.send(message).await.text().await.unwrap())
    }
}

/// A host that has started `bobbinet mcp` and speaks with it.
struct Bridged {
    _child: Started,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Bridged {
    fn start(folder: &Path) -> Self {
        let mut command = bobbinet(folder);
        command.args(["mcp", "--data-dir", "data"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Self { _child: Started(child), input, output }
    }

    fn ask(&mut self, message: &Value) -> Value {
        writeln!(self.input, "{message}").unwrap();
        loop {
            let answer: Value = serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap();
            if answer["id"] == message["id"] {
                return answer;
            }
        }
    }
}

#[tokio::test]
async fn hosts_go_on_in_their_sessions_after_the_node_was_killed() {
    let (folder, notes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = repository("crates/bobbinet-mcp/tests/fixtures/offers_server.py");
    let config = json!({
        // At the same address again, as hosts have it written down.
        "node": {"listen": format!("127.0.0.1:{}", free_port()), "data": "./data"},
        "agents": {"it": {"mcp": {"command": ["python3", server, "offers", notes.path()]}}},
    });
    std::fs::write(folder.path().join("bobbinet.yaml"), config.to_string()).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap();
    let mut host = Host::to(folder.path(), &node);
    let welcome = host.send(&hello()).await;
    host.session = Some(welcome.headers()["mcp-session-id"].to_str().unwrap().to_owned());
    let (mut bridged, folder) = (Bridged::start(folder.path()), folder);
    assert_eq!(bridged.ask(&hello())["result"]["protocolVersion"], VERSION);
    let before = [conversation(&host.ask(&call(1)).await), conversation(&bridged.ask(&call(1)))];
    let followed = host.ask(&request(2, "resources/subscribe", &json!({"uri": "demo://live/a"}))).await;
    assert_eq!(followed["result"], json!({}), "{followed}");

    node.kill();
    let node = Node::start(folder.path(), &[]).unwrap();
    let after = [conversation(&host.ask(&call(3)).await), conversation(&bridged.ask(&call(3)))];
    assert_eq!(after, before, "{}", log_of(folder.path()));
    // What it follows it is told of, as it may have missed a change.
    let mut told = host.with(http().get(&host.url)).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\n\n") || !text.contains("data: ") {
        text.push_str(&String::from_utf8_lossy(&told.chunk().await.unwrap().unwrap()));
    }
    let update = last(&text);
    assert_eq!(
        (&update["method"], &update["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!("demo://live/a"))
    );
    let ended = host.with(http().delete(&host.url)).send().await.unwrap();
    assert_eq!(ended.status(), 204);
    assert_eq!(host.send(&call(4)).await.status(), 404);
    assert!(node.stop().success());
}
