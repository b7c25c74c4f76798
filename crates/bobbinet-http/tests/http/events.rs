//! Events that come in: the content modes of CloudEvents' HTTP binding, who may publish, and what is refused.

use bobbinet_auth::NODE_OWNER;
use bobbinet_core::Tenant;
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_events::{Events, Position};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::node::{Form, Node};

fn post(node: &Node, media_type: &str) -> RequestBuilder {
    let url = format!("http://{}/events", node.address);
    let token = node.token_of(NODE_OWNER, &url, SystemEnv.now());
    let request = node.http.post(url).bearer_auth(token);
    if media_type.is_empty() { request } else { request.header("content-type", media_type) }
}

fn event(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/t", "type": "com.example.t", "data": { "n": 1 } })
}

async fn answered(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(media_type == "application/problem+json", !status.is_success(), "{status} {media_type}");
    (status.as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

/// All events of the node owner's tenant.
async fn kept(node: &Node, count: usize) -> Vec<Value> {
    let events = Events::new(node.engine.aggregates());
    let tenant = Tenant::parse(bobbinet_auth::NODE_TENANT).unwrap();
    assert_eq!(events.end(&tenant).await.unwrap(), Position(count as u64));
    let mut listener = events.listen(&tenant, Position(0)).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(listener.next().await.unwrap().event.unwrap().to_value());
    }
    all
}

#[tokio::test]
async fn an_event_comes_in_each_mode_and_is_there_once() {
    let node = Node::start().await;
    let structured = |id| post(&node, "application/cloudevents+json; charset=utf-8").body(event(id).to_string());
    assert_eq!(answered(structured("1")).await, (202, json!({ "id": "1", "source": "/t" })));
    assert_eq!(answered(structured("1")).await, (200, json!({ "id": "1", "source": "/t" })), "a repeat");
    let binary = |media_type: &str, id: &str| {
        post(&node, media_type)
            .header("ce-specversion", "1.0")
            .header("ce-id", id)
            .header("ce-source", "/t")
            .header("ce-type", "com.example.t")
            .header("ce-subject", "caf%C3%A9")
    };
    assert_eq!(answered(binary("application/json", "2").body(r#"{"n":2}"#)).await.0, 202);
    assert_eq!(answered(binary("text/plain", "3").header("ce-bobbinethops", "4").body("hello")).await.0, 202);
    assert_eq!(answered(binary("image/png", "4").body(vec![0, 1, 255])).await.0, 202);
    assert_eq!(answered(binary("", "5")).await.0, 202);
    let batch = json!([event("6"), event("1"), event("7")]).to_string();
    let (status, told) = answered(post(&node, "application/cloudevents-batch+json").body(batch)).await;
    assert_eq!((status, told["events"].as_array().map(Vec::len)), (202, Some(3)), "{told}");
    let kept = kept(&node, 7).await;
    assert_eq!(kept[0], event("1"));
    let subject = "café";
    let of_binary = |id: &str| json!({ "specversion": "1.0", "id": id, "source": "/t", "type": "com.example.t", "subject": subject });
    let with = |id: &str, more: Value| {
        let mut event = of_binary(id);
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    assert_eq!(kept[1], with("2", json!({ "datacontenttype": "application/json", "data": { "n": 2 } })));
    assert_eq!(kept[2], with("3", json!({ "datacontenttype": "text/plain", "data": "hello", "bobbinethops": 4 })));
    assert_eq!(kept[3], with("4", json!({ "datacontenttype": "image/png", "data_base64": "AAH/" })));
    assert_eq!(kept[4], of_binary("5"));
    assert_eq!((&kept[5], &kept[6]), (&event("6"), &event("7")), "in the order of the batch");
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_a_reason() {
    let node = Node::limited(|limits| limits.body_max = 400_000).await;
    let cloud = "application/cloudevents+json";
    let without = |name: &str| {
        let mut event = event("1");
        event[name].take();
        event.to_string()
    };
    let large = |bytes: usize| {
        let mut event = event("1");
        event["data"] = "x".repeat(bytes).into();
        event.to_string()
    };
    let many = Value::from(vec![event("1"); 257]).to_string();
    for (media_type, body, status, reason) in [
        (cloud, without("id"), 400, "INVALID_EVENT"),
        (cloud, without("source"), 400, "INVALID_EVENT"),
        (cloud, without("type"), 400, "INVALID_EVENT"),
        (cloud, without("specversion"), 400, "INVALID_EVENT"),
        (cloud, "{".to_owned(), 400, "INVALID_EVENT"),
        (cloud, r#"{"specversion":"1.0","id":"1","id":"2","source":"/t","type":"t"}"#.to_owned(), 400, "INVALID_EVENT"),
        (cloud, "[]".to_owned(), 400, "INVALID_EVENT"),
        (cloud, large(300_000), 413, "EVENT_TOO_LARGE"),
        (cloud, large(500_000), 413, "BODY_TOO_LARGE"),
        ("application/cloudevents-batch+json", event("1").to_string(), 400, "INVALID_EVENT"),
        ("application/cloudevents-batch+json", many, 400, "INVALID_EVENT"),
        ("application/cloudevents+avro", event("1").to_string(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("application/json", event("1").to_string(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("", String::new(), 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        let shown: String = body.chars().take(80).collect();
        let (told, problem) = answered(post(&node, media_type).body(body)).await;
        assert_eq!((told, problem["reason"].as_str()), (status, Some(reason)), "{media_type} {shown}: {problem}");
        assert_eq!(problem["status"], status);
    }
    let headers =
        |request: RequestBuilder| request.header("ce-specversion", "1.0").header("ce-id", "1").header("ce-type", "t");
    let bad_data = headers(post(&node, "application/json")).header("ce-source", "/t").body("{");
    assert_eq!(answered(bad_data).await.0, 400);
    let twice = headers(post(&node, "")).header("ce-source", "/a").header("ce-source", "/b");
    assert_eq!(answered(twice).await.0, 400);
    let encoded = post(&node, cloud).header("content-encoding", "gzip").body(event("1").to_string());
    assert_eq!(answered(encoded).await.0, 415);
    let events = Events::new(node.engine.aggregates());
    assert_eq!(
        events.end(&Tenant::parse(bobbinet_auth::NODE_TENANT).unwrap()).await.unwrap(),
        Position(1),
        "none was kept"
    );
}

#[tokio::test]
async fn only_those_publish_who_may_and_with_a_token_for_it() {
    let node = Node::with(Form { is_root: false, ..Form::default() }).await;
    let url = format!("http://{}/events", node.address);
    let body = event("1").to_string();
    let send = |token: Option<String>| {
        let request = node.http.post(&url).header("content-type", "application/cloudevents+json").body(body.clone());
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    };
    let response = send(None).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let of_agent = node.token_of(NODE_OWNER, &node.url, SystemEnv.now());
    assert_eq!(answered(send(Some(of_agent))).await.0, 401, "a token for an agent is none for events");
    let stranger = node.token_of("stranger", &url, SystemEnv.now());
    let (status, problem) = answered(send(Some(stranger))).await;
    assert_eq!((status, problem["reason"].as_str()), (403, Some("PERMISSION_DENIED")));
    assert_eq!(answered(send(Some(node.token_of(NODE_OWNER, &url, SystemEnv.now())))).await.0, 202);
}
