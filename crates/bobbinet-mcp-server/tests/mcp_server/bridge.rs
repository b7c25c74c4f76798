use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::Router;
use bobbinet_auth::NODE_OWNER;
use bobbinet_core::AgentName;
use bobbinet_engine::Agent;
use bobbinet_http::Server;
use bobbinet_mcp_server::{McpServerLimits, NodeDoor, bridge, names::Naming, routes_with};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, duplex, split},
    task::JoinSet,
    time::timeout,
};

use crate::{
    desk::Shelf,
    host::{Node, PATIENCE, STATELESS, texts},
};

/// A host that has started `bobbinet mcp`.
struct Pipe {
    lines: Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
    input: tokio::io::WriteHalf<DuplexStream>,
    running: JoinSet<std::io::Result<()>>,
}

impl Pipe {
    fn new(node: &Node) -> Self {
        let token = format!("Bearer {}", node.token_of(NODE_OWNER, &node.url)).parse().unwrap();
        let who = Arc::new(move || {
            Ok::<_, String>(vec![(axum::http::header::AUTHORIZATION, axum::http::HeaderValue::clone(&token))])
        });
        let door = NodeDoor { http: reqwest::Client::new(), url: node.url.clone(), who, unreached: Arc::new(|_| {}) };
        Self::to(door)
    }

    fn to(door: NodeDoor) -> Self {
        let (here, there) = duplex(1 << 20);
        let (input, output) = split(there);
        let mut running = JoinSet::new();
        running.spawn(bridge(input, output, door));
        let (reader, input) = split(here);
        Self { lines: BufReader::new(reader).lines(), input, running }
    }

    async fn say(&mut self, message: &Value) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time").unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn ask(&mut self, id: &Value, method: &str, params: &Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        let answer = self.next().await;
        assert_eq!(&answer["id"], id, "{answer}");
        answer
    }

    async fn open(&mut self, capabilities: &Value) {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}});
        let answer = self.ask(&json!(0), "initialize", &params).await;
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    }
}

fn one_session(server: Arc<Server>) -> Router {
    routes_with(server, McpServerLimits { sessions_per_caller_max: 1, ..McpServerLimits::default() }, Naming::default())
}

