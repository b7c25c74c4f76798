//! From a token to a caller: everything that RFC 8725 and RFC 9068 ask for and a JWT library leaves to its user.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_core::{Caller, Principal, Tenant, Timestamp, json::strict};
use jsonwebtoken::Algorithm;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::{
    KeyRing, LIFETIME_MAX, NODE_ISSUER, NODE_OWNER, Rejected,
    cache::Cache,
    keys::{Key, Ring},
};

/// Bytes of a token: a dozen times the length of ours, and looked at before anything is decoded.
pub const TOKEN_LENGTH_MAX: usize = 8 << 10;

/// Characters of a key id. It goes into the log, so letters, digits, `.`, `_` and `-` are all that it may have.
pub const KEY_ID_LENGTH_MAX: usize = 128;

/// What a verifier goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierConfig {
    /// The one issuer there is: [`NODE_ISSUER`].
    pub issuer: String,
    /// The most time from `iat` to `exp`.
    pub lifetime_max: Duration,
    /// How far the clocks of two machines may differ.
    pub leeway: Duration,
    /// Verified tokens kept in memory.
    pub cached_tokens_max: usize,
}

impl Default for VerifierConfig {
    fn default() -> Self {
        Self {
            issuer: NODE_ISSUER.to_owned(),
            lifetime_max: LIFETIME_MAX,
            leeway: Duration::from_secs(30),
            cached_tokens_max: 4_096,
        }
    }
}

/// Turns tokens into callers. One for all agents of a node: the audience is asked for at each call.
#[derive(Debug)]
pub struct Verifier {
    config: VerifierConfig,
    keys: Arc<KeyRing>,
    cache: Cache<Verified>,
}

impl Verifier {
    /// A verifier that trusts these keys.
    pub fn new(config: VerifierConfig, keys: Arc<KeyRing>) -> Self {
        crate::install();
        let cache = Cache::new(config.cached_tokens_max);
        Self { config, keys, cache }
    }

    /// Who sends this token to the agent that goes by these names, each a URL. The token must be for exactly one of
    /// them. A reason not to let it in is for the log; see [`Rejected::PUBLIC`].
    pub fn verify(&self, token: &str, audience: &[impl AsRef<str>], now: Timestamp) -> Result<Arc<Caller>, Rejected> {
        if token.len() > TOKEN_LENGTH_MAX {
            return Err(Rejected::Oversized { length: token.len() });
        }
        let ring = self.keys.at(now);
        let verified = match self.cache.get(token, ring.generation, now) {
            Some(verified) => verified,
            None => self.verify_in_full(token, ring, now)?,
        };
        verified.times.check(&self.config, now)?;
        match audience.iter().any(|name| name.as_ref() == verified.audience) {
            true => Ok(verified.caller.clone()),
            false => Err(Rejected::WrongAudience { found: vec![verified.audience.clone()] }),
        }
    }

    /// Checks all of a token but for which agent of this node it is, and keeps what it found.
    fn verify_in_full(&self, token: &str, mut ring: Arc<Ring>, now: Timestamp) -> Result<Arc<Verified>, Rejected> {
        let unsigned = Unsigned::parse(token)?;
        if ring.find(&unsigned.kid).is_none() {
            ring = self.keys.refreshed(now);
        }
        let Some(key) = ring.find(&unsigned.kid) else {
            return Err(Rejected::UnknownKey { kid: unsigned.kid });
        };
        let verified = Arc::new(self.read(unsigned.signed_by(key)?)?);
        verified.times.check(&self.config, now)?;
        self.cache.insert(token, ring.generation, now, verified.times.end(), verified.clone());
        Ok(verified)
    }

    /// What signed claims say, if all that is needed is there and of the right issuer.
    fn read(&self, claims: Claims) -> Result<Verified, Rejected> {
        let issuer = required("iss", claims.iss)?;
        if issuer != self.config.issuer {
            return Err(Rejected::WrongIssuer { found: issuer });
        }
        required("jti", claims.jti)?;
        let audience = required("aud", claims.aud)?.one()?;
        let times = Times {
            issued: required("iat", claims.iat)?,
            not_before: required("nbf", claims.nbf)?,
            expires: required("exp", claims.exp)?,
        };
        let subject = required("sub", claims.sub)?;
        let tenant = required("tenant", claims.tenant)?;
        let caller = Caller {
            principal: Principal::parse(&subject).map_err(|_| Rejected::Malformed("sub"))?,
            tenant: Tenant::parse(&tenant).map_err(|_| Rejected::Malformed("tenant"))?,
            // The issuer is the node itself, and the signature is by a key of its own.
            is_owner: subject == NODE_OWNER,
            scopes: claims.scope.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect(),
            chain: Vec::new(),
        };
        Ok(Verified { audience, times, caller: Arc::new(caller) })
    }
}

