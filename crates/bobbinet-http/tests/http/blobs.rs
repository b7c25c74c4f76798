//! What a task refers to and what was uploaded, at their URLs: whose they are, and what is said of them.

use std::{sync::Arc, time::Duration};

use bobbinet_auth::{Lines, Policy, PolicyLine};
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_store::{
    MemoryStore,
    blobs::{BlobLimits, Blobs},
};
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::node::{Form, Node, message, whole};

/// A node where ann may do everything, bob everything but upload, and joe everything but look at tasks again.
async fn start(is_root: bool, form: Form) -> Node {
    let node = Node::with(Form { is_root, ..form }).await;
    let line = |line: &str| PolicyLine::parse("p.yaml:1", line, []).unwrap();
    let lines = [
        line("caller.principal == 'ann'"),
        line("caller.principal == 'bob' && operation != 'upload'"),
        line("caller.principal == 'joe' && operation != 'get'"),
    ];
    node.policy.replace(&Policy::new(Lines::new(lines.into()).unwrap()));
    node
}

fn of(node: &Node, who: &str, method: Method, url: &str) -> RequestBuilder {
    node.http.request(method, url).bearer_auth(node.token_of(who, &node.url, SystemEnv.now()))
}

/// What the worker has made of this, for one of them.
async fn send(node: &Node, who: &str, text: &str) -> String {
    let mut params = message(text);
    if let Some(url) = text.strip_prefix("fetch ") {
        params["message"]["parts"].as_array_mut().unwrap().push(json!({ "url": url }));
    }
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "SendMessage", "params": params });
    let request = of(node, who, Method::POST, &format!("{}/", node.url)).header("content-type", "application/json");
    let (status, answer) = whole(request.header("a2a-version", "1.0").body(body.to_string())).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["result"]["task"]["artifacts"][0]["parts"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

async fn told(request: RequestBuilder) -> (StatusCode, String) {
    let response = request.send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn access_to_a_blob_follows_its_task() {
    for is_root in [true, false] {
        let node = start(is_root, Form::default()).await;
        let url = send(&node, "ann", "keep <b>hello</b>").await;
        assert!(url.starts_with(&format!("{}/tasks/", node.url)), "{url}");
        let answer = of(&node, "ann", Method::GET, &url).send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/html");
        assert_eq!(header("content-disposition"), "attachment; filename*=UTF-8''a%20b.html");
        assert_eq!((header("x-content-type-options"), header("accept-ranges")), ("nosniff".into(), "bytes".into()));
        assert!(header("content-security-policy").contains("sandbox"));
        assert_eq!(answer.text().await.unwrap(), "<b>hello</b>");
        // The same content of another task is another's.
        let other = send(&node, "bob", "keep <b>hello</b>").await;
        assert_eq!(other.rsplit('/').next(), url.rsplit('/').next());
        assert_eq!(told(of(&node, "bob", Method::GET, &other)).await.0, StatusCode::OK);
        let strangers = told(of(&node, "bob", Method::GET, &url)).await;
        let unknown = url.replace("/tasks/0", "/tasks/1");
        assert_eq!(strangers, told(of(&node, "bob", Method::GET, &unknown)).await, "neither says that it is there");
        assert_eq!(strangers.0, StatusCode::NOT_FOUND);
        assert_eq!(told(node.http.get(&url)).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(told(of(&node, "ann", Method::PUT, &url)).await.0, StatusCode::METHOD_NOT_ALLOWED);
        // Nobody of whom policy says nothing.
        assert_eq!(told(of(&node, "eve", Method::GET, &url)).await, strangers);
    }
}

/// What a task refers to is read by another call as it is by its owner: if policy lets him.
#[tokio::test]
async fn a_blob_is_given_to_another_call_if_its_caller_may_read_its_task() {
    let node = start(true, Form::default()).await;
    for (who, expected) in [("ann", "hello"), ("bob", "hello"), ("joe", "there is no such blob")] {
        let url = send(&node, who, "keep hello").await;
        assert_eq!(send(&node, who, &format!("fetch {url}")).await, expected, "{who}");
        // Nor is it given to anybody else.
        assert_eq!(send(&node, "ann", &format!("fetch {url}")).await == "hello", who == "ann", "{who}");
    }
}

/// A node that has come to be at another address.
#[tokio::test]
async fn a_url_that_was_written_at_another_address_is_read_as_it_is_now() {
    for is_root in [true, false] {
        let (store, blobs) = (Arc::new(MemoryStore::default()), Blobs::in_memory(BlobLimits::default()));
        let form = || Form { store: store.clone(), blobs: blobs.clone(), ..Form::default() };
        let before = start(is_root, form()).await;
        let old = send(&before, "ann", "keep hello").await;
        let id = old.split('/').rev().nth(2).unwrap().to_owned();
        before.stop.cancel();
        before.engine.shutdown(Duration::from_millis(100)).await;
        let node = start(is_root, form()).await;
        let get = json!({ "jsonrpc": "2.0", "id": 7, "method": "GetTask", "params": { "id": id } });
        let request = of(&node, "ann", Method::POST, &format!("{}/", node.url));
        let request = request.header("content-type", "application/json").header("a2a-version", "1.0");
        let (_, answer) = whole(request.body(get.to_string())).await;
        let url = answer["result"]["artifacts"][0]["parts"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(url != old && url.starts_with(&format!("{}/tasks/{id}/", node.url)), "{url}");
        assert_eq!(told(of(&node, "ann", Method::GET, url)).await.1, "hello");
        assert_eq!(send(&node, "ann", &format!("fetch {old}")).await, "hello", "the one of before is known too");
        assert_eq!(send(&node, "bob", &format!("fetch {old}")).await, "there is no such blob");
    }
}

#[tokio::test]
async fn an_upload_is_its_owners_and_a_right_of_its_own() {
    let node = start(true, Form::default()).await;
    let uploads = format!("{}/blobs", node.url);
    let (status, answer) = told(of(&node, "ann", Method::POST, &uploads).body("some words")).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let url = answer["url"].as_str().unwrap();
    assert_eq!(answer["size"], 10);
    assert_eq!(send(&node, "ann", &format!("fetch {url}")).await, "some words");
    assert_eq!(send(&node, "bob", &format!("fetch {url}")).await, "there is no such blob");
    assert_eq!(told(of(&node, "ann", Method::GET, url)).await.1, "some words");
    assert_eq!(told(of(&node, "bob", Method::GET, url)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(told(of(&node, "bob", Method::DELETE, url)).await.0, StatusCode::NOT_FOUND);
    let (status, denied) = told(of(&node, "bob", Method::POST, &uploads).body("x")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(denied.contains("bob may not upload to worker"), "{denied}");
    assert_eq!(told(node.http.post(&uploads).body("x")).await.0, StatusCode::UNAUTHORIZED);
    // A task that was given it keeps it, and whoever may read the task may read it there.
    assert_eq!(told(of(&node, "ann", Method::DELETE, url)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(send(&node, "ann", &format!("fetch {url}")).await, "there is no such blob");
    let elsewhere = url.replace(&node.address.port().to_string(), "9");
    assert_eq!(send(&node, "ann", &format!("fetch {elsewhere}")).await, "there is no such blob");
}

#[tokio::test]
async fn an_upload_that_does_not_go_on_is_given_up() {
    let mut form = Form::default();
    form.limits.body_read_ms = 200;
    let node = start(true, form).await;
    let begun = futures::stream::once(async { Ok::<_, std::io::Error>("begun") });
    let silent = futures::StreamExt::chain(begun, futures::stream::pending());
    let request = of(&node, "ann", Method::POST, &format!("{}/blobs", node.url)).body(Body::wrap_stream(silent));
    let (status, answer) = tokio::time::timeout(Duration::from_secs(10), told(request)).await.unwrap();
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT, "{answer}");
}
