//! A node's keys are exchanged while it runs, and whom it believes.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

mod common;
#[path = "common/signer.rs"]
mod signer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_auth::{
    Action, Algorithm, Claims, FetchJwks, Fetched, Issuer, KEYS_FOLDER, KeyRing, LIFETIME_MAX, Lines, NODE_ISSUER,
    NODE_OWNER, Policy, PolicyLine, Rejected, RemoteKeys, Verifier, VerifierConfig, mint,
};
use bobbinet_core::{AgentName, Caller, Principal, Tenant};
use common::{AGENT, Node, at, claims};
use futures::FutureExt;
use serde_json::{Value, json};
use signer::{Signer, changed};

fn kid_of(token: &str) -> String {
    let header =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, token.split('.').next().unwrap());
    serde_json::from_slice::<Value>(&header.unwrap()).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn shown(keys: &KeyRing, seconds: u64) -> Vec<String> {
    let jwks = keys.jwks_at(at(seconds));
    jwks["keys"].as_array().unwrap().iter().map(|jwk| jwk["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_running_node_signs_with_a_new_key_and_the_old_one_goes_with_its_last_token() {
    let node = Node::start();
    let signed = |keys: &KeyRing, seconds: u64| {
        let claims = Claims {
            issuer: NODE_ISSUER,
            subject: &Principal::parse(NODE_OWNER).unwrap(),
            tenant: &Tenant::parse("local").unwrap(),
            audience: AGENT,
            scopes: &[],
            now: at(seconds),
            lifetime: LIFETIME_MAX,
        };
        mint(keys, &claims).unwrap()
    };
    let old = node.kid();
    let before = signed(&node.keys, 0);
    assert!(node.verify(&before, &[AGENT], at(1)).is_ok());

    // Another process rotates: nothing is said to the node, which looks by itself.
    let elsewhere = KeyRing::open(&node.data.path().join(KEYS_FOLDER)).unwrap();
    let new = elsewhere.new_key(at(2)).unwrap().kid;
    assert_eq!(shown(&node.keys, 4), [old.clone(), new.clone()]);
    let after = signed(&node.keys, 4);
    assert_eq!((kid_of(&before), kid_of(&after)), (old.clone(), new.clone()));
    for (what, token) in [("of before", &before), ("of after", &after)] {
        assert!(node.verify(token, &[AGENT], at(5)).is_ok(), "{what}");
    }

    // As long as a token of it may live, the old key stays, and a minute more.
    let life = LIFETIME_MAX.as_secs();
    for seconds in [5, life, 2 + life + 59] {
        assert_eq!(node.keys.drop_retired(at(seconds), LIFETIME_MAX).unwrap(), [], "{seconds}");
    }
    assert!(node.verify(&before, &[AGENT], at(life)).is_ok(), "it lives as long as it was to");
    let dropped = node.keys.drop_retired(at(2 + life + 60), LIFETIME_MAX).unwrap();
    assert_eq!(dropped.iter().map(|key| &key.kid).collect::<Vec<_>>(), [&old]);
    assert_eq!(shown(&node.keys, 2 + life + 61), std::slice::from_ref(&new));
    assert_eq!(shown(&elsewhere, 2 + life + 61), std::slice::from_ref(&new));
    let unknown = Rejected::UnknownKey { kid: old };
    assert_eq!(node.verify(&before, &[AGENT], at(2 + life + 61)), Err(unknown));
    // The one that signs never goes.
    assert_eq!(node.keys.drop_retired(at(100 * life), Duration::ZERO).unwrap(), []);
    assert_eq!(shown(&node.keys, 100 * life), [new]);
}

#[test]
fn keys_of_longer_lives_stay_longer() {
    let node = Node::start();
    let days = |days: u64| Duration::from_secs(days * 86_400);
    node.keys.new_key(at(10)).unwrap();
    node.keys.new_key(at(20 * 86_400)).unwrap();
    let dropped = |seconds: u64, life| node.keys.drop_retired(at(seconds), life).unwrap().len();
    assert_eq!(dropped(29 * 86_400, days(30)), 0);
    assert_eq!(dropped(31 * 86_400, days(30)), 1, "the first was retired on the first day");
    assert_eq!(dropped(51 * 86_400, days(30)), 1, "the second on the twentieth");
    assert_eq!(node.keys.list().len(), 1);
}

/// Counts how often it is asked.
#[derive(Debug)]
struct Counting(Arc<AtomicUsize>, String);

#[async_trait]
impl FetchJwks for Counting {
    async fn fetch(&self) -> Result<Fetched, String> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Fetched { text: self.1.clone().into_bytes(), max_age: None })
    }
}

