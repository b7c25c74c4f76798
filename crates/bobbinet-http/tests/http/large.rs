//! What is large is cut, counted or handed on in pieces; nobody's memory goes by what others do not read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::node::{Node, PATIENCE, message, whole};

/// Walks through a list to its end; gives the ids of each page, and the longest answer.
async fn walk(node: &Node, params: Value) -> (Vec<Vec<String>>, usize) {
    let (mut pages, mut longest, mut token) = (Vec::new(), 0, String::new());
    loop {
        let mut params = params.clone();
        params["pageToken"] = json!(token);
        let text = node.request("ListTasks", &params).send().await.unwrap().text().await.unwrap();
        longest = longest.max(text.len());
        let page: Value = serde_json::from_str(&text).unwrap();
        let page = &page["result"];
        assert_eq!(page["totalSize"], 12, "{text:.300}");
        let tasks = page["tasks"].as_array().unwrap();
        pages.push(tasks.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            return (pages, longest);
        }
        assert!(pages.len() <= 12, "a list has an end");
    }
}

#[tokio::test]
async fn a_page_ends_where_it_would_be_too_large_and_the_next_one_begins_there() {
    const BOUND: usize = 100_000;
    let node = Node::limited(|limits| limits.page_bytes_max = BOUND).await;
    let mut ids = Vec::new();
    // Oldest first: small ones, one that is larger than a page, some of which two fill a page, small ones.
    for size in [1, 1, 1, 300_000, 40_000, 40_000, 40_000, 40_000, 40_000, 1, 1, 1] {
        ids.push(node.send(&format!("echo {}", "x".repeat(size))).await["id"].as_str().unwrap().to_owned());
    }
    ids.reverse();
    let large = json!({ "includeArtifacts": true, "historyLength": 0 });
    let (pages, longest) = walk(&node, large).await;
    assert_eq!(pages.concat(), ids, "each task once, newest first");
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [5, 2, 1, 1, 3], "{sizes:?}");
    assert!((300_000..310_000).contains(&longest), "only what is alone may be larger: {longest}");
    // What is not shown does not count.
    let (pages, _) = walk(&node, json!({ "historyLength": 0 })).await;
    assert_eq!(pages, [ids.clone()]);
    // And the number of tasks counts as ever.
    let (pages, _) = walk(&node, json!({ "historyLength": 0, "pageSize": 5 })).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 2]);
    assert_eq!(pages.concat(), ids);
}

#[tokio::test]
async fn answers_that_nobody_takes_are_bounded_and_harm_no_small_ones() {
    const STEPS: usize = 8;
    const SIZE: usize = 2 << 20;
    let node = Node::limited(|limits| limits.unsent_bytes_max = 1 << 20).await;
    node.worker.gate.add_permits(STEPS);
    let task = node.send(&format!("steps {STEPS} {SIZE}")).await;
    assert_eq!(task["artifacts"][0]["parts"].as_array().unwrap().len(), STEPS);
    let params = json!({ "id": task["id"] });
    let mut slow = TcpStream::connect(node.address).await.unwrap();
    slow.write_all(&node.raw("GetTask", &params)).await.unwrap();
    let mut first = [0; 12];
    slow.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // There is no room for a second one, and it says so.
    let (status, answer) = whole(node.request("GetTask", &params)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer["error"]["data"][0]["metadata"]["limit"], "unsent_bytes_max");
    // What is small needs none, also of a list, nor does what has been done already.
    let (status, list) = whole(node.request("ListTasks", &json!({}))).await;
    assert_eq!((status, &list["result"]["totalSize"]), (StatusCode::OK, &json!(1)));
    node.send("echo small").await;
    drop(slow);
    let room = async {
        loop {
            let (status, answer) = whole(node.request("GetTask", &params)).await;
            if status == StatusCode::OK {
                return answer;
            }
        }
    };
    let again = timeout(PATIENCE, room).await.expect("the room is given back");
    assert_eq!(again["result"], task);
}

/// Asks for a task and reads no more of the answer than its status.
async fn read_slowly(node: &Node, params: &Value) -> TcpStream {
    let mut slow = TcpStream::connect(node.address).await.unwrap();
    slow.write_all(&node.raw("GetTask", params)).await.unwrap();
    let mut first = [0; 12];
    slow.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    slow
}

#[tokio::test]
async fn a_caller_has_so_much_room_for_what_he_does_not_read() {
    const STEPS: usize = 8;
    const SIZE: usize = 2 << 20;
    let node = Node::limited(|limits| {
        limits.unsent_bytes_max = 2 << 20;
        limits.unsent_bytes_per_caller_max = 1 << 20;
    })
    .await;
    node.worker.gate.add_permits(STEPS);
    let task = node.send(&format!("steps {STEPS} {SIZE}")).await;
    let params = json!({ "id": task["id"] });
    let _slow = read_slowly(&node, &params).await;
    let (status, answer) = whole(node.request("GetTask", &params)).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer["error"]["data"][0]["metadata"]["limit"], "unsent_bytes_per_caller_max");
    // What is small needs none.
    node.send("echo small").await;
}

