//! Whatever is wrong with a request gets the error that the specification has for it, and leaves the node ready.

use std::time::Duration;

use bobbinet_auth::NODE_OWNER;
use bobbinet_core::Timestamp;
use bobbinet_engine::{Env, SystemEnv};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::{
    node::{Form, Node, message, reply, whole},
    sockets,
};

/// A whole request with this body.
fn body(node: &Node, body: impl Into<reqwest::Body>) -> RequestBuilder {
    node.post("/").bearer_auth(node.token()).header("a2a-version", "1.0").body(body)
}

async fn check(node: &Node, what: &str, request: RequestBuilder, status: StatusCode, code: i64) -> Value {
    let (found, answer) = whole(request).await;
    assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)), "{what}: {answer}");
    assert!(answer["error"]["message"].is_string(), "{what}: {answer}");
    assert!(answer["error"]["data"][0]["reason"].is_string(), "{what}: {answer}");
    node.assert_ready().await;
    answer
}

#[tokio::test]
async fn a_body_that_is_no_request() {
    let node = Node::start().await;
    let check = async |what: &str, text: String, code: i64| {
        check(&node, what, body(&node, text), StatusCode::OK, code).await;
    };
    let call = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
    };
    check("empty", String::new(), -32700).await;
    check("malformed JSON", r#"{"jsonrpc":"2.0","id":1,"#.to_owned(), -32700).await;
    check("too deep", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), -32700).await;
    check("deep in params", call("GetTask", json!({ "id": 1 })).replace('1', &"[".repeat(80)), -32700).await;
    check("a batch", format!("[{}]", call("ListTasks", json!({}))), -32600).await;
    check("a text", r#""hello""#.to_owned(), -32600).await;
    check("no version of JSON-RPC", json!({ "id": 1, "method": "ListTasks" }).to_string(), -32600).await;
    check("no method", json!({ "jsonrpc": "2.0", "id": 1 }).to_string(), -32600).await;
    check("no id", json!({ "jsonrpc": "2.0", "method": "ListTasks" }).to_string(), -32600).await;
    check("a method that does not exist", call("DoMagic", json!({})), -32601).await;
    check("a method of 0.3", call("message/send", message("echo")), -32601).await;
    check("parameters of the wrong type", call("GetTask", json!([])), -32602).await;
    check("a field of the wrong type", call("GetTask", json!({ "id": { "a": 1 } })), -32602).await;
    check("no parameters", call("SendMessage", json!({})), -32602).await;
    check(
        "a message without parts",
        call("SendMessage", json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [] } })),
        -32602,
    )
    .await;
    check("a page that is too large", call("ListTasks", json!({ "pageSize": 150 })), -32602).await;
    check("a page token of nobody", call("ListTasks", json!({ "pageToken": "garbage" })), -32602).await;
    check("a negative history", call("GetTask", json!({ "id": "x", "historyLength": -1 })), -32602).await;
}

#[tokio::test]
async fn the_id_is_echoed_also_with_an_error() {
    let node = Node::start().await;
    for id in [json!("a\"b"), json!(12), json!(null)] {
        let text = json!({ "jsonrpc": "2.0", "id": id, "method": "DoMagic" }).to_string();
        let answer = check(&node, "id", body(&node, text), StatusCode::OK, -32601).await;
        assert_eq!(answer["id"], id);
    }
}

#[tokio::test]
async fn a_task_that_is_not_there_or_takes_nothing() {
    let node = Node::start().await;
    let done = node.send("echo").await;
    let busy = node.begin("steps 1").await;
    let nowhere = json!({ "id": "0198c0de-0000-7000-8000-000000000000" });
    let check = async |what: &str, method: &str, params: Value, code: i64| {
        check(&node, what, node.request(method, &params), StatusCode::OK, code).await;
    };
    for method in ["GetTask", "CancelTask", "SubscribeToTask"] {
        check("no such task", method, nowhere.clone(), -32001).await;
        check("no id of ours", method, json!({ "id": "task-1" }), -32001).await;
    }
    for method in ["SendMessage", "SendStreamingMessage"] {
        check("to no task", method, reply("hello", &nowhere), -32001).await;
        check("to a task that has ended", method, reply("hello", &done), -32004).await;
        check("to a task at work", method, reply("hello", &busy), -32004).await;
    }
    check("to follow one that has ended", "SubscribeToTask", json!({ "id": done["id"] }), -32004).await;
    check("to cancel one that has ended", "CancelTask", json!({ "id": done["id"] }), -32002).await;
}

