//! A transport for tests: each connection is a pipe to a task that plays a server.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex, split};
use tokio_util::task::TaskTracker;

use super::stdio::over_pipe;
use crate::{
    secrets::Secrets,
    transport::{Connection, ConnectionParts, Transport},
};

/// What a server says of itself in the handshake.
const SERVER: &str = r#"{"protocolVersion":"2025-06-18","serverInfo":{"name":"s","version":"1"},
    "capabilities":{"tools":{},"resources":{"subscribe":true},"completions":{}}}"#;

/// The life of a connection to no process: all that the trait says of one by itself.
#[derive(Debug)]
pub(crate) struct Pipe;

#[async_trait]
impl Connection for Pipe {
    fn peer(&self) -> String {
        "a pipe".to_owned()
    }

    async fn close(&mut self, _grace: Duration) {}
}

/// Servers that have one tool, and say which of them they are: by the folder of their session, and a number for each
/// connection.
#[derive(Debug, Default)]
pub(crate) struct MemoryTransport {
    connections: AtomicUsize,
    servers: TaskTracker,
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn connect(&self, folder: &Path) -> io::Result<ConnectionParts> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (ours, theirs) = duplex(1 << 16);
        let (input, output) = split(ours);
        let (messages, sink) = over_pipe(input, output, 1 << 20);
        self.servers.spawn(serve(theirs, format!("{name} {number}")));
        Ok(ConnectionParts { messages, sink, connection: Box::new(Pipe), secrets: Secrets::default() })
    }
}

/// Plays a server until its input ends, or it is told to `die`.
async fn serve(pipe: DuplexStream, name: String) {
    let (input, mut output) = split(pipe);
    let mut lines = BufReader::new(input).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(request) = serde_json::from_str::<Value>(&line) else { return };
        let result = match request["method"].as_str().unwrap_or_default() {
            "initialize" => serde_json::from_str(SERVER).unwrap_or_default(),
            "tools/list" => json!({"tools": [{"name": "who"}, {"name": "echo", "inputSchema": {"type": "object"}}]}),
            "tools/call" => {
                let said = request["params"]["arguments"]["text"].as_str().unwrap_or_default();
                json!({"content": [{"type": "text", "text": format!("Echo: {said}")}]})
            }
            "resources/read" => json!({"contents": [{"text": name}]}),
            "die" => return,
            _ if request["id"].is_null() => continue,
            _ => json!({}),
        };
        let reply = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
        if output.write_all(format!("{reply}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}
