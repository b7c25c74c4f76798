//! Tokens that must not get in, one line each, and the ones that must.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_auth::{
    Issuer, KEY_ID_LENGTH_MAX, KeySet, Rejected, TOKEN_LENGTH_MAX, TokenTypes, Verifier, VerifierConfig, VerifyingKey,
    bearer,
};
use bobbinet_core::{Caller, Principal, Tenant, Timestamp};
use common::{AGENT, NOW, Node, at, claims, sign};
use futures::FutureExt;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Checks what becomes of the token: twice, so that the cache has its say, and with the same answer for the stranger.
fn check(node: &Node, token: &str, expected: Result<(), Rejected>) {
    for attempt in ["first", "second"] {
        let found = node.verify(token, &[AGENT], at(0)).map(|_| ());
        assert_eq!(found, expected, "{attempt} attempt with {token}");
        if let Err(rejected) = found {
            assert_eq!(rejected.challenge(), r#"Bearer realm="bobbinet", error="invalid_token""#);
        }
    }
}

fn foreign() -> EncodingKey {
    let pair = Ed25519KeyPair::generate().unwrap();
    EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref())
}

#[test]
fn a_good_token_is_its_caller() {
    let node = Node::start();
    let caller = |principal: &str, is_node_owner, scopes: &[&str]| Caller {
        is_node_owner,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..Caller::new(Principal::parse(principal).unwrap(), Tenant::parse("local").unwrap())
    };
    for (changes, expected) in [
        (json!({}), caller("node-owner", true, &["read", "write"])),
        (json!({ "sub": "crypto" }), caller("crypto", false, &["read", "write"])),
        (json!({ "sub": "Node-Owner" }), caller("Node-Owner", false, &["read", "write"])),
        (json!({ "scope": null }), caller("node-owner", true, &[])),
        (json!({ "aud": [AGENT] }), caller("node-owner", true, &["read", "write"])),
        (json!({ "aud": "http://localhost:7420/agents/files" }), caller("node-owner", true, &["read", "write"])),
    ] {
        let token = node.token(node.header(json!({})), claims(changes));
        for _ in 0..2 {
            let audience = [AGENT, "http://localhost:7420/agents/files"];
            let found = Caller::clone(&*node.verify(&token, &audience, at(0)).unwrap());
            // Of the owner nothing is asked, so nothing is kept; of all others what the token says.
            let issuer = (!found.is_node_owner).then_some("bobbinet:node");
            assert_eq!((found.issuer.as_deref(), found.claims.is_some()), (issuer, issuer.is_some()));
            assert_eq!(Caller { issuer: None, claims: None, ..found }, expected);
        }
    }
}

#[test]
fn a_header_that_is_not_ours_is_refused() {
    let node = Node::start();
    let long = "k".repeat(KEY_ID_LENGTH_MAX + 1);
    let unknown = "k".repeat(KEY_ID_LENGTH_MAX);
    for (changes, expected) in [
        (json!({}), Ok(())),
        (json!({ "typ": "application/AT+JWT" }), Ok(())),
        (json!({ "alg": "none" }), Err(Rejected::WrongAlgorithm)),
        (json!({ "alg": "None" }), Err(Rejected::WrongAlgorithm)),
        (json!({ "alg": "HS256" }), Err(Rejected::WrongAlgorithm)),
        (json!({ "alg": null }), Err(Rejected::WrongAlgorithm)),
        (json!({ "typ": null }), Err(Rejected::WrongType)),
        (json!({ "typ": "JWT" }), Err(Rejected::WrongType)),
        (json!({ "typ": "dpop+jwt" }), Err(Rejected::WrongType)),
        (json!({ "crit": ["exp"] }), Err(Rejected::CriticalHeader)),
        (json!({ "crit": [] }), Err(Rejected::CriticalHeader)),
        (json!({ "crit": ["b64"], "b64": false }), Err(Rejected::CriticalHeader)),
        (json!({ "jku": "https://example.com/jwks" }), Err(Rejected::KeyInHeader)),
        (json!({ "x5u": "https://example.com/pem" }), Err(Rejected::KeyInHeader)),
        (json!({ "x5c": ["MII"] }), Err(Rejected::KeyInHeader)),
        (json!({ "jwk": { "kty": "OKP" } }), Err(Rejected::KeyInHeader)),
        (json!({ "kid": null }), Err(Rejected::Malformed("kid"))),
        (json!({ "kid": "" }), Err(Rejected::Malformed("kid"))),
        (json!({ "kid": long }), Err(Rejected::Malformed("kid"))),
        (json!({ "kid": unknown.clone() }), Err(Rejected::UnknownKey { kid: unknown })),
        (json!({ "kid": "../../etc/passwd" }), Err(Rejected::Malformed("kid"))),
        (json!({ "kid": "a\nb" }), Err(Rejected::Malformed("kid"))),
        (json!({ "kid": "' or 1=1" }), Err(Rejected::Malformed("kid"))),
        (json!({ "kid": 7 }), Err(Rejected::Malformed("header"))),
    ] {
        check(&node, &node.token(node.header(changes), claims(json!({}))), expected);
    }
}

