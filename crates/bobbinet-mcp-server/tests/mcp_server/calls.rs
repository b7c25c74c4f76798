use std::sync::{Arc, atomic::Ordering};

use axum::Router;
use bobbinet_http::Server;
use bobbinet_mcp_server::{McpServerLimits, names::Naming, routes_with};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::host::{Node, PATIENCE, STATELESS, texts};

#[tokio::test]
async fn every_agent_is_listed_but_one_whose_server_is_gone() {
    let node = Node::start().await;
    for version in ["2025-06-18", STATELESS] {
        let host = node.open(version, json!({})).await;
        let listed = host.ask("tools/list", &json!({})).await["result"].clone();
        let tools = listed["tools"].as_array().unwrap();
        let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "mesh_agents",
                "mesh_send",
                "mesh_task",
                "desk__blocks_all_0e4aa5c5",
                "desk__echo",
                "desk__fail",
                "desk__hang",
                "desk__name",
                "desk__steps",
                "talker",
            ]
        );
        assert_eq!(listed["_meta"]["unavailable"], json!({"dead": "its server is gone"}));
        let tool = |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap();
        let echo = tool("desk__echo");
        assert_eq!((&echo["title"], &echo["inputSchema"]["required"]), (&json!("ECHO"), &json!(["text"])));
        assert_eq!(echo["annotations"]["readOnlyHint"], true);
        assert_eq!(tool("desk__fail").get("annotations"), None, "nobody has said anything");
        assert_eq!(tool("desk__blocks_all_0e4aa5c5")["outputSchema"], json!({"type": "object"}));
        assert_eq!(tool("talker")["inputSchema"]["required"], json!(["message"]));
    }
}

