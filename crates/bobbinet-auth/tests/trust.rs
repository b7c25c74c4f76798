//! Other issuers than the node: which of their tokens get in, as whom, and where their keys come from.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

mod common;
#[path = "common/signer.rs"]
mod signer;

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_auth::{
    Algorithm, FetchJwks, Fetched, FileKeys, Issuer, KeySet, MISS_INTERVAL, NamedPrincipal, RETRY_INTERVAL, Rejected,
    RemoteKeys, Verifier, VerifierConfig,
};
use bobbinet_core::{Caller, Principal, Tenant, Timestamp};
use common::{AGENT, NOW, Node, at, claims, sign};
use futures::{FutureExt, future::join_all};
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use signer::{Signer, changed, encoded};
use tokio::sync::Notify;

const IDP: &str = "https://idp.example";
const OTHER: &str = "https://other.example";

/// Good claims of the issuer's, with these changes.
fn theirs(changes: Value) -> Value {
    changed(claims(json!({ "iss": IDP, "sub": "u1", "nbf": null, "tenant": null, "scope": "sign" })), changes)
}

fn set(jwks: &[&Value]) -> String {
    json!({ "keys": jwks }).to_string()
}

fn principal(text: &str) -> Principal {
    Principal::parse(text).unwrap()
}

fn tenant(text: &str) -> Tenant {
    Tenant::parse(text).unwrap()
}

struct World {
    node: Node,
    verifier: Verifier,
    elliptic: Signer,
    edwards: Signer,
    rsa: Signer,
    other: Signer,
    _folder: tempfile::TempDir,
}

/// A node that trusts two issuers: one with three keys, of which it may use two kinds, and one with a single key.
fn world() -> World {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let (elliptic, edwards, rsa) = (Signer::elliptic("k1"), Signer::edwards("k2"), Signer::rsa("k3"));
    // The other has an id in common with the first.
    let other = Signer::edwards("k2");
    let keys = |name: &str, text: String, algorithms: &[Algorithm]| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        Arc::new(FileKeys::open(&path, algorithms.to_vec()).unwrap())
    };
    let algorithms = [Algorithm::ES256, Algorithm::RS256];
    let all = set(&[&elliptic.jwk, &edwards.jwk, &rsa.jwk]);
    let named = |name: &str, days: u64| NamedPrincipal {
        principal: principal(name),
        tenant: tenant("acme"),
        lifetime_max: Some(Duration::from_secs(days * 86_400)),
    };
    let idp = Issuer {
        lifetime_max: Some(Duration::from_secs(3_600)),
        principals: BTreeMap::from([("service".to_owned(), named("crypto", 30))]),
        ..Issuer::trusted(IDP, keys("idp.json", all, &algorithms), algorithms.to_vec(), tenant("guests"))
    };
    let second = Issuer {
        audience: Some("urn:nodes".to_owned()),
        ..Issuer::trusted(
            OTHER,
            keys("other.json", set(&[&other.jwk]), &[Algorithm::EdDSA]),
            vec![Algorithm::EdDSA],
            tenant("others"),
        )
    };
    let own = Issuer {
        principals: BTreeMap::from([("robot".to_owned(), named("robot", 30))]),
        ..Issuer::node(node.keys.clone())
    };
    let as_other = Issuer::node_as("https://us.example", node.keys.clone());
    let verifier = Verifier::new(VerifierConfig::default(), vec![own, as_other, idp, second]);
    World { node, verifier, elliptic, edwards, rsa, other, _folder: folder }
}

/// Who a token is, in short: its principal, tenant, and whether he is the owner.
fn who(caller: &Caller) -> String {
    let owner = if caller.is_node_owner { " (owner)" } else { "" };
    format!("{} of {}{owner}", caller.principal.as_str(), caller.tenant.as_str())
}

