//! The command line at an agent that means it ill: whatever it says is shown, and nothing of it is obeyed.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

use serde_json::{Value, json};

use crate::node::bobbinet;

/// Characters that a terminal obeys, or that a person does not see or reads in another order.
const UNFIT: [char; 8] = ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\u{200b}', '\u{2028}', '\u{e0041}', '\u{7f}'];

/// An agent that says them wherever it may say a word.
fn evil(listener: &TcpListener) {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let evil: String = UNFIT.iter().collect();
    let id = format!("t'; touch evil; '{evil}");
    let message = json!({"messageId": "m", "role": "ROLE_AGENT", "parts": [
        {"text": format!("{evil}\nsecond{evil}")},
        {"data": {"missing": [format!("a'; touch evil; '{evil}")], evil.as_str(): evil}},
        {"url": evil, "filename": evil, "mediaType": evil},
        {"raw": "c2F2ZWQ=", "filename": format!("../../{evil}evil.txt"), "mediaType": "text/plain"},
    ]});
    let task = |state: &str| {
        json!({
            "id": id, "contextId": evil, "status": {"state": state, "message": message}, "history": [message],
            "artifacts": [
                {"artifactId": "\u{202e}\u{e0041}a\u{200b}", "name": evil, "parts": message["parts"]},
                {"artifactId": "large", "parts": [{"url": format!("{url}/tasks/t/blobs/h"), "filename": format!("{evil}large.json")}]},
            ],
            "metadata": {"progress": {"value": 1}, evil.as_str(): evil},
        })
    };
    let skill = json!({"id": evil, "name": evil, "description": evil, "tags": [evil], "examples": [evil]});
    let card = json!({
        "name": evil, "description": evil, "version": evil,
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "capabilities": {"streaming": true}, "defaultInputModes": [evil], "defaultOutputModes": [evil],
        "skills": [skill], "securitySchemes": {evil.as_str(): {"httpAuthSecurityScheme": {"scheme": "bearer"}}},
    });
    for mut stream in listener.incoming().map_while(Result::ok) {
        let Some(body) = request(&stream) else { continue };
        let Some(request) = body else {
            respond(&mut stream, "application/json", &card.to_string());
            continue;
        };
        let answer = |result: Value| json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string();
        let error = json!({"code": -32001, "message": evil, "data": [{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": evil, "domain": "a2a-protocol.org",
            "metadata": {"hint": evil},
        }]});
        match request["method"].as_str().unwrap() {
            "SendStreamingMessage" => {
                let event = answer(json!({"task": task("TASK_STATE_INPUT_REQUIRED")}));
                respond(&mut stream, "text/event-stream", &format!("data: {event}\n\n"));
            }
            "GetTask" if request["params"]["id"] == "failed" => {
                respond(&mut stream, "application/json", &answer(task("TASK_STATE_FAILED")));
            }
            "GetTask" => respond(&mut stream, "application/json", &answer(task("TASK_STATE_INPUT_REQUIRED"))),
            "ListTasks" => {
                let page =
                    json!({"tasks": [task("TASK_STATE_WORKING")], "nextPageToken": id, "totalSize": 2, "pageSize": 1});
                respond(&mut stream, "application/json", &answer(page));
            }
            _ => {
                let refused = json!({"jsonrpc": "2.0", "id": request["id"], "error": error}).to_string();
                respond(&mut stream, "application/json", &refused);
            }
        }
    }
}

#[test]
fn an_agent_controls_no_terminal_and_writes_no_command() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Ends with the test's process.
    std::thread::spawn(move || evil(&listener));
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = bobbinet(folder.path());
        let output = command.args(arguments).args(["-a", &url]).env("HOME", folder.path()).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(!said.is_empty() && !said.contains(UNFIT), "{arguments:?}: {said:?}");
        said
    };
    for command in [
        &["card", "get"][..],
        &["send", "hello"],
        &["send", "hello", "--stream"],
        &["task", "get", "t"],
        &["task", "get", "failed"],
        &["task", "list"],
        &["task", "subscribe", "t"],
        &["task", "cancel", "t"],
        &["call", "x"],
    ] {
        for flags in [&[][..], &["--verbose"], &["-o", "json"], &["--debug"]] {
            run(&[command, flags].concat());
        }
    }
    // Its files go where they are told to, whatever they are called.
    let saved = run(&["task", "get", "failed", "--save", "out/files"]);
    let mut files: Vec<_> = std::fs::read_dir(folder.path().join("out/files")).unwrap().map(Result::unwrap).collect();
    files.sort_by_key(|file| file.file_name());
    assert_eq!(files.len(), 2, "what is inline, and what the agent has kept beside: {saved}");
    for (file, end) in files.iter().zip(["evil.txt", "large.json"]) {
        let name = file.file_name().into_string().unwrap();
        assert!(name.ends_with(end) && !name.contains(UNFIT), "{name:?}");
    }
    assert!(std::fs::read(files[1].path()).unwrap().starts_with(b"{"), "it is fetched");
    assert_eq!(std::fs::read(files[0].path()).unwrap(), b"saved");
    // What is advised is what is meant, in a shell too: nobody's words become a command.
    for command in [&["send", "hello"][..], &["task", "list"]] {
        let said = run(command);
        let hint = said.lines().rev().find_map(|line| line.strip_prefix("hint: ")).unwrap();
        let Some(begin) = hint.find("bobbinet ") else { panic!("{command:?}: {said}") };
        let advised = &hint[begin..];
        let script = format!("bobbinet() {{ printf '%s\\n' \"$@\"; }}\n{advised}\n");
        let ran = std::process::Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        let words = String::from_utf8(ran.stdout).unwrap();
        assert!(ran.status.success() && words.contains("t'; touch evil; '"), "{advised:?}: {words}");
        assert!(!folder.path().join("evil").exists(), "{advised:?}");
    }
}

/// What is asked for: a call, or with `None` the card. Nothing if nobody asks.
#[expect(clippy::option_option, reason = "a connection without a request, and a request without a body")]
fn request(stream: &TcpStream) -> Option<Option<Value>> {
    let mut reader = BufReader::new(stream);
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
    Some(if is_get? { None } else { Some(serde_json::from_slice(&body).unwrap()) })
}

fn respond(stream: &mut TcpStream, kind: &str, answer: &str) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    // Whoever has gone does not read the answer.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes()));
}