#[tokio::test]
async fn a_caller_who_does_not_say_who_he_is() {
    let node = Node::start().await;
    let now = SystemEnv.now();
    let minutes = |count: u64| Timestamp::from_millis(now.as_millis() - count * 60_000);
    let good = node.token();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    let tokens = [
        ("none", None),
        ("garbage", Some("garbage".to_owned())),
        ("too long", Some("a".repeat(20_000))),
        ("forged", Some(forged)),
        ("expired", Some(node.token_of(NODE_OWNER, &node.url, minutes(10)))),
        ("for another agent", Some(node.token_of(NODE_OWNER, "http://127.0.0.1:1/agents/x", now))),
        ("for another agent of this node", Some(node.token_of(NODE_OWNER, &format!("{}/agents/other", node.url), now))),
    ];
    let mut bodies = Vec::new();
    for (what, token) in tokens {
        let text = json!({ "jsonrpc": "2.0", "id": 1, "method": "ListTasks" }).to_string();
        let mut request = node.post("/").header("a2a-version", "1.0").body(text);
        if let Some(token) = &token {
            request = request.bearer_auth(token);
        }
        let response = request.try_clone().unwrap().send().await.unwrap();
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer "), "{what}: {challenge}");
        assert_eq!(challenge.contains("invalid_token"), token.is_some(), "{what}: {challenge}");
        bodies.push(check(&node, what, request, StatusCode::UNAUTHORIZED, -31401).await);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the reason is nobody's business: {bodies:?}");
}

#[tokio::test]
async fn a_stranger_finds_nothing() {
    let node = Node::start().await;
    let task = node.begin("steps 1").await;
    let token = node.token_of("mallory", &node.url, SystemEnv.now());
    let check = async |method: &str, params: Value, status: StatusCode, code: i64| {
        let request = node.request(method, &params).header("authorization", "");
        let mut request = request.build().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let (client, request) = (node.http.clone(), request);
        check(&node, method, RequestBuilder::from_parts(client, request), status, code).await
    };
    let nowhere = json!({ "id": "0198c0de-0000-7000-8000-000000000000" });
    for method in ["GetTask", "CancelTask", "SubscribeToTask"] {
        let theirs = check(method, json!({ "id": task["id"] }), StatusCode::OK, -32001).await;
        let nobodys = check(method, nowhere.clone(), StatusCode::OK, -32001).await;
        assert_eq!(theirs, nobodys);
    }
    check("SendMessage", reply("hello", &task), StatusCode::OK, -32001).await;
    check("SendMessage", message("echo"), StatusCode::FORBIDDEN, -31403).await;
    check("ListTasks", json!({}), StatusCode::FORBIDDEN, -31403).await;
    let now = node.result("GetTask", json!({ "id": task["id"] })).await;
    assert_eq!(now["status"]["state"], "TASK_STATE_WORKING");
}

#[tokio::test]
async fn headers_that_are_wrong() {
    let node = Node::start().await;
    let text = json!({ "jsonrpc": "2.0", "id": 1, "method": "ListTasks" }).to_string();
    let bare = || node.post("/").bearer_auth(node.token()).body(text.clone());
    check(&node, "no version", bare(), StatusCode::OK, -32009).await;
    check(&node, "version 0.3", bare().header("a2a-version", "0.3"), StatusCode::OK, -32009).await;
    check(&node, "version 2", bare().header("a2a-version", "2.0"), StatusCode::OK, -32009).await;
    let of_type = |media_type: Option<&str>| {
        let request = node.http.post(&node.url).bearer_auth(node.token()).header("a2a-version", "1.0");
        let request = request.body(text.clone());
        media_type
            .map_or_else(|| request.try_clone().unwrap(), |it| request.try_clone().unwrap().header("content-type", it))
    };
    check(&node, "text", of_type(Some("text/plain")), StatusCode::OK, -32005).await;
    check(&node, "no type", of_type(None), StatusCode::OK, -32005).await;
    for coding in ["gzip", "br", "identity, gzip"] {
        let request = bare().header("a2a-version", "1.0").header("content-encoding", coding);
        let response = request.try_clone().unwrap().send().await.unwrap();
        assert_eq!(response.headers()["accept-encoding"], "identity");
        let answer = check(&node, coding, request, StatusCode::UNSUPPORTED_MEDIA_TYPE, -32005).await;
        assert!(answer["error"]["message"].as_str().unwrap().contains(coding), "{answer}");
    }
    let (status, _) = whole(bare().header("a2a-version", "1.0").header("content-encoding", "Identity")).await;
    assert_eq!(status, StatusCode::OK);

    let response = node.http.get(format!("{}/", node.url)).send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
    let many = (0..70).fold(bare(), |request, number| request.header(format!("x-{number}"), "x"));
    let status = async |request: RequestBuilder| request.send().await.unwrap().status();
    assert_eq!(status(many).await, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(
        status(bare().header("x-large", "x".repeat(40 << 10))).await,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    assert_eq!(status(node.post(&format!("/?{}", "x".repeat(5_000)))).await, StatusCode::URI_TOO_LONG);
    assert_eq!(status(node.post("/nowhere")).await, StatusCode::NOT_FOUND);
    node.assert_ready().await;
}

#[tokio::test]
async fn a_body_that_is_too_large() {
    let node = Node::limited(|limits| limits.body_max = 10_000).await;
    let call = |length: usize| {
        let head = r#"{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":{"x":""#;
        format!("{head}{}\"}}}}", "x".repeat(length - head.len() - 3))
    };
    let (status, answer) = whole(body(&node, call(10_000))).await;
    assert_eq!((status, &answer["error"]), (StatusCode::OK, &Value::Null));
    let large = StatusCode::PAYLOAD_TOO_LARGE;
    check(&node, "one byte too many", body(&node, call(10_001)), large, -32600).await;
    check(&node, "much too large", body(&node, call(70_000)), large, -32600).await;
    let pieces = futures::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>("x".repeat(1_000))));
    check(&node, "in pieces", body(&node, reqwest::Body::wrap_stream(pieces)), large, -32600).await;
}

#[tokio::test]
async fn a_sender_who_takes_too_long() {
    let node = Node::limited(|limits| {
        limits.header_read_ms = 150;
        limits.body_read_ms = 150;
        limits.idle_ms = 150;
    })
    .await;
    assert_eq!(sockets::closed_after(node.address, b"").await, "");
    assert_eq!(sockets::closed_after(node.address, b"POST / HTTP/1.1\r\nHost: x\r\nX-").await, "");
    node.assert_ready().await;

    let token = node.token();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\nContent-Length: 100\r\n\r\n{{"
    );
    let answer = sockets::closed_after(node.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    node.assert_ready().await;

    let idle = sockets::closed_after(node.address, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200 "), "{idle}");
    let second = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost:";
    let dripped = sockets::closed_after(node.address, second).await;
    assert!(dripped.starts_with("HTTP/1.1 200 "), "{dripped}");
    node.assert_ready().await;
}

#[tokio::test]
async fn a_wait_is_not_idle() {
    let mut form = Form::default();
    form.limits.header_read_ms = 50;
    form.limits.body_read_ms = 50;
    form.limits.idle_ms = 50;
    let node = Node::with(form).await;
    let waiting = node.send("steps 1");
    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        node.worker.gate.add_permits(1);
    };
    let (task, ()) = tokio::join!(waiting, release);
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
}