#[test]
fn only_what_an_issuer_may_say_gets_in_and_never_as_somebody_else() {
    let world = world();
    let World { node, elliptic, edwards, rsa, other, .. } = &world;
    let ok = |who: &str| Ok(who.to_owned());
    let days = |days: u64| NOW + days * 86_400;
    let others = |changes: Value| changed(theirs(json!({ "iss": OTHER, "aud": "urn:nodes" })), changes);
    let own = |changes: Value| node.token(node.header(json!({})), claims(changes));
    let secret = EncodingKey::from_secret(elliptic.jwk["x"].as_str().unwrap().as_bytes());
    let confused = sign(
        &elliptic.header(json!({ "alg": "HS256" })).to_string(),
        &theirs(json!({})).to_string(),
        &secret,
        Algorithm::HS256,
    );
    let unsigned = format!(
        "{}.{}.",
        encoded(elliptic.header(json!({ "alg": "none" })).to_string()),
        encoded(theirs(json!({})).to_string())
    );
    let mut chain = json!({ "sub": "last" });
    for _ in 0..8 {
        chain = json!({ "sub": "more", "act": chain });
    }
    let wrong_audience = |found: &str| Err(Rejected::WrongAudience { found: vec![found.to_owned()] });
    let missing = |name| Err(Rejected::MissingClaim(name));
    for (what, token, expected) in [
        ("a good token", elliptic.token(json!({}), theirs(json!({}))), ok("https://idp.example#u1 of guests")),
        ("a good token of RSA", rsa.token(json!({}), theirs(json!({}))), ok("https://idp.example#u1 of guests")),
        (
            "one that begins later",
            elliptic.token(json!({}), theirs(json!({ "nbf": NOW + 31 }))),
            Err(Rejected::NotYetValid),
        ),
        (
            "one of the future",
            elliptic.token(json!({}), theirs(json!({ "iat": NOW + 31 }))),
            Err(Rejected::NotYetValid),
        ),
        (
            "one that has ended",
            elliptic.token(json!({}), theirs(json!({ "exp": NOW - 31, "iat": NOW - 60 }))),
            Err(Rejected::Expired),
        ),
        ("one without an end", elliptic.token(json!({}), theirs(json!({ "exp": null }))), missing("exp")),
        ("one without an id", elliptic.token(json!({}), theirs(json!({ "jti": null }))), missing("jti")),
        ("one for nobody", elliptic.token(json!({}), theirs(json!({ "aud": null }))), missing("aud")),
        (
            "an hour",
            elliptic.token(json!({}), theirs(json!({ "exp": NOW + 3_600 }))),
            ok("https://idp.example#u1 of guests"),
        ),
        (
            "more than an hour",
            elliptic.token(json!({}), theirs(json!({ "exp": NOW + 3_601 }))),
            Err(Rejected::LifetimeTooLong { seconds: 3_601 }),
        ),
        ("for another", elliptic.token(json!({}), theirs(json!({ "aud": "urn:nodes" }))), wrong_audience("urn:nodes")),
        (
            "an algorithm that is not the issuer's",
            edwards.token(json!({}), theirs(json!({}))),
            Err(Rejected::WrongAlgorithm),
        ),
        (
            "the key of another kind",
            elliptic.token(json!({ "kid": "k3" }), theirs(json!({}))),
            Err(Rejected::WrongAlgorithm),
        ),
        (
            "the algorithm of another key",
            elliptic.token(json!({ "alg": "RS256", "kid": "k3" }), theirs(json!({}))),
            Err(Rejected::BadSignature),
        ),
        ("a public key as a secret", confused, Err(Rejected::WrongAlgorithm)),
        ("none", unsigned, Err(Rejected::WrongAlgorithm)),
        (
            "an unknown key",
            elliptic.token(json!({ "kid": "k9" }), theirs(json!({}))),
            Err(Rejected::UnknownKey { kid: "k9".to_owned() }),
        ),
        (
            "a critical header",
            elliptic.token(json!({ "crit": ["exp"] }), theirs(json!({}))),
            Err(Rejected::CriticalHeader),
        ),
        (
            "a key of its own",
            elliptic.token(json!({ "jwk": elliptic.jwk }), theirs(json!({}))),
            Err(Rejected::KeyInHeader),
        ),
        ("an id token", elliptic.token(json!({ "typ": "JWT" }), theirs(json!({}))), Err(Rejected::WrongType)),
        (
            "a huge one",
            elliptic.token(json!({}), theirs(json!({ "x": "a".repeat(8 << 10) }))),
            Err(Rejected::Oversized { length: 0 }),
        ),
        (
            "the owner's name",
            elliptic.token(json!({}), theirs(json!({ "sub": "node-owner", "tenant": "local" }))),
            ok("https://idp.example#node-owner of guests"),
        ),
        ("the node's name", elliptic.token(json!({}), claims(json!({}))), Err(Rejected::WrongAlgorithm)),
        (
            "the node's name and key id",
            edwards.token(json!({ "kid": node.kid() }), claims(json!({}))),
            Err(Rejected::BadSignature),
        ),
        (
            "the node's key as the issuer's",
            node.token(node.header(json!({})), theirs(json!({}))),
            Err(Rejected::WrongAlgorithm),
        ),
        (
            "another issuer's key of that id",
            other.token(json!({}), others(json!({ "iss": IDP }))),
            Err(Rejected::WrongAlgorithm),
        ),
        ("the other issuer", other.token(json!({}), others(json!({}))), ok("https://other.example#u1 of others")),
        (
            "the other issuer by the first's key",
            edwards.token(json!({}), others(json!({}))),
            Err(Rejected::BadSignature),
        ),
        (
            "the other issuer, for an agent",
            other.token(json!({}), others(json!({ "aud": AGENT }))),
            wrong_audience(AGENT),
        ),
        (
            "the other issuer, for an hour",
            other.token(json!({}), others(json!({ "exp": NOW + 901 }))),
            Err(Rejected::LifetimeTooLong { seconds: 901 }),
        ),
        (
            "one who has a name",
            elliptic.token(json!({}), theirs(json!({ "sub": "service", "exp": days(30) }))),
            ok("crypto of acme"),
        ),
        (
            "one who has a name, for too long",
            elliptic.token(json!({}), theirs(json!({ "sub": "service", "exp": days(31) }))),
            Err(Rejected::LifetimeTooLong { seconds: 31 * 86_400 }),
        ),
        (
            "that name of the other issuer's",
            other.token(json!({}), others(json!({ "sub": "service" }))),
            ok("https://other.example#service of others"),
        ),
        (
            "somebody with a mark",
            other.token(json!({}), others(json!({ "sub": "a#b" }))),
            ok("https://other.example#a#b of others"),
        ),
        ("nobody", elliptic.token(json!({}), theirs(json!({ "sub": "" }))), Err(Rejected::Malformed("sub"))),
        (
            "too long a chain",
            elliptic.token(json!({}), theirs(json!({ "act": chain }))),
            Err(Rejected::Malformed("act")),
        ),
        ("no chain", elliptic.token(json!({}), theirs(json!({ "act": 7 }))), Err(Rejected::Malformed("payload"))),
        ("the node's owner", own(json!({})), ok("node-owner of local (owner)")),
        ("the node's own principal", own(json!({ "sub": "robot", "exp": days(30) })), ok("robot of acme")),
        ("another of the node's", own(json!({ "sub": "someone" })), ok("someone of local")),
        (
            "another of the node's, for a day",
            own(json!({ "sub": "someone", "exp": days(1) })),
            Err(Rejected::LifetimeTooLong { seconds: 86_400 }),
        ),
        (
            "the owner under the node's other name",
            own(json!({ "iss": "https://us.example" })),
            Err(Rejected::Malformed("sub")),
        ),
        ("the node under its other name", own(json!({ "iss": "https://us.example", "sub": "x" })), ok("x of local")),
    ] {
        for attempt in ["first", "second"] {
            let found = world.verifier.verify(&token, &[AGENT], at(0)).now_or_never().unwrap();
            let is_oversized = matches!(found, Err(Rejected::Oversized { .. }));
            let found = if is_oversized { Err(Rejected::Oversized { length: 0 }) } else { found };
            let found = found.map(|caller| who(&caller));
            assert_eq!(found, expected, "{what}, {attempt} attempt");
        }
    }
    let token = elliptic
        .token(json!({}), theirs(json!({ "groups": ["a"], "act": { "sub": "service", "act": { "sub": "u2" } } })));
    let nobody = Err(Rejected::WrongIssuer { found: IDP.to_owned() });
    assert_eq!(node.verify(&token, &[AGENT], at(0)).map(drop), nobody, "a node that does not trust it");
    let caller = world.verifier.verify(&token, &[AGENT], at(0)).now_or_never().unwrap().unwrap();
    assert_eq!((caller.issuer.as_deref(), &*caller.scopes), (Some(IDP), &["sign".to_owned()][..]));
    assert_eq!(caller.claims.as_ref().unwrap().to_value()["groups"], json!(["a"]));
    assert_eq!(caller.chain, [principal("crypto"), principal("https://idp.example#u2")]);
}

