//! From a token to a caller: everything that RFC 8725 and RFC 9068 ask for and a JWT library leaves to its user.

mod trusted;

use std::{
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_core::{Caller, Json, Principal, Tenant, Timestamp, json::strict};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::{
    API_KEY_PREFIX, Algorithm, Certificate, CertifiedPrincipal, Issuer, LIFETIME_MAX, NODE_OWNER, Rejected, TokenTypes,
    VerifyingKey, certificate, token_cache::TokenCache,
};

use trusted::Trusted;
pub use trusted::{Accepted, ApiKeyHolders};

/// Bytes of a token: a dozen times the length of ours, and looked at before anything is decoded.
pub const TOKEN_LENGTH_MAX: usize = 8 << 10;

/// Characters of a key id. It goes into the log, so letters, digits, `.`, `_` and `-` are all that it may have.
pub const KEY_ID_LENGTH_MAX: usize = 128;

/// What a verifier goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierConfig {
    /// The most time from `iat` to `exp`, where neither issuer nor subject has one of its own.
    pub lifetime_max: Duration,
    /// How far the clocks of two machines may differ.
    pub leeway: Duration,
    /// Verified tokens kept in memory.
    pub cached_tokens_max: usize,
    /// Who somebody is who shows no token at all. `None`: nobody. For tests, and on loopback only.
    pub anonymous: Option<Arc<Caller>>,
}

impl Default for VerifierConfig {
    fn default() -> Self {
        Self { lifetime_max: LIFETIME_MAX, leeway: Duration::from_secs(30), cached_tokens_max: 4_096, anonymous: None }
    }
}

/// Turns tokens and API keys into callers. One for all agents of a node: the audience is asked for at each call. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: VerifierConfig,
    trusted: RwLock<Arc<Trusted>>,
    certified: RwLock<Arc<Vec<CertifiedPrincipal>>>,
    cache: TokenCache<Verified>,
}

impl Verifier {
    /// A verifier that takes the tokens of these issuers, and no API keys.
    pub fn new(config: VerifierConfig, issuers: Vec<Issuer>) -> Self {
        Self::with_api_keys(config, issuers, None)
    }

    /// The same, which takes API keys too.
    pub fn with_api_keys(config: VerifierConfig, issuers: Vec<Issuer>, api_keys: Option<ApiKeyHolders>) -> Self {
        crate::install();
        let cache = TokenCache::new(config.cached_tokens_max);
        let trusted = RwLock::new(Arc::new(Trusted::new(issuers, api_keys)));
        Self(Arc::new(Inner { config, trusted, certified: RwLock::default(), cache }))
    }

    /// One that also takes these principals by their certificates.
    #[must_use]
    pub fn with_certificates(self, certified: Vec<CertifiedPrincipal>) -> Self {
        self.replace_certificates(certified);
        self
    }

    /// From now on these principals are known by their certificates.
    pub fn replace_certificates(&self, certified: Vec<CertifiedPrincipal>) {
        *self.0.certified.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
    }

    /// Who has shown this certificate, which an authority has vouched for, and no token.
    pub fn certified(&self, certificate: &Certificate, now: Timestamp) -> Result<Arc<Caller>, Rejected> {
        let known = self.0.certified.read().unwrap_or_else(PoisonError::into_inner).clone();
        certificate::caller(&known, certificate, now)
    }

    /// Who somebody is who has shown no API key, and this instead of a token.
    ///
    /// # Errors
    /// What was wrong with the token, unless nothing was shown and such callers are let in.
    pub fn without_token(&self, rejected: Rejected) -> Result<Arc<Caller>, Rejected> {
        match &self.0.config.anonymous {
            Some(anonymous) if rejected == Rejected::Missing => Ok(anonymous.clone()),
            Some(_) | None => Err(rejected),
        }
    }

    /// From now on these are the issuers whose tokens are taken, and these the API keys. What was verified before is verified again.
    /// Keys of an issuer that were fetched from where its keys still are need not be fetched again.
    pub fn replace(&self, issuers: Vec<Issuer>, api_keys: Option<ApiKeyHolders>) {
        let mut trusted = self.0.trusted.write().unwrap_or_else(PoisonError::into_inner);
        *trusted = Arc::new(trusted.followed_by(issuers, api_keys));
    }

