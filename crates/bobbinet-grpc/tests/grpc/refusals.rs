//! Who is let in, within which bounds, and what the others are told.

use bobbinet_auth::NODE_OWNER;
use bobbinet_grpc::pb::v1_0 as pb;
use prost::Message;
use tonic::{Code, Status};

use crate::node::{Node, begins, says, task_of, with};

/// `google.rpc.Status`, as far as it is looked at.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo`, and of `BadRequest` the first field's name.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(bytes = "vec", tag = "1")]
    first: Vec<u8>,
    #[prost(string, tag = "2")]
    domain: String,
}

/// The details by their types, each with its first field.
fn details(status: &Status) -> Vec<(String, Vec<u8>)> {
    let read = RpcStatus::decode(status.details()).unwrap();
    assert_eq!((read.code, read.message.as_str()), (i32::from(status.code()), status.message()));
    let detail = |any: prost_types::Any| {
        let name = any.type_url.strip_prefix("type.googleapis.com/google.rpc.").unwrap().to_owned();
        (name, Detail::decode(any.value.as_slice()).unwrap().first)
    };
    read.details.into_iter().map(detail).collect()
}

fn check(status: &Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    let (name, first) = details(status).remove(0);
    assert_eq!((name.as_str(), std::str::from_utf8(&first).unwrap()), ("ErrorInfo", reason));
}

#[tokio::test]
async fn an_error_says_what_is_wrong_and_where() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let status = client.get_task(node.request(task_of("nobody's"))).await.unwrap_err();
    check(&status, Code::NotFound, "TASK_NOT_FOUND");
    let empty = node.send(pb::SendMessageRequest::default()).await.unwrap_err();
    check(&empty, Code::InvalidArgument, "INVALID_PARAMS");
    let faulty = pb::SendMessageRequest {
        message: Some(pb::Message { parts: vec![pb::Part::default()], ..pb::Message::default() }),
        ..pb::SendMessageRequest::default()
    };
    let status = node.send(faulty).await.unwrap_err();
    let (name, first) = details(&status).remove(1);
    let violation = Detail::decode(first.as_slice()).unwrap();
    // The last of its fields.
    assert_eq!((name.as_str(), violation.first.as_slice()), ("BadRequest", &b"message.parts[0]"[..]));
    let bad_page = pb::ListTasksRequest { page_size: Some(101), ..pb::ListTasksRequest::default() };
    check(&client.list_tasks(node.request(bad_page)).await.unwrap_err(), Code::InvalidArgument, "INVALID_PARAMS");

    let config = pb::TaskPushNotificationConfig {
        task_id: "x".to_owned(),
        url: "https://a.example/hook".to_owned(),
        ..pb::TaskPushNotificationConfig::default()
    };
    let status = client.create_task_push_notification_config(node.request(config)).await.unwrap_err();
    check(&status, Code::FailedPrecondition, "PUSH_NOTIFICATION_NOT_SUPPORTED");
    let card = pb::GetExtendedAgentCardRequest::default();
    let status = client.get_extended_agent_card(node.request(card)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn only_known_callers_are_let_in_and_a_strangers_task_is_not_there() {
    let node = Node::start().await;
    let task = node.send(begins("steps 1")).await.unwrap();
    let mut client = node.client().await;
    for bearer in ["", "Bearer nonsense", "Basic eA=="] {
        let status = client.get_task(with(task_of(&task.id), &[("authorization", bearer)])).await.unwrap_err();
        check(&status, Code::Unauthenticated, "UNAUTHENTICATED");
        assert!(status.metadata().contains_key("www-authenticate"));
    }
    let elsewhere = format!("Bearer {}", node.token_of(NODE_OWNER, "https://elsewhere.example/"));
    let status = client.get_task(with(task_of(&task.id), &[("authorization", &elsewhere)])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);

    let stranger = format!("Bearer {}", node.token_of("stranger", &node.url));
    let stranger = [("authorization", stranger.as_str())];
    let found = client.get_task(with(task_of(&task.id), &stranger)).await.unwrap_err();
    let none = client.get_task(with(task_of("none"), &stranger)).await.unwrap_err();
    check(&found, Code::NotFound, "TASK_NOT_FOUND");
    assert_eq!((found.message(), found.details()), (none.message(), none.details()), "there is no difference");
    let cancel = pb::CancelTaskRequest { id: task.id.clone(), ..pb::CancelTaskRequest::default() };
    check(&client.cancel_task(with(cancel, &stranger)).await.unwrap_err(), Code::NotFound, "TASK_NOT_FOUND");
    let follow = pb::SubscribeToTaskRequest { id: task.id.clone(), ..pb::SubscribeToTaskRequest::default() };
    check(&client.subscribe_to_task(with(follow, &stranger)).await.unwrap_err(), Code::NotFound, "TASK_NOT_FOUND");
    let status = client.send_message(with(says("echo x"), &stranger)).await.unwrap_err();
    check(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_version_is_checked_and_extensions_are_echoed() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut request = node.request(says("echo x"));
    request.metadata_mut().insert("a2a-version", "2.0".parse().unwrap());
    check(&client.send_message(request).await.unwrap_err(), Code::FailedPrecondition, "VERSION_NOT_SUPPORTED");
    let mut request = node.request(says("echo x"));
    request.metadata_mut().insert("a2a-extensions", "https://a.example/x, urn:bobbinet:skills:v1".parse().unwrap());
    let answer = client.send_message(request).await.unwrap();
    assert_eq!(answer.metadata().get("a2a-extensions").unwrap(), "urn:bobbinet:skills:v1");
}

#[tokio::test]
async fn the_bounds_are_those_of_the_port() {
    let node = Node::limited(|http, gateway| {
        http.body_max = 1_000;
        gateway.streams_per_caller_max = 1;
    })
    .await;
    let large = node.send(says(&format!("echo {}", "x".repeat(1_000)))).await.unwrap_err();
    check(&large, Code::ResourceExhausted, "INVALID_REQUEST");
    let stream = node.stream(says("steps 1")).await;
    let status = node.client().await.send_streaming_message(node.request(says("steps 1"))).await.unwrap_err();
    check(&status, Code::ResourceExhausted, "RESOURCE_EXHAUSTED");
    assert!(details(&status).iter().any(|(name, _)| name == "RetryInfo"));
    drop(stream);

    let node = Node::limited(|_, gateway| gateway.requests_max = 0).await;
    let status = node.send(says("echo x")).await.unwrap_err();
    check(&status, Code::Unavailable, "UNAVAILABLE");

    let node = Node::limited(|http, _| http.unsent_bytes_per_caller_max = 100 << 10).await;
    let words = "x".repeat(90 << 10);
    let done = node.send(says(&format!("echo {words}"))).await.unwrap();
    assert_eq!(crate::node::made(&done), words, "a large answer goes out all the same");
    let shown = node.client().await.get_task(node.request(task_of(&done.id))).await.unwrap();
    assert_eq!(crate::node::made(shown.get_ref()), words, "and gives its room back");
}

#[tokio::test]
async fn what_is_no_grpc_is_told_so() {
    let node = Node::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/lf.a2a.v1.A2AService/GetTask", node.address);
    let as_grpc = http.post(&url).header("content-type", "application/grpc").send().await.unwrap();
    assert_eq!(as_grpc.status(), 505, "HTTP/1.1 has no room for its trailers");
    assert_eq!(http.post(&url).json(&1).send().await.unwrap().status(), 415);
    let card = http.get(format!("{}/.well-known/agent-card.json", node.url)).send().await.unwrap();
    assert_eq!(card.status(), 200, "on the same port");
}
