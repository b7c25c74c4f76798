//! A task's events as an event stream (A2A specification section 9.4.2), each with its generation as `id:`.
//!
//! A stream reads the log from its own cursor, and only when its connection takes what it has written: a slow reader holds up
//! nobody, and one that comes back with `Last-Event-ID` gets what it missed. What the specification does not have is made so
//! that a client of 1.0 need not know of it: ids, comments and `retry:` are part of every event stream, and a task that is sent
//! again because the reader's cursor is none of ours says so under [`RESYNC_KEY`] in its metadata.

use std::{convert::Infallible, fmt::Write as _, io::Write as _, pin::Pin};

use axum::{body::Body, response::Response};
use bobbinet_core::{Generation, Json, Selection, Task};
use bobbinet_engine::{EngineError, PublicEvent};
use bobbinet_gateway::{Resume, StreamItem, TaskStream};
use bobbinet_wire::{Error, Pieces, Sink};
use bytes::Bytes;
use futures::{FutureExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{a2a_server::Server, binding::Binding, fault};
use crate::{HttpLimits, RESYNC_KEY};

/// Where a reader left off: the id of the last event it has.
const LAST_EVENT_ID: &str = "last-event-id";

/// Events that are ready go out together, in pieces of about this many bytes.
const CHUNK: usize = 32 << 10;

/// Room for an ordinary event.
const EVENT_CAPACITY: usize = 768;

/// What the request's `Last-Event-ID` says. An empty one says nothing.
pub(super) fn cursor(headers: &HeaderMap) -> Option<Resume> {
    let text = headers.get(LAST_EVENT_ID)?.to_str().unwrap_or("unreadable").trim();
    if text.is_empty() {
        return None;
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let generation = is_number.then(|| text.parse().ok()).flatten().map(Generation);
    Some(generation.map_or(Resume::Unreadable, Resume::After))
}

/// Says that a silent stream is alive. A comment: every reader of event streams passes over it.
const ALIVE: &[u8] = b": alive\n\n";

/// The events of one task, for one reader.
#[derive(Debug)]
pub(super) struct Events {
    binding: Binding,
    stream: TaskStream,
    /// How much of the task is shown where the whole of it is.
    selection: Selection,
    /// Written, not yet taken; of what is large, only as much as is taken.
    ready: Pieces,
    is_over: bool,
    limits: HttpLimits,
    ends: Instant,
    last_sent: Instant,
    /// For the next comment, or the end of the stream's life. Set anew when it fires, not at each event.
    timer: Pin<Box<Sleep>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What a stream has to say next.
enum Next {
    Told(Result<Option<StreamItem>, EngineError>),
    /// That it is alive.
    KeepAlive,
    /// That it ends here, and that the reader should come back.
    ComeBack,
}

impl Events {
    /// What the stream tells, as the answer to this request.
    pub(super) fn new(server: &Server, binding: &Binding, stream: TaskStream, selection: Selection) -> Self {
        let now = Instant::now();
        let ends = now + server.limits.stream_life();
        Self {
            binding: binding.clone(),
            stream,
            selection,
            ready: Pieces::default(),
            is_over: false,
            limits: server.limits.clone(),
            ends,
            last_sent: now,
            timer: Box::pin(sleep_until(ends.min(now + server.limits.keep_alive()))),
            stopped: Box::pin(server.stop.clone().cancelled_owned()),
        }
    }

    /// The next bytes for the reader: all events that are there. Waits if none is. `None` at the end. Behind something large, no
    /// more is read until it is out: one such event is the most that a slow reader holds, together with all others who read it.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        while !self.is_over && self.ready.len() < CHUNK {
            let next = match self.stream.next().now_or_never() {
                Some(told) => Next::Told(told),
                None if self.ready.is_empty() => self.wait().await,
                None => break,
            };
            self.write(next);
        }
        self.last_sent = Instant::now();
        self.ready.next(CHUNK).map(Bytes::from)
    }

    async fn wait(&mut self) -> Next {
        loop {
            tokio::select! {
                biased;
                () = self.stopped.as_mut() => return Next::ComeBack,
                told = self.stream.next() => return Next::Told(told),
                () = self.timer.as_mut() => {}
            }
            let now = Instant::now();
            if now >= self.ends {
                return Next::ComeBack;
            }
            let due = self.last_sent + self.limits.keep_alive();
            let is_silent = now >= due;
            let next = if is_silent { now + self.limits.keep_alive() } else { due };
            self.timer.as_mut().reset(next.min(self.ends));
            if is_silent {
                return Next::KeepAlive;
            }
        }
    }

    fn write(&mut self, next: Next) {
        match next {
            Next::Told(Ok(Some(StreamItem::Event(told)))) => self.write_told(&told),
            Next::Told(Ok(Some(StreamItem::Task { task, is_resync: false }))) => self.write_task(&task),
            Next::Told(Ok(Some(StreamItem::Task { task, is_resync: true }))) => {
                let metadata = with_resync(task.status_metadata.as_ref());
                self.write_task(&Task { status_metadata: Some(metadata), ..Task::clone(&task) });
            }
            Next::Told(Ok(None)) => self.is_over = true,
            Next::Told(Err(EngineError::Draining | EngineError::Unavailable(_))) | Next::ComeBack => {
                write!(self.ready.bytes(), "retry: {}\n\n", self.limits.stream_retry_ms).expect(WRITABLE);
                self.is_over = true;
            }
            Next::Told(Err(error)) => {
                let error = fault::of_engine(error, &self.limits);
                write_error(self.ready.bytes(), &self.binding, &error);
                self.is_over = true;
            }
            Next::KeepAlive => self.ready.bytes().extend_from_slice(ALIVE),
        }
    }

    fn write_told(&mut self, told: &PublicEvent) {
        self.begin(told.generation);
        self.binding.write_update(&mut self.ready, &self.stream, told);
        self.ready.bytes().extend_from_slice(b"\n\n");
    }

    fn write_task(&mut self, task: &Task) {
        self.begin(task.generation);
        self.binding.write_sent(&mut self.ready, task, self.selection);
        self.ready.bytes().extend_from_slice(b"\n\n");
    }

    fn begin(&mut self, generation: Generation) {
        self.ready.bytes().reserve(EVENT_CAPACITY);
        write!(self.ready.bytes(), "id: {}\ndata: ", generation.0).expect(WRITABLE);
    }
}

const WRITABLE: &str = "a Vec takes all that is written to it";

fn write_error(out: &mut Vec<u8>, binding: &Binding, error: &Error) {
    out.extend_from_slice(b"data: ");
    binding.write_error(out, error, binding.status(error.kind()));
    out.extend_from_slice(b"\n\n");
}

/// The answer that carries the events.
pub(super) fn response(events: Box<Events>) -> Response {
    let chunks = stream::unfold(events, |mut events| async move {
        let chunk = events.next_chunk().await?;
        Some((Ok::<_, Infallible>(chunk), events))
    });
    of_events(Body::from_stream(chunks))
}

/// A stream that is nothing but an error.
pub(super) fn error(binding: &Binding, error: &Error) -> Response {
    let mut event = Vec::with_capacity(512);
    write_error(&mut event, binding, error);
    of_events(Body::from(event))
}

/// A stream that is one event and ends with it. It has no id: there is nothing to come back for.
pub(super) fn one_event(mut event: Pieces) -> Response {
    let mut body = b"data: ".to_vec();
    body.extend_from_slice(&event.next(usize::MAX).unwrap_or_default());
    body.extend_from_slice(b"\n\n");
    of_events(Body::from(body))
}

fn of_events(body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What tells nginx, and others after it, not to hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The metadata with our mark in it.
fn with_resync(metadata: Option<&Json>) -> Json {
    let others = metadata.map_or("", |metadata| metadata.as_str().trim());
    let others = others.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().trim();
    let mut text = format!("{{\"{RESYNC_KEY}\":true");
    if !others.is_empty() {
        write!(text, ",{others}").expect("a String takes all that is written to it");
    }
    text.push('}');
    Json::parse(&text).expect("an object with one more member is an object")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_generation_or_none_of_ours() {
        let check = |text: &str, expected: Option<Resume>| {
            let headers =
                HeaderMap::from_iter([(LAST_EVENT_ID.parse().unwrap(), HeaderValue::from_str(text).unwrap())]);
            assert_eq!(cursor(&headers), expected, "{text:?}");
        };
        check("17", Some(Resume::After(Generation(17))));
        check("0", Some(Resume::After(Generation(0))));
        check("", None);
        check("-1", Some(Resume::Unreadable));
        check("+1", Some(Resume::Unreadable));
        check("99999999999999999999", Some(Resume::Unreadable));
        check("a task", Some(Resume::Unreadable));
    }

    #[test]
    fn the_mark_joins_other_metadata() {
        let check = |metadata: Option<&str>, expected: &str| {
            let metadata = metadata.map(|text| Json::parse(text).unwrap());
            assert_eq!(with_resync(metadata.as_ref()).as_str(), expected.replace("KEY", RESYNC_KEY));
        };
        check(None, r#"{"KEY":true}"#);
        check(Some("{ }"), r#"{"KEY":true}"#);
        check(Some(r#"{"progress": 0.5}"#), r#"{"KEY":true,"progress": 0.5}"#);
    }
}