/// What is left to check of a token with a good signature each time that it is used.
#[derive(Debug)]
struct Verified {
    audience: String,
    times: Times,
    caller: Arc<Caller>,
}

/// A token's times, in seconds since the epoch.
#[derive(Debug)]
struct Times {
    issued: u64,
    not_before: u64,
    expires: u64,
}

impl Times {
    fn check(&self, config: &VerifierConfig, now: Timestamp) -> Result<(), Rejected> {
        let latest_start = now.after(config.leeway);
        if instant(self.issued.max(self.not_before)) > latest_start {
            return Err(Rejected::NotYetValid);
        }
        if now >= self.end().after(config.leeway) {
            return Err(Rejected::Expired);
        }
        let seconds = self.expires.saturating_sub(self.issued);
        if seconds > config.lifetime_max.as_secs() {
            return Err(Rejected::LifetimeTooLong { seconds });
        }
        Ok(())
    }

    fn end(&self) -> Timestamp {
        instant(self.expires)
    }
}

fn instant(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1_000))
}

/// A token whose shape and header are right; whether anything in it is true is open.
struct Unsigned<'a> {
    kid: String,
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Unsigned<'a> {
    fn parse(token: &'a str) -> Result<Self, Rejected> {
        let (message, signature) = token.rsplit_once('.').ok_or(Rejected::Malformed("form"))?;
        let (header, payload) = message.split_once('.').ok_or(Rejected::Malformed("form"))?;
        let header: Header = decode(header, "header")?;
        if header.crit {
            return Err(Rejected::CriticalHeader);
        }
        if header.jku || header.jwk || header.x5u || header.x5c {
            return Err(Rejected::KeyInHeader);
        }
        let is_access_token = |typ: &str| ["at+jwt", "application/at+jwt"].iter().any(|t| typ.eq_ignore_ascii_case(t));
        if !header.typ.as_deref().is_some_and(is_access_token) {
            return Err(Rejected::WrongType);
        }
        // All of the node's keys are Ed25519, so the algorithm is settled before a key is looked for.
        if header.alg.as_deref() != Some("EdDSA") {
            return Err(Rejected::WrongAlgorithm);
        }
        let kid = header.kid.filter(|kid| is_key_id(kid)).ok_or(Rejected::Malformed("kid"))?;
        Ok(Self { kid, message, payload, signature })
    }

    /// The claims, if this key signed them.
    fn signed_by(self, key: &Key) -> Result<Claims, Rejected> {
        let message = self.message.as_bytes();
        match jsonwebtoken::crypto::verify(self.signature, message, &key.verifying, Algorithm::EdDSA) {
            Ok(true) => decode(self.payload, "payload"),
            Ok(false) | Err(_) => Err(Rejected::BadSignature),
        }
    }
}

fn is_key_id(kid: &str) -> bool {
    let is_allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    (1..=KEY_ID_LENGTH_MAX).contains(&kid.len()) && kid.bytes().all(is_allowed)
}

/// Reads a JSON object that all readers take for the same: with no member twice, also where we do not look. Nor is it an array.
fn decode<T: DeserializeOwned>(part: &str, what: &'static str) -> Result<T, Rejected> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejected::Malformed(what))?;
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(Rejected::Malformed(what));
    }
    strict::check(&json).map_err(|_| Rejected::Malformed(what))?;
    serde_json::from_slice(&json).map_err(|_| Rejected::Malformed(what))
}

fn required<T>(name: &'static str, claim: Option<T>) -> Result<T, Rejected> {
    claim.ok_or(Rejected::MissingClaim(name))
}

#[derive(Deserialize)]
struct Header {
    alg: Option<String>,
    typ: Option<String>,
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
    #[serde(default, deserialize_with = "present")]
    jku: bool,
    #[serde(default, deserialize_with = "present")]
    jwk: bool,
    #[serde(default, deserialize_with = "present")]
    x5u: bool,
    #[serde(default, deserialize_with = "present")]
    x5c: bool,
}

/// Whatever the member says, `null` too: it is there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<u64>,
    nbf: Option<u64>,
    iat: Option<u64>,
    jti: Option<String>,
    scope: Option<String>,
    tenant: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    /// The one there is. A token for several agents could be replayed by one of them at another.
    fn one(self) -> Result<String, Rejected> {
        match self {
            Self::One(audience) => Ok(audience),
            Self::Several(mut audiences) if audiences.len() == 1 => Ok(audiences.remove(0)),
            Self::Several(found) => Err(Rejected::WrongAudience { found }),
        }
    }
}
