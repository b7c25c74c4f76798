//! The public keys of another issuer, as a JWK set (RFC 7517): in a file, or where its URL is.

mod file;
mod remote;

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_core::json::strict;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

pub use file::FileKeys;
pub use remote::{FetchJwks, Fetched, KEPT_MAX, MAX_AGE_DEFAULT, MISS_INTERVAL, RETRY_INTERVAL, RemoteKeys};

use crate::{VerifyingKey, verify::is_key_id};

/// Bytes of a JWK set.
pub const JWKS_LENGTH_MAX: usize = 256 << 10;

/// Keys of one issuer. More would be a directory.
pub const JWKS_KEYS_MAX: usize = 100;

/// Bits of an RSA key: fewer are too weak (RFC 7518 section 3.3), and more make each check slow.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// Bytes of an RSA key's exponent: a large one makes each check slow.
const RSA_EXPONENT_LENGTH_MAX: usize = 4;

/// Why a JWK set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JwksFault(String);

impl JwksFault {
    pub(crate) fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// Keys by their ids.
pub(crate) type Keys = BTreeMap<String, Arc<VerifyingKey>>;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// The keys of a set that signatures of these algorithms can be checked with. Those for anything else, which sets are full of, are
/// passed over; of two with one id the first counts.
pub(crate) fn parse(text: &[u8], algorithms: &[Algorithm]) -> Result<Keys, JwksFault> {
    if text.len() > JWKS_LENGTH_MAX {
        return Err(JwksFault(format!("it is longer than {JWKS_LENGTH_MAX} bytes")));
    }
    strict::check(text).map_err(|fault| JwksFault(fault.to_string()))?;
    let set: Set = serde_json::from_slice(text).map_err(|error| JwksFault(format!("it is no JWK set: {error}")))?;
    if set.keys.len() > JWKS_KEYS_MAX {
        return Err(JwksFault(format!("it has more than {JWKS_KEYS_MAX} keys")));
    }
    let mut keys = Keys::new();
    for jwk in set.keys {
        if let Some((kid, key)) = serde_json::from_value(jwk).ok().and_then(|jwk| verifying(jwk, algorithms)) {
            keys.entry(kid).or_insert_with(|| Arc::new(key));
        }
    }
    Ok(keys)
}

/// One key that stands alone, for signatures of this algorithm.
pub(crate) fn one(jwk: &Value, algorithm: Algorithm) -> Option<VerifyingKey> {
    let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
    // It need not have an id where it is not looked for by one.
    let jwk = Jwk { kid: Some("one".to_owned()), ..jwk };
    verifying(jwk, &[algorithm]).map(|(_, key)| key)
}

fn verifying(jwk: Jwk, algorithms: &[Algorithm]) -> Option<(String, VerifyingKey)> {
    let is_for_signatures = jwk.purpose.as_ref().is_none_or(|purpose| purpose == "sig")
        && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    let kid = jwk.kid.clone().filter(|kid| is_key_id(kid) && is_for_signatures)?;
    let fitting: &[Algorithm] = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => &[Algorithm::EdDSA],
        ("EC", Some("P-256")) => &[Algorithm::ES256],
        ("EC", Some("P-384")) => &[Algorithm::ES384],
        ("RSA", _) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        _ => return None,
    };
    let named = jwk.alg.as_deref().map(str::parse::<Algorithm>).transpose().ok()?;
    // A key that does not say serves the first that the issuer may use: one key, one algorithm.
    let mut allowed = algorithms.iter().filter(|algorithm| fitting.contains(algorithm));
    let algorithm = *allowed.find(|algorithm| named.is_none_or(|named| named == **algorithm))?;
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let of_length = |text: &Option<String>, length: usize| bytes(text).filter(|bytes| bytes.len() == length).map(drop);
    let key = match (jwk.kty.as_str(), algorithm) {
        ("OKP", _) => {
            of_length(&jwk.x, 32)?;
            DecodingKey::from_ed_components(jwk.x.as_deref()?)
        }
        ("EC", _) => {
            let length = if algorithm == Algorithm::ES384 { 48 } else { 32 };
            of_length(&jwk.x, length).and(of_length(&jwk.y, length))?;
            DecodingKey::from_ec_components(jwk.x.as_deref()?, jwk.y.as_deref()?)
        }
        _ => {
            let (modulus, exponent) = (bytes(&jwk.n)?, bytes(&jwk.e)?);
            let first = modulus.iter().position(|byte| *byte != 0)?;
            let zeros = usize::try_from(modulus[first].leading_zeros()).ok()?;
            let bits = (modulus.len() - first) * 8 - zeros;
            let is_fit = RSA_BITS.contains(&bits) && (1..=RSA_EXPONENT_LENGTH_MAX).contains(&exponent.len());
            if !is_fit {
                return None;
            }
            DecodingKey::from_rsa_components(jwk.n.as_deref()?, jwk.e.as_deref()?)
        }
    };
    Some((kid, VerifyingKey::new(algorithm, key.ok()?)?))
}