fn small_pages(server: Arc<Server>) -> Router {
    routes_with(server, McpServerLimits { page_tools_max: 4, ..McpServerLimits::default() }, Naming::default())
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let node = Node::with(small_pages).await;
    let host = node.open("2025-11-25", json!({})).await;
    let (mut names, mut params, mut pages) = (Vec::new(), json!({}), 0);
    loop {
        let page = host.ask("tools/list", &params).await["result"].clone();
        names.extend(page["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["nextCursor"].as_str() {
            Some(cursor) => params["cursor"] = cursor.into(),
            None => break,
        }
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!((pages, all, names.len()), (3, 10, 10));
    assert_eq!(host.ask("tools/list", &json!({"cursor": "x"})).await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_result_is_as_the_server_made_it() {
    let node = Node::start().await;
    let host = node.open("2025-11-25", json!({})).await;
    let result = host.call("desk__blocks_all_0e4aa5c5", &json!({})).await;
    assert_eq!(
        result["content"],
        json!([
            {"type": "text", "text": "{\"z\":1.0,\"a\":2}"},
            {"type": "image", "data": "AAEC", "mimeType": "image/png"},
            {"type": "resource_link", "uri": "file:///a", "name": "a", "mimeType": "x/y", "size": 3},
        ])
    );
    assert_eq!(result["structuredContent"], json!({"z": 1.0, "a": 2}));
    assert!(result.get("isError").is_none());
    assert_eq!(result["_meta"]["bobbinet/task"]["state"], "completed");
    let failed = host.call("desk__fail", &json!({})).await;
    assert_eq!((texts(&failed), &failed["isError"]), (vec!["no luck"], &json!(true)));
    let said = host.call("talker", &json!({"message": "hi"})).await;
    assert_eq!(texts(&said), ["you said: hi"]);
    assert_eq!(host.call("talker", &json!({})).await["isError"], true);
    for name in ["desk__nothing", "nobody__echo", "call-http", "x"] {
        let answer = host.ask("tools/call", &json!({"name": name})).await;
        assert_eq!(answer["error"]["code"], -32602, "{name}");
    }
    let answer = host.ask("tools/call", &json!({"name": "desk__echo", "arguments": [1]})).await;
    assert_eq!(answer["error"]["code"], -32602);
    // A caller whom policy lets do nothing sees no agent, and calls none.
    let mut stranger = node.host_of("ann", "2025-11-25", json!({}));
    stranger.initialize().await;
    let answer = stranger.ask("tools/call", &json!({"name": "desk__echo", "arguments": {"text": "x"}})).await;
    assert_eq!(answer["error"]["data"]["reason"], "PERMISSION_DENIED", "{answer}");
}

#[tokio::test]
async fn progress_is_told_in_growing_numbers() {
    let node = Node::start().await;
    for version in ["2025-06-18", STATELESS] {
        let host = node.open(version, json!({})).await;
        let params = json!({"name": "desk__steps", "arguments": {}, "_meta": {"progressToken": "t"}});
        let mut events = host.stream(&json!(1), &params).await;
        let (mut told, mut result) = (Vec::new(), Value::Null);
        while let Some(message) = events.next().await {
            match message["method"].as_str() {
                Some("notifications/progress") => told.push(message["params"].clone()),
                _ => result = message,
            }
        }
        assert_eq!(texts(&result["result"]), ["three steps"]);
        assert!(!told.is_empty());
        let values: Vec<f64> = told.iter().map(|params| params["progress"].as_f64().unwrap()).collect();
        assert!(values.is_sorted_by(|one, next| one < next), "{values:?}");
        let last = told.last().unwrap();
        assert_eq!((&last["progressToken"], &last["total"]), (&json!("t"), &json!(3.0)));
        assert!(last["message"].as_str().unwrap().starts_with("step "));
    }
}

#[tokio::test]
async fn a_call_is_taken_back_by_its_id_and_its_task_stops() {
    let node = Node::start().await;
    let host = node.open("2025-11-25", json!({})).await;
    for meta in [json!({}), json!({"progressToken": 1})] {
        node.desk.is_stopped.store(false, Ordering::SeqCst);
        let params = json!({"name": "desk__hang", "arguments": {}, "_meta": meta});
        let mut events = host.stream(&json!("it"), &params).await;
        timeout(PATIENCE, node.desk.hangs.notified()).await.unwrap();
        let other = json!({"name": "desk__echo", "arguments": {"text": "mine"}});
        let other = host.send(&host.request(&json!("it"), "tools/call", &other)).await;
        let text = crate::host::last(other).await["result"]["content"][0]["text"].clone();
        assert_eq!(text, "mine", "another agent on this session has its own answer to the same id");
        let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "it"}});
        assert_eq!(host.send(&note).await.status(), 202);
        assert_eq!(events.next().await, None, "what was taken back is not answered");
        stopped(&node).await;
    }
}

async fn stopped(node: &Node) {
    let is_stopped = async {
        while !node.desk.is_stopped.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, is_stopped).await.expect("the call is told to stop");
}

#[tokio::test]
async fn a_connection_that_breaks_takes_back_what_has_no_session_and_nothing_else() {
    let node = Node::start().await;
    let params = json!({"name": "desk__hang", "arguments": {}});
    let host = node.host(STATELESS, json!({}));
    let events = host.stream(&json!(1), &params).await;
    timeout(PATIENCE, node.desk.hangs.notified()).await.unwrap();
    drop((events, host));
    stopped(&node).await;

    node.desk.is_stopped.store(false, Ordering::SeqCst);
    let host = node.open("2025-11-25", json!({})).await;
    let events = host.stream(&json!(1), &params).await;
    timeout(PATIENCE, node.desk.hangs.notified()).await.unwrap();
    drop(events);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!node.desk.is_stopped.load(Ordering::SeqCst), "the task goes on");
    node.desk.go.notify_one();
}

#[tokio::test]
async fn a_node_that_stops_ends_what_is_open() {
    let node = Node::start().await;
    let host = node.open("2025-11-25", json!({})).await;
    let mut events = host.stream(&json!(1), &json!({"name": "desk__hang", "arguments": {}})).await;
    let stopping = async {
        timeout(PATIENCE, node.desk.hangs.notified()).await.unwrap();
        node.stop().await;
    };
    let reading = async {
        let mut last = None;
        while let Some(message) = events.next().await {
            last = Some(message);
        }
        last
    };
    let ((), last) = tokio::join!(stopping, reading);
    let result = last.expect("how to come back")["result"].clone();
    assert!(texts(&result)[0].contains("mesh_task"), "{result}");
}
