//! Answers: what HTTP adds to what was written.

use std::convert::Infallible;

use axum::{body::Body, response::Response};
use bobbinet_wire::{Error, ErrorKind, Pieces, RequestId, envelope, v1_0};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, StatusCode, header};

use super::unsent::Room;

/// Large answers become bytes in pieces of about this many.
const CHUNK: usize = 64 << 10;

/// The media type of every JSON-RPC answer.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    with_type(status, JSON, body)
}

/// An answer with a JSON body that may be large, and what is let go with its last byte. A large one becomes bytes as it is read,
/// also if there was no room for it.
pub(super) fn pieces(mut pieces: Pieces, room: Option<Room>) -> Response {
    if room.is_none() && pieces.len() <= CHUNK {
        return json(StatusCode::OK, pieces.next(usize::MAX).unwrap_or_default());
    }
    let chunks = stream::unfold((pieces, room), |(mut pieces, room)| async move {
        let chunk = pieces.next(CHUNK)?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), (pieces, room)))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
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

/// The answer to a request that failed, under the HTTP status that belongs to the error.
pub(super) fn error(id: &RequestId, error: &Error) -> Response {
    error_with_status(id, error, status_of(error.kind()))
}

/// The answer to a request that failed, under another HTTP status than its error's own.
pub(super) fn error_with_status(id: &RequestId, error: &Error, status: StatusCode) -> Response {
    let mut body = Vec::with_capacity(512);
    envelope::write_error(&mut body, id, |out| v1_0::error::write(out, error));
    let mut response = json(status, body);
    if let Some(delay) = error.retry_after() {
        let seconds = delay.as_secs().max(1);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// JSON-RPC answers carry their errors under 200 (A2A specification section 9.5); what concerns the connection, the caller or
/// the node, and not this request, is also for those between who read only the status.
fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::ResourceExhausted
        | ErrorKind::Unavailable => StatusCode::from_u16(v1_0::error::http_status(kind)).unwrap_or(StatusCode::OK),
        ErrorKind::TaskNotFound
        | ErrorKind::TaskNotCancelable
        | ErrorKind::PushNotificationNotSupported
        | ErrorKind::UnsupportedOperation
        | ErrorKind::ContentTypeNotSupported
        | ErrorKind::InvalidAgentResponse
        | ErrorKind::ExtendedAgentCardNotConfigured
        | ErrorKind::ExtensionSupportRequired
        | ErrorKind::VersionNotSupported
        | ErrorKind::Parse
        | ErrorKind::InvalidRequest
        | ErrorKind::MethodNotFound
        | ErrorKind::InvalidParams
        | ErrorKind::Internal => StatusCode::OK,
    }
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
        let mut chunks = pieces(large, None).into_body().into_data_stream();
        let mut taken = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.unwrap();
            assert!(chunk.len() <= CHUNK, "{}", chunk.len());
            taken += chunk.len();
        }
        assert_eq!(taken, 10 * CHUNK);
    }
}
