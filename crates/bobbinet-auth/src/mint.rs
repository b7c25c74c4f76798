//! Making tokens: a JWT access token (RFC 9068) signed with the node's current key.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_core::{Principal, Tenant, Timestamp};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{KeyRing, KeysError};

/// The longest a token may be good for: it cannot be called back, so it must end by itself.
pub const LIFETIME_MAX: Duration = Duration::from_secs(15 * 60);

/// The longest that a configuration may allow a named principal, or an issuer.
pub const LIFETIME_CONFIGURED_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How long a token is good for if nobody says otherwise.
pub const LIFETIME_DEFAULT: Duration = Duration::from_secs(5 * 60);

/// Why a token cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// A token that would live too long, or not at all.
    #[error("a token lives from one second to {}, not {} s", in_words(*max), lifetime.as_secs_f64())]
    Lifetime {
        /// What was asked for.
        lifetime: Duration,
        /// What there may be.
        max: Duration,
    },
    /// There is no key to sign with.
    #[error("finding a key to sign with")]
    Keys(#[from] KeysError),
    /// The key did not sign.
    #[error("signing the token")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct Claims<'a> {
    /// `iss`: who vouches for it; [`crate::NODE_ISSUER`] for a node's own tokens.
    pub issuer: &'a str,
    /// `sub`: who may use it; [`crate::NODE_OWNER`] for the node's owner.
    pub subject: &'a Principal,
    /// `tenant`: of which tenant.
    pub tenant: &'a Tenant,
    /// `aud`: the one agent that it is for, by its canonical URL.
    pub audience: &'a str,
    /// `scope`: what it allows, for policy to read. None contains a space.
    pub scopes: &'a [&'a str],
    /// `iat` and `nbf`: when it is made; good from then on.
    pub now: Timestamp,
    /// `exp`: for how long it is good, to the second, from one second to [`LIFETIME_MAX`], or to what its subject may have.
    pub lifetime: Duration,
}

/// Makes a token with these claims and an id of its own, signed with the ring's current key.
pub fn mint(keys: &KeyRing, claims: &Claims<'_>) -> Result<String, MintError> {
    mint_up_to(keys, claims, LIFETIME_MAX)
}

/// The same for a subject whose tokens may live so long, by the node's configuration.
pub fn mint_up_to(keys: &KeyRing, claims: &Claims<'_>, max: Duration) -> Result<String, MintError> {
    let lifetime = claims.lifetime;
    if lifetime < Duration::from_secs(1) || lifetime > max {
        return Err(MintError::Lifetime { lifetime, max });
    }
    let issued = claims.now.as_millis() / 1_000;
    keys.sign_jwt(
        "at+jwt",
        claims.now,
        &json!({
            "iss": claims.issuer,
            "sub": claims.subject,
            "tenant": claims.tenant,
            "aud": claims.audience,
            "scope": claims.scopes.join(" "),
            "iat": issued,
            "nbf": issued,
            "exp": issued + lifetime.as_secs(),
            "jti": Uuid::new_v4(),
        }),
    )
}

impl KeyRing {
    /// A JWT of this type with these claims, signed with the current key.
    pub(crate) fn sign_jwt(&self, typ: &str, now: Timestamp, claims: &Value) -> Result<String, MintError> {
        let key = self.current(now)?;
        let header = json!({ "typ": typ, "alg": "EdDSA", "kid": key.name.kid });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.signing, Algorithm::EdDSA)?;
        Ok(format!("{message}.{signature}"))
    }
}

fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{} days", seconds / 86_400),
        seconds if seconds % 3_600 == 0 => format!("{} hours", seconds / 3_600),
        seconds if seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
