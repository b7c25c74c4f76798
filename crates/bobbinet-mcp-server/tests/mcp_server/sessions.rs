use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bobbinet_auth::NODE_OWNER;
use bobbinet_core::AgentName;
use bobbinet_engine::Agent;
use bobbinet_mcp_server::routes;
use serde_json::{Value, json};

use crate::{
    desk::Late,
    host::{Events, Node, texts},
};

#[tokio::test]
async fn each_older_revision_has_its_handshake() {
    let node = Node::start().await;
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut host = node.host(version, json!({}));
        let answer = host.initialize().await;
        assert_eq!(answer["protocolVersion"], version);
        assert_eq!(answer["serverInfo"]["name"], "bobbinet");
        assert!(answer["capabilities"]["tools"].is_object());
        let result = host.call("desk__echo", &json!({"text": "hi"})).await;
        assert_eq!(texts(&result), ["hi"]);
        assert_eq!(host.ask("ping", &json!({})).await["result"], json!({}));
        assert_eq!(host.ask("server/discover", &json!({})).await["error"]["code"], -32601);
    }
    // One that nobody knows is offered the newest.
    let mut host = node.host("2025-11-25", json!({}));
    host.version = "1900-01-01";
    let params =
        json!({"protocolVersion": "1900-01-01", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let answer = host.ask("initialize", &params).await;
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
    node.stop().await;
}

#[tokio::test]
async fn a_session_is_bound_to_its_caller() {
    let node = Node::start().await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let one = node.open("2025-11-25", json!({})).await;
    let two = node.open("2025-11-25", json!({})).await;
    assert_ne!(one.session, two.session, "an id for each handshake");
    let mut lost = node.host("2025-11-25", json!({}));
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(lost.send(&list).await.status(), 400, "no session named");
    assert_eq!(lost.send(&ping).await.status(), 200, "that may be asked before a handshake");
    assert_eq!(lost.send(&json!([])).await.status(), 400);
    lost.session = Some("no-such-session".to_owned());
    assert_eq!(lost.send(&ping).await.status(), 404);
    let mut stranger = node.host_of("ann", "2025-11-25", json!({}));
    stranger.session.clone_from(&one.session);
    for method in ["ping", "tools/list"] {
        let response = stranger.send(&json!({"jsonrpc": "2.0", "id": 1, "method": method})).await;
        assert_eq!(response.status(), 404, "somebody else's: {method}");
    }
    let delete = |host: &crate::host::Host| {
        let request = host.http.delete(&host.url).bearer_auth(&host.token);
        request.header("mcp-session-id", host.session.as_deref().unwrap()).send()
    };
    assert_eq!(delete(&stranger).await.unwrap().status(), 404);
    assert_eq!(one.send(&ping).await.status(), 200, "it is there still");
    assert_eq!(delete(&one).await.unwrap().status(), 204);
    assert_eq!(one.send(&ping).await.status(), 404);
    assert_eq!(two.send(&ping).await.status(), 200);
    let get =
        two.http.get(&two.url).bearer_auth(&two.token).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(get.status(), 405);
}

#[tokio::test]
async fn who_is_not_known_or_comes_from_a_foreign_page_is_turned_away() {
    let node = Node::start().await;
    let host = node.open("2025-11-25", json!({})).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let mut nobody = node.host("2025-11-25", json!({}));
    nobody.session.clone_from(&host.session);
    for token in [String::new(), node.token_of(NODE_OWNER, &format!("http://{}/agents/desk", node.address))] {
        nobody.token = token;
        let response = nobody.send(&ping).await;
        assert_eq!(response.status(), 401, "a token for one agent opens no door to all");
        assert!(response.headers().contains_key("www-authenticate"));
        let error = response.json::<serde_json::Value>().await.unwrap()["error"].clone();
        assert_eq!(error["code"], 401, "the code is the status: {error}");
    }
    for (origin, expected) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1", 403),
        ("https://ui.example.com", 200),
        (&*format!("http://{}", node.address), 200),
    ] {
        let response = host.post(&ping).header("origin", origin).send().await.unwrap();
        assert_eq!(response.status(), expected, "{origin}");
    }
    let plain = host.http.post(&host.url).bearer_auth(&host.token).header("content-type", "text/plain").body("{}");
    assert_eq!(plain.send().await.unwrap().status(), 415);
    let response =
        host.http.post(&host.url).bearer_auth(&host.token).header("content-type", "application/json").body("{");
    let response = response.send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.json::<serde_json::Value>().await.unwrap()["error"]["code"], -32700);
}

#[tokio::test]
async fn one_revision_has_batches() {
    let node = Node::start().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": "2", "method": "tools/call", "params": {"name": "desk__echo", "arguments": {"text": "hi"}}},
        {"jsonrpc": "2.0", "id": 3},
    ]);
    let host = node.open("2025-03-26", json!({})).await;
    let response = host.send(&batch).await;
    let text = response.text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut ids: Vec<String> =
        data.map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap()["id"].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["\"2\"", "1", "3"]);
    let newer = node.open("2025-06-18", json!({})).await;
    assert_eq!(newer.send(&batch).await.status(), 400);
}

#[tokio::test]
async fn a_batch_is_answered_however_much_its_first_call_tells_before_the_last_can_be_begun() {
    let late = Late { takes: Duration::from_millis(800), has_started: AtomicBool::new(false) };
    let late = BTreeMap::from([(AgentName::parse("late").unwrap(), Arc::new(late) as Arc<dyn Agent>)]);
    let node = Node::among(routes, late).await;
    let host = node.open("2025-03-26", json!({})).await;
    let calls = (1..=6).map(|id| {
        let arguments = json!({"count": 40, "pause": 10});
        let params = json!({"name": "desk__steps", "arguments": arguments, "_meta": {"progressToken": id}});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    });
    // That waits for the agent that is starting.
    let batch: Vec<_> = calls.chain([json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"})]).collect();
    let mut events = Events::of(host.send(&json!(batch)).await);
    let (mut told, mut answers) = (0, BTreeMap::new());
    while let Some(message) = events.next().await {
        match message["id"].as_u64() {
            Some(id) => drop(answers.insert(id, message)),
            None => told += 1,
        }
    }
    assert!(told > 16, "no more than may wait for a reader: {told}");
    let listed = answers.remove(&7).unwrap();
    assert!(answers.len() == 6 && answers.values().all(|answer| texts(&answer["result"]) == ["three steps"]));
    let is_late = |tool: &Value| tool["name"] == "late__come";
    assert!(listed["result"]["tools"].as_array().unwrap().iter().any(is_late), "{listed}");
    node.stop().await;
}
