//! How many connections there may be, and whom that leaves a way in.

use std::{net::SocketAddr, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::{
    node::{Form, Node, PATIENCE},
    sockets::{after, rest, status},
};

const PROBE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
const CARD: &[u8] = b"GET /.well-known/agent-card.json HTTP/1.1\r\nHost: x\r\n\r\n";

async fn ask(address: SocketAddr, question: &[u8]) -> String {
    status(&mut after(address, question).await).await
}

/// Connections that have said something, so that they are known to have been let in, and that stay.
async fn guests(node: &Node, count: usize) -> Vec<TcpStream> {
    let mut guests = Vec::new();
    for _ in 0..count {
        let mut guest = after(node.address, PROBE).await;
        assert_eq!(status(&mut guest).await, "200");
        guests.push(guest);
    }
    guests
}

#[tokio::test]
async fn a_probe_is_heard_when_all_places_are_taken() {
    let node = Node::limited(|limits| {
        limits.connections_max = 3;
        limits.probe_connections_max = 2;
        // Whoever is silent on the doorstep stays there for longer than the test takes, unless he has to make room.
        limits.probe_read_ms = 60_000;
    })
    .await;
    let mut guests = guests(&node, 3).await;
    let mut refused = after(node.address, CARD).await;
    let answer = rest(&mut refused).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 503 ") && answer.contains("connections_max"), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n") && answer.contains("connection: close\r\n"), "{answer}");

    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(TcpStream::connect(node.address).await.unwrap());
        assert_eq!(ask(node.address, PROBE).await, "200");
        assert_eq!(ask(node.address, &[b"GET /readyz?verbose", &PROBE[10..]].concat()).await, "200");
    }
    // Those who are in stay in, and a place that is given back is taken.
    guests[0].write_all(CARD).await.unwrap();
    guests.pop();
    let let_in = async {
        while ask(node.address, CARD).await != "200" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, let_in).await.expect("the place is given back");
}

#[tokio::test]
async fn whoever_is_silent_on_the_doorstep_is_sent_away() {
    let node = Node::limited(|limits| {
        limits.connections_max = 0;
        limits.probe_read_ms = 50;
    })
    .await;
    let mut silent = TcpStream::connect(node.address).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    let mut twice = after(node.address, &[PROBE, PROBE].concat()).await;
    assert_eq!(rest(&mut twice).await.matches("HTTP/1.1 200 ").count(), 1, "one question each");
}

#[tokio::test]
async fn one_address_has_a_share_and_a_proxy_all() {
    let form = || {
        let mut form = Form::default();
        form.limits.connections_per_address_max = 1;
        form
    };
    let node = Node::with(form()).await;
    let _guest = guests(&node, 1).await;
    assert_eq!(ask(node.address, CARD).await, "429");
    assert_eq!(ask(node.address, PROBE).await, "200");
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(node.address).await.unwrap();
    other.write_all(CARD).await.unwrap();
    assert_eq!(status(&mut other).await, "200");

    let node = Node::with(Form { proxies: vec!["127.0.0.0/8"], ..form() }).await;
    let _guests = guests(&node, 3).await;
    assert_eq!(ask(node.address, CARD).await, "200");
}
