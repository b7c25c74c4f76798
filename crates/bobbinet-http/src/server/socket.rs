//! A connection's bytes, with deadlines: a request's headers, an idle connection and a reader that takes nothing all end.
//!
//! hyper's own header timer starts when the previous response has gone out, so it cannot tell an idle connection from a
//! request that drips in, and it has none for writing. Here one lazy timer serves all three: a request that arrives whole
//! costs no timer at all.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use crate::HttpLimits;

/// What a connection is doing, shared between its bytes and its requests.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests that are not answered to their last byte.
    requests: AtomicUsize,
    /// Whether a request has come in since the socket last looked.
    begun: AtomicBool,
}

/// A request of a connection: the connection is not idle while one of these lives.
#[derive(Debug)]
pub(super) struct InRequest(Arc<Activity>);

impl InRequest {
    /// A request's headers have come.
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.begun.store(true, Ordering::Relaxed);
        Self(activity.clone())
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A TCP connection that fails with `TimedOut` when its peer takes too long.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    header_read: Duration,
    idle: Duration,
    send_stall: Duration,
    /// When the peer must have sent something; `None` while it is not its turn.
    read_by: Option<Instant>,
    /// Whether `read_by` is that of headers that have begun to come in.
    in_headers: bool,
    /// When the peer must have taken something; `None` while nothing is stuck.
    write_by: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// Takes over a connection that was just accepted. Its first request must come as fast as any request's headers.
    pub(super) fn new(stream: TcpStream, limits: &HttpLimits) -> (Self, Arc<Activity>) {
        let activity = Arc::new(Activity::default());
        let socket = Self {
            stream,
            activity: activity.clone(),
            header_read: limits.header_read(),
            idle: limits.idle(),
            send_stall: limits.send_stall(),
            read_by: Some(Instant::now() + limits.header_read()),
            in_headers: true,
            write_by: None,
            timer: None,
        };
        (socket, activity)
    }

    /// Whether no request is at work; a request that came in since the last look ends the wait for its headers.
    fn is_idle(&mut self) -> bool {
        if self.activity.begun.swap(false, Ordering::Relaxed) {
            self.in_headers = false;
            self.read_by = None;
        }
        self.activity.requests.load(Ordering::Relaxed) == 0
    }

    /// Bytes came in: if no request is at work, they are the next one's headers, and their time runs.
    fn received(&mut self) {
        if self.is_idle() && !self.in_headers {
            self.in_headers = true;
            self.read_by = Some(Instant::now() + self.header_read);
        }
    }

    /// There is nothing to read, or nothing more to write: sets the time until which there must be something to read.
    fn starved(&mut self) {
        if !self.is_idle() {
            // The body of a request at work has a limit of its own, and a wait has none.
            self.read_by = None;
        } else if self.read_by.is_none() {
            self.read_by = Some(Instant::now() + self.idle);
        }
    }

    /// Ready when a deadline has passed. The timer is set anew only when a deadline is earlier than it, or when it fires.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let earliest = match (self.read_by, self.write_by) {
            (Some(read), Some(write)) => read.min(write),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Poll::Pending,
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(earliest)));
        if earliest < timer.deadline() {
            timer.as_mut().reset(earliest);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if earliest <= timer.deadline() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(earliest);
        }
    }

    fn written(&mut self, result: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.write_by = None;
            return result;
        }
        self.write_by.get_or_insert_with(|| Instant::now() + self.send_stall);
        ready!(self.poll_deadline(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            this.received();
            return Poll::Ready(result);
        }
        this.starved();
        ready!(this.poll_deadline(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written(result, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        // An answer ends with this, and hyper does not look for the next request again before something comes: so the
        // idle time begins here.
        this.starved();
        match this.poll_deadline(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
