//! REST, in 1.0 and in 0.3: each operation at its URL, errors under their HTTP status, streams of bare events.

use bobbinet_outbound::sse::SseEvent;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::node::{Events, Form, Node, message, reply, short_of};

const A2A_JSON: &str = "application/a2a+json";

/// A request that says that it speaks 1.0, with a body if there is one.
fn request(node: &Node, method: Method, path: &str, body: Option<&Value>) -> RequestBuilder {
    let request = node.http.request(method, format!("{}{path}", node.url)).bearer_auth(node.token());
    let request = request.header("a2a-version", "1.0");
    match body {
        Some(body) => request.header("content-type", A2A_JSON).body(body.to_string()),
        None => request,
    }
}

/// The same in 0.3, which says nothing of its version.
fn old_request(node: &Node, method: Method, path: &str, body: Option<&Value>) -> RequestBuilder {
    let request = node.http.request(method, format!("{}{path}", node.url)).bearer_auth(node.token());
    match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    }
}

fn media_type(response: &Response) -> String {
    response.headers()["content-type"].to_str().unwrap().to_owned()
}

async fn answer(request: RequestBuilder) -> (StatusCode, String, Value) {
    let response = request.send().await.unwrap();
    let (status, media_type) = (response.status(), media_type(&response));
    // An API key or a certificate says whom it is for, and no cache between looks at those.
    assert_eq!(response.headers()["cache-control"], "no-store");
    let text = response.text().await.unwrap();
    (status, media_type, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}")))
}

async fn result(request: RequestBuilder) -> Value {
    let (status, media_type, answer) = answer(request).await;
    assert_eq!((status, media_type.as_str()), (StatusCode::OK, A2A_JSON), "{answer}");
    answer
}

fn short(event: &SseEvent) -> String {
    short_of(event.id.as_deref(), &serde_json::from_str(&event.data).unwrap())
}

async fn rest(mut events: Events) -> Vec<String> {
    let mut rest = Vec::new();
    while let Some(event) = events.next().await {
        rest.push(short(&event));
    }
    rest
}

