//! An answer of HTTP to what was asked: plain JSON if it is there soon, else an event stream that shows that it lives.

use std::{convert::Infallible, pin::Pin, time::Duration};

use axum::{body::Body, response::Response};
use bobbinet_core::{Json, json::line};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, StatusCode, header};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{door::Outgoing, rpc::RpcError};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Says that a silent stream is alive. A comment: every reader of event streams passes over it.
const ALIVE: &[u8] = b": alive\n\n";

/// What a caller reads, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepts {
    pub(crate) json: bool,
    pub(crate) events: bool,
}

/// What an answer goes by.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) accepts: Accepts,
    /// How long it may take and be plain.
    pub(crate) plain: Duration,
    /// How long a stream may be silent.
    pub(crate) keep_alive: Duration,
    /// Takes the request back if its caller is gone.
    pub(crate) guard: Option<DropGuard>,
}

/// An answer with this status and a JSON body.
pub(crate) fn json(status: StatusCode, body: &Json) -> Response {
    let mut response = Response::new(Body::from(body.as_str().to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An error at the door.
pub(crate) fn error(error: &RpcError, id: Option<&Json>) -> Response {
    let mut response = json(error.status(), &error.to_json(id));
    if let Some(seconds) = error.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// An answer that is there.
pub(crate) fn now(outgoing: Outgoing, accepts: Accepts) -> Response {
    if accepts.json || outgoing.status != StatusCode::OK {
        return plain(outgoing);
    }
    events(Some(outgoing), None, Pace { accepts, plain: Duration::ZERO, keep_alive: Duration::MAX, guard: None })
}

/// The answer to the request of this id, and what comes before it.
pub(crate) async fn later(id: &Json, mut told: mpsc::Receiver<Outgoing>, mut pace: Pace) -> Response {
    let first = if !pace.accepts.json {
        None
    } else if !pace.accepts.events {
        // Whoever reads no streams hears the answer, and nothing before it.
        loop {
            match told.recv().await {
                Some(outgoing) if !outgoing.is_answer => {}
                answer => break Some(answer),
            }
        }
    } else {
        timeout(pace.plain, told.recv()).await.ok()
    };
    match first {
        Some(Some(outgoing)) if outgoing.is_answer => {
            pace.disarm();
            plain(outgoing)
        }
        Some(None) => {
            pace.disarm();
            plain(Outgoing::error(id, &RpcError::canceled()))
        }
        first => events(first.flatten(), Some(told), pace),
    }
}

/// The answers to a batch: a list, or one event for each.
pub(crate) async fn batch(mut told: mpsc::Receiver<Outgoing>, pace: Pace) -> Response {
    if pace.accepts.events {
        return events(None, Some(told), pace);
    }
    let mut answers = Vec::new();
    while let Some(outgoing) = told.recv().await {
        if outgoing.is_answer {
            answers.push(outgoing.message);
        }
    }
    json(StatusCode::OK, &Json::of(&answers))
}

/// What a host is told that listens.
pub(crate) fn stream(told: mpsc::Receiver<Outgoing>, pace: Pace) -> Response {
    events(None, Some(told), pace)
}

fn plain(outgoing: Outgoing) -> Response {
    let Outgoing { message, status, room, is_answer: _ } = outgoing;
    let response = json(status, &message);
    let Some(room) = room else { return response };
    // The room is held until the last byte is taken.
    response.map(|body| {
        let held = stream::unfold((Some(body), Some(room)), |(body, room)| async move {
            let bytes = axum::body::to_bytes(body?, usize::MAX).await.ok()?;
            Some((Ok::<_, Infallible>(bytes), (None, room)))
        });
        Body::from_stream(held)
    })
}

struct Events {
    first: Option<Outgoing>,
    told: Option<mpsc::Receiver<Outgoing>>,
    pace: Pace,
    /// What went out last, as long as it is not taken.
    last: Option<Outgoing>,
    alive: Pin<Box<Sleep>>,
}

enum Next {
    Message(Outgoing),
    Alive,
    End,
}

impl Pace {
    fn disarm(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.disarm();
        }
    }

    fn due(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.keep_alive).unwrap_or(now + Duration::from_secs(24 * 60 * 60))
    }
}

impl Events {
    async fn next(&mut self) -> Option<Bytes> {
        // Whoever asks for the next one has taken the last one.
        self.last = None;
        let next = match (self.first.take(), &mut self.told) {
            (Some(first), _) => Next::Message(first),
            (None, None) => Next::End,
            (None, Some(told)) => tokio::select! {
                biased;
                message = told.recv() => message.map_or(Next::End, Next::Message),
                () = self.alive.as_mut() => Next::Alive,
            },
        };
        self.alive.as_mut().reset(self.pace.due());
        match next {
            Next::Message(outgoing) => {
                let mut event = b"event: message\ndata: ".to_vec();
                line::push(&mut event, outgoing.message.as_str());
                event.extend_from_slice(b"\n\n");
                self.last = Some(outgoing);
                Some(Bytes::from(event))
            }
            Next::Alive => Some(Bytes::from_static(ALIVE)),
            Next::End => {
                self.pace.disarm();
                None
            }
        }
    }
}

fn events(first: Option<Outgoing>, told: Option<mpsc::Receiver<Outgoing>>, pace: Pace) -> Response {
    let alive = Box::pin(sleep_until(pace.due()));
    let events = Events { first, told, pace, last: None, alive };
    let chunks = stream::unfold(events, |mut events| async move {
        let chunk = events.next().await?;
        Some((Ok::<_, Infallible>(chunk), events))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENTS);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What tells nginx, and others after it, not to hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Takes the request back when it is dropped before the answer is out.
pub(crate) fn guard(canceled: &CancellationToken) -> DropGuard {
    canceled.clone().drop_guard()
}
