//! What a connection's bytes go over: TCP as it is, or TLS on it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use super::tls::{Guest, Shown, Tls};

/// How a TLS connection begins (RFC 8446 section 5.1). No request of HTTP does.
const HANDSHAKE: u8 = 22;

/// The answer to a request that was not meant for TLS. Nothing of it was read.
const PLAIN_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\
    Content-Length: 45\r\n\r\nthis port speaks https, and that was no TLS.\n";

/// A connection, whatever it is.
#[derive(Debug)]
pub(super) enum Transport {
    /// As it was accepted.
    Plain(TcpStream),
    /// With TLS on it.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Makes a connection what requests come over: at once if there is no TLS; else when both sides have agreed, which may take so long.
pub(super) async fn begin(
    tls: Option<&Tls>,
    mut stream: TcpStream,
    handshake: Duration,
    guest: Guest,
) -> io::Result<(Transport, Option<Arc<Shown>>)> {
    let Some(tls) = tls else { return Ok((Transport::Plain(stream), None)) };
    let agreed = timeout(handshake, async {
        let mut first = [0];
        if stream.peek(&mut first).await? > 0 && first != [HANDSHAKE] {
            stream.write_all(PLAIN_ANSWER).await?;
            stream.shutdown().await?;
            // Closed before it is read, what was sent would take the answer with it.
            stream.try_read(&mut [0; 4 << 10]).ok();
            return Err(io::Error::other("the caller does not speak TLS"));
        }
        let current = tls.current();
        let stream = current.acceptor(guest).accept(stream).await?;
        let shown = current.shown(stream.get_ref().1).map(Arc::new);
        Ok((stream, shown))
    });
    let (stream, shown) = agreed.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok((Transport::Tls(Box::new(stream)), shown))
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