#[test]
fn claims_that_are_not_for_this_agent_now_are_refused() {
    let node = Node::start();
    let other = "http://127.0.0.1:7420/agents/memory";
    let wrong_audience =
        |found: &[&str]| Err(Rejected::WrongAudience { found: found.iter().map(|name| (*name).to_owned()).collect() });
    let year_9999 = 253_370_764_800_u64;
    let lifetime = |seconds| Err(Rejected::LifetimeTooLong { seconds });
    let missing = |name| Err(Rejected::MissingClaim(name));
    for (changes, expected) in [
        (json!({ "aud": other }), wrong_audience(&[other])),
        (json!({ "aud": format!("{AGENT}/") }), wrong_audience(&[&format!("{AGENT}/")])),
        (json!({ "aud": "" }), wrong_audience(&[""])),
        (json!({ "aud": [] }), wrong_audience(&[])),
        (json!({ "aud": [AGENT, other] }), wrong_audience(&[AGENT, other])),
        (json!({ "aud": [AGENT, AGENT] }), wrong_audience(&[AGENT, AGENT])),
        (json!({ "aud": { "0": AGENT } }), Err(Rejected::Malformed("payload"))),
        (json!({ "aud": null }), missing("aud")),
        (json!({ "iss": null }), missing("iss")),
        (json!({ "sub": null }), missing("sub")),
        (json!({ "exp": null }), missing("exp")),
        (json!({ "nbf": null }), missing("nbf")),
        (json!({ "iat": null }), missing("iat")),
        (json!({ "jti": null }), missing("jti")),
        (json!({ "tenant": null }), missing("tenant")),
        (json!({ "iss": "https://example.com" }), Err(Rejected::WrongIssuer { found: "https://example.com".into() })),
        (json!({ "sub": "" }), Err(Rejected::Malformed("sub"))),
        (json!({ "sub": "a b" }), Ok(())),
        (json!({ "sub": "a\nb" }), Err(Rejected::Malformed("sub"))),
        (json!({ "sub": "a\u{202e}b" }), Err(Rejected::Malformed("sub"))),
        (json!({ "sub": 0 }), Err(Rejected::Malformed("payload"))),
        (json!({ "tenant": "" }), Err(Rejected::Malformed("tenant"))),
        // The leeway is 30 s, both ways; the longest life is 900 s, to the second.
        (json!({ "exp": NOW - 29, "iat": NOW - 60, "nbf": NOW - 60 }), Ok(())),
        (json!({ "exp": NOW - 30, "iat": NOW - 60, "nbf": NOW - 60 }), Err(Rejected::Expired)),
        (json!({ "exp": 0 }), Err(Rejected::Expired)),
        (json!({ "exp": NOW - 31, "iat": 0, "nbf": 0 }), Err(Rejected::Expired)),
        (json!({ "exp": NOW + 900 }), Ok(())),
        (json!({ "exp": NOW + 901 }), lifetime(901)),
        (json!({ "exp": NOW + 1, "iat": NOW - 900 }), lifetime(901)),
        (json!({ "exp": year_9999 }), lifetime(year_9999 - NOW)),
        (json!({ "exp": u64::MAX }), lifetime(u64::MAX - NOW)),
        (json!({ "exp": -1 }), Err(Rejected::Malformed("payload"))),
        (json!({ "exp": "never" }), Err(Rejected::Malformed("payload"))),
        (json!({ "exp": 1e300 }), Err(Rejected::Malformed("payload"))),
        (json!({ "nbf": NOW + 30 }), Ok(())),
        (json!({ "nbf": NOW + 31 }), Err(Rejected::NotYetValid)),
        (json!({ "nbf": u64::MAX }), Err(Rejected::NotYetValid)),
        (json!({ "iat": NOW + 30 }), Ok(())),
        (json!({ "iat": NOW + 31 }), Err(Rejected::NotYetValid)),
    ] {
        check(&node, &node.token(node.header(json!({})), claims(changes)), expected);
    }
}

