//! The matrix of MCP's revisions: a server that speaks exactly one, a host that speaks exactly one, and the node between them. One script
//! gives equal answers in each of the sixteen cells.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::node::{Node, PATIENCE, bobbinet, log_of, repository};

const REVISIONS: [&str; 4] = ["2024-11-05", "2025-06-18", "2025-11-25", STATELESS];
/// The one without handshakes and sessions.
const STATELESS: &str = "2026-07-28";

/// A host by hand, of one revision.
struct Host {
    http: reqwest::Client,
    url: String,
    token: String,
    revision: &'static str,
    session: Option<String>,
    ids: AtomicU64,
}

impl Host {
    async fn connect(url: &str, token: &str, revision: &'static str) -> Self {
        let (url, token) = (url.to_owned(), token.to_owned());
        let mut host =
            Self { http: reqwest::Client::new(), url, token, revision, session: None, ids: AtomicU64::new(1) };
        if revision == STATELESS {
            let found = host.ask("server/discover", json!({})).await;
            assert!(found["result"]["supportedVersions"].as_array().unwrap().contains(&json!(revision)), "{found}");
            return host;
        }
        let client = json!({"name": "raw", "version": "1"});
        let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client});
        let response = host.post(&host.request("initialize", params)).send().await.unwrap();
        host.session = response.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let answer = messages(&response.text().await.unwrap()).pop().unwrap();
        assert_eq!(answer["result"]["protocolVersion"], revision, "{answer}");
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(host.post(&done).send().await.unwrap().status(), 202);
        host
    }

    fn request(&self, method: &str, mut params: Value) -> Value {
        if self.revision == STATELESS {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = self.revision.into();
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    }

    fn post(&self, message: &Value) -> reqwest::RequestBuilder {
        let mut request = self.http.post(&self.url).bearer_auth(&self.token);
        request = request.header("accept", "application/json, text/event-stream").json(message);
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        // The header came with 2025-06-18.
        if self.revision >= "2025-06-18" && message["method"] != "initialize" {
            request = request.header("mcp-protocol-version", self.revision);
        }
        if self.revision == STATELESS {
            request = request.header("mcp-method", message["method"].as_str().unwrap());
            if let Some(name) = message["params"]["name"].as_str() {
                request = request.header("mcp-name", name);
            }
        }
        request
    }

    /// All that is said to a request, its answer at last.
    async fn heard(&self, method: &str, params: Value) -> Vec<Value> {
        let sent = tokio::time::timeout(PATIENCE, self.post(&self.request(method, params)).send()).await;
        messages(&sent.unwrap().unwrap().text().await.unwrap())
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        self.heard(method, params).await.pop().unwrap()
    }

    /// What a call comes to, without what each call has of its own and without the marks of a revision.
    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await;
        comparable(answer)
    }

    /// How far a call says that it is, and what it comes to.
    async fn counted(&self, tool: &str) -> Value {
        let params = json!({"name": tool, "arguments": {}, "_meta": {"progressToken": "p"}});
        let mut heard = self.heard("tools/call", params).await;
        let answer = comparable(heard.pop().unwrap());
        let steps: Vec<f64> = heard.iter().filter_map(|message| message["params"]["progress"].as_f64()).collect();
        assert!(heard.iter().all(|message| message["params"]["progressToken"] == "p"), "{heard:?}");
        json!({"rises": steps.is_sorted(), "last": steps.last(), "answer": answer})
    }

    /// Begins a call that would never end, and gives it up as its revision has it. What became of it is looked at in the end, of all cells.
    async fn given_up(&self, agent: &str) -> Value {
        let request = self.request("tools/call", json!({"name": format!("{agent}__long"), "arguments": {}}));
        let mut calling = std::pin::pin!(self.post(&request).send());
        // The node has it once it is listed; its answer never comes.
        let listing = async {
            let found = self.ask("tools/call", json!({"name": "mesh_agents", "arguments": {}})).await;
            assert!(found["result"].is_object(), "{found}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        tokio::select! {
            answer = calling.as_mut() => drop(answer),
            () = listing => {}
        }
        if self.revision != STATELESS {
            let params = json!({"requestId": request["id"], "reason": "enough"});
            let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
            assert_eq!(self.post(&note).send().await.unwrap().status(), 202);
        }
        // In the newest one closing the answer says it.
        json!("given up")
    }
}

/// The messages of an answer, whichever form it has.
fn messages(body: &str) -> Vec<Value> {
    if body.starts_with('{') {
        return vec![serde_json::from_str(body).unwrap()];
    }
    let data = body.lines().filter_map(|line| line.strip_prefix("data:"));
    let read = data.filter(|data| !data.trim().is_empty()).map(|data| serde_json::from_str(data).unwrap());
    read.collect()
}

fn comparable(mut answer: Value) -> Value {
    let fields = answer.as_object_mut().unwrap();
    fields.remove("id");
    if let Some(result) = fields.get_mut("result").and_then(Value::as_object_mut) {
        result.remove("_meta");
        result.remove("resultType");
        // A server of 2024-11-05 has no words for it, and a host of it does not look.
        result.remove("structuredContent");
    }
    answer
}

