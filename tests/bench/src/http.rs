//! The least HTTP/1.1 client that a load generator needs: one kept connection, one request at a time.
//!
//! A general client costs more processor time than the servers under test, and would then be what is measured.

use std::io;

use anyhow::{Context, Result, bail, ensure};
use memchr::{memchr, memmem};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::a2a::Endpoint;

/// Room for one read. Most answers fit into it.
const READ_SIZE: usize = 16 << 10;

/// The largest answer that is read: a page of fifty tasks is far below.
const ANSWER_SIZE_MAX: usize = 32 << 20;

/// One kept connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    /// What came, head included.
    raw: Vec<u8>,
    /// How much of `raw` is decoded.
    at: usize,
    body: Vec<u8>,
    framing: Framing,
}

/// What carries it.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    async fn read_buf(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read_buf(into).await,
            Self::Tls(stream) => stream.read_buf(into).await,
        }
    }
}

/// How what is left of the body is framed (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    Done,
}

impl Connection {
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self> {
        let stream = TcpStream::connect(endpoint.address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let stream = match &endpoint.tls {
            None => Stream::Plain(stream),
            Some(believer) => Stream::Tls(Box::new(believer.shake_hands(stream, endpoint.address.ip()).await?)),
        };
        let raw = Vec::with_capacity(READ_SIZE);
        Ok(Self { stream, raw, at: 0, body: Vec::with_capacity(READ_SIZE), framing: Framing::Done })
    }

    /// Sends a whole request and reads the whole answer: its status and body.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        let status = self.begin(request).await?;
        while self.more().await? {}
        Ok((status, &self.body))
    }

    /// Sends a whole request and reads the head of the answer.
    pub(crate) async fn begin(&mut self, request: &[u8]) -> Result<u16> {
        ensure!(self.framing == Framing::Done, "the answer before was not read to its end");
        self.raw.clear();
        self.body.clear();
        self.at = 0;
        self.stream.write_all(request).await.context("sending a request")?;
        loop {
            self.fill().await?;
            if let Some(end) = memmem::find(&self.raw, b"\r\n\r\n") {
                let (status, framing) = head(&self.raw[..end])?;
                self.framing = framing;
                self.at = end + 4;
                self.decode()?;
                return Ok(status);
            }
        }
    }

    /// Waits for more of the body; says whether there was any left.
    pub(crate) async fn more(&mut self) -> Result<bool> {
        if self.framing == Framing::Done {
            ensure!(self.at == self.raw.len(), "the server sent more than its answer");
            return Ok(false);
        }
        self.fill().await?;
        self.decode()?;
        Ok(true)
    }

    /// What of the body has come so far.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    async fn fill(&mut self) -> Result<()> {
        self.raw.reserve(READ_SIZE);
        let count = self.stream.read_buf(&mut self.raw).await.context("reading an answer")?;
        ensure!(count > 0, "the server closed the connection in mid-answer");
        ensure!(self.raw.len() <= ANSWER_SIZE_MAX, "an answer is larger than {ANSWER_SIZE_MAX} bytes");
        Ok(())
    }

    fn decode(&mut self) -> Result<()> {
        loop {
            let rest = &self.raw[self.at..];
            match self.framing {
                Framing::Done => return Ok(()),
                Framing::Length(left) | Framing::Chunk(left) => {
                    let count = left.min(rest.len());
                    self.body.extend_from_slice(&rest[..count]);
                    self.at += count;
                    let is_chunk = matches!(self.framing, Framing::Chunk(_));
                    self.framing = match (left - count, is_chunk) {
                        (0, true) => Framing::ChunkEnd,
                        (0, false) => Framing::Done,
                        (left, true) => Framing::Chunk(left),
                        (left, false) => Framing::Length(left),
                    };
                    if count < left {
                        return Ok(());
                    }
                }
                Framing::ChunkEnd => {
                    if rest.len() < 2 {
                        return Ok(());
                    }
                    self.at += 2;
                    self.framing = Framing::ChunkSize;
                }
                Framing::ChunkSize | Framing::Trailer => {
                    let Some(end) = memchr(b'\n', rest) else { return Ok(()) };
                    let line = rest[..end].trim_ascii_end();
                    self.framing = match (self.framing, line) {
                        (Framing::Trailer, []) => Framing::Done,
                        (Framing::Trailer, _) => Framing::Trailer,
                        (_, line) => match chunk_size(line)? {
                            0 => Framing::Trailer,
                            size => Framing::Chunk(size),
                        },
                    };
                    self.at += end + 1;
                }
            }
        }
    }
}

fn chunk_size(line: &[u8]) -> Result<usize> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits).unwrap_or_default().trim();
    usize::from_str_radix(digits, 16).with_context(|| format!("reading a chunk's size from {digits:?}"))
}

fn head(head: &[u8]) -> Result<(u16, Framing)> {
    let text = std::str::from_utf8(head).context("reading an answer's head")?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let Some(status) = status_line.get(9..12).and_then(|code| code.parse::<u16>().ok()) else {
        bail!("no status in {status_line:?}")
    };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            return Ok((status, Framing::Length(value.parse()?)));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            return Ok((status, Framing::ChunkSize));
        }
    }
    bail!("an answer has neither a length nor chunks: {text:?}")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::a2a::{Dialect, Shown};

    /// Serves `answer` in pieces of every size to one request, and reads it.
    async fn check(answer: &str, expected: Result<(u16, &str), &str>) {
        for piece in [1, 2, 3, 7, answer.len()] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = Endpoint {
                address: listener.local_addr().unwrap(),
                path: "/".to_owned(),
                dialect: Dialect::default(),
                shown: Shown::Nothing,
                tls: None,
            };
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut request = [0; 4];
                stream.read_exact(&mut request).await.unwrap();
                for part in answer.as_bytes().chunks(piece) {
                    stream.write_all(part).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let read = async {
                let mut connection = Connection::open(&endpoint).await.unwrap();
                match connection.exchange(b"ping").await {
                    Ok((status, body)) => Ok((status, String::from_utf8(body.to_vec()).unwrap())),
                    Err(error) => Err(format!("{error:#}")),
                }
            };
            let ((), got) = tokio::join!(serve, read);
            let expected = expected.map(|(status, body)| (status, body.to_owned())).map_err(str::to_owned);
            assert_eq!(got, expected, "in pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn answers_are_read_however_they_are_framed_and_cut() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok((200, "hello"))).await;
        check("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Ok((404, ""))).await;
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n",
            Ok((200, "hello!")),
        )
        .await;
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\na\r\n0123456789\r\n0\r\nx: y\r\n\r\n",
            Ok((200, "0123456789")),
        )
        .await;
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            Err("the server closed the connection in mid-answer"),
        )
        .await;
    }
}
