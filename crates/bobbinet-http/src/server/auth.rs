//! Who calls. Asked before a byte of the body is read.

use std::sync::Arc;

use bobbinet_auth::{Rejected, bearer};
use bobbinet_core::Caller;
use http::{Extensions, HeaderMap, header};

use super::{
    a2a_server::{Mounted, Server},
    cards::API_KEY_HEADER,
    tls::Shown,
};

/// The caller that the request's token names, or, without one, his certificate. The reason why there is none is for the log alone.
pub(super) async fn caller(
    server: &Server,
    agent: &Mounted,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Arc<Caller>, Rejected> {
    caller_at(server, &agent.audiences, headers, extensions).await
}

/// The same where a token may name one of these URLs.
pub(super) async fn caller_at(
    server: &Server,
    audiences: &[String],
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Arc<Caller>, Rejected> {
    let shown = extensions.get::<Arc<Shown>>();
    let shown = shown.filter(|shown| server.tls.as_ref().is_some_and(|tls| tls.is_trusted(shown)));
    let certificate = shown.map(|shown| &shown.certificate);
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let now = server.gateway.now();
    let result = match bearer(authorization) {
        Ok(token) => server.verifier.verify_over(certificate, token, audiences, now).await,
        Err(rejected) => match headers.get(API_KEY_HEADER).and_then(|value| value.to_str().ok()) {
            // Only where there is no token: whoever shows two things would be two.
            Some(key) => server.verifier.verify_api_key(key.trim(), now),
            None => match certificate.filter(|_| authorization.is_none()) {
                // What comes by itself with a connection is the last to be asked.
                Some(certificate) => server.verifier.certified(certificate, now),
                None => server.verifier.without_token(rejected),
            },
        },
    };
    if let Err(rejected) = &result {
        tracing::debug!(at = audiences.first(), reason = %rejected, "refused a caller");
    }
    result
}
