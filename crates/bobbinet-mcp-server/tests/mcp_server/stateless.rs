use serde_json::{Value, json};

use crate::host::{Node, STATELESS, texts};

/// What is wrong, the message, its headers, and the status and the code that it is answered with.
type Case<'a> = (&'a str, &'a Value, Vec<(&'a str, &'a str)>, u16, i64);

#[tokio::test]
async fn each_request_stands_alone() {
    let node = Node::start().await;
    let host = node.host(STATELESS, json!({}));
    let discovered = host.ask("server/discover", &json!({})).await["result"].clone();
    assert_eq!(discovered["supportedVersions"], json!([STATELESS]));
    assert_eq!((&discovered["resultType"], &discovered["cacheScope"]), (&json!("complete"), &json!("private")));
    assert_eq!(discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "bobbinet");
    let listed = host.ask("tools/list", &json!({})).await["result"].clone();
    assert!(listed["ttlMs"].is_u64() && listed["resultType"] == "complete");
    let result = host.call("desk__echo", &json!({"text": "hi"})).await;
    assert_eq!((texts(&result), &result["resultType"]), (vec!["hi"], &json!("complete")));
    // A handle of the caller's own choosing names the conversation.
    let params = json!({"name": "desk__echo", "arguments": {"text": "hi"}, "_meta": {"bobbinet/context": "ours"}});
    let answer = host.ask("tools/call", &params).await;
    assert_eq!(answer["result"]["_meta"]["bobbinet/task"]["context"], "ours");
    let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(host.send(&note).await.status(), 202);
}

#[tokio::test]
async fn headers_say_what_the_body_says() {
    let node = Node::start().await;
    let host = node.host(STATELESS, json!({}));
    let call = host.request(&json!(1), "tools/call", &json!({"name": "desk__echo", "arguments": {"text": "hi"}}));
    let without = |pointer: &str| {
        let mut changed = call.clone();
        changed["params"]["_meta"].as_object_mut().unwrap().remove(pointer);
        changed
    };
    let version = ("mcp-protocol-version", STATELESS);
    let (method, name) = (("mcp-method", "tools/call"), ("mcp-name", "desk__echo"));
    let encoded = ("mcp-name", "=?base64?ZGVza19fZWNobw==?=");
    let mut newer = call.clone();
    newer["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2099-01-01".into();
    let unknown = host.request(&json!(1), "resources/burn", &json!({}));
    let cases: [Case<'_>; 10] = [
        ("all of them", &call, vec![version, method, name], 200, 0),
        ("an encoded name", &call, vec![version, method, encoded], 200, 0),
        ("no version", &call, vec![method, name], 400, -32020),
        ("another version", &call, vec![("mcp-protocol-version", "2025-11-25"), method, name], 400, -32020),
        ("no method", &call, vec![version, name], 400, -32020),
        ("no name", &call, vec![version, method], 400, -32020),
        ("another name", &call, vec![version, method, ("mcp-name", "desk__fail")], 400, -32020),
        ("one that nobody speaks", &newer, vec![("mcp-protocol-version", "2099-01-01"), method, name], 400, -32022),
        (
            "nothing of capabilities",
            &without("io.modelcontextprotocol/clientCapabilities"),
            vec![version, method, name],
            400,
            -32602,
        ),
        ("an unknown method", &unknown, vec![version, ("mcp-method", "resources/burn")], 404, -32601),
    ];
    for (what, body, headers, status, code) in cases {
        let mut request = host.http.post(&host.url).bearer_auth(&host.token).header("accept", crate::host::BOTH);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), status, "{what}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"].as_i64().unwrap_or_default(), code, "{what}: {answer}");
        if code == -32022 {
            assert_eq!(answer["error"]["data"]["supported"][0], STATELESS);
        }
    }
    let answer = host.send(&json!({"jsonrpc": "2.0", "id": 1, "result": {}})).await;
    assert_eq!(answer.status(), 400, "nothing was asked");
}

/// Who has the right handle and is somebody else has nothing by it.
#[tokio::test]
async fn a_handle_is_worth_nothing_to_anybody_but_its_owner() {
    let node = Node::start().await;
    node.allow("true");
    let forms = json!({"elicitation": {}});
    let host = node.open(STATELESS, forms.clone()).await;
    // As an argument it is the same handle.
    let sent = host.call("mesh_send", &json!({"agent": "talker", "message": "hi", "context": "ours"})).await;
    assert_eq!(sent["_meta"]["bobbinet/task"]["context"], "ours", "{sent}");
    let params = json!({"name": "desk__name", "arguments": {}, "_meta": {"bobbinet/context": "ours"}});
    let asks = host.ask("tools/call", &params).await["result"].clone();
    assert_eq!(asks["resultType"], "input_required", "{asks}");
    let state = asks["requestState"].as_str().unwrap();
    let task = state.split(':').next().unwrap();
    let key = asks["inputRequests"].as_object().unwrap().keys().next().unwrap();
    let answer = json!({key: {"action": "accept", "content": {"name": "Ann"}}});

    let stranger = node.host_of("ann", STATELESS, forms);
    let retry = json!({"name": "desk__name", "arguments": {}, "requestState": state, "inputResponses": answer,
        "_meta": {"bobbinet/context": "ours"}});
    let refused = stranger.ask("tools/call", &retry).await;
    assert!(refused["error"].is_object(), "the handle of a question that is not his: {refused}");
    let looked = stranger.ask("tools/call", &json!({"name": "mesh_task", "arguments": {"task": task}})).await;
    assert!(looked.to_string().contains("there is no task"), "{looked}");
    // A conversation of that name is one of his own, which has nothing of the other.
    let params = json!({"name": "desk__echo", "arguments": {"text": "hi"}, "_meta": {"bobbinet/context": "ours"}});
    let own = stranger.ask("tools/call", &params).await;
    assert_eq!(own["result"]["_meta"]["bobbinet/task"]["context"], "ours", "{own}");
    let mut older = node.host_of("ann", "2025-11-25", json!({}));
    older.initialize().await;
    let listed = older.ask("tasks/list", &json!({})).await["result"]["tasks"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    // Its owner goes on.
    let done = host
        .ask(
            "tools/call",
            &json!({"name": "desk__name", "arguments": {}, "requestState": state,
        "inputResponses": answer}),
        )
        .await;
    assert_eq!(texts(&done["result"]), ["hello Ann"], "{done}");
    node.stop().await;
}
