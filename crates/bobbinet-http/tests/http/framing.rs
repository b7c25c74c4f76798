//! How requests are framed on a connection: what is ambiguous is refused, who is refused reads why, who has said all is answered.

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::{
    node::{Node, message},
    sockets::{after, closed_after, rest, status},
};

/// A request's head up to its empty line, with these lines and the rest that every one has.
fn post(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nContent-Type: application/json\r\nA2A-Version: 1.0\r\n{lines}\r\n")
}

#[tokio::test]
async fn what_two_readers_may_read_in_two_ways_is_refused() {
    let node = Node::start().await;
    let token = node.token();
    let known = format!("Authorization: Bearer {token}\r\n");
    let asks = async |what: &str, sent: String, expected: &str| {
        let answer = closed_after(node.address, sent.as_bytes()).await;
        assert_eq!(answer.get(9..12), Some(expected), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        node.assert_ready().await;
    };
    asks("a lone LF in the head", "GET /livez HTTP/1.1\nHost: x\n\n".to_owned(), "400").await;
    asks("a lone LF between two headers", "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\nY: b\r\n\r\n".into(), "400").await;
    asks("no host", "GET /livez HTTP/1.1\r\n\r\n".to_owned(), "400").await;
    asks("two hosts", "GET /livez HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".to_owned(), "400").await;
    asks("no host's name", "GET /livez HTTP/1.1\r\nHost: x/y\r\n\r\n".to_owned(), "400").await;
    let two = format!("Host: x\r\n{known}{known}Content-Length: 2\r\n");
    asks("two tokens", post(&two) + "{}", "400").await;
    let two = format!("Host: x\r\n{known}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n");
    asks("two lengths", post(&two) + "2\r\n{}\r\n0\r\n\r\n", "400").await;
    let list = format!("Host: x\r\n{known}Transfer-Encoding: gzip, chunked\r\n");
    asks("two codings", post(&list) + "2\r\n{}\r\n0\r\n\r\n", "501").await;
    let lines = format!("Host: x\r\n{known}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
    asks("a coding twice", post(&lines) + "2\r\n{}\r\n0\r\n\r\n", "501").await;
}

#[tokio::test]
async fn a_head_behind_a_body_is_looked_at_too() {
    let node = Node::start().await;
    let first = post(&format!("Host: x\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\n", node.token())) + "{}";
    let good = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let statuses = async |sent: String| {
        let answers = closed_after(node.address, sent.as_bytes()).await;
        answers.match_indices("HTTP/1.1 ").map(|(at, _)| answers[at + 9..at + 12].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(statuses(format!("{first}{good}")).await, ["200", "200"]);
    assert_eq!(statuses(format!("{first}{}", good.replace("Host: x\r\n", "Host: x\n"))).await, ["200", "400"]);
    // Where only the body itself tells its end, what is behind it in the same bytes was seen by nobody.
    let chunked =
        first.replace("Content-Length: 2", "Transfer-Encoding: chunked").replace("{}", "2\r\n{}\r\n0\r\n\r\n");
    assert_eq!(statuses(format!("{chunked}{good}")).await, ["200", "400"]);
    let mut stream = after(node.address, chunked.as_bytes()).await;
    assert_eq!(status(&mut stream).await, "200");
    stream.write_all(good.as_bytes()).await.unwrap();
    let answers = rest(&mut stream).await;
    assert!(answers.contains("HTTP/1.1 200 ") && answers.ends_with("alive\n"), "{answers}");
}

#[tokio::test]
async fn who_is_not_known_takes_no_place_and_is_not_waited_for() {
    let node = Node::limited_by(|_, limits| limits.requests_max = 1).await;
    let slow = post("Host: x\r\nContent-Length: 100\r\n");
    let mut strangers = Vec::new();
    for _ in 0..4 {
        strangers.push(after(node.address, slow.as_bytes()).await);
    }
    for stranger in &mut strangers {
        assert_eq!(status(stranger).await, "401", "the body has not come, and is not waited for");
    }
    assert_eq!(node.result("ListTasks", json!({})).await["totalSize"], 0);
    for stranger in &mut strangers {
        let answer = rest(stranger).await.to_lowercase();
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }

    // The place that there is belongs to one who is known, and whose body does not come.
    let known = post(&format!("Host: x\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n", node.token()));
    let _slow = after(node.address, known.as_bytes()).await;
    let full = async {
        while node.request("ListTasks", &json!({})).send().await.unwrap().status() != 503 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::node::PATIENCE, full).await.expect("the place is taken");
    let mut refused = after(node.address, known.as_bytes()).await;
    assert!(rest(&mut refused).await.to_lowercase().contains("connection: close\r\n"));
    assert_eq!(status(&mut after(node.address, slow.as_bytes()).await).await, "401");
}

#[tokio::test]
async fn whoever_sends_all_before_he_reads_gets_to_read_why_not() {
    let node = Node::start().await;
    let length = 20 << 20;
    let body = vec![b'x'; length];
    for (lines, expected) in [(String::new(), "401"), (format!("Authorization: Bearer {}\r\n", node.token()), "413")] {
        let head = post(&format!("Host: x\r\n{lines}Content-Length: {length}\r\n"));
        let mut stream = after(node.address, head.as_bytes()).await;
        stream.write_all(&body).await.expect("it is read, or at least not reset");
        assert_eq!(status(&mut stream).await, expected);
        rest(&mut stream).await;
    }
}

#[tokio::test]
async fn a_caller_that_has_sent_its_last_byte_is_answered() {
    let node = Node::start().await;
    let mut probe = after(node.address, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    probe.shutdown().await.unwrap();
    assert!(rest(&mut probe).await.ends_with("alive\n"));

    let mut caller = after(node.address, &node.raw("SendMessage", &message("steps 1"))).await;
    caller.shutdown().await.unwrap();
    let begun = async {
        while node.result("ListTasks", json!({})).await["totalSize"] != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::node::PATIENCE, begun).await.unwrap();
    node.worker.gate.add_permits(1);
    let answer = rest(&mut caller).await;
    assert!(answer.contains("TASK_STATE_COMPLETED"), "{answer}");

    let mut follower = after(node.address, &node.raw("SendStreamingMessage", &message("steps 1"))).await;
    follower.shutdown().await.unwrap();
    assert_eq!(status(&mut follower).await, "200");
    node.worker.gate.add_permits(1);
    assert!(rest(&mut follower).await.contains("TASK_STATE_COMPLETED"));

    // What breaks off in the midst of a request is none.
    let half = post(&format!("Host: x\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n", node.token()));
    let mut broken = after(node.address, half.as_bytes()).await;
    broken.shutdown().await.unwrap();
    rest(&mut broken).await;
}

#[tokio::test]
async fn a_caller_who_is_gone_gives_his_place_back() {
    let node = Node::limited_by(|limits, admission| {
        limits.half_close_ms = 50;
        admission.waits_max = 1;
    })
    .await;
    drop(after(node.address, &node.raw("SendMessage", &message("steps 1"))).await);
    let freed = async {
        // A call that is refused before the first has begun would begin in its place.
        while node.result("ListTasks", json!({})).await["totalSize"] != 1 {
            tokio::task::yield_now().await;
        }
        while node.request("SendMessage", &message("echo x")).send().await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::node::PATIENCE, freed).await.expect("the place is given back");
}
