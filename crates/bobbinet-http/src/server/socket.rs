//! A connection's bytes, with deadlines: a request's headers, an idle connection and a reader that takes nothing all end.
//!
//! hyper's own header timer starts when the previous response has gone out, so it cannot tell an idle connection from a
//! request that drips in, and it has none for writing. Here one lazy timer serves all three: a request that arrives whole
//! costs no timer at all.
//!
//! A caller that has sent its last byte (`shutdown(SHUT_WR)`, as `nc -N` does) still gets its answer: the end of what it sends
//! is kept from hyper, which takes it for the end of the connection, for as long as the answer is being made.

use std::{
    future::poll_fn,
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
    time::{Instant, Sleep, sleep_until},
};

use super::{heads::Heads, transport::Transport};
use crate::HttpLimits;

/// How a connection begins that speaks HTTP/2 with prior knowledge (RFC 9113 section 3.4). No method of HTTP/1 begins so.
const PREFACE_START: [u8; 3] = *b"PRI";

/// How many times the largest body is read and thrown away after a refusal, so that the sender gets to read the answer
/// instead of a reset connection.
const DISCARD_FACTOR: u64 = 8;

/// What a connection is doing, shared between its bytes and its requests.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests that are not answered to their last byte.
    requests: AtomicUsize,
    /// Whether a request has come in since the socket last looked.
    begun: AtomicBool,
    /// Heads that the socket has looked at and that have become no request yet.
    heads: AtomicUsize,
}

impl Activity {
    /// Whether the head of the request that begins was looked at. One that was sent behind a body of unknown length, without
    /// waiting for the answer, was not.
    pub(super) fn take_head(&self) -> bool {
        self.heads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |heads| heads.checked_sub(1)).is_ok()
    }
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

