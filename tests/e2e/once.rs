//! The command line and an agent made with the official Python SDK, over connections that break when the work is done: nothing is
//! sent a second time, and the caller is told how to look.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::node::{Started, bobbinet, repository, tools};

/// The agent, and what stands in between: it takes requests on, and hangs up when the answer to one that is not a look comes.
struct Teller {
    _process: Started,
    url: String,
    ledger: PathBuf,
}

impl Teller {
    fn start(folder: &Path, streams: &[&str]) -> Self {
        let between = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", between.local_addr().unwrap());
        let ledger = folder.join("ledger");
        let mut child = Command::new(tools().join("python/bin/python"))
            .arg(repository("tests/python/teller.py"))
            .args([&url, ledger.to_str().unwrap()])
            .args(streams)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().expect("the agent says where it listens: cargo xtask tools");
        // Ends with the test's process.
        std::thread::spawn(move || {
            for near in between.incoming().map_while(Result::ok) {
                // Whoever hangs up in between is what this is about.
                let _ = pass(near, port);
            }
        });
        Self { _process: Started(child), url, ledger }
    }

    /// How often money was moved.
    fn transfers(&self) -> usize {
        std::fs::read_to_string(&self.ledger).unwrap_or_default().lines().count()
    }
}

/// One request to the agent. The answer comes back only if it is a look: of a card, a task, a list.
fn pass(mut near: TcpStream, port: u16) -> std::io::Result<()> {
    let mut reader = BufReader::new(near.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut far = TcpStream::connect(("127.0.0.1", port))?;
    far.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    far.write_all(&body)?;
    let mut answer = Vec::new();
    far.read_to_end(&mut answer)?;
    let is_look =
        body.is_empty() || ["GetTask", "ListTasks"].iter().any(|it| String::from_utf8_lossy(&body).contains(it));
    if is_look { near.write_all(&answer) } else { Ok(()) }
}

fn ran(folder: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = bobbinet(folder);
    let output = command.args(arguments).args(["-o", "json"]).env("HOME", folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")))
}

fn check(streams: &[&str], flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let agent = Teller::start(folder.path(), streams);
    let send = [&["send", "-a", &agent.url, "pay 100"], flags].concat();
    let (code, failure) = ran(folder.path(), &send);
    assert_eq!((code, agent.transfers()), (Some(76), 1), "{failure:#}");
    assert_eq!(failure["error"]["code"], "BOBBINET_ERR_OUTCOME_UNKNOWN");
    assert!(failure["error"]["message"].as_str().unwrap().starts_with("the outcome is unknown"), "{failure:#}");
    // The hint is what to type, and it shows what was done.
    let hint = failure["error"]["hint"].as_str().unwrap();
    let typed = hint.split_once("bobbinet ").expect("a command to look with").1;
    let (code, page) = ran(folder.path(), &typed.split(' ').collect::<Vec<_>>());
    assert_eq!((code, page["tasks"].as_array().map(Vec::len)), (Some(0), Some(1)), "{hint}: {page:#}");
    assert_eq!(page["tasks"][0]["status"]["state"], "TASK_STATE_COMPLETED");
}

#[test]
fn a_foreign_agents_work_is_not_done_twice() {
    check(&[], &[]);
    check(&[], &["--async"]);
    check(&["streams"], &[]);
    check(&["streams"], &["--stream", "--idempotency-key", "k"]);
}
