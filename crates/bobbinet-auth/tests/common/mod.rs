//! A node to attack: keys in a folder of its own, and tokens that are right but for what a test changes.

use std::{path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_auth::{Issuer, KEYS_FOLDER, KeyRing, Rejected, Verifier, VerifierConfig};
use bobbinet_core::{Caller, Timestamp};
use futures::FutureExt;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tempfile::TempDir;

/// 2026-11-21T11:00:00Z, in seconds.
pub(crate) const NOW: u64 = 1_795_258_800;
pub(crate) const AGENT: &str = "http://127.0.0.1:7420/agents/files";

/// So many seconds after the start of each test.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis((NOW + seconds) * 1_000)
}

pub(crate) struct Node {
    pub(crate) data: TempDir,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) verifier: Verifier,
}

impl Node {
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let keys = Arc::new(KeyRing::open_or_create(&data.path().join(KEYS_FOLDER), at(0)).unwrap());
        let verifier = Verifier::new(VerifierConfig::default(), vec![Issuer::node(keys.clone())]);
        Self { data, keys, verifier }
    }

    /// Asks the verifier. Keys in a folder are there at once, so there is nothing to wait for.
    pub(crate) fn verify(
        &self,
        token: &str,
        audience: &[impl AsRef<str>],
        now: Timestamp,
    ) -> Result<Arc<Caller>, Rejected> {
        self.verifier.verify(token, audience, now).now_or_never().unwrap()
    }

    pub(crate) fn kid(&self) -> String {
        self.keys.list().into_iter().find(|key| key.is_current).unwrap().kid
    }

    /// The file of the key with this id.
    pub(crate) fn file(&self, kid: &str) -> PathBuf {
        let files = std::fs::read_dir(self.data.path().join(KEYS_FOLDER)).unwrap();
        files.map(|file| file.unwrap().path()).find(|path| path.to_str().unwrap().contains(kid)).unwrap()
    }

    /// The private key, as a thief would have it.
    pub(crate) fn secret(&self) -> EncodingKey {
        EncodingKey::from_ed_pem(&std::fs::read(self.file(&self.kid())).unwrap()).unwrap()
    }

    /// A good header, with these changes.
    pub(crate) fn header(&self, changes: Value) -> Value {
        changed(json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": self.kid() }), changes)
    }

    /// A token signed with the node's own key.
    pub(crate) fn token(&self, header: Value, claims: Value) -> String {
        sign(&header.to_string(), &claims.to_string(), &self.secret(), Algorithm::EdDSA)
    }
}

/// Good claims, with these changes.
pub(crate) fn claims(changes: Value) -> Value {
    let good = json!({
        "iss": "bobbinet:node", "sub": "node-owner", "tenant": "local", "aud": AGENT, "scope": "read write",
        "iat": NOW, "nbf": NOW, "exp": NOW + 300, "jti": "1",
    });
    changed(good, changes)
}

/// The object with these members set; `null` takes one away.
fn changed(mut object: Value, changes: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
        members.retain(|_, value| !value.is_null());
    }
    object
}

pub(crate) fn sign(header: &str, payload: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}