#[tokio::test]
async fn who_waits_for_room_keeps_no_place_from_those_who_ask_for_little() {
    const SIZE: usize = 12 << 20;
    let node = Node::limited_by(|limits, admission| {
        limits.unsent_bytes_max = 1 << 20;
        admission.requests_max = 1;
    })
    .await;
    node.worker.gate.add_permits(1);
    let task = node.send(&format!("steps 1 {SIZE}")).await;
    let params = json!({ "id": task["id"] });
    let _slow = read_slowly(&node, &params).await;
    let is_over = AtomicBool::new(false);
    let waiting = async {
        // Until it is refused for want of room, and not because the other one is at work.
        while whole(node.request("GetTask", &params)).await.1["error"]["data"][0]["metadata"]["limit"]
            != "unsent_bytes_max"
        {}
        is_over.store(true, Ordering::Relaxed);
    };
    let asking = async {
        let mut refused_in_a_row = 0;
        while !is_over.load(Ordering::Relaxed) {
            let (status, _) = whole(node.request("ListTasks", &json!({}))).await;
            refused_in_a_row = if status == StatusCode::OK { 0 } else { refused_in_a_row + 1 };
            assert!(refused_in_a_row < 50, "who waits for room has the only place");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, async { tokio::join!(waiting, asking) }).await.expect("the wait for room has an end");
}

#[tokio::test]
async fn a_large_event_comes_whole_to_each_of_its_readers() {
    const SIZE: usize = 3 << 20;
    let node = Node::start().await;
    let task = node.begin(&format!("steps 2 {SIZE}")).await;
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(node.subscribe(&task, None).await);
    }
    node.worker.gate.add_permits(2);
    for mut reader in readers {
        assert_eq!(reader.short().await.unwrap(), "2 task WORKING");
        for step in ["1", "2"] {
            let event: Value = serde_json::from_str(&reader.next().await.unwrap().data).unwrap();
            let text = event["result"]["artifactUpdate"]["artifact"]["parts"][0]["text"].as_str().unwrap();
            assert!(text.len() == SIZE && text.starts_with(step) && text.ends_with(step));
        }
        assert_eq!(reader.rest().await, ["5 COMPLETED"]);
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_holds_no_more_than_it_is_being_sent() {
    /// More than what lies between the two ends of a connection.
    const STEPS: usize = 5;
    const SIZE: usize = 2 << 20;
    let node = Node::start().await;
    let task = node.begin(&format!("steps {} {SIZE}", STEPS + 1)).await;
    node.worker.gate.add_permits(STEPS);
    let mut reader = node.subscribe(&task, Some("2")).await;
    for _ in 0..STEPS {
        reader.next().await.unwrap();
    }
    let last = node.worker.added.lock().unwrap().last().unwrap().clone();
    let holders = Arc::strong_count(&last);
    let request = String::from_utf8(node.raw("SubscribeToTask", &json!({ "id": task["id"] }))).unwrap();
    let request = request.replacen("\r\n", "\r\nLast-Event-ID: 2\r\n", 1);
    let mut slow = TcpStream::connect(node.address).await.unwrap();
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut some = vec![0; 64 << 10];
    slow.read_exact(&mut some).await.unwrap();
    assert!(some.starts_with(b"HTTP/1.1 200") && some.ends_with(b"1111"), "it is at the first of them");
    assert_eq!(Arc::strong_count(&last), holders, "the last one is nothing to it yet");
}

#[tokio::test]
async fn many_names_and_long_ones_are_read_in_no_time() {
    const NAMES: usize = 60_000;
    let node = Node::start().await;
    let names: serde_json::Map<String, Value> = (0..NAMES).map(|name| (format!("k{name}"), json!(name))).collect();
    let mut params = message("echo x");
    params["metadata"] = Value::Object(names.clone());
    params["message"]["metadata"] = json!({ bobbinet_wire::EXTENSION_URI: names });
    let sent = timeout(Duration::from_secs(10), node.result("SendMessage", params)).await.expect("in no time");
    assert_eq!(sent["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    // Nor does an error grow with what it is about.
    let (status, answer) = whole(node.request(&"\u{2028}x".repeat(100_000), &json!({}))).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::OK, &json!(-32601)));
    assert!(answer.to_string().len() < 2_000, "{}", answer.to_string().len());
}
