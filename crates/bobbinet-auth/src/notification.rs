//! A token that says to the receiver of a webhook that a notification is ours, and unchanged.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bobbinet_core::{TaskId, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::{KeyRing, MintError, api_keys::hexadecimal};

/// How long one is good for: a notification is signed anew each time that it is sent.
pub const NOTIFICATION_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// What is said of a notification.
#[derive(Clone, Copy, Debug)]
pub struct NotificationClaims<'a> {
    /// `iss`: the node, by the URL below which its public keys are.
    pub issuer: &'a str,
    /// `aud`: the receiver, by its origin.
    pub audience: &'a str,
    /// `taskId`: the task that it is about.
    pub task: &'a TaskId,
    /// `eventId`: what drops repeats.
    pub event: &'a str,
    /// What is sent; its SHA-256 in hexadecimal is `request_body_sha256`, as the samples of A2A call it.
    pub body: &'a [u8],
    /// `iat`: when it is sent.
    pub now: Timestamp,
}

/// Signs a notification with the node's current key. No verifier takes it for an access token: that is another `typ`.
///
/// # Errors
/// If there is no key to sign with.
pub fn sign_notification(keys: &KeyRing, claims: &NotificationClaims<'_>) -> Result<String, MintError> {
    let issued = claims.now.as_millis() / 1_000;
    keys.sign_jwt(
        "JWT",
        claims.now,
        &json!({
            "iss": claims.issuer,
            "aud": claims.audience,
            "iat": issued,
            "exp": issued + NOTIFICATION_LIFETIME.as_secs(),
            "jti": Uuid::new_v4(),
            "taskId": claims.task.to_string(),
            "eventId": claims.event,
            "request_body_sha256": hexadecimal(digest(&SHA256, claims.body).as_ref()),
        }),
    )
}
