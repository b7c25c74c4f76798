//! Reading a request's body within its bounds.

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::HttpLimits;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is larger than `body_max`.
    Large,
    /// It did not come within `body_read`.
    Slow,
    /// The connection broke, or the body's framing is wrong.
    Broken,
}

/// The whole body.
pub(super) async fn read(body: &mut Body, limits: &HttpLimits) -> Result<Bytes, BodyFault> {
    timeout(limits.body_read(), collect(body, limits.body_max)).await.unwrap_or(Err(BodyFault::Slow))
}

/// A refusal that is told before the body is in: the rest of it is not waited for, so the connection is of no more use.
pub(super) fn refused(body: &Body, mut response: Response) -> Response {
    if !body.is_end_stream() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn collect(body: &mut Body, length_max: usize) -> Result<Bytes, BodyFault> {
    if body.size_hint().lower() > length_max as u64 {
        return Err(BodyFault::Large);
    }
    let first = next(body).await?.unwrap_or_default();
    if first.len() > length_max {
        return Err(BodyFault::Large);
    }
    // Most bodies are one piece, and that is then the body, without a copy.
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    while let Some(piece) = next(body).await? {
        whole.extend_from_slice(&piece);
        if whole.len() > length_max {
            return Err(BodyFault::Large);
        }
    }
    Ok(whole.freeze())
}

/// The next piece of data; trailers are none.
pub(super) async fn next(body: &mut Body) -> Result<Option<Bytes>, BodyFault> {
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => return Err(BodyFault::Broken),
            None => return Ok(None),
        }
    }
}
