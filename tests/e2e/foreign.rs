//! The command line at an agent that is none of ours, and not at its best.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

use crate::node::bobbinet;

/// An agent whose streams break after their first event, and that streams no task a second time.
struct Foreign {
    url: String,
    /// How often it was asked how the task stands.
    looks: Arc<AtomicUsize>,
}

/// How often the task is looked at before it is found completed.
const LOOKS: usize = 3;

impl Foreign {
    fn start(streaming: Option<bool>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let looks = Arc::new(AtomicUsize::new(0));
        let (served, at) = (looks.clone(), url.clone());
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(stream, &at, streaming, &served);
            }
        });
        Self { url, looks }
    }
}

fn serve(mut stream: TcpStream, url: &str, streaming: Option<bool>, looks: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut length) = (String::new(), 0);
    let mut is_get = None;
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        is_get.get_or_insert(line.starts_with("GET"));
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (kind, answer) = match is_get {
        Some(true) => ("application/json", card(url, streaming).to_string()),
        Some(false) => answer(&serde_json::from_slice(&body).unwrap(), looks),
        None => return,
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    // Whoever has gone does not read the answer.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes()));
}

fn card(url: &str, streaming: Option<bool>) -> Value {
    json!({
        "name": "foreign",
        "description": "Breaks its streams.",
        "version": "1",
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "capabilities": {"streaming": streaming},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "echo", "name": "echo", "description": "Says it back.", "tags": ["echo"]}],
    })
}

fn answer(request: &Value, looks: &AtomicUsize) -> (&'static str, String) {
    let task = |state: &str| json!({"id": "t-1", "contextId": "c-1", "status": {"state": state}});
    let result = |result: Value| json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string();
    match request["method"].as_str().unwrap() {
        "SendStreamingMessage" => {
            let event = result(json!({"task": task("TASK_STATE_WORKING")}));
            ("text/event-stream", format!("data: {event}\n\n"))
        }
        "SendMessage" => ("application/json", result(json!({"task": task("TASK_STATE_SUBMITTED")}))),
        "GetTask" => {
            let is_over = looks.fetch_add(1, Ordering::Relaxed) >= LOOKS;
            let state = if is_over { "TASK_STATE_COMPLETED" } else { "TASK_STATE_WORKING" };
            ("application/json", result(task(state)))
        }
        _ => {
            let error = json!({"code": -32004, "message": "This operation is not supported"});
            ("application/json", json!({"jsonrpc": "2.0", "id": request["id"], "error": error}).to_string())
        }
    }
}

#[test]
fn a_wait_goes_on_without_the_stream() {
    let agent = Foreign::start(Some(true));
    let folder = tempfile::tempdir().unwrap();
    let mut command = bobbinet(folder.path());
    command.args(["send", "-a", &agent.url, "hello", "--poll-interval", "50ms", "-o", "json"]);
    let output = command.env("HOME", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    assert!(agent.looks.load(Ordering::Relaxed) > LOOKS, "{said}");
}

#[test]
fn whoever_follows_a_stream_that_breaks_sees_the_end_all_the_same() {
    let agent = Foreign::start(Some(true));
    let (code, told, said) = ran(&agent, &["send", "hello", "--stream"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(states(&told), ["TASK_STATE_WORKING", "TASK_STATE_WORKING", "TASK_STATE_COMPLETED"], "{said}");
    assert!(said.contains("the stream has failed"), "{said}");
}

#[test]
fn an_agent_that_does_not_stream_is_looked_at() {
    for streaming in [Some(false), None] {
        let agent = Foreign::start(streaming);
        let (code, told, said) = ran(&agent, &["send", "hello", "--stream"]);
        assert_eq!((code, states(&told).last().copied()), (Some(0), Some("TASK_STATE_COMPLETED")), "{said}");
        assert!(said.contains("the agent does not stream"), "{said}");
        let agent = Foreign::start(streaming);
        let (code, told, said) = ran(&agent, &["task", "subscribe", "t-1", "--stream"]);
        assert_eq!((code, states(&told).last().copied()), (Some(0), Some("TASK_STATE_COMPLETED")), "{said}");
        let agent = Foreign::start(streaming);
        let (code, told, said) = ran(&agent, &["task", "subscribe", "t-1"]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(told[0]["status"]["state"], "TASK_STATE_COMPLETED");
    }
}

#[test]
fn a_task_that_has_ended_is_shown_to_whoever_follows_it() {
    let agent = Foreign::start(Some(true));
    agent.looks.store(LOOKS, Ordering::Relaxed);
    let (code, told, said) = ran(&agent, &["task", "subscribe", "t-1"]);
    assert_eq!((code, &told[0]["status"]["state"]), (Some(0), &json!("TASK_STATE_COMPLETED")), "{said}");
}

#[test]
fn a_card_of_an_older_a2a_is_shown_and_called_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let card = json!({
        "name": "old", "description": "Older.", "version": "1", "protocolVersion": "0.3.0",
        "url": "http://127.0.0.1:1/", "preferredTransport": "JSONRPC", "capabilities": {}, "skills": [],
        "defaultInputModes": ["text"], "defaultOutputModes": ["text"],
    });
    std::fs::write(folder.path().join("card.json"), card.to_string()).unwrap();
    let run = |arguments: &[&str]| {
        let output = bobbinet(folder.path()).args(arguments).env("HOME", folder.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, shown, said) = run(&["card", "get", "./card.json"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(shown.contains("Interface: http://127.0.0.1:1/ (JSONRPC 0.3.0)\n"), "{shown}");
    // It is spoken here, but nobody is there.
    let (code, _, said) = run(&["send", "-a", "./card.json", "hello"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("calling http://127.0.0.1:1/"), "{said}");
}

/// What a command at this agent ends with, the documents that it prints, and what it says.
fn ran(agent: &Foreign, arguments: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = bobbinet(folder.path());
    command.args(arguments).args(["-a", &agent.url, "--poll-interval", "50ms", "-o", "json"]);
    let output = command.env("HOME", folder.path()).output().unwrap();
    let documents = String::from_utf8(output.stdout).unwrap();
    let documents = documents.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code(), documents, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn states(documents: &[Value]) -> Vec<&str> {
    documents.iter().filter_map(|document| document["task"]["status"]["state"].as_str()).collect()
}