const IDP: &str = "https://idp.example";

#[test]
fn whom_a_node_believes_is_exchanged_as_a_whole_and_what_was_verified_is_verified_again() {
    let node = Node::start();
    let signers = [Signer::elliptic("k1"), Signer::edwards("k2"), Signer::rsa("k3")];
    let algorithms = vec![Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256];
    let fetches = Arc::new(AtomicUsize::new(0));
    let trusted = |name: &str| {
        let fetch = Arc::new(Counting(
            fetches.clone(),
            json!({ "keys": signers.each_ref().map(|signer| &signer.jwk) }).to_string(),
        ));
        let keys = RemoteKeys::new("https://idp.example/jwks.json", algorithms.clone(), fetch);
        Issuer::trusted(name, Arc::new(keys), algorithms.clone(), Tenant::parse("guests").unwrap())
    };
    let own = || Issuer::node(node.keys.clone());
    let verifier = Verifier::new(VerifierConfig::default(), vec![own(), trusted(IDP)]);
    let theirs = changed(claims(json!({ "iss": IDP, "sub": "u1", "tenant": null })), json!({}));
    let of_idp = signers.each_ref().map(|signer| signer.token(json!({}), theirs.clone()));
    let of_node = node.token(node.header(json!({})), claims(json!({})));
    let clone = verifier.clone();
    let verify = |token: &str| clone.verify(token, &[AGENT], at(1)).now_or_never().unwrap().map(drop);
    let check = |expected: Result<(), Rejected>, asked: usize| {
        for token in &of_idp {
            assert_eq!(verify(token), expected);
        }
        assert_eq!((verify(&of_node), fetches.load(Ordering::SeqCst)), (Ok(()), asked));
    };
    check(Ok(()), 1);
    // In the clone as well.
    verifier.replace(vec![own()], None);
    check(Err(Rejected::WrongIssuer { found: IDP.to_owned() }), 1);
    verifier.replace(vec![own(), trusted(IDP)], None);
    check(Ok(()), 2);
    // The same again: its keys need not be fetched again, and its rules may be others.
    let stricter = Issuer { lifetime_max: Some(Duration::from_secs(60)), ..trusted(IDP) };
    verifier.replace(vec![own(), stricter], None);
    check(Err(Rejected::LifetimeTooLong { seconds: 300 }), 2);
    assert_eq!(verifier.accepted().number, 3);
}

#[test]
fn a_policy_is_exchanged_wherever_it_is_asked() {
    let lines = |allow: &str| Policy::new(Lines::new(vec![PolicyLine::parse("p.yaml:1", allow, []).unwrap()]).unwrap());
    let agent = AgentName::parse("files").unwrap();
    let caller = Caller::new(Principal::parse("ci").unwrap(), Tenant::parse("acme").unwrap());
    let (policy, new) = (Policy::owner_only(), lines("caller.principal == 'ci'"));
    let clone = policy.clone();
    let may =
        || (policy.allows(&caller, Action::Get(&agent)).is_ok(), clone.allows(&caller, Action::Get(&agent)).is_ok());
    assert_eq!(may(), (false, false));
    policy.replace(&new);
    assert_eq!(may(), (true, true));
    assert_eq!(policy.reason(&caller, Action::Get(&agent)).unwrap(), "p.yaml:1");
    // From then on they are two again: a policy is no chain of others.
    new.replace(&lines("false"));
    assert_eq!(may(), (true, true));
    clone.replace(&new);
    assert_eq!(may(), (false, false));
}
