//! Receivers of webhooks: they take what they are sent, look whether it comes in order, and when.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, ensure};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

use crate::{a2a::cut, events::Streamed};

/// The largest request that is taken.
const REQUEST_SIZE_MAX: usize = 1 << 20;

/// Notifications of a task of `echo`: submitted, working, an artifact and the end.
const NOTIFICATIONS: u64 = 4;

/// Receivers that run as long as this lives.
#[derive(Debug)]
pub(crate) struct Receivers {
    /// Where each of them is.
    pub(crate) origins: Vec<String>,
    pub(crate) board: Arc<Board>,
    _served: JoinSet<()>,
}

/// What is expected, by the token that comes with it.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<String, Expected>>);

#[derive(Debug)]
struct Expected {
    seen: u64,
    told: oneshot::Sender<Result<Streamed>>,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
struct Notification<'a> {
    /// The task and the number of the event.
    id: &'a str,
    token: &'a str,
    body: &'a [u8],
}

impl Receivers {
    pub(crate) async fn serve(count: usize) -> Result<Self> {
        let board = Arc::new(Board::default());
        let (mut served, mut origins) = (JoinSet::new(), Vec::new());
        for _ in 0..count {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.context("binding a port")?;
            origins.push(format!("http://{}", listener.local_addr()?));
            served.spawn(accept(listener, board.clone()));
        }
        Ok(Self { origins, board, _served: served })
    }
}

impl Board {
    /// Tells `told` of the end of the task whose notifications have this token: how late it arrived, and as which.
    pub(crate) fn expect(&self, token: &str, told: oneshot::Sender<Result<Streamed>>) {
        self.lock().insert(token.to_owned(), Expected { seen: 0, told });
    }

    pub(crate) fn forget(&self, token: &str) {
        self.lock().remove(token);
    }

    fn note(&self, notification: &Notification<'_>, now: Duration) {
        let mut expected = self.lock();
        // One of a task that was given up, or that comes again, is of no interest.
        let Some(one) = expected.get_mut(notification.token) else { return };
        let found = one.take(notification, now);
        if let Some(found) = found.transpose() {
            let one = expected.remove(notification.token).expect("it was there a moment ago");
            // Whoever waited may have given up meanwhile.
            one.told.send(found).ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Expected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected {
    /// The end, if this is it.
    fn take(&mut self, notification: &Notification<'_>, now: Duration) -> Result<Option<Streamed>> {
        let Notification { id, token, body } = notification;
        let number = id.rsplit_once(':').and_then(|(_, number)| number.parse::<u64>().ok());
        ensure!(number == Some(self.seen + 1), "notification {id:?} after {} others", self.seen);
        self.seen += 1;
        if self.seen == NOTIFICATIONS - 1 {
            let is_echo =
                memmem::find(body, b"artifactUpdate").is_some() && memmem::find(body, token.as_bytes()).is_some();
            ensure!(is_echo, "not the artifact: {}", cut(body));
        }
        if self.seen < NOTIFICATIONS {
            return Ok(None);
        }
        ensure!(memmem::find(body, b"TASK_STATE_COMPLETED").is_some(), "not the end: {}", cut(body));
        let ended = timestamp(body).with_context(|| format!("no time of the end: {}", cut(body)))?;
        Ok(Some(Streamed { first_event: now.saturating_sub(ended), events: self.seen }))
    }
}

/// The time of a status, since 1970.
fn timestamp(body: &[u8]) -> Option<Duration> {
    const NAME: &[u8] = b"\"timestamp\":\"";
    let rest = &body[memmem::find(body, NAME)? + NAME.len()..];
    let text = std::str::from_utf8(&rest[..memchr::memchr(b'"', rest)?]).ok()?;
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(timestamp.as_millisecond()).ok().map(Duration::from_millis)
}

async fn accept(listener: TcpListener, board: Arc<Board>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let board = board.clone();
        connections.spawn(async move {
            // Whoever stops in the middle hangs up. What did not arrive is missed by whoever waits for it.
            receive(stream, &board).await.ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn receive(mut stream: TcpStream, board: &Board) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut raw = Vec::with_capacity(16 << 10);
    loop {
        while let Some((notification, length)) = read(&raw)? {
            board.note(&notification, now());
            raw.drain(..length);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        }
        ensure!(raw.len() <= REQUEST_SIZE_MAX, "a request is larger than {REQUEST_SIZE_MAX} bytes");
        if stream.read_buf(&mut raw).await? == 0 {
            return Ok(());
        }
    }
}

/// The first notification, and its length, if all of it is there.
fn read(raw: &[u8]) -> Result<Option<(Notification<'_>, usize)>> {
    let Some(head_length) = memmem::find(raw, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&raw[..head_length]).context("reading a request's head")?;
    let header = |name: &str| {
        let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim()).ok_or_else(|| anyhow!("a request has no {name}"))
    };
    let end = head_length + 4 + header("content-length")?.parse::<usize>().context("reading a request's length")?;
    let (id, token) = (header("webhook-id")?, header("x-a2a-notification-token")?);
    Ok(raw.get(head_length + 4..end).map(|body| (Notification { id, token, body }, end)))
}

#[expect(clippy::disallowed_methods, reason = "a receiver is a program of its own, and this is its clock")]
fn now() -> Duration {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_read_once_all_of_it_is_there() {
        let text = "POST /hook HTTP/1.1\r\nWebhook-Id: t:1\r\nx-a2a-notification-token: say\r\ncontent-length: 2\r\n\r\n{}more";
        let whole = text.len() - "more".len();
        for end in 0..whole {
            assert_eq!(read(&text.as_bytes()[..end]).unwrap(), None);
        }
        let expected = Notification { id: "t:1", token: "say", body: b"{}" };
        assert_eq!(read(text.as_bytes()).unwrap(), Some((expected, whole)));
        assert!(read(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").is_err());
    }

    #[test]
    fn the_end_is_told_if_all_came_in_order() {
        let end =
            r#"{"statusUpdate":{"status":{"state":"TASK_STATE_COMPLETED","timestamp":"1970-01-01T00:00:02.500Z"}}}"#;
        let good = [("t:1", "{}"), ("t:2", "{}"), ("t:3", r#"{"artifactUpdate":"say"}"#), ("t:4", end)];
        let check = |came: &[(&str, &str)], expected: Option<bool>| {
            let board = Board::default();
            let (told, mut hears) = oneshot::channel();
            board.expect("say", told);
            for (id, body) in came {
                let notification = Notification { id, token: "say", body: body.as_bytes() };
                board.note(&notification, Duration::from_millis(2_507));
            }
            let heard = hears.try_recv().ok();
            if let Some(Ok(streamed)) = &heard {
                assert_eq!(*streamed, Streamed { first_event: Duration::from_millis(7), events: 4 });
            }
            assert_eq!(heard.map(|heard| heard.is_ok()), expected, "{came:?}");
        };
        check(&good, Some(true));
        check(&good[..3], None);
        check(&good[1..], Some(false));
        check(&[good[0], good[1], good[1]], Some(false));
        check(&[good[0], good[1], ("t:3", "{}")], Some(false));
    }
}