#[tokio::test]
async fn each_operation_of_1_0_is_at_its_url() {
    let node = Node::start().await;
    let (get, post) = (Method::GET, Method::POST);
    let sent = result(request(&node, post.clone(), "/message:send", Some(&message("echo hello")))).await;
    let task = &sent["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
    let id = task["id"].as_str().unwrap();
    for path in [format!("/tasks/{id}"), format!("/tasks/{id}/"), format!("/acme/tasks/{id}?historyLength=0")] {
        let shown = result(request(&node, get.clone(), &path, None)).await;
        assert_eq!(shown["id"], id, "{path}");
        assert_eq!(shown.get("history").is_none(), path.contains("historyLength"), "{path}");
    }
    let page = result(request(&node, get.clone(), "/tasks?pageSize=1&status=TASK_STATE_COMPLETED", None)).await;
    assert_eq!(
        (&page["tasks"][0]["id"], &page["totalSize"], &page["nextPageToken"]),
        (&json!(id), &json!(1), &json!(""))
    );

    let mut at_once = message("steps 1");
    at_once["configuration"] = json!({ "returnImmediately": true });
    let begun = result(request(&node, post.clone(), "/message%3Asend", Some(&at_once))).await["task"].take();
    let cancel = format!("/tasks/{}:cancel", begun["id"].as_str().unwrap());
    // Without a body, and without a word of its type.
    let canceled = result(request(&node, post.clone(), &cancel, None)).await;
    assert_eq!(canceled["status"]["state"], "TASK_STATE_CANCELED");
    let (status, _, again) = answer(request(&node, post, &cancel.replace(':', "%3a"), Some(&json!({})))).await;
    assert_eq!((status, &again["error"]["status"]), (StatusCode::BAD_REQUEST, &json!("FAILED_PRECONDITION")));
}

#[tokio::test]
async fn a_stream_over_rest_is_of_bare_events_and_goes_on_where_it_was() {
    let node = Node::start().await;
    let told = rest(Events::open(request(&node, Method::POST, "/message:stream", Some(&message("echo")))).await).await;
    assert_eq!(
        (told.first().unwrap().as_str(), told.last().unwrap().ends_with("COMPLETED")),
        ("1 task SUBMITTED", true)
    );
    let task = node.begin("steps 2").await;
    let path = format!("/tasks/{}:subscribe", task["id"].as_str().unwrap());
    let streams = [Method::GET, Method::POST].map(|method| Events::open(request(&node, method, &path, None)));
    let [by_get, by_post] = streams;
    let (mut by_get, mut by_post) = (by_get.await, by_post.await);
    for events in [&mut by_get, &mut by_post] {
        assert!(short(&events.next().await.unwrap()).contains(" task "));
    }
    node.worker.gate.add_permits(2);
    let (one, other) = (rest(by_get).await, rest(by_post).await);
    assert_eq!(one, other);
    assert!(one.last().unwrap().ends_with("COMPLETED"), "{one:?}");
    let resumed = request(&node, Method::GET, &path, None).header("last-event-id", "1");
    assert!(rest(Events::open(resumed).await).await.len() >= one.len());
    let (status, media_type, ended) = answer(request(&node, Method::GET, &path, None)).await;
    assert_eq!((status, media_type.as_str()), (StatusCode::BAD_REQUEST, "application/json"), "{ended}");
    assert_eq!(ended["error"]["details"][0]["reason"], "UNSUPPORTED_OPERATION");
}

#[tokio::test]
async fn an_error_has_the_status_and_the_details_of_its_kind() {
    let node = Node::start().await;
    let check = async |request: RequestBuilder, status: u16, name: &str, reason: &str| {
        let (found, media_type, answer) = answer(request).await;
        let error = &answer["error"];
        assert_eq!((found.as_u16(), media_type.as_str()), (status, "application/json"), "{answer}");
        assert_eq!((&error["code"], &error["status"]), (&json!(status), &json!(name)), "{answer}");
        assert_eq!(error["details"][0]["reason"], reason, "{answer}");
        assert_eq!(error["details"][0]["domain"], "a2a-protocol.org");
        answer
    };
    let (get, post) = (Method::GET, Method::POST);
    check(request(&node, get.clone(), "/tasks/nobody", None), 404, "NOT_FOUND", "TASK_NOT_FOUND").await;
    let bad =
        check(request(&node, get.clone(), "/tasks?pageSize=150", None), 400, "INVALID_ARGUMENT", "INVALID_PARAMS")
            .await;
    assert_eq!(bad["error"]["details"][1]["fieldViolations"][0]["field"], "pageSize");
    check(request(&node, post.clone(), "/message:send", Some(&json!({}))), 400, "INVALID_ARGUMENT", "INVALID_PARAMS")
        .await;
    check(request(&node, post.clone(), "/message:send", None), 400, "INVALID_ARGUMENT", "PARSE_ERROR").await;
    check(request(&node, get.clone(), "/extendedAgentCard", None), 400, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION")
        .await;
    let typed = request(&node, post.clone(), "/message:send", None).header("content-type", "text/plain").body("{}");
    check(typed, 400, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED").await;
    let untyped = request(&node, post.clone(), "/message:send", None).body(message("echo").to_string());
    check(untyped, 400, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED").await;
    // Silent means 0.3, and 0.3 is not at these paths.
    for version in [None, Some("0.3"), Some("99.0")] {
        let mut asked = node.http.get(format!("{}/tasks", node.url)).bearer_auth(node.token());
        if let Some(version) = version {
            asked = asked.header("a2a-version", version);
        }
        check(asked, 400, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED").await;
    }
    let stranger = node.http.get(format!("{}/tasks", node.url)).header("a2a-version", "1.0");
    let response = stranger.try_clone().unwrap().send().await.unwrap();
    assert!(response.headers().contains_key("www-authenticate"));
    check(stranger, 401, "UNAUTHENTICATED", "UNAUTHENTICATED").await;
    for (method, path, allowed) in [
        (Method::PUT, "/tasks", "GET, HEAD"),
        (Method::PATCH, "/tasks/t/pushNotificationConfigs/c", "GET, HEAD, DELETE"),
        (Method::PUT, "/tasks/t/pushNotificationConfigs", "GET, HEAD, POST"),
        (Method::PUT, "/v1/tasks/t:subscribe", "GET, HEAD, POST"),
        (Method::HEAD, "/message:send", "POST"),
        (Method::GET, "/message:send", "POST"),
    ] {
        let wrong = request(&node, method, path, None).send().await.unwrap();
        assert_eq!((wrong.status().as_u16(), wrong.headers()["allow"].to_str().unwrap()), (405, allowed), "{path}");
    }
    // The body says the status that HTTP says, also where that is not the error's own.
    check(request(&node, Method::PUT, "/tasks", None), 405, "UNIMPLEMENTED", "METHOD_NOT_FOUND").await;
    let packed = request(&node, Method::POST, "/message:send", Some(&json!({}))).header("content-encoding", "gzip");
    check(packed, 415, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED").await;
    let head = request(&node, Method::HEAD, "/tasks", None).send().await.unwrap();
    assert_eq!((head.status(), media_type(&head).as_str()), (StatusCode::OK, A2A_JSON));
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    assert_eq!(request(&node, post, "/nowhere", None).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_answer_is_plain_json_for_those_who_want_that() {
    let node = Node::start().await;
    for (accept, expected) in [
        ("application/json", "application/json"),
        ("application/json, application/a2a+json", A2A_JSON),
        ("*/*", A2A_JSON),
        ("text/html, Application/JSON;q=0.9", "application/json"),
    ] {
        let (_, media_type, _) = answer(request(&node, Method::GET, "/tasks", None).header("accept", accept)).await;
        assert_eq!(media_type, expected, "{accept}");
    }
}

#[tokio::test]
async fn a_key_drops_repeats_and_a_url_names_a_skill_over_rest_too() {
    let node = Node::start().await;
    let send = |text: &str, key: &str| {
        request(&node, Method::POST, "/message:send", Some(&message(text))).header("idempotency-key", key.to_owned())
    };
    let first = result(send("echo a", "k-1")).await;
    assert_eq!(result(send("echo a", "k-1")).await["task"]["id"], first["task"]["id"]);
    assert_ne!(result(send("echo a", "k-2")).await["task"]["id"], first["task"]["id"]);
    let skill = |name: &str, key: &str| {
        let path = format!("/skills/{name}/message:send");
        request(&node, Method::POST, &path, Some(&message("hey"))).header("idempotency-key", key.to_owned())
    };
    let loud = result(skill("shout", "k-3")).await;
    assert_eq!(loud["task"]["artifacts"][0]["parts"][0]["text"], "HEY");
    assert_eq!(result(skill("shout", "k-3")).await["task"]["id"], loud["task"]["id"]);
    // The same words to another skill are another request.
    let (status, _, reused) = answer(skill("echo", "k-3")).await;
    assert_eq!(
        (status, &reused["error"]["details"][0]["reason"]),
        (StatusCode::BAD_REQUEST, &json!("INVALID_REQUEST"))
    );
    let mesh = Node::with(Form { is_root: false, ..Form::default() }).await;
    let sent = result(request(&mesh, Method::POST, "/message%3Asend", Some(&message("echo there")))).await;
    assert_eq!(sent["task"]["artifacts"][0]["parts"][0]["text"], "there");
    let loud = result(request(&mesh, Method::POST, "/skills/shout/acme/message:send/", Some(&message("hey")))).await;
    assert_eq!(loud["task"]["artifacts"][0]["parts"][0]["text"], "HEY");
    let (status, ..) = answer(request(&mesh, Method::GET, "/tasks/nobody", None)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

fn old_message(text: &str) -> Value {
    json!({ "message": { "messageId": "m", "role": "ROLE_USER", "content": [{ "text": text }] } })
}

#[tokio::test]
async fn the_same_in_0_3_is_below_v1() {
    let node = Node::start().await;
    let call = async |method: Method, path: &str, body: Option<&Value>| {
        let (status, media_type, answer) = answer(old_request(&node, method, path, body)).await;
        assert_eq!((status, media_type.as_str()), (StatusCode::OK, "application/json"), "{path}: {answer}");
        answer
    };
    let task = call(Method::POST, "/v1/message:send", Some(&old_message("echo hello"))).await["task"].take();
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(
        (&task["history"][0]["content"][0]["text"], &task["history"][0]["role"]),
        (&json!("echo hello"), &json!("ROLE_USER"))
    );
    let id = task["id"].as_str().unwrap();
    assert_eq!(call(Method::GET, &format!("/v1/tasks/{id}"), None).await, task);
    let asked = call(Method::POST, "/v1/message%3Asend/", Some(&old_message("ask"))).await["task"].take();
    assert_eq!(asked["status"]["message"]["content"][0]["text"], "What?");
    // Asked over one binding, answered over another, canceled over a third.
    let done = node.result("SendMessage", reply("yes", &asked)).await;
    assert_eq!(done["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    let begun = node.begin("steps 1").await;
    let canceled = call(Method::POST, &format!("/v1/tasks/{}:cancel", begun["id"].as_str().unwrap()), None).await;
    assert_eq!(canceled["status"]["state"], "TASK_STATE_CANCELLED");
}

#[tokio::test]
async fn a_stream_of_0_3_says_final_and_its_errors_have_their_codes() {
    let node = Node::start().await;
    let mut events =
        Events::open(old_request(&node, Method::POST, "/v1/message:stream", Some(&old_message("echo")))).await;
    let mut last = Value::Null;
    while let Some(event) = events.next().await {
        last = serde_json::from_str(&event.data).unwrap();
    }
    assert_eq!(
        (&last["statusUpdate"]["final"], &last["statusUpdate"]["status"]["state"]),
        (&json!(true), &json!("TASK_STATE_COMPLETED"))
    );
    for (path, status, code) in [
        ("/v1/tasks/nobody", 404, -32001),
        ("/v1/tasks/nobody:subscribe", 404, -32001),
        ("/v1/card", 501, -32004),
        ("/v1/tasks?status=DANCING", 400, -32602),
    ] {
        let (found, _, error) = answer(old_request(&node, Method::GET, path, None)).await;
        assert_eq!((found.as_u16(), &error["code"]), (status, &json!(code)), "{path}: {error}");
        assert!(error["message"].is_string() && error["data"]["reason"].is_string(), "{error}");
    }
    // A tenant of 1.0 may be called so, too.
    let (status, _, task) = answer(request(&node, Method::GET, "/v1/tasks", None)).await;
    assert_eq!((status, task["tasks"].is_array()), (StatusCode::OK, true));
}
