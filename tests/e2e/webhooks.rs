//! Webhooks over a `kill -9` of the node: a receiver that answers 503, hangs or closes gets every event in order when it comes back, and
//! exactly once when equal ids are dropped.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::node::{Node, PATIENCE, bobbinet, data_message, log_of};

const TASKS: usize = 12;

/// What the receiver does with what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Takes,
    Refuses,
    Hangs,
    Closes,
    /// Takes it, and closes before it says so.
    TakesAndCloses,
}

#[derive(Debug)]
struct Seen {
    manner: Manner,
    /// The ids of what was taken, in the order in which it came.
    ids: Vec<String>,
}

fn receive(seen: Arc<Mutex<Seen>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let seen = seen.clone();
            std::thread::spawn(move || {
                // Whoever is killed in the middle hangs up.
                let _ = take(stream, &seen);
            });
        }
    });
    origin
}

/// One request of a connection.
fn take(mut stream: TcpStream, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("webhook-id:") {
            id = value.trim().to_owned();
        } else if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let _: Value = serde_json::from_slice(&body).unwrap();
    let manner = {
        let mut seen = seen.lock().unwrap();
        if matches!(seen.manner, Manner::Takes | Manner::TakesAndCloses) {
            seen.ids.push(id);
        }
        seen.manner
    };
    let answer = match manner {
        Manner::Takes => "204 No Content",
        Manner::Refuses => "503 Service Unavailable",
        Manner::Hangs => {
            std::thread::sleep(Duration::from_secs(5));
            return Ok(());
        }
        Manner::Closes | Manner::TakesAndCloses => return Ok(()),
    };
    stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes())
}

#[test]
fn a_receiver_that_fails_over_a_kill_gets_every_event_in_order_and_once() {
    for manner in [Manner::Refuses, Manner::Hangs, Manner::Closes, Manner::TakesAndCloses] {
        check(manner);
    }
}

fn check(manner: Manner) {
    let folder = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Seen { manner, ids: Vec::new() }));
    let origin = receive(seen.clone());
    let program = env!("CARGO_BIN_EXE_bobbinet");
    let config = format!(
        "node:\n  listen: 127.0.0.1:0\n  data: ./data\n  webhooks: [\"{origin}\"]\n  limits: {{ webhook_timeout: 1s }}\n\
         agents:\n  notes: {{ mcp: {{ command: [{program:?}, demo-server, notes, ./notes] }} }}\n"
    );
    std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let agent = node.agent("notes");
    let mut tasks = Vec::new();
    for number in 0..TASKS {
        let message =
            data_message(&format!("m{number}"), &json!({ "skill": "add_note", "arguments": { "text": "x" } }));
        let config = json!({ "id": "h", "url": format!("{origin}/hook"), "token": "t" });
        let params = json!({ "message": message, "configuration": { "taskPushNotificationConfig": config } });
        let sent = runtime.block_on(agent.call(&http, "SendMessage", &params)).unwrap();
        tasks.push(sent["task"]["id"].as_str().unwrap().to_owned());
    }
    std::thread::sleep(Duration::from_millis(1_500));
    node.kill();
    let node = Node::start(folder.path(), &[]).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    let listed = bobbinet(folder.path()).args(["push", "list", "--data-dir", "data", "-o", "json"]).output().unwrap();
    let list: Value = serde_json::from_slice(&listed.stdout).unwrap_or_else(|_| panic!("{listed:?}"));
    assert!(!list["letters"].as_array().unwrap().is_empty(), "{manner:?}: {list}");
    let retry =
        || bobbinet(folder.path()).args(["push", "retry", &tasks[0], "h", "--data-dir", "data"]).output().unwrap();
    let retried = retry();
    assert!(retried.status.success(), "{retried:?}");
    seen.lock().unwrap().manner = Manner::Takes;
    // Now it may have been tried, and have told all, before this comes.
    retry();
    let end = Instant::now() + PATIENCE;
    loop {
        let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for id in &seen.lock().unwrap().ids {
            let (task, generation) = id.split_once(':').unwrap();
            let of_task = told.entry(task.to_owned()).or_default();
            let generation = generation.parse().unwrap();
            if !of_task.contains(&generation) {
                of_task.push(generation);
            }
        }
        // Submitted, working, an artifact and the end.
        let is_whole = |task: &String| told.get(task).is_some_and(|of_task| of_task.len() == 4);
        if tasks.iter().all(is_whole) {
            for (task, of_task) in &told {
                assert_eq!(of_task, &[1, 2, 3, 4], "{manner:?}: {task}");
            }
            break;
        }
        assert!(Instant::now() < end, "{manner:?}: {told:?}\n{}", log_of(folder.path()));
        std::thread::sleep(Duration::from_millis(20));
    }
    node.stop();
    // What is done is not told again.
    let before = seen.lock().unwrap().ids.len();
    let node = Node::start(folder.path(), &[]).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(seen.lock().unwrap().ids.len(), before, "{manner:?}");
    node.stop();
}
