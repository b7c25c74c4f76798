//! Issuers whose keys are found by their name alone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_auth::{Algorithm, FetchJwks, KeySet, MISS_INTERVAL, RemoteKeys};
use bobbinet_core::Timestamp;
use bobbinet_http::client::DiscoveredJwks;
use futures::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

/// An issuer that answers by path, and counts how often it was asked for each.
#[derive(Clone, Default)]
struct Provider {
    answers: Arc<Mutex<BTreeMap<String, String>>>,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Provider {
    async fn start(&self) -> (String, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (provider, mut serving) = (self.clone(), JoinSet::new());
        serving.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = vec![0; 4_096];
                let length = socket.read(&mut request).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let body = provider.answers.lock().unwrap().get(&path).cloned();
                *provider.asked.lock().unwrap().entry(path).or_default() += 1;
                let (status, body) = body.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                socket.write_all(answer.as_bytes()).await.ok();
            }
        });
        (origin, serving)
    }

    fn says(&self, path: &str, body: impl Into<String>) {
        self.answers.lock().unwrap().insert(path.to_owned(), body.into());
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    fn asked_in_all(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }
}

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// A set of keys with these ids.
fn set(kids: &[&str]) -> String {
    let x = URL_SAFE_NO_PAD.encode([7; 32]);
    let jwk = |kid: &&str| json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "alg": "EdDSA" });
    json!({ "keys": kids.iter().map(jwk).collect::<Vec<_>>() }).to_string()
}

fn keys(issuer: &str) -> RemoteKeys {
    let fetch = DiscoveredJwks::new(issuer).unwrap();
    RemoteKeys::new(fetch.url().to_owned(), vec![Algorithm::EdDSA], Arc::new(fetch))
}

/// So many seconds after the start of each test.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis((1_795_258_800 + seconds) * 1_000)
}

#[tokio::test]
async fn a_thousand_who_come_at_once_ask_once_and_made_up_keys_ask_no_more() {
    let provider = Provider::default();
    let (issuer, _serving) = provider.start().await;
    provider.says(OPENID, json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") }).to_string());
    provider.says("/keys", set(&["k1"]));
    let keys = keys(&issuer);
    let found = join_all((0..1_000).map(|_| keys.find("k1", at(0)))).await;
    assert!(found.iter().all(Option::is_some));
    assert_eq!((provider.asked(OPENID), provider.asked("/keys")), (1, 1), "one fetch for all");

    // Keys that nobody has: a thousand names, and one look for all of them.
    let miss = MISS_INTERVAL.as_secs();
    let names: Vec<String> = (0..1_000).map(|number| format!("made-up-{number}")).collect();
    let found = join_all(names.iter().map(|name| keys.find(name, at(1)))).await;
    assert!(found.iter().all(Option::is_none));
    assert_eq!(provider.asked("/keys"), 1, "it was asked a moment ago");
    let found = join_all(names.iter().map(|name| keys.find(name, at(miss)))).await;
    assert!(found.iter().all(Option::is_none));
    assert_eq!((provider.asked(OPENID), provider.asked("/keys")), (1, 2));

    // A rotation: the first token of the new key is worth one look, and the old key is good for as long as it is shown.
    provider.says("/keys", set(&["k1", "k2"]));
    let found = join_all((0..1_000).map(|_| keys.find("k2", at(2 * miss)))).await;
    assert!(found.iter().all(Option::is_some));
    assert_eq!(provider.asked("/keys"), 3);
    assert!(keys.find("k1", at(2 * miss)).await.is_some());

    // Its keys move: where they are is asked again.
    provider.answers.lock().unwrap().remove("/keys");
    provider.says(OPENID, json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/moved") }).to_string());
    provider.says("/moved", set(&["k3"]));
    assert!(keys.find("k3", at(3 * miss)).await.is_some());
    assert!(keys.find("k1", at(3 * miss)).await.is_none(), "taken back");
    assert_eq!((provider.asked(OPENID), provider.asked("/moved")), (2, 1));
}

#[tokio::test]
async fn keys_are_those_of_the_issuer_who_is_named_and_of_nobody_else() {
    for (what, path, metadata, is_found) in [
        ("OpenID", OPENID, json!({ "issuer": "ISSUER", "jwks_uri": "ISSUER/keys" }), true),
        ("RFC 8414 alone", OAUTH, json!({ "issuer": "ISSUER", "jwks_uri": "ISSUER/keys" }), true),
        ("another issuer", OPENID, json!({ "issuer": "https://idp.example", "jwks_uri": "ISSUER/keys" }), false),
        ("a slash more", OPENID, json!({ "issuer": "ISSUER/", "jwks_uri": "ISSUER/keys" }), false),
        ("no keys", OPENID, json!({ "issuer": "ISSUER" }), false),
        ("keys in the clear", OPENID, json!({ "issuer": "ISSUER", "jwks_uri": "http://10.0.0.1/keys" }), false),
        ("a file", OPENID, json!({ "issuer": "ISSUER", "jwks_uri": "file:///etc/passwd" }), false),
        ("somewhere else", "/openid", json!({ "issuer": "ISSUER", "jwks_uri": "ISSUER/keys" }), false),
    ] {
        let provider = Provider::default();
        let (issuer, _serving) = provider.start().await;
        provider.says(path, metadata.to_string().replace("ISSUER", &issuer));
        provider.says("/keys", set(&["k1"]));
        let found = DiscoveredJwks::new(&issuer).unwrap().fetch().await;
        assert_eq!(found.is_ok(), is_found, "{what}: {found:?}");
        assert!(provider.asked_in_all() <= 3, "{what}");
        assert_eq!(keys(&issuer).find("k1", at(0)).await.is_some(), is_found, "{what}");
    }
}
