//! What some of the servers look up: one page, one list of indices, and what never answers.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
};

/// Ends with the test's process.
pub(super) struct Web {
    pub(super) url: String,
}

impl Web {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Whoever hangs up has had enough.
                std::thread::spawn(move || answer(stream));
            }
        });
        Self { url }
    }
}

/// Answers one request; one for something slow stays open until the other side has enough.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in &mut lines {
        if line?.is_empty() {
            break;
        }
    }
    if first.contains("slow") {
        // Returns when the other side has hung up.
        lines.next();
        return Ok(());
    }
    let (kind, body) = match first.contains("/_cat/") {
        true => ("application/json", r#"[{"index":"notes","status":"open","docs.count":"1"}]"#),
        false => ("text/plain", "written down"),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