#[test]
fn keys_that_cannot_check_a_signature_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (good, edwards, rsa) = (Signer::elliptic("k1").jwk, Signer::edwards("k1").jwk, Signer::rsa("k1").jwk);
    let with = |jwk: &Value, changes: Value| set(&[&changed(jwk.clone(), changes)]);
    let known = |text: &str, algorithms: &[Algorithm]| {
        let path = folder.path().join("jwks.json");
        fs::write(&path, text).unwrap();
        FileKeys::open(&path, algorithms.to_vec()).map(|keys| keys.find("k1", at(0)).now_or_never().unwrap().is_some())
    };
    let all = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];
    for (text, is_known) in [
        (set(&[&good]), true),
        (set(&[&edwards]), true),
        (set(&[&rsa]), true),
        (set(&[&json!("x"), &json!({ "kty": "EC" }), &good]), true),
        (with(&good, json!({ "use": "enc" })), false),
        (with(&good, json!({ "key_ops": ["verify"] })), true),
        (with(&good, json!({ "key_ops": ["sign"] })), false),
        (with(&good, json!({ "alg": "ES384" })), false),
        (with(&good, json!({ "alg": "HS256" })), false),
        (with(&good, json!({ "kty": "oct", "k": "c2VjcmV0" })), false),
        (with(&good, json!({ "crv": "secp256k1" })), false),
        (with(&good, json!({ "x": "AAAA" })), false),
        (with(&good, json!({ "kid": null })), false),
        (with(&good, json!({ "kid": "a b" })), false),
        (with(&rsa, json!({ "alg": "RS512" })), false),
        (with(&rsa, json!({ "n": encoded([0xff; 128]) })), false),
        (with(&rsa, json!({ "n": encoded([0xff; 1_025]) })), false),
        (with(&rsa, json!({ "e": encoded([0xff; 64]) })), false),
        (with(&edwards, json!({ "crv": "X25519" })), false),
        (set(&[]), false),
        ("{}".to_owned(), false),
        ("[]".to_owned(), false),
        (format!(r#"{{"keys":[],"keys":[{good}]}}"#), false),
        (set(&vec![&good; 101]), false),
        (" ".repeat(256 << 10) + &set(&[&good]), false),
    ] {
        assert_eq!(known(&text, &all).is_ok_and(|is_known| is_known), is_known, "{text:.200}");
    }
    assert!(known(&set(&[&rsa]), &[Algorithm::EdDSA]).is_err());
    assert!(FileKeys::open(&folder.path().join("none"), all.to_vec()).unwrap_err().to_string().contains("none"));
}

#[test]
fn a_file_of_keys_is_followed_and_one_that_is_broken_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (old, new) = (Signer::elliptic("old"), Signer::elliptic("new"));
    fs::write(&path, set(&[&old.jwk])).unwrap();
    let keys = FileKeys::open(&path, vec![Algorithm::ES256]).unwrap();
    let known = |kid: &str, seconds| keys.find(kid, at(seconds)).now_or_never().unwrap().is_some();
    assert!(known("old", 1) && !known("new", 1));
    let before = keys.generation(at(1));
    fs::write(&path, "{").unwrap();
    assert!(known("old", 3));
    assert_eq!(keys.generation(at(3)), before);
    fs::write(folder.path().join("next"), set(&[&new.jwk])).unwrap();
    fs::rename(folder.path().join("next"), &path).unwrap();
    assert!(known("new", 5) && !known("old", 5));
    assert!(keys.generation(at(5)) > before, "what was verified with the old ones is verified again");
}

