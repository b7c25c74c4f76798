//! Keys of issuers, and tokens that they sign.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_auth::Algorithm;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use crate::common::sign;

/// A key of an issuer's, and how it publishes it.
pub(crate) struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    secret: EncodingKey,
    /// Its public half.
    pub(crate) jwk: Value,
}

pub(crate) fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub(crate) fn elliptic(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let public = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref()).unwrap();
        let point = public.public_key().as_ref().to_owned();
        let jwk =
            json!({ "kty": "EC", "crv": "P-256", "x": encoded(&point[1..33]), "y": encoded(&point[33..]), "kid": kid });
        Self { kid, algorithm: Algorithm::ES256, secret: EncodingKey::from_ec_der(pair.as_ref()), jwk }
    }

    pub(crate) fn edwards(kid: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let jwk =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key()), "kid": kid, "alg": "EdDSA" });
        let secret = EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref());
        Self { kid, algorithm: Algorithm::EdDSA, secret, jwk }
    }

    pub(crate) fn rsa(kid: &'static str) -> Self {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let modulus = public.modulus().big_endian_without_leading_zero().to_owned();
        let exponent = public.exponent().big_endian_without_leading_zero().to_owned();
        let jwk = json!({ "kty": "RSA", "n": encoded(modulus), "e": encoded(exponent), "kid": kid, "use": "sig" });
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Self { kid, algorithm: Algorithm::RS256, secret: rsa_secret(der.as_ref()), jwk }
    }

    pub(crate) fn header(&self, changes: Value) -> Value {
        changed(json!({ "typ": "at+jwt", "alg": format!("{:?}", self.algorithm), "kid": self.kid }), changes)
    }

    pub(crate) fn token(&self, header: Value, payload: Value) -> String {
        sign(&self.header(header).to_string(), &payload.to_string(), &self.secret, self.algorithm)
    }
}

/// The library takes PKCS#1 for RSA: what PKCS#8 wraps, behind its 26 bytes of a header.
fn rsa_secret(pkcs8: &[u8]) -> EncodingKey {
    EncodingKey::from_rsa_der(&pkcs8[26..])
}

pub(crate) fn changed(mut object: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        object[name] = value.clone();
    }
    object.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    object
}
