//! One `SendStreamingMessage`: its events, as they come.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memchr::memmem;

use crate::{a2a::cut, http::Connection};

/// What a stream was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streamed {
    /// From the request to its first whole event.
    pub(crate) first_event: Duration,
    pub(crate) events: u64,
}

/// Sends the request and reads the stream to its end, which must be a completed task with the echo in it.
pub(crate) async fn stream(connection: &mut Connection, request: &[u8], text: &str) -> Result<Streamed> {
    let start = Instant::now();
    let status = connection.begin(request).await?;
    let mut first_event = None;
    let mut events = 0;
    let mut seen = 0;
    loop {
        events += count_events(connection.body(), &mut seen);
        if events > 0 && first_event.is_none() {
            first_event = Some(start.elapsed());
        }
        if !connection.more().await? {
            break;
        }
    }
    let body = connection.body();
    ensure!(status == 200, "the status is {status}: {}", cut(body));
    let words: [&[u8]; 3] = [b"artifactUpdate", b"TASK_STATE_COMPLETED", text.as_bytes()];
    let is_echo = words.iter().all(|word| memmem::find(body, word).is_some());
    ensure!(is_echo, "the stream is not an echo: {}", cut(body));
    Ok(Streamed { first_event: first_event.context("the stream had no events")?, events })
}

/// Counts the events that have ended since last time: those with a `data` line, which comments do not have.
fn count_events(body: &[u8], seen: &mut usize) -> u64 {
    let mut count = 0;
    while let Some((length, blank)) = event_end(&body[*seen..]) {
        let event = &body[*seen..*seen + length];
        if event.starts_with(b"data") || memmem::find(event, b"\ndata").is_some() {
            count += 1;
        }
        *seen += length + blank;
    }
    count
}

/// Where the first event ends, and how long the blank line is that ends it.
fn event_end(rest: &[u8]) -> Option<(usize, usize)> {
    let with = |blank: &[u8]| memmem::find(rest, blank).map(|at| (at, blank.len()));
    match (with(b"\n\n"), with(b"\r\n\r\n")) {
        (Some(short), Some(long)) => Some(short.min(long)),
        (short, long) => short.or(long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_once_however_they_come() {
        let check = |body: &str, expected: u64| {
            for piece in 1..=body.len() {
                let (mut seen, mut count) = (0, 0);
                for end in (0..body.len()).step_by(piece).chain([body.len()]) {
                    count += count_events(&body.as_bytes()[..end], &mut seen);
                }
                assert_eq!(count, expected, "{body:?} in pieces of {piece}");
            }
        };
        check("data: 1\n\ndata: 2\n\n", 2);
        check("id: 1\ndata: {}\n\n: keep alive\n\nid: 2\ndata: {}\n\n", 2);
        check("data: 1\r\n\r\ndata: 2\r\n\r\n", 2);
        check("data: not yet", 0);
    }
}