    /// By what a caller can show who he is, for cards to say.
    pub fn accepted(&self) -> Accepted {
        Accepted { is_open: self.0.config.anonymous.is_some(), ..self.trusted().accepted() }
    }

    fn trusted(&self) -> Arc<Trusted> {
        self.0.trusted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whose this API key is, whichever agent he asks.
    pub fn verify_api_key(&self, key: &str, now: Timestamp) -> Result<Arc<Caller>, Rejected> {
        if key.len() > TOKEN_LENGTH_MAX {
            return Err(Rejected::Oversized { length: key.len() });
        }
        self.trusted().api_keys.as_ref().ok_or(Rejected::ApiKeysOff)?.caller(key, now)
    }

    /// Who sends this token to the agent that goes by these names, each a URL. The token must be for exactly one of
    /// them. A reason not to let it in is for the log; see [`Rejected::PUBLIC`].
    ///
    /// A token that was verified before is looked up in memory; for one that was not, an issuer's keys may have to be asked for.
    pub async fn verify(
        &self,
        token: &str,
        audience: &[impl AsRef<str>],
        now: Timestamp,
    ) -> Result<Arc<Caller>, Rejected> {
        self.verify_over(None, token, audience, now).await
    }

    /// The same over a connection on which this certificate was shown: a token may be good over that one alone.
    pub async fn verify_over(
        &self,
        certificate: Option<&Certificate>,
        token: &str,
        audience: &[impl AsRef<str>],
        now: Timestamp,
    ) -> Result<Arc<Caller>, Rejected> {
        if token.starts_with(API_KEY_PREFIX) {
            return self.verify_api_key(token, now);
        }
        if token.len() > TOKEN_LENGTH_MAX {
            return Err(Rejected::Oversized { length: token.len() });
        }
        let trusted = self.trusted();
        let verified = match self.0.cache.get(token, trusted.generation(now), now) {
            Some(verified) => verified,
            // Boxed, so that the far more frequent ones need not carry the room for it.
            None => Box::pin(self.verify_in_full(&trusted, token, now)).await?,
        };
        verified.times.check(&self.0.config, now)?;
        if let Some(bound) = &verified.certificate
            && certificate.is_none_or(|shown| shown.thumbprint() != bound)
        {
            return Err(Rejected::OtherCertificate);
        }
        match verified.is_for_any_agent || audience.iter().any(|name| name.as_ref() == verified.audience) {
            true => Ok(verified.caller.clone()),
            false => Err(Rejected::WrongAudience { found: vec![verified.audience.clone()] }),
        }
    }

    /// Checks all of a token but for which agent of this node it is, and keeps what it found.
    async fn verify_in_full(&self, trusted: &Trusted, token: &str, now: Timestamp) -> Result<Arc<Verified>, Rejected> {
        let unsigned = Unsigned::parse(token)?;
        // What it says of its issuer chooses the keys, and is believed only if one of them has signed it.
        let payload = decoded(unsigned.payload, "payload")?;
        let claims: Claims = read_json(&payload, "payload")?;
        let Some(issuer) = trusted.issuers.iter().find(|issuer| claims.iss.as_ref() == Some(&issuer.name)) else {
            return Err(Rejected::WrongIssuer { found: required("iss", claims.iss)? });
        };
        if !unsigned.is_access_token && issuer.tokens == TokenTypes::AccessTokens {
            return Err(Rejected::WrongType);
        }
        if !issuer.algorithms.contains(&unsigned.algorithm) {
            return Err(Rejected::WrongAlgorithm);
        }
        let generation = trusted.generation(now);
        let Some(key) = issuer.keys.find(&unsigned.kid, now).await else {
            return Err(Rejected::UnknownKey { kid: unsigned.kid });
        };
        unsigned.check_signature(&key)?;
        let verified = Arc::new(read(issuer, claims, payload, self.0.config.lifetime_max)?);
        verified.times.check(&self.0.config, now)?;
        // A key that came or went meanwhile may have been this one: then it is looked for again the next time.
        if trusted.generation(now) == generation {
            self.0.cache.insert(token, generation, now, verified.times.end(), verified.clone());
        }
        Ok(verified)
    }
}

/// What signed claims of this issuer say, if all that is needed is there.
fn read(issuer: &Issuer, claims: Claims, payload: String, lifetime_max: Duration) -> Result<Verified, Rejected> {
    match issuer.tokens {
        TokenTypes::AccessTokens => drop(required("jti", claims.jti)?),
        TokenTypes::Any => {}
    }
    let audience = required("aud", claims.aud)?.one()?;
    let is_for_any_agent = match &issuer.audience {
        Some(expected) if *expected == audience => true,
        Some(_) => return Err(Rejected::WrongAudience { found: vec![audience] }),
        None => false,
    };
    let issued = required("iat", claims.iat)?;
    let not_before = match issuer.owner {
        Some(_) => required("nbf", claims.nbf)?,
        // RFC 9068 does not ask for it, and many leave it out.
        None => claims.nbf.unwrap_or(issued),
    };
    let subject = required("sub", claims.sub)?;
    if subject.is_empty() {
        return Err(Rejected::Malformed("sub"));
    }
    let named = issuer.principals.get(&subject);
    let tenant = match (named, &issuer.tenant) {
        (Some(named), _) => named.tenant.clone(),
        (None, Some(tenant)) => tenant.clone(),
        (None, None) => {
            Tenant::parse(&required("tenant", claims.tenant)?).map_err(|_| Rejected::Malformed("tenant"))?
        }
    };
    let principal = match named {
        Some(named) => named.principal.clone(),
        None => issuer.principal(&subject, "sub")?,
    };
    // By issuer and subject: another issuer may have a subject of that name.
    let is_node_owner = issuer.owner.as_ref() == Some(&subject);
    if principal.as_str() == NODE_OWNER && !is_node_owner {
        // What the owner's tasks are filed under is nobody else's name.
        return Err(Rejected::Malformed("sub"));
    }
    // A binding that nobody here knows must not be passed over: the token would be good for whoever has stolen it.
    let certificate = match claims.cnf {
        None => None,
        Some(Confirmation { thumbprint: Some(thumbprint) }) => Some(thumbprint),
        Some(Confirmation { thumbprint: None }) => return Err(Rejected::Malformed("cnf")),
    };
    let own_lifetime_max = named.and_then(|named| named.lifetime_max).or(issuer.lifetime_max);
    let times = Times {
        issued,
        not_before,
        expires: required("exp", claims.exp)?,
        lifetime_max: own_lifetime_max.unwrap_or(lifetime_max),
    };
    let mut caller = Caller {
        is_node_owner,
        scopes: claims.scope.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect(),
        chain: issuer.chain(claims.act)?,
        ..Caller::new(principal, tenant)
    };
    if !is_node_owner {
        caller.issuer = Some(Arc::from(issuer.name.as_str()));
        caller.claims = Some(Json::parse(&payload).map_err(|_| Rejected::Malformed("payload"))?);
    }
    Ok(Verified { audience, is_for_any_agent, certificate, times, caller: Arc::new(caller) })
}

/// On whose behalf somebody may act who acts for another who acts for another.
const CHAIN_LENGTH_MAX: usize = 8;

impl Issuer {
    fn principal(&self, subject: &str, claim: &'static str) -> Result<Principal, Rejected> {
        Principal::parse(&format!("{}{subject}", self.prefix)).map_err(|_| Rejected::Malformed(claim))
    }

