//! HTTP/2 with prior knowledge on the same port: the same answers within the same bounds.

use std::sync::atomic::Ordering;

use bobbinet_engine::panics;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::node::{Node, PATIENCE, message};

/// A client that keeps one connection, with so large a window for what it receives.
struct Client {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinSet<()>,
}

impl Client {
    async fn connect(node: &Node, window: u32) -> Self {
        let stream = TcpStream::connect(node.address).await.unwrap();
        let handshake = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .max_header_list_size(1 << 20)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        Self { sender, connection: tasks }
    }

    async fn ask(&mut self, request: http::request::Builder, body: impl Into<Bytes>) -> Response<Incoming> {
        let request = request.body(Full::new(body.into())).unwrap();
        timeout(PATIENCE, self.sender.send_request(request)).await.expect("an answer in time").unwrap()
    }

    async fn call(&mut self, node: &Node, method: &str, params: Value) -> Response<Incoming> {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
        self.ask(post(node), body).await
    }
}

fn post(node: &Node) -> http::request::Builder {
    Request::post(format!("{}/", node.url))
        .header("authorization", format!("Bearer {}", node.token()))
        .header("content-type", "application/json")
        .header("a2a-version", "1.0")
}

async fn text(response: Response<Incoming>) -> String {
    let body = timeout(PATIENCE, response.into_body().collect()).await.expect("the end in time").unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

const WIDE: u32 = 1 << 20;

#[tokio::test]
async fn cards_calls_and_streams_are_the_same() {
    let node = Node::start().await;
    let mut client = Client::connect(&node, WIDE).await;
    let card = client.ask(Request::get(format!("{}/.well-known/agent-card.json", node.url)), "").await;
    let card: Value = serde_json::from_str(&text(card).await).unwrap();
    assert_eq!(card["supportedInterfaces"][0]["url"], format!("{}/", node.url));
    let stream = client.call(&node, "SendStreamingMessage", message("steps 2")).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let answer = client.call(&node, "SendMessage", message("echo hello")).await;
    assert!(text(answer).await.contains("hello"), "beside the stream");
    node.worker.gate.add_permits(2);
    assert!(text(stream).await.contains("TASK_STATE_COMPLETED"));
    assert_eq!(client.ask(Request::post(format!("{}/", node.url)), "{}").await.status(), 401);
    assert_eq!(client.ask(post(&node).header("content-encoding", "gzip"), "x").await.status(), 415);
}

#[tokio::test]
async fn the_bounds_are_the_same() {
    let node = Node::limited(|limits| {
        limits.body_max = 1_000;
        limits.header_bytes_max = 8 << 10;
        limits.body_read_ms = 100;
    })
    .await;
    let mut client = Client::connect(&node, WIDE).await;
    assert_eq!(client.ask(post(&node), "x".repeat(1_001)).await.status(), 413);
    let many = (0..70).fold(post(&node), |request, number| request.header(format!("x-{number}"), "x"));
    assert_eq!(client.ask(many, "{}").await.status(), 431);
    assert_eq!(client.ask(post(&node).header("x-large", "x".repeat(10 << 10)), "{}").await.status(), 431);
    let long = format!("{}/?{}", node.url, "x".repeat(5_000));
    assert_eq!(client.ask(Request::get(long), "").await.status(), 414);
    let twice = post(&node).header("authorization", "Bearer x");
    assert_eq!(client.ask(twice, "{}").await.status(), 400);
    assert_eq!(client.ask(Request::get(format!("{}/livez", node.url)), "").await.status(), 200, "on one connection");
    node.assert_ready().await;
}

#[tokio::test]
async fn a_connection_has_so_many_requests_at_work() {
    let node = Node::limited(|limits| limits.requests_per_connection_max = 2).await;
    let mut client = Client::connect(&node, WIDE).await;
    // The server's word on it is known by the first answer.
    text(client.ask(Request::get(format!("{}/livez", node.url)), "").await).await;
    let streams = [
        client.call(&node, "SendStreamingMessage", message("steps 1")).await,
        client.call(&node, "SendStreamingMessage", message("steps 1")).await,
    ];
    let mut other = client.sender.clone();
    let request = Request::get(format!("{}/livez", node.url)).body(Full::new(Bytes::new())).unwrap();
    let mut third = Box::pin(other.send_request(request));
    let early = timeout(std::time::Duration::from_millis(100), &mut third).await;
    assert!(early.is_err(), "it waits for its turn");
    node.worker.gate.add_permits(2);
    for stream in streams {
        assert!(text(stream).await.contains("TASK_STATE_COMPLETED"));
    }
    assert_eq!(timeout(PATIENCE, third).await.expect("its turn").unwrap().status(), 200);
}

#[tokio::test]
async fn a_reader_who_takes_nothing_is_cut() {
    let node = Node::limited(|limits| limits.send_stall_ms = 200).await;
    let mut client = Client::connect(&node, 0).await;
    let stream = client.call(&node, "SendStreamingMessage", message("steps 1 100000")).await;
    assert_eq!(stream.status(), 200);
    node.worker.gate.add_permits(1);
    timeout(PATIENCE, client.connection.join_next()).await.expect("the connection is cut");

    // One who waits for a task that is silent takes all that there is for him.
    let mut patient = Client::connect(&node, WIDE).await;
    let stream = patient.call(&node, "SendStreamingMessage", message("steps 1")).await;
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    node.worker.gate.add_permits(1);
    assert!(text(stream).await.contains("TASK_STATE_COMPLETED"));
}

#[tokio::test]
async fn a_silent_connection_ends_and_a_server_that_stops_ends_in_order() {
    let mut node = Node::limited(|limits| {
        limits.idle_ms = 100;
        limits.drain_ms = 200;
    })
    .await;
    let mut idle = Client::connect(&node, WIDE).await;
    assert_eq!(idle.ask(Request::get(format!("{}/livez", node.url)), "").await.status(), 200);
    timeout(PATIENCE, idle.connection.join_next()).await.expect("it is closed");

    let mut client = Client::connect(&node, WIDE).await;
    let stream = client.call(&node, "SendStreamingMessage", message("steps 1")).await;
    node.stop.cancel();
    let told = text(stream).await;
    assert!(told.contains("retry: "), "{told}");
    timeout(PATIENCE, node.serving.join_next()).await.expect("it returns").unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_fails_inside_is_counted_and_harms_no_other() {
    let node = Node::start().await;
    let card = format!("{}/.well-known/agent-card.json", node.url);
    let mut client = Client::connect(&node, WIDE).await;
    node.worker.is_broken.store(true, Ordering::SeqCst);
    let before = panics();
    let request = Request::get(&card).body(Full::new(Bytes::new())).unwrap();
    let answer = timeout(PATIENCE, client.sender.send_request(request)).await.expect("an end in time");
    assert!(answer.is_err() && panics() > before, "{answer:?}");
    let (before, answer) = (panics(), node.http.get(&card).send().await);
    assert!(answer.is_err() && panics() > before, "over HTTP/1.1: {answer:?}");
    // The connection goes on, and so does the node.
    node.worker.is_broken.store(false, Ordering::SeqCst);
    let answer = client.ask(Request::get(&card), Bytes::new()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(node.http.get(&card).send().await.unwrap().status(), 200);
}
