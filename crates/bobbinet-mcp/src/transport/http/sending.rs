//! Sending one request with what the server is to be shown, and once more where it wants another token.

use std::sync::Arc;

use bobbinet_outbound::Refused;
use reqwest::{RequestBuilder, Response, header::AUTHORIZATION};

use super::link::Link;
use crate::authorization::{AuthFault, Authorization, Refusal, Shown};

/// Why a request has no answer.
pub(super) enum SendFault {
    /// The guard does not let it out.
    Refused(Refused),
    /// There is no connection, or it broke.
    Http(reqwest::Error),
    /// There is no token for it: nothing was done for it over there.
    Unauthorized(Arc<AuthFault>),
}

impl From<Refused> for SendFault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Sends what is made anew for each try. A server that refuses a token has done nothing, so whatever was asked of it is asked once more
/// with another one; once more again if that is not good enough for it.
pub(super) async fn send(
    link: &Link,
    request: impl Fn() -> Result<RequestBuilder, Refused>,
) -> Result<Response, SendFault> {
    let Some(authorization) = link.authorization() else { return request()?.send().await.map_err(SendFault::Http) };
    let mut shown = authorization.shown().await.map_err(SendFault::Unauthorized)?;
    let (mut was_rejected, mut was_insufficient) = (false, false);
    loop {
        let response = show(request()?, &shown).send().await.map_err(SendFault::Http)?;
        let has_tried = match Refusal::of(&response) {
            None => {
                note_taken(authorization, &shown, &response);
                return Ok(response);
            }
            Some(Refusal::Rejected(_)) => std::mem::replace(&mut was_rejected, true),
            Some(Refusal::Insufficient(_)) => std::mem::replace(&mut was_insufficient, true),
        };
        let Some(refusal) = Refusal::of(&response).filter(|_| !has_tried) else { return Ok(response) };
        match authorization.after(&shown, refusal).await.map_err(SendFault::Unauthorized)? {
            Some(other) => shown = other,
            None => return Ok(response),
        }
    }
}

fn show(request: RequestBuilder, shown: &Shown) -> RequestBuilder {
    match &shown.header {
        Some(header) => request.header(AUTHORIZATION, header.clone()),
        None => request,
    }
}

/// What a gateway says of a server that is away says nothing of the token.
fn note_taken(authorization: &Authorization, shown: &Shown, response: &Response) {
    let status = response.status();
    if status.is_success() {
        authorization.was_taken(shown);
    }
}