#[test]
fn a_signature_that_is_not_the_keys_is_refused() {
    let node = Node::start();
    let (header, payload) = (node.header(json!({})), claims(json!({})));
    let good = node.token(header.clone(), payload.clone());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let public = URL_SAFE_NO_PAD.decode(node.keys.jwks()["keys"][0]["x"].as_str().unwrap()).unwrap();
    let symmetric = EncodingKey::from_secret(&public);
    let random = SystemRandom::new();
    let elliptic = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let elliptic = EncodingKey::from_ec_der(elliptic.as_ref());

    let with_algorithm = |name: &str| node.header(json!({ "alg": name })).to_string();
    let (header, payload) = (header.to_string(), payload.to_string());
    let stranger = claims(json!({ "sub": "stranger" }));
    let theirs = node.token(node.header(json!({})), stranger);
    let tampered = format!("{message}.{}", theirs.rsplit_once('.').unwrap().1);
    let encoded = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let key_of_mine = node.header(json!({ "kid": "mine", "jku": "https://example.com/jwks" })).to_string();

    for (token, expected) in [
        (good.clone(), Ok(())),
        (format!("{}.{}.", encoded(&with_algorithm("none")), encoded(&payload)), Err(Rejected::WrongAlgorithm)),
        (format!("{message}."), Err(Rejected::BadSignature)),
        (sign(&with_algorithm("HS256"), &payload, &symmetric, Algorithm::HS256), Err(Rejected::WrongAlgorithm)),
        (sign(&header, &payload, &symmetric, Algorithm::HS256), Err(Rejected::BadSignature)),
        (sign(&with_algorithm("ES256"), &payload, &elliptic, Algorithm::ES256), Err(Rejected::WrongAlgorithm)),
        (sign(&header, &payload, &elliptic, Algorithm::ES256), Err(Rejected::BadSignature)),
        (sign(&header, &payload, &foreign(), Algorithm::EdDSA), Err(Rejected::BadSignature)),
        (sign(&key_of_mine, &payload, &foreign(), Algorithm::EdDSA), Err(Rejected::KeyInHeader)),
        (tampered, Err(Rejected::BadSignature)),
        (format!("{good}A"), Err(Rejected::BadSignature)),
        (format!("{good}="), Err(Rejected::BadSignature)),
        (format!("{message}.{}", signature.to_lowercase()), Err(Rejected::BadSignature)),
    ] {
        check(&node, &token, expected);
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let node = Node::start();
    let good = node.token(node.header(json!({})), claims(json!({})));
    let (secret, ours) = (node.secret(), node.header(json!({})).to_string());
    let signed = |header: &str, payload: &str| sign(header, payload, &secret, Algorithm::EdDSA);
    let twice = |json: &Value, name: &str| json.to_string().replacen('{', &format!("{{\"{name}\":\"x\","), 1);
    let form = Err(Rejected::Malformed("form"));
    let header = Err(Rejected::Malformed("header"));
    let payload = Err(Rejected::Malformed("payload"));
    let deep = format!("{{\"sub\":{}", "[".repeat(5_000));

    for (token, expected) in [
        (String::new(), form.clone()),
        ("a".to_owned(), form.clone()),
        ("a.b".to_owned(), form.clone()),
        ("..".to_owned(), header.clone()),
        ("ä.ö.ü".to_owned(), header.clone()),
        (format!("{good}.{good}"), Err(Rejected::Malformed("payload"))),
        (format!(" {good}"), header.clone()),
        (format!("x{good}"), header.clone()),
        (signed("[]", "{}"), header.clone()),
        (signed("null", "{}"), header.clone()),
        (signed("{", "{}"), header.clone()),
        (signed(&format!("{ours}{ours}"), "{}"), header.clone()),
        (signed(&twice(&node.header(json!({})), "alg"), "{}"), header.clone()),
        (signed(&twice(&node.header(json!({})), "kid"), "{}"), header.clone()),
        (signed(&twice(&node.header(json!({ "x": {} })), "x"), "{}"), header.clone()),
        (signed(&ours.replacen('{', r#"{"crit":null,"#, 1), "{}"), Err(Rejected::CriticalHeader)),
        (signed(&ours, &twice(&claims(json!({})), "aud")), payload.clone()),
        (signed(&ours, &twice(&claims(json!({})), "sub")), payload.clone()),
        (signed(&ours, &twice(&claims(json!({ "groups": [] })), "groups")), payload.clone()),
        (
            signed(
                &ours,
                &claims(json!({ "act": 1 })).to_string().replace("\"act\":1", r#""act":{"sub":"x","\u0073ub":"y"}"#),
            ),
            payload.clone(),
        ),
        (signed(&ours, &deep), payload.clone()),
        (signed(&ours, r#"["bobbinet:node","node-owner"]"#), payload.clone()),
        (signed(&ours, "\u{feff}{}"), payload.clone()),
    ] {
        check(&node, &token, expected);
    }
}

#[test]
fn a_token_is_measured_before_anything_else() {
    let node = Node::start();
    let oversized = |length| Err(Rejected::Oversized { length });
    let form = || Err(Rejected::Malformed("form"));
    for (length, expected) in [
        (TOKEN_LENGTH_MAX - 1, form()),
        (TOKEN_LENGTH_MAX, form()),
        (TOKEN_LENGTH_MAX + 1, oversized(TOKEN_LENGTH_MAX + 1)),
    ] {
        check(&node, &"a".repeat(length), expected);
    }
    let huge = "a.".repeat(4 << 20);
    let timed = |_| {
        let start = Instant::now();
        check(&node, &huge, oversized(8 << 20));
        start.elapsed()
    };
    let best = (0..20).map(timed).min().unwrap();
    assert!(best < Duration::from_millis(1), "{best:?} for two refusals of 8 MiB");
}

#[test]
fn a_cached_token_ends_when_it_says() {
    let node = Node::start();
    let token = node.token(node.header(json!({})), claims(json!({})));
    let elsewhere = Err(Rejected::WrongAudience { found: vec![AGENT.to_owned()] });
    for (seconds, audience, expected) in [
        (0, AGENT, Ok(())),
        (1, "http://127.0.0.1:7420/agents/memory", elsewhere.clone()),
        (299, AGENT, Ok(())),
        (329, AGENT, Ok(())),
        (330, AGENT, Err(Rejected::Expired)),
        (330, "http://127.0.0.1:7420/agents/memory", Err(Rejected::Expired)),
        (1_000_000, AGENT, Err(Rejected::Expired)),
    ] {
        assert_eq!(node.verify(&token, &[audience], at(seconds)).map(|_| ()), expected, "after {seconds} s");
    }
}

#[test]
fn a_cached_token_ends_with_its_key() {
    let node = Node::start();
    let (first, old) = (node.kid(), node.token(node.header(json!({})), claims(json!({}))));
    node.keys.new_key(at(1)).unwrap();
    let new = node.token(node.header(json!({})), claims(json!({})));
    check(&node, &old, Ok(()));
    check(&node, &new, Ok(()));

    std::fs::remove_file(node.file(&first)).unwrap();
    assert!(node.verify(&old, &[AGENT], at(0)).is_ok(), "not looked at again within a second");
    assert_eq!(node.verify(&old, &[AGENT], at(1)), Err(Rejected::UnknownKey { kid: first }));
    assert!(node.verify(&new, &[AGENT], at(1)).is_ok());
}

#[test]
fn a_bearer_is_read_from_its_header_and_no_token_is_no_error() {
    for (value, expected) in [
        (Some("Bearer abc"), Ok("abc")),
        (Some("bearer  abc "), Ok("abc")),
        (Some("BEARER abc def"), Ok("abc def")),
        (Some("Basic abc"), Err(Rejected::Missing)),
        (Some("Bearer"), Err(Rejected::Missing)),
        (Some("Bearer "), Err(Rejected::Missing)),
        (Some("Bearerabc"), Err(Rejected::Missing)),
        (Some(""), Err(Rejected::Missing)),
        (None, Err(Rejected::Missing)),
    ] {
        assert_eq!(bearer(value), expected, "{value:?}");
    }
    assert_eq!(Rejected::Missing.challenge(), r#"Bearer realm="bobbinet""#);
}

/// Keys that are somewhere else: they come when they are let.
#[derive(Debug)]
struct Elsewhere {
    key: Mutex<Option<(String, Arc<VerifyingKey>)>>,
    generation: AtomicU64,
    asked: Notify,
    answer: Notify,
}

#[async_trait]
impl KeySet for Elsewhere {
    fn generation(&self, _now: Timestamp) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    async fn find(&self, kid: &str, _now: Timestamp) -> Option<Arc<VerifyingKey>> {
        self.asked.notify_one();
        self.answer.notified().await;
        self.key.lock().unwrap().clone().filter(|(known, _)| known == kid).map(|(_, key)| key)
    }
}

#[tokio::test]
async fn an_issuers_subject_is_the_owner_only_where_the_issuer_says_so() {
    let node = Node::start();
    let rng = SystemRandom::new();
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
    let public = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref()).unwrap();
    let decoding = DecodingKey::from_ec_der(public.public_key().as_ref());
    let keys = Arc::new(Elsewhere {
        key: Mutex::new(Some(("k1".to_owned(), Arc::new(VerifyingKey::new(Algorithm::ES256, decoding).unwrap())))),
        generation: AtomicU64::new(0),
        asked: Notify::new(),
        answer: Notify::new(),
    });
    let other = Issuer {
        name: "https://idp.example".to_owned(),
        keys: keys.clone(),
        tokens: TokenTypes::default(),
        algorithms: vec![Algorithm::ES256],
        owner: None,
        prefix: "idp/".to_owned(),
        tenant: Some(Tenant::parse("guests").unwrap()),
        audience: None,
        lifetime_max: None,
        principals: BTreeMap::new(),
        discovery: None,
    };
    let verifier = Verifier::new(VerifierConfig::default(), vec![Issuer::node(node.keys.clone()), other]);
    let secret = EncodingKey::from_ec_der(pair.as_ref());
    let token = |alg: &str, kid: &str, changes: Value| {
        let header = json!({ "typ": "at+jwt", "alg": alg, "kid": kid });
        sign(&header.to_string(), &claims(changes).to_string(), &secret, Algorithm::ES256)
    };
    let theirs = || json!({ "iss": "https://idp.example", "sub": "node-owner", "tenant": "local" });

    // The keys are asked for, and whoever waits for them holds up nobody.
    let good = token("ES256", "k1", theirs());
    let checked = verifier.verify(&good, &[AGENT], at(0));
    tokio::pin!(checked);
    assert!(checked.as_mut().now_or_never().is_none());
    keys.asked.notified().await;
    let own = node.token(node.header(json!({})), claims(json!({})));
    assert!(verifier.verify(&own, &[AGENT], at(0)).now_or_never().unwrap().unwrap().is_node_owner);
    keys.answer.notify_one();
    let caller = checked.await.unwrap();
    assert_eq!(
        (caller.principal.as_str(), caller.tenant.as_str(), caller.is_node_owner),
        ("idp/node-owner", "guests", false)
    );
    // What was verified is not asked for again, until the keys change.
    assert!(verifier.verify(&good, &[AGENT], at(0)).now_or_never().unwrap().is_ok());
    keys.generation.store(1, Ordering::SeqCst);
    *keys.key.lock().unwrap() = None;
    keys.answer.notify_one();
    let unknown = Rejected::UnknownKey { kid: "k1".to_owned() };
    assert_eq!(verifier.verify(&good, &[AGENT], at(0)).await, Err(unknown));

    // Neither issuer's keys speak for the other, nor does an algorithm that is not the issuer's.
    for (token, expected) in [
        (token("EdDSA", "k1", theirs()), Rejected::WrongAlgorithm),
        (token("HS256", "k1", theirs()), Rejected::WrongAlgorithm),
        (token("ES256", "k1", json!({})), Rejected::WrongAlgorithm),
        (token("EdDSA", "k1", json!({})), Rejected::UnknownKey { kid: "k1".to_owned() }),
        (token("EdDSA", &node.kid(), json!({})), Rejected::BadSignature),
        (
            token("ES256", "k1", json!({ "iss": "https://evil.example" })),
            Rejected::WrongIssuer { found: "https://evil.example".to_owned() },
        ),
    ] {
        assert_eq!(verifier.verify(&token, &[AGENT], at(0)).await, Err(expected), "{token}");
    }
    assert!(VerifyingKey::new(Algorithm::HS256, DecodingKey::from_secret(b"shared")).is_none());
}
