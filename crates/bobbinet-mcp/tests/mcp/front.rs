//! What stands before a server and answers calls in bytes that no HTTP library would write. Everything else comes to the server.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bobbinet_mcp::{McpConfig, ServerAddress};
use reqwest::Url;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::web::Web;

/// Bytes of one request.
const REQUEST_MAX: usize = 64 << 10;

/// How calls are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// With these, and then the connection ends.
    Once(&'static str),
    /// With these, and then with nothing, for ever.
    Hang(&'static str),
    /// With the first, and then the second over and over.
    Repeat(&'static str, &'static str),
    /// By the server, as all else.
    Through,
}

/// For as long as this lives.
pub(crate) struct Front {
    url: Url,
    behind: String,
    bytes: Bytes,
    listening: JoinSet<()>,
    /// What has come in.
    connections: Connections,
}

/// Some of them outlive the listener.
type Connections = Arc<Mutex<JoinSet<()>>>;

impl Front {
    pub(crate) async fn open(web: &Web, bytes: Bytes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let behind = web.url.strip_prefix("http://").unwrap().to_owned();
        let mut front = Self { url, behind, bytes, listening: JoinSet::new(), connections: Connections::default() };
        front.listen(listener);
        front
    }

    fn listen(&mut self, listener: TcpListener) {
        let (behind, bytes, connections) = (self.behind.clone(), self.bytes, self.connections.clone());
        self.listening.spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                connections.lock().unwrap().spawn(serve(connection, behind.clone(), bytes));
            }
        });
    }

    /// From now on nobody gets in. Who is in stays.
    pub(crate) async fn shut(&mut self) {
        self.listening.shutdown().await;
    }

    pub(crate) async fn open_again(&mut self) {
        let address = format!("127.0.0.1:{}", self.url.port().unwrap());
        self.listen(TcpListener::bind(address).await.unwrap());
    }

    /// Has an agent reach its server through this.
    pub(crate) fn reach(&self, web: &Web, config: &mut McpConfig) {
        web.reach(config);
        if let ServerAddress::Url(server) = &mut config.server {
            let mode = if self.bytes == Bytes::Through { config.name.as_str() } else { "plain" };
            server.url = self.url.join(mode).unwrap();
        }
    }
}

async fn serve(mut connection: TcpStream, behind: String, bytes: Bytes) {
    let Some(request) = request(&mut connection).await else { return };
    if bytes != Bytes::Through && request.contains("tools/call") {
        let (first, more) = match bytes {
            Bytes::Once(text) => (text, None),
            Bytes::Hang(text) => (text, Some("")),
            Bytes::Repeat(first, text) => (first, Some(text)),
            Bytes::Through => ("", None),
        };
        let mut is_heard = connection.write_all(first.as_bytes()).await.is_ok();
        while let Some(text) = more.filter(|_| is_heard) {
            is_heard = connection.write_all(text.as_bytes()).await.is_ok();
            if text.is_empty() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        return;
    }
    let request = request.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1);
    let mut server = TcpStream::connect(behind).await.unwrap();
    server.write_all(request.as_bytes()).await.unwrap();
    let _ = copy(&mut server, &mut connection).await;
}

/// One request, with its body.
async fn request(connection: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4 << 10];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        let read = connection.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        assert!(text.len() < REQUEST_MAX, "no request of ours is so long");
    }
}