/// A server that says what it is told to, when it is let.
#[derive(Debug, Default)]
struct Server {
    fetches: AtomicUsize,
    answer: Mutex<Option<Result<Fetched, String>>>,
    is_held: Mutex<bool>,
    release: Notify,
}

impl Server {
    fn says(&self, jwks: &[&Value], max_age: Option<u64>) {
        let fetched = Fetched { text: set(jwks).into_bytes(), max_age: max_age.map(Duration::from_secs) };
        *self.answer.lock().unwrap() = Some(Ok(fetched));
    }

    fn is_away(&self) {
        *self.answer.lock().unwrap() = Some(Err("connection refused".to_owned()));
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Through(Arc<Server>);

#[async_trait]
impl FetchJwks for Through {
    async fn fetch(&self) -> Result<Fetched, String> {
        self.0.fetches.fetch_add(1, Ordering::SeqCst);
        let is_held = *self.0.is_held.lock().unwrap();
        if is_held {
            self.0.release.notified().await;
        }
        self.0.answer.lock().unwrap().clone().unwrap()
    }
}

fn remote() -> (Arc<Server>, RemoteKeys) {
    let server = Arc::new(Server::default());
    let keys =
        RemoteKeys::new("https://idp.example/jwks.json", vec![Algorithm::ES256], Arc::new(Through(server.clone())));
    (server, keys)
}

#[tokio::test]
async fn keys_at_a_url_are_fetched_when_needed_and_no_more_often() {
    let (server, keys) = remote();
    let (first, second) = (Signer::elliptic("k1").jwk, Signer::elliptic("k2").jwk);
    let known = async |kid: &str, seconds: u64| keys.find(kid, at(seconds)).await.is_some();
    assert_eq!(server.fetches(), 0, "nothing is fetched before a token comes");
    server.is_away();
    assert!(!known("k1", 0).await && !known("k1", 1).await);
    assert_eq!(server.fetches(), 1);
    server.says(&[&first], Some(120));
    assert!(known("k1", 2).await && known("k1", 100).await);
    assert_eq!(server.fetches(), 2, "a first time is tried again soon");

    // Keys that nobody knows: one look for all in a while.
    let miss = MISS_INTERVAL.as_secs();
    for seconds in [2, 10, 2 + miss - 1] {
        assert!(!known("k2", seconds).await);
    }
    assert_eq!(server.fetches(), 2);
    let before = keys.generation(at(2 + miss));
    assert!(!known("k2", 2 + miss).await);
    assert_eq!(keys.generation(at(2 + miss)), before, "what was verified stays so where nothing has changed");
    server.says(&[&first, &second], Some(120));
    let miss = 2 * miss;
    assert!(known("k2", 2 + miss).await);
    assert_eq!(server.fetches(), 4);
    assert!(keys.generation(at(2 + miss)) > before);

    // Their time is over: the next who comes asks, and one key is gone.
    let over = 2 + miss + 120;
    server.says(&[&second], None);
    let fresh = keys.generation(at(over - 1));
    assert!(keys.generation(at(over)) > fresh, "what was verified is verified again");
    assert!(!known("k1", over).await && known("k2", over).await);
    assert_eq!(server.fetches(), 5);

    // The server is away: the last good keys count, and it is asked now and then.
    let away = over + 5 * 60;
    server.is_away();
    let retry = RETRY_INTERVAL.as_secs();
    for seconds in [0, 1, retry - 1, retry, retry + 1] {
        assert!(known("k2", away + seconds).await, "{seconds}");
    }
    assert_eq!(server.fetches(), 7);
    server.says(&[&second], Some(1_000_000_000));
    assert!(known("k2", away + 2 * retry).await);
    assert!(known("k2", away + 2 * retry + 86_399).await);
    assert_eq!(server.fetches(), 8);
    server.is_away();
    assert!(known("k2", away + 2 * retry + 86_399 + 2).await == known("k2", away + 2 * retry + 86_399 + 3).await);
    assert!(!known("k2", away + 2 * retry + 3 * 86_400).await, "not for ever");
}

#[tokio::test]
async fn many_who_come_at_once_fetch_once_and_one_who_leaves_takes_nothing_along() {
    let (server, keys) = remote();
    server.says(&[&Signer::elliptic("k1").jwk], Some(60));
    *server.is_held.lock().unwrap() = true;
    let all = join_all((0..100).map(|_| keys.find("k1", at(0))));
    tokio::pin!(all);
    assert!(all.as_mut().now_or_never().is_none());
    assert_eq!(server.fetches(), 1);
    server.release.notify_one();
    assert!(all.await.iter().all(Option::is_some));
    assert_eq!(server.fetches(), 1);

    // Too old: one asks, and whoever comes meanwhile goes on with what there is.
    let mut one = Box::pin(keys.find("k1", at(61)));
    assert!(one.as_mut().now_or_never().is_none());
    assert!(keys.find("k1", at(61)).now_or_never().unwrap().is_some());
    assert!(keys.find("k2", at(61)).now_or_never().is_none(), "an unknown key may be among the new ones");
    // He who asked leaves: after a while another asks in his place.
    drop(one);
    assert_eq!(server.fetches(), 2);
    assert!(keys.find("k1", at(61 + 14)).now_or_never().unwrap().is_some());
    assert!(keys.find("k1", at(61 + 15)).now_or_never().is_none());
    assert_eq!(server.fetches(), 3);
}

#[tokio::test]
async fn a_key_that_the_issuer_takes_back_ends_its_tokens_though_they_were_verified() {
    let (server, keys) = remote();
    let keys = Arc::new(keys);
    let (old, new) = (Signer::elliptic("k1"), Signer::elliptic("k2"));
    let issuer = Issuer::trusted(IDP, keys.clone(), vec![Algorithm::ES256], tenant("guests"));
    let node = Node::start();
    let verifier = Verifier::new(VerifierConfig::default(), vec![Issuer::node(node.keys.clone()), issuer]);
    let token = old.token(json!({}), theirs(json!({ "exp": NOW + 900 })));
    let verified = async |seconds: u64| verifier.verify(&token, &[AGENT], at(seconds)).await.map(drop);
    server.says(&[&old.jwk], Some(60));
    for seconds in 0..60 {
        assert_eq!(verified(seconds).await, Ok(()));
    }
    assert_eq!(server.fetches(), 1, "a token is verified once");
    server.says(&[&new.jwk], Some(60));
    assert_eq!(verified(60).await, Err(Rejected::UnknownKey { kid: "k1".to_owned() }));
    let now: Timestamp = at(61);
    assert!(
        verifier
            .verify(&node.token(node.header(json!({})), claims(json!({}))), &[AGENT], now)
            .await
            .unwrap()
            .is_node_owner
    );
}
