//! A request whose whole answer is wanted, within its bounds.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use reqwest::{RequestBuilder, Response};
use tokio::time::timeout;

use crate::{OutboundLimits, Refused};

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// How it went.
    pub status: StatusCode,
    /// What is said of the body.
    pub headers: HeaderMap,
    /// The body, of [`OutboundLimits::bytes_max`] at the most.
    pub body: Vec<u8>,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The guard does not let it out, or not follow where it leads.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nobody answers there, or the connection broke.
    #[error("calling {origin}")]
    Unreachable {
        /// Where it was to go.
        origin: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// It took too long.
    #[error("{origin} did not answer within {} s", .limit.as_secs_f64())]
    Timeout {
        /// Where it went.
        origin: String,
        /// How long it had.
        limit: Duration,
    },
    /// It says too much.
    #[error("{origin} answers with more than {max} bytes")]
    TooLong {
        /// Where it went.
        origin: String,
        /// How many there may be.
        max: usize,
    },
}

/// Sends a request, and takes all of the answer.
///
/// # Errors
/// [`OutboundError`]; an answer of any status but a redirect is none.
pub async fn fetch(request: RequestBuilder, limits: &OutboundLimits) -> Result<Fetched, OutboundError> {
    take(request, limits, false).await
}

/// The same where a redirection is an answer like any other: it is not followed.
///
/// # Errors
/// [`OutboundError`]; an answer of any status is none.
pub async fn fetch_once(request: RequestBuilder, limits: &OutboundLimits) -> Result<Fetched, OutboundError> {
    take(request, limits, true).await
}

async fn take(
    request: RequestBuilder,
    limits: &OutboundLimits,
    takes_redirection: bool,
) -> Result<Fetched, OutboundError> {
    let (client, request) = request.build_split();
    let request = request.map_err(|source| broken("a request that cannot be built", source))?;
    let origin = request.url().origin().ascii_serialization();
    let late = |limit| OutboundError::Timeout { origin: origin.clone(), limit };
    let whole = async {
        let sent = timeout(limits.answer + limits.connect, client.execute(request)).await;
        let response = sent.map_err(|_| late(limits.answer))?.map_err(|source| broken(&origin, source))?;
        if response.status().is_redirection() && !takes_redirection {
            let status = response.status().as_u16();
            return Err(Refused::Redirect { url: origin.clone(), status }.into());
        }
        read(response, &origin, limits).await
    };
    timeout(limits.whole, whole).await.map_err(|_| late(limits.whole))?
}

async fn read(mut response: Response, origin: &str, limits: &OutboundLimits) -> Result<Fetched, OutboundError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let (max, limit) = (limits.bytes_max, limits.silence);
    let late = |_| OutboundError::Timeout { origin: origin.to_owned(), limit };
    let mut body = Vec::new();
    while let Some(chunk) =
        timeout(limit, response.chunk()).await.map_err(late)?.map_err(|source| broken(origin, source))?
    {
        if body.len() + chunk.len() > max {
            return Err(OutboundError::TooLong { origin: origin.to_owned(), max });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched { status, headers, body })
}

fn broken(origin: &str, source: reqwest::Error) -> OutboundError {
    let source = source.without_url();
    match Refused::among(&source) {
        Some(refused) => OutboundError::Refused(refused.clone()),
        None => OutboundError::Unreachable { origin: origin.to_owned(), source },
    }
}
