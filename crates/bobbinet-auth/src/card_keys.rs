//! Signatures of Agent Cards (RFC 7515): with the node's own key, and whether another's is by a key that is believed.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_core::{Timestamp, json::strict};
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{JwksFault, KeyRing, MintError, VerifyingKey, jwks, verify::is_key_id};

/// Bytes of a protected header, as base64url.
const HEADER_LENGTH_MAX: usize = 8 << 10;

/// Characters of a SHA-256 thumbprint as base64url (RFC 7638).
const THUMBPRINT_LENGTH: usize = 43;

/// What cards may be signed with.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

impl KeyRing {
    /// Signs what `signing_input` makes of a protected header, and gives both. The header names where the node's keys are, and brings the
    /// one that has signed along: who knows its thumbprint need ask nobody.
    pub fn sign_card(
        &self,
        jwks_url: &str,
        now: Timestamp,
        signing_input: impl FnOnce(&str) -> String,
    ) -> Result<(String, String), MintError> {
        let key = self.current(now)?;
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": key.x });
        let header = json!({ "alg": "EdDSA", "typ": "JOSE", "kid": key.name.kid, "jku": jwks_url, "jwk": jwk });
        let protected = URL_SAFE_NO_PAD.encode(header.to_string());
        let input = signing_input(&protected);
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key.signing, Algorithm::EdDSA)?;
        Ok((protected, signature))
    }

    /// The id of the key that signs now.
    pub fn current_id(&self, now: Timestamp) -> Option<String> {
        self.current(now).ok().map(|key| key.name.kid.clone())
    }
}

/// The keys that a card must be signed with: by what they are, or by their thumbprints.
#[derive(Clone, Debug, Default)]
pub struct CardKeys {
    keys: BTreeMap<String, Arc<VerifyingKey>>,
    thumbprints: BTreeSet<String>,
}

impl CardKeys {
    /// The keys of a JWK set.
    ///
    /// # Errors
    /// If it is none, or has no key that cards may be signed with.
    pub fn of_set(text: &[u8]) -> Result<Self, JwksFault> {
        let keys = jwks::parse(text, &ALGORITHMS)?;
        if keys.is_empty() {
            return Err(JwksFault::new("it has no key that a card may be signed with"));
        }
        Ok(Self { keys, thumbprints: BTreeSet::new() })
    }

    /// Keys of which only the thumbprints are known (RFC 7638): such a card has to bring its key along, in its header.
    ///
    /// # Errors
    /// The first text that is no thumbprint.
    pub fn of_thumbprints(thumbprints: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let thumbprints: BTreeSet<String> = thumbprints.into_iter().collect();
        let is_one = |text: &&String| {
            text.len() == THUMBPRINT_LENGTH && URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
        };
        match thumbprints.iter().find(|text| !is_one(text)) {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(Self { keys: BTreeMap::new(), thumbprints }),
        }
    }

    /// Whether one of these keys has signed this, which `input` is made of the protected header and what is signed. Where the header says
    /// that its key is, is never looked at: nobody is asked on the word of a card.
    pub fn have_signed(&self, protected: &str, input: &str, signature: &str) -> bool {
        let Some(header) = Header::read(protected) else { return false };
        let Some(key) = self.key(&header) else { return false };
        let is_algorithm = Algorithm::from_str(&header.alg).is_ok_and(|algorithm| algorithm == key.algorithm);
        is_algorithm
            && jsonwebtoken::crypto::verify(signature, input.as_bytes(), &key.key, key.algorithm).unwrap_or(false)
    }

    /// The thumbprint of the key that a signature brings along, if it brings one.
    pub fn brought(protected: &str) -> Option<String> {
        thumbprint(Header::read(protected)?.jwk.as_ref()?)
    }

    fn key(&self, header: &Header) -> Option<Arc<VerifyingKey>> {
        if let Some(key) = header.kid.as_ref().and_then(|kid| self.keys.get(kid)) {
            return Some(key.clone());
        }
        let jwk = header.jwk.as_ref()?;
        if !self.thumbprints.contains(&thumbprint(jwk)?) {
            return None;
        }
        let algorithm = Algorithm::from_str(&header.alg).ok().filter(|algorithm| ALGORITHMS.contains(algorithm))?;
        jwks::one(jwk, algorithm).map(Arc::new)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    jwk: Option<Value>,
    crit: Option<Value>,
}

impl Header {
    /// A header that a card may have. A token of ours, which is signed with the same key, is not taken for a card.
    fn read(protected: &str) -> Option<Self> {
        if protected.len() > HEADER_LENGTH_MAX {
            return None;
        }
        let json = URL_SAFE_NO_PAD.decode(protected).ok()?;
        strict::check(&json).ok()?;
        let header: Self = serde_json::from_slice(&json).ok()?;
        let is_token = header.typ.as_deref().is_some_and(|typ| typ.to_ascii_lowercase().ends_with("at+jwt"));
        let has_good_id = header.kid.as_deref().is_none_or(is_key_id);
        (!is_token && header.crit.is_none() && has_good_id).then_some(header)
    }
}

/// The hash of a key's required members (RFC 7638 section 3.2).
fn thumbprint(jwk: &Value) -> Option<String> {
    let members: &[&str] = match jwk.get("kty")?.as_str()? {
        "OKP" => &["crv", "kty", "x"],
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let mut text = String::from("{");
    for name in members {
        let value = jwk.get(*name)?.as_str()?;
        // None of these has a character that JSON would write in another way.
        if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return None;
        }
        text.push_str(&format!("{}\"{name}\":\"{value}\"", if text.len() > 1 { "," } else { "" }));
    }
    text.push('}');
    Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes())))
}
