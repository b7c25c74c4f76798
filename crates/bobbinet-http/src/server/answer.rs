//! Answers: what HTTP adds to what was written.

use std::convert::Infallible;

use axum::{body::Body, response::Response};
use bobbinet_wire::{Error, Pieces, RequestId};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, StatusCode, header};

use super::{
    binding::{Binding, JSON},
    unsent::Room,
};

/// Large answers become bytes in pieces of about this many.
const CHUNK: usize = 64 << 10;

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    with_type(status, JSON, body)
}

/// An answer of this media type that may be large, and what is let go with its last byte. A large one becomes bytes as it is read,
/// also if there was no room for it.
pub(super) fn pieces(media_type: HeaderValue, mut pieces: Pieces, room: Option<Room>) -> Response {
    if room.is_none() && pieces.len() <= CHUNK {
        return with_type(StatusCode::OK, media_type, pieces.next(usize::MAX).unwrap_or_default());
    }
    let chunks = stream::unfold((pieces, room), |(mut pieces, room)| async move {
        let chunk = pieces.next(CHUNK)?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), (pieces, room)))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// An answer in plain text.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    with_type(status, HeaderValue::from_static("text/plain; charset=utf-8"), body)
}

/// An answer that is only its status and headers.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn with_type(status: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// What is wrong with a request of which nothing is known yet: JSON-RPC of 1.0, as most are.
pub(super) const UNREAD: Binding = Binding::Rpc1_0(RequestId::NULL);

/// The answer to a request that failed, under the HTTP status that belongs to the error.
pub(super) fn error(binding: &Binding, error: &Error) -> Response {
    error_with_status(binding, error, binding.status(error.kind()))
}

/// The answer to a request that failed, under another HTTP status than its error's own.
pub(super) fn error_with_status(binding: &Binding, error: &Error, status: StatusCode) -> Response {
    let mut body = Vec::with_capacity(512);
    binding.write_error(&mut body, error, status);
    let mut response = json(status, body);
    if let Some(delay) = error.retry_after() {
        let seconds = delay.as_secs().max(1);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use bobbinet_wire::Sink;
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_large_answer_is_never_one_buffer_with_room_or_without() {
        let mut large = Pieces::default();
        large.bytes().resize(10 * CHUNK, b' ');
        let mut chunks = pieces(JSON, large, None).into_body().into_data_stream();
        let mut taken = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.unwrap();
            assert!(chunk.len() <= CHUNK, "{}", chunk.len());
            taken += chunk.len();
        }
        assert_eq!(taken, 10 * CHUNK);
    }
}