/// The script: what each agent is asked, and its answers.
async fn script(host: &Host, agent: &str) -> BTreeMap<&'static str, Value> {
    let tool = |name: &str| format!("{agent}__{name}");
    let mut said = BTreeMap::new();
    let mut calls = vec![
        ("echo", tool("echo"), json!({"text": "hello"})),
        ("echo-wide", tool("echo"), json!({"text": "Grüße, 世界 🧵 \u{2028} \"quoted\" \\ \n new line"})),
        ("echo-long", tool("echo"), json!({"text": "0123456789".repeat(20_000)})),
        ("echo-nothing", tool("echo"), json!({"text": ""})),
        ("sum", tool("sum"), json!({"a": 2, "b": 40})),
        ("sum-big", tool("sum"), json!({"a": 9_007_199_254_740_991_i64, "b": 0})),
        ("structured", tool("structured"), json!({})),
        ("image", tool("image"), json!({})),
        ("embedded", tool("embedded"), json!({})),
        ("several", tool("several"), json!({})),
        ("empty", tool("empty"), json!({})),
        ("fails", tool("fails"), json!({})),
        ("refuses", tool("refuses"), json!({})),
        ("misses-an-argument", tool("echo"), json!({})),
        ("has-a-wrong-argument", tool("sum"), json!({"a": "x", "b": 1})),
        ("no-such-tool", "none__such".to_owned(), json!({})),
    ];
    let as_message = |data: Value| json!({"agent": agent, "skill": "echo", "data": data});
    calls.push(("by-message", "mesh_send".to_owned(), as_message(json!({"text": "by message"}))));
    calls.push(("by-bad-message", "mesh_send".to_owned(), json!({"agent": "nobody", "message": "x"})));
    calls.push(("no-such-task", "mesh_task".to_owned(), json!({"task": "none"})));
    for (name, tool, arguments) in calls {
        said.insert(name, host.call(&tool, arguments).await);
    }
    said.insert("counts", host.counted(&tool("counts")).await);
    let listed = host.ask("tools/list", json!({})).await;
    let own = listed["result"]["tools"].as_array().unwrap().iter();
    let own = own
        .filter_map(|tool| Some((tool["name"].as_str()?.strip_prefix(&format!("{agent}__"))?, &tool["inputSchema"])));
    said.insert("list", own.map(|(name, schema)| json!([name, schema])).collect());
    said.insert("given-up", host.given_up(agent).await);
    // The names of the agents differ, and nothing else.
    let plain = |value: &Value| serde_json::from_str(&value.to_string().replace(agent, "AGENT")).unwrap();
    said.iter().map(|(name, value)| (*name, plain(value))).collect()
}

#[tokio::test]
async fn every_revision_of_a_server_answers_every_revision_of_a_host_alike() {
    let folder = tempfile::tempdir().unwrap();
    let server = repository("tests/fixtures/one_revision.py").display().to_string();
    let agent = |revision: &str| format!("of-{revision}");
    let entry = |revision: &&str| {
        let mcp = json!({"command": "python3", "args": [&server, revision]});
        // What the hosts give up goes on for ever over there: each may wait for the next.
        (agent(revision), json!({"mcp": mcp, "trust_hints": true, "effects": {"long": "read-only"}}))
    };
    let agents: serde_json::Map<String, Value> = REVISIONS.iter().map(entry).collect();
    let config = json!({"node": {"listen": "127.0.0.1:0", "data": "./data"}, "agents": agents});
    std::fs::write(folder.path().join("bobbinet.yaml"), config.to_string()).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap();
    let url = format!("{}/mcp", node.url);
    let minted =
        bobbinet(folder.path()).args(["token", "mint", "--data-dir", "data", "--audience", &url]).output().unwrap();
    let token = String::from_utf8(minted.stdout).unwrap().trim().to_owned();
    let mut cells = Vec::new();
    for host_of in REVISIONS {
        let host = Host::connect(&url, &token, host_of).await;
        for server_of in REVISIONS {
            cells.push((format!("host {host_of}, server {server_of}"), script(&host, &agent(server_of)).await));
        }
    }
    let log = log_of(folder.path());
    for revision in REVISIONS {
        assert!(log.contains(&format!("\"revision\":\"{revision}\"")), "{revision} was spoken: {log}");
    }
    let (_, first) = cells[0].clone();
    assert!(first.len() >= 20, "{}", first.len());
    assert_eq!(first["sum"]["result"]["content"], json!([{"type": "text", "text": "42"}]));
    assert_eq!(first["fails"]["result"]["isError"], true, "{}", first["fails"]);
    assert_eq!(first["counts"]["last"], 3.0, "{}", first["counts"]);
    for (cell, said) in &cells {
        for (name, answer) in said {
            let differs = || format!("{name} ({cell}):\n{answer}\nand not\n{}", first[name]);
            assert!(*answer == first[name], "{}", differs());
        }
    }
    // What was given up is canceled in each cell, soon.
    for revision in REVISIONS {
        let begun = Instant::now();
        loop {
            let list =
                ["task", "list", "--data-dir", "data", "-a", &agent(revision), "--state", "canceled", "-o", "json"];
            let listed = bobbinet(folder.path()).args(list).output().unwrap();
            let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
            let canceled = listed["tasks"].as_array().unwrap().len();
            if canceled == REVISIONS.len() {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{revision}: {canceled} are canceled");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(node.stop().success());
}