/// A connection that fails with `TimedOut` when its peer takes too long.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Transport,
    activity: Arc<Activity>,
    heads: Heads,
    /// What was read to find out which protocol it is.
    first: [u8; PREFACE_START.len()],
    first_length: usize,
    header_read: Duration,
    idle: Duration,
    send_stall: Duration,
    half_close: Duration,
    linger: Duration,
    /// Bytes that are still thrown away before a connection is closed in its sender's face.
    discard_left: u64,
    /// When the peer must have sent something; `None` while it is not its turn.
    read_by: Option<Instant>,
    /// Whether `read_by` is that of headers that have begun to come in.
    in_headers: bool,
    /// When the peer must have taken something; `None` while nothing is stuck.
    write_by: Option<Instant>,
    /// The same where it is TLS that holds what was written, and must get rid of it.
    flush_by: Option<Instant>,
    /// When a connection whose peer has sent its last byte, or was told its last, ends.
    end_by: Option<Instant>,
    is_shut: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// Takes over a connection that was just accepted. Its first request must come as fast as any request's headers.
    pub(super) fn new(stream: Transport, limits: &HttpLimits) -> (Self, Arc<Activity>) {
        let activity = Arc::new(Activity::default());
        let socket = Self {
            stream,
            activity: activity.clone(),
            heads: Heads::new(),
            first: [0; PREFACE_START.len()],
            first_length: 0,
            header_read: limits.header_read(),
            idle: limits.idle(),
            send_stall: limits.send_stall(),
            half_close: limits.half_close(),
            linger: limits.linger(),
            discard_left: limits.body_max as u64 * DISCARD_FACTOR,
            read_by: Some(Instant::now() + limits.header_read()),
            in_headers: true,
            write_by: None,
            flush_by: None,
            end_by: None,
            is_shut: false,
            timer: None,
        };
        (socket, activity)
    }

    /// Whether the peer speaks HTTP/2, by the first bytes that it sends. They are kept for the one who reads next.
    pub(super) async fn is_http2(&mut self) -> io::Result<bool> {
        poll_fn(|cx| self.poll_is_http2(cx)).await
    }

    fn poll_is_http2(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let length = self.first_length;
            if self.first[..length] != PREFACE_START[..length] {
                return Poll::Ready(Ok(false));
            }
            if length == PREFACE_START.len() {
                self.heads.leave();
                return Poll::Ready(Ok(true));
            }
            let mut buf = ReadBuf::new(&mut self.first[length..]);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Poll::Ready(Ok(false)),
                Poll::Ready(Ok(())) => self.first_length += buf.filled().len(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    ready!(self.poll_deadline(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
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
    fn received(&mut self, bytes: &mut [u8]) {
        // HTTP/2 has frames that are no request's: they do not make an idle connection a busy one.
        if self.heads.has_left() {
            return;
        }
        if self.is_idle() {
            self.heads.rest();
            if !self.in_headers {
                self.in_headers = true;
                self.read_by = Some(Instant::now() + self.header_read);
            }
        }
        let heads = self.heads.pass(bytes);
        if heads > 0 {
            self.activity.heads.fetch_add(heads, Ordering::Relaxed);
        }
    }

    /// The peer has sent its last byte. Ready when that is the end of the connection: at once, unless a whole request is being
    /// answered; then when there has been nothing to write for a while, for the peer may be gone altogether.
    fn poll_last_word(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_over = self.heads.has_left() || self.heads.is_in_body() || self.is_idle();
        if is_over {
            return Poll::Ready(());
        }
        self.end_by.get_or_insert_with(|| Instant::now() + self.half_close);
        self.poll_deadline(cx)
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
        let deadlines = [self.read_by, self.write_by, self.flush_by, self.end_by];
        let Some(earliest) = deadlines.into_iter().flatten().min() else { return Poll::Pending };
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
            // Whoever is gone answers the first bytes with a reset, which the next ones meet.
            if self.end_by.is_some() {
                self.end_by = Some(Instant::now() + self.half_close);
            }
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
        if this.end_by.is_some() {
            return this.poll_last_word(cx).map(Ok);
        }
        let before = buf.filled().len();
        buf.put_slice(&this.first[..this.first_length]);
        this.first_length = 0;
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = polled {
            return Poll::Ready(Err(error));
        }
        let bytes = &mut buf.filled_mut()[before..];
        if !bytes.is_empty() {
            this.received(bytes);
            return Poll::Ready(Ok(()));
        }
        if polled.is_ready() {
            return this.poll_last_word(cx).map(Ok);
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
        match Pin::new(&mut this.stream).poll_flush(cx) {
            Poll::Ready(result) => {
                this.flush_by = None;
                result?;
            }
            Poll::Pending => {
                this.flush_by.get_or_insert_with(|| Instant::now() + this.send_stall);
                ready!(this.poll_deadline(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        // An answer ends with this, and hyper does not look for the next request again before something comes: so the
        // idle time begins here; or, if the end of what it sends has come, the connection's end.
        this.starved();
        if this.end_by.is_some() && this.is_idle() {
            cx.waker().wake_by_ref();
        }
        match this.poll_deadline(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    /// Says that nothing more is written, and, where the peer is still sending, throws away what comes, within bounds: a
    /// connection that is closed before its bytes are read is reset, and takes the answer with it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_shut {
            match Pin::new(&mut this.stream).poll_shutdown(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    this.flush_by.get_or_insert_with(|| Instant::now() + this.send_stall);
                    ready!(this.poll_deadline(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            this.is_shut = true;
            (this.read_by, this.write_by, this.flush_by) = (None, None, None);
            this.end_by = Some(Instant::now() + this.linger);
        }
        let mut bytes = [0; 4 << 10];
        while this.heads.is_within() && this.discard_left > 0 {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    this.discard_left = this.discard_left.saturating_sub(buf.filled().len() as u64);
                    this.heads.pass(buf.filled_mut());
                }
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(this.poll_deadline(cx));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
