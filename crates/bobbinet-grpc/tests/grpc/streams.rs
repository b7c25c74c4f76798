//! Streams of 1.0: what they tell, how they end, and how a reader comes back.

use bobbinet_auth::NODE_OWNER;
use bobbinet_grpc::pb::v1_0 as pb;
use tonic::{Code, Request, Response, Streaming};

use crate::node::{Node, answers, begins, rest, says, short, with};

fn subscription(node: &Node, id: &str, after: Option<&str>) -> Request<pb::SubscribeToTaskRequest> {
    let message = pb::SubscribeToTaskRequest { id: id.to_owned(), ..pb::SubscribeToTaskRequest::default() };
    let token = format!("Bearer {}", node.token_of(NODE_OWNER, &node.url));
    let mut metadata = vec![("authorization", token.as_str())];
    metadata.extend(after.map(|id| ("last-event-id", id)));
    with(message, &metadata)
}

async fn subscribe(node: &Node, id: &str, after: Option<&str>) -> Response<Streaming<pb::StreamResponse>> {
    node.client().await.subscribe_to_task(subscription(node, id, after)).await.unwrap()
}

#[tokio::test]
async fn a_stream_tells_all_until_the_end() {
    let node = Node::start().await;
    let mut stream = node.stream(says("steps 2")).await;
    assert_eq!(short(&mut stream).await.unwrap().unwrap(), "task SUBMITTED");
    assert_eq!(short(&mut stream).await.unwrap().unwrap(), "WORKING");
    node.worker.gate.add_permits(2);
    assert_eq!(rest(&mut stream).await, ["artifact 1", "artifact 2 append last", "COMPLETED"]);
}

#[tokio::test]
async fn a_stream_that_asks_ends_with_the_question_and_a_subscription_does_not() {
    let node = Node::start().await;
    let mut stream = node.stream(says("ask")).await;
    assert_eq!(rest(&mut stream).await.last().unwrap(), "INPUT_REQUIRED");
    let asked = node.send(says("ask")).await.unwrap();
    let mut follower = subscribe(&node, &asked.id, None).await.into_inner();
    assert_eq!(short(&mut follower).await.unwrap().unwrap(), "task INPUT_REQUIRED");
    node.send(answers("done", &asked.id)).await.unwrap();
    assert_eq!(rest(&mut follower).await.last().unwrap(), "COMPLETED");
}

#[tokio::test]
async fn a_reader_that_was_cut_comes_back_for_what_it_missed() {
    let node = Node::start().await;
    let task = node.send(begins("steps 3")).await.unwrap();
    let cut = subscribe(&node, &task.id, None).await;
    assert!(cut.metadata().contains_key("first-event-id"));
    drop(cut);
    node.worker.gate.add_permits(1);
    let mut all = subscribe(&node, &task.id, Some("0")).await;
    assert_eq!(all.metadata().get("first-event-id").unwrap(), "1");
    let told = [short(all.get_mut()).await, short(all.get_mut()).await, short(all.get_mut()).await];
    assert_eq!(told.map(|told| told.unwrap().unwrap()), ["task SUBMITTED", "WORKING", "artifact 1"]);
    // The third event was the last it has.
    let mut later = subscribe(&node, &task.id, Some("3")).await;
    assert_eq!(later.metadata().get("first-event-id").unwrap(), "4");
    node.worker.gate.add_permits(2);
    let expected = ["artifact 2 append", "artifact 3 append last", "COMPLETED"];
    assert_eq!(rest(later.get_mut()).await, expected);
    assert_eq!(rest(all.get_mut()).await, expected);

    // What has ended is followed no more, but for what was missed.
    let ended = node.client().await.subscribe_to_task(subscription(&node, &task.id, None)).await.unwrap_err();
    assert_eq!(ended.code(), Code::FailedPrecondition);
    assert_eq!(rest(subscribe(&node, &task.id, Some("5")).await.get_mut()).await, ["COMPLETED"]);
    let mut unknown = subscribe(&node, &task.id, Some("nonsense")).await.into_inner();
    let Some(pb::stream_response::Payload::Task(task)) = unknown.message().await.unwrap().unwrap().payload else {
        panic!("no task")
    };
    assert!(task.metadata.unwrap().fields.contains_key(bobbinet_http::RESYNC_KEY));
}

#[tokio::test]
async fn a_stream_whose_life_is_over_or_whose_server_stops_says_to_come_back() {
    let node = Node::limited(|limits, _| limits.stream_life_ms = 100).await;
    let mut stream = node.stream(says("steps 1")).await;
    let status = loop {
        match short(&mut stream).await {
            Ok(told) => assert!(told.is_some(), "it does not end as if all were told"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);

    let node = Node::start().await;
    let mut stream = node.stream(says("steps 1")).await;
    assert_eq!(short(&mut stream).await.unwrap().unwrap(), "task SUBMITTED");
    assert_eq!(short(&mut stream).await.unwrap().unwrap(), "WORKING");
    node.stop.cancel();
    assert_eq!(short(&mut stream).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_silent_stream_stays_and_is_pinged() {
    let node = Node::limited(|limits, _| limits.keep_alive_ms = 20).await;
    let mut stream = node.stream(says("steps 1")).await;
    assert_eq!(short(&mut stream).await.unwrap().unwrap(), "task SUBMITTED");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    node.worker.gate.add_permits(1);
    assert_eq!(rest(&mut stream).await.last().unwrap(), "COMPLETED");
}
