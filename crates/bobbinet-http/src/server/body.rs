//! Reading a request's body within its bounds.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::HttpLimits;

/// How many times the largest body is read and thrown away after a refusal, so that the sender gets to read the answer
/// instead of a reset connection.
const DISCARD_FACTOR: u64 = 8;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It is larger than `body_max`.
    Large,
    /// It did not come within `body_read`.
    Slow,
    /// The connection broke, or the body's framing is wrong.
    Broken,
}

/// The whole body.
pub(super) async fn read(mut body: Body, limits: &HttpLimits) -> Result<Bytes, BodyFault> {
    let result = timeout(limits.body_read(), collect(&mut body, limits.body_max)).await.unwrap_or(Err(BodyFault::Slow));
    if result == Err(BodyFault::Large) {
        discard(body, limits).await;
    }
    result
}

/// Reads what the sender is still sending, within bounds, and forgets it.
pub(super) async fn discard(mut body: Body, limits: &HttpLimits) {
    let length_max = limits.body_max as u64 * DISCARD_FACTOR;
    if body.is_end_stream() || body.size_hint().lower() > length_max {
        return;
    }
    drop(timeout(limits.body_read(), forget(&mut body, length_max)).await);
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
async fn next(body: &mut Body) -> Result<Option<Bytes>, BodyFault> {
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

async fn forget(body: &mut Body, length_max: u64) {
    let mut length = 0;
    while let Ok(Some(piece)) = next(body).await {
        length += piece.len() as u64;
        if length > length_max {
            return;
        }
    }
}
