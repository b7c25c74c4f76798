//! What is read of an answer over HTTP, whichever way it came.

use std::time::Duration;

use bobbinet_outbound::sse::SseEvent;
use reqwest::{Response, header::CONTENT_TYPE};

use super::link::EVENT_STREAM;

/// How long to wait before a stream that broke off is asked for again, if the server does not say.
pub(super) const RESUME_PAUSE: Duration = Duration::from_secs(1);

/// The shortest such wait, whatever the server says.
pub(super) const RESUME_PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest such wait, if the server does not say.
pub(super) const RESUME_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The longest such wait, whatever the server says: what it says is respected (2025-11-25), and a call has a time of its own.
const RETRY_MAX: Duration = Duration::from_secs(60 * 60);

/// How long to wait before a stream is asked for again: for as long as the server says, but never less than `least`.
pub(super) fn resume_pause(retry: Option<Duration>, least: Duration) -> Duration {
    retry.unwrap_or(RESUME_PAUSE).clamp(least, RETRY_MAX)
}

/// An error with what is behind it, in one line.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Whether an answer says that it is of this media type.
pub(super) fn is_of(response: &Response, media_type: &str) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

/// Whether an answer is a stream of events.
pub(super) fn is_stream(response: &Response) -> bool {
    is_of(response, EVENT_STREAM)
}

/// Events of other names are not JSON-RPC.
pub(super) fn is_message(event: &SseEvent) -> bool {
    event.event.as_deref().is_none_or(|name| name == "message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_asked_for_again_when_its_server_says() {
        let check = |retry: Option<u64>, least: u64, expected: u64| {
            let pause = resume_pause(retry.map(Duration::from_millis), Duration::from_millis(least));
            assert_eq!(pause, Duration::from_millis(expected), "{retry:?}");
        };
        check(None, 100, 1_000);
        check(Some(0), 100, 100);
        check(Some(10), 400, 400);
        check(Some(90_000), 400, 90_000);
        check(Some(u64::MAX), 400, 3_600_000);
    }
}
