//! What stands before a server and answers calls in bytes that no HTTP library would write. Everything else comes to the server.

use std::time::Duration;

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
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bytes {
    /// With these, and then the connection ends.
    Once(&'static str),
    /// With these, and then with nothing, for ever.
    Hang(&'static str),
    /// With the first, and then the second over and over.
    Repeat(&'static str, &'static str),
}

/// For as long as this lives.
pub(crate) struct Front {
    url: Url,
    _serving: JoinSet<()>,
}

impl Front {
    pub(crate) async fn open(web: &Web, bytes: Bytes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let behind = web.url.strip_prefix("http://").unwrap().to_owned();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                connections.spawn(serve(connection, behind.clone(), bytes));
            }
        });
        Self { url, _serving: serving }
    }

    /// Has an agent reach its server through this.
    pub(crate) fn reach(&self, web: &Web, config: &mut McpConfig) {
        web.reach(config);
        if let ServerAddress::Url(server) = &mut config.server {
            server.url = self.url.join("plain").unwrap();
        }
    }
}

async fn serve(mut connection: TcpStream, behind: String, bytes: Bytes) {
    let Some(request) = request(&mut connection).await else { return };
    if request.contains("tools/call") {
        let (first, more) = match bytes {
            Bytes::Once(text) => (text, None),
            Bytes::Hang(text) => (text, Some("")),
            Bytes::Repeat(first, text) => (first, Some(text)),
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