#[tokio::test]
async fn lines_are_requests_and_answers_lines() {
    let node = Node::start().await;
    let mut pipe = Pipe::new(&node);
    pipe.say(&json!("no message")).await;
    assert_eq!(pipe.next().await["error"]["code"], -32600);
    pipe.open(&json!({"elicitation": {}})).await;
    let listed = pipe.ask(&json!(1), "tools/list", &json!({})).await;
    assert!(listed["result"]["tools"].as_array().unwrap().len() > 5);
    let params = json!({"name": "desk__echo", "arguments": {"text": "one\ntwo"}});
    let answer = pipe.ask(&json!("two"), "tools/call", &params).await;
    assert_eq!(texts(&answer["result"]), ["one\ntwo"]);

    let asked =
        json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "desk__name", "arguments": {}}});
    pipe.say(&asked).await;
    let question = pipe.next().await;
    assert_eq!(question["method"], "elicitation/create");
    let answer =
        json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"name": "Ann"}}});
    pipe.say(&answer).await;
    assert_eq!(texts(&pipe.next().await["result"]), ["hello Ann"]);

    let hangs =
        json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "desk__hang", "arguments": {}}});
    pipe.say(&hangs).await;
    timeout(PATIENCE, node.desk.hangs.notified()).await.unwrap();
    pipe.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 4}})).await;
    stopped(&node).await;
    // The host closes its end, and the bridge goes.
    let Pipe { lines, input, mut running } = pipe;
    drop((lines, input));
    timeout(PATIENCE, running.join_next()).await.unwrap().unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn what_comes_before_a_handshake_is_answered_in_words_of_lines() {
    let node = Node::start().await;
    let mut pipe = Pipe::new(&node);
    assert_eq!(pipe.ask(&json!("p"), "ping", &json!({})).await["result"], json!({}));
    pipe.say(&json!([])).await;
    assert_eq!(pipe.next().await["error"]["code"], -32600);
    let early = pipe.ask(&json!(1), "tools/list", &json!({})).await;
    let text = early["error"]["message"].as_str().unwrap();
    assert!(text.contains("`initialize`") && !text.to_lowercase().contains("header"), "{early}");
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_was_never_there_is_told_of_at_once_and_not_waited_for() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", nobody.local_addr().unwrap());
    drop(nobody);
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let unreached = {
        let told = told.clone();
        Arc::new(move |text: &str| told.lock().unwrap().push(text.to_owned()))
    };
    let mut pipe =
        Pipe::to(NodeDoor { http: reqwest::Client::new(), url, who: Arc::new(|| Ok(Vec::new())), unreached });
    let begun = tokio::time::Instant::now();
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let answer = pipe.ask(&json!(0), "initialize", &params).await;
    assert_eq!(answer["error"]["code"], -32000, "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let told = told.lock().unwrap();
    assert!(told.len() == 1 && told[0].contains("bobbinet up"), "{told:?}");
}

async fn stopped(node: &Node) {
    let is_stopped = async {
        while !node.desk.is_stopped.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, is_stopped).await.expect("the call is told to stop");
}

#[tokio::test]
async fn a_host_without_handshake_takes_back_what_it_has_asked() {
    let node = Node::start().await;
    let mut pipe = Pipe::new(&node);
    let meta =
        json!({"io.modelcontextprotocol/protocolVersion": STATELESS, "io.modelcontextprotocol/clientCapabilities": {}});
    let discovered = pipe.ask(&json!(1), "server/discover", &json!({"_meta": meta})).await;
    assert_eq!(discovered["result"]["supportedVersions"], json!([STATELESS]));
    let params = json!({"name": "desk__echo", "arguments": {"text": "hi"}, "_meta": meta});
    assert_eq!(texts(&pipe.ask(&json!(2), "tools/call", &params).await["result"]), ["hi"]);
    let params = json!({"name": "desk__hang", "arguments": {}, "_meta": meta});
    pipe.say(&json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": params})).await;
    timeout(PATIENCE, node.desk.hangs.notified()).await.unwrap();
    // Once the answer is a stream, a node notices that it is not read any more.
    tokio::time::sleep(Duration::from_millis(300)).await;
    pipe.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}})).await;
    stopped(&node).await;
}

#[tokio::test]
async fn a_session_that_the_node_has_forgotten_is_begun_again() {
    let node = Node::with(one_session).await;
    let mut pipe = Pipe::new(&node);
    pipe.open(&json!({})).await;
    // Another host of the same caller takes its place.
    node.open("2025-11-25", json!({})).await;
    let params = json!({"name": "desk__echo", "arguments": {"text": "hi"}});
    assert_eq!(texts(&pipe.ask(&json!(1), "tools/call", &params).await["result"]), ["hi"]);
}

#[tokio::test]
async fn what_a_node_tells_by_itself_is_passed_on_until_the_host_goes() {
    let shelf = Arc::new(Shelf::default());
    let agents = BTreeMap::from([(AgentName::parse("shelf").unwrap(), shelf.clone() as Arc<dyn Agent>)]);
    let node = Node::among(bobbinet_mcp_server::routes, agents).await;
    let mut pipe = Pipe::new(&node);
    pipe.open(&json!({})).await;
    pipe.ask(&json!(1), "prompts/list", &json!({})).await;
    // Long enough for the stream to be there.
    tokio::time::sleep(Duration::from_millis(500)).await;
    shelf.has_more.store(true, Ordering::SeqCst);
    assert_eq!(pipe.next().await["method"], "notifications/prompts/list_changed");
    let begun = tokio::time::Instant::now();
    let Pipe { lines, input, mut running } = pipe;
    drop((lines, input));
    timeout(PATIENCE, running.join_next()).await.unwrap().unwrap().unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_millis(1_500), "nobody waits for what only listens");
    node.stop().await;
}