    /// The `act` claim (RFC 8693 section 4.1), nearest first.
    fn chain(&self, mut actor: Option<Box<Actor>>) -> Result<Vec<Principal>, Rejected> {
        let mut chain = Vec::new();
        while let Some(Actor { sub, act }) = actor.map(|actor| *actor) {
            if chain.len() >= CHAIN_LENGTH_MAX {
                return Err(Rejected::Malformed("act"));
            }
            let named = self.principals.get(&sub).map(|named| named.principal.clone());
            chain.push(named.map_or_else(|| self.principal(&sub, "act"), Ok)?);
            actor = act;
        }
        Ok(chain)
    }
}

/// What is left to check of a token with a good signature each time that it is used.
#[derive(Debug)]
struct Verified {
    audience: String,
    /// Its audience is the issuer's own word for this node, whichever of its agents is asked.
    is_for_any_agent: bool,
    /// The thumbprint of the one certificate that it is good with, if it is bound to one.
    certificate: Option<String>,
    times: Times,
    caller: Arc<Caller>,
}

/// A token's times, in seconds since the epoch.
#[derive(Debug)]
struct Times {
    issued: u64,
    not_before: u64,
    expires: u64,
    /// The most that may lie between its beginning and its end.
    lifetime_max: Duration,
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
        if seconds > self.lifetime_max.as_secs() {
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
    algorithm: Algorithm,
    /// Whether it says that it is one. If not, it says that it is any, or nothing.
    is_access_token: bool,
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Unsigned<'a> {
    fn parse(token: &'a str) -> Result<Self, Rejected> {
        let (message, signature) = token.rsplit_once('.').ok_or(Rejected::Malformed("form"))?;
        let (header, payload) = message.split_once('.').ok_or(Rejected::Malformed("form"))?;
        let header: Header = read_json(&decoded(header, "header")?, "header")?;
        if header.crit {
            return Err(Rejected::CriticalHeader);
        }
        if header.jku || header.jwk || header.x5u || header.x5c {
            return Err(Rejected::KeyInHeader);
        }
        let is_one_of = |types: [&str; 2]| {
            let is_it = |typ: &str| types.iter().any(|one| typ.eq_ignore_ascii_case(one));
            header.typ.as_deref().map(is_it)
        };
        let is_access_token = is_one_of(["at+jwt", "application/at+jwt"]) == Some(true);
        if !is_access_token && is_one_of(["JWT", "application/jwt"]) == Some(false) {
            return Err(Rejected::WrongType);
        }
        // `none` is no algorithm, and neither is one that nobody here knows.
        let algorithm = header.alg.as_deref().and_then(|alg| Algorithm::from_str(alg).ok());
        let algorithm = algorithm.ok_or(Rejected::WrongAlgorithm)?;
        let kid = header.kid.filter(|kid| is_key_id(kid)).ok_or(Rejected::Malformed("kid"))?;
        Ok(Self { kid, algorithm, is_access_token, message, payload, signature })
    }

    /// Whether this key has signed it, with the algorithm that is the key's.
    fn check_signature(&self, key: &VerifyingKey) -> Result<(), Rejected> {
        if key.algorithm != self.algorithm {
            return Err(Rejected::WrongAlgorithm);
        }
        let message = self.message.as_bytes();
        match jsonwebtoken::crypto::verify(self.signature, message, &key.key, key.algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Rejected::BadSignature),
        }
    }
}

/// Whether it may name a key: a word, or a hash in either alphabet of base64, or the name of a key in a document, as issuers write them.
pub(crate) fn is_key_id(kid: &str) -> bool {
    let is_allowed = |c: u8| c.is_ascii_alphanumeric() || b"._-+/=:#".contains(&c);
    (1..=KEY_ID_LENGTH_MAX).contains(&kid.len()) && kid.bytes().all(is_allowed) && !kid.contains("..")
}

/// The text of a JSON object that all readers take for the same: with no member twice, also where we do not look. Nor is it an array.
fn decoded(part: &str, what: &'static str) -> Result<String, Rejected> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejected::Malformed(what))?;
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(Rejected::Malformed(what));
    }
    strict::check(&json).map_err(|_| Rejected::Malformed(what))?;
    String::from_utf8(json).map_err(|_| Rejected::Malformed(what))
}

fn read_json<T: DeserializeOwned>(json: &str, what: &'static str) -> Result<T, Rejected> {
    serde_json::from_str(json).map_err(|_| Rejected::Malformed(what))
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
    act: Option<Box<Actor>>,
    cnf: Option<Confirmation>,
}

/// What the bearer of a token must also have (RFC 7800, RFC 8705 section 3.1).
#[derive(Deserialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: Option<String>,
}

#[derive(Deserialize)]
struct Actor {
    sub: String,
    act: Option<Box<Actor>>,
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
