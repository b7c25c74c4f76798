//! An issuer of tokens that is not the node: its OpenID configuration, its keys, and what it signs.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::UNIX_EPOCH,
};

use anyhow::{Context, Result};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use axum::{Router, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

/// Whom its tokens are about.
pub(crate) const SUBJECT: &str = "00u1a2b3";

const KEY_ID: &str = "bench-1";

/// How long its tokens live, in seconds.
const LIFE: u64 = 600;

/// An issuer that is served by this process, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// What its tokens have as `iss`: a URL, below which its OpenID configuration is.
    pub(crate) name: String,
    key: Arc<EncodingKey>,
    _served: JoinSet<()>,
}

/// Makes tokens for one agent.
#[derive(Debug)]
pub(crate) struct Minter {
    issuer: String,
    audience: String,
    key: Arc<EncodingKey>,
    next: AtomicU64,
}

impl Issuer {
    /// Begins to serve one, with a key of ECDSA on P-256.
    pub(crate) async fn serve() -> Result<Self> {
        let secret = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let secret = secret.context("making an issuer's key")?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, secret.as_ref());
        let point = pair.context("reading an issuer's key")?.public_key().as_ref().to_owned();
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": KEY_ID, "x": encoded(&point[1..33]), "y": encoded(&point[33..]),
        });
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.context("binding a port")?;
        let name = format!("http://{}", listener.local_addr()?);
        let configuration = json!({ "issuer": name, "jwks_uri": format!("{name}/jwks.json") }).to_string();
        let jwks = json!({ "keys": [jwk] }).to_string();
        let json = |text: String| get(|| async move { ([(CONTENT_TYPE, "application/json")], text).into_response() });
        let app = Router::new()
            .route("/.well-known/openid-configuration", json(configuration))
            .route("/jwks.json", json(jwks));
        let mut served = JoinSet::new();
        served.spawn(async move {
            // Whoever finds it gone cannot verify a token, and says so.
            axum::serve(listener, app).await.ok();
        });
        Ok(Self { name, key: Arc::new(EncodingKey::from_ec_der(secret.as_ref())), _served: served })
    }

    /// What makes its tokens for this agent.
    pub(crate) fn minter(&self, audience: &str) -> Minter {
        let (issuer, audience) = (self.name.clone(), audience.to_owned());
        Minter { issuer, audience, key: self.key.clone(), next: AtomicU64::new(1) }
    }
}

impl Minter {
    /// A token like no other.
    pub(crate) fn token(&self) -> String {
        let (now, id) = (now(), self.next.fetch_add(1, Ordering::Relaxed));
        let header = format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{KEY_ID}"}}"#);
        let claims = json!({
            "iss": self.issuer, "sub": SUBJECT, "aud": self.audience, "iat": now, "exp": now + LIFE,
            "jti": id.to_string(), "client_id": "bench", "scope": "read write",
        });
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, Algorithm::ES256);
        format!("{message}.{}", signature.expect("a key for ES256 signs"))
    }
}

#[expect(clippy::disallowed_methods, reason = "an issuer is a program of its own, and this is its clock")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_token_is_another_and_says_whose_it_is() {
        let issuer = Issuer::serve().await.unwrap();
        let minter = issuer.minter("http://an/agent");
        let (first, second) = (minter.token(), minter.token());
        assert_ne!(first, second);
        let claims = first.split('.').nth(1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["iss"], issuer.name);
        assert_eq!(claims["aud"], "http://an/agent");
    }
}
