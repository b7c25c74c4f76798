//! Who gets in, and as whom: every kind of token and key that there is, right and wrong, one row each.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

mod common;
#[path = "common/signer.rs"]
mod signer;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use bobbinet_auth::{
    Algorithm, ApiKeyHolders, ApiKeys, FileKeys, Issuer, NamedPrincipal, TokenTypes, Verifier, VerifierConfig,
};
use bobbinet_core::{Caller, Principal, Tenant};
use common::{AGENT, NOW, Node, at, claims};
use serde_json::{Value, json};
use signer::{Signer, changed};

const IDP: &str = "https://idp.example";
/// An issuer whose tokens are for the whole node, under its own word for it.
const SHARED: &str = "https://shared.example";
/// An issuer whose tokens do not say what they are for.
const PLAIN: &str = "https://plain.example";
const US: &str = "https://us.example";

fn tenant(text: &str) -> Tenant {
    Tenant::parse(text).unwrap()
}

fn named(name: &str, days: Option<u64>) -> (String, NamedPrincipal) {
    let lifetime_max = days.map(|days| Duration::from_secs(days * 86_400));
    let principal = Principal::parse(name).unwrap();
    (name.to_owned(), NamedPrincipal { principal, tenant: tenant("acme"), lifetime_max })
}

fn keys(folder: &Path, name: &str, jwks: &[&Value], algorithms: &[Algorithm]) -> Arc<FileKeys> {
    let path = folder.join(name);
    fs::write(&path, json!({ "keys": jwks }).to_string()).unwrap();
    Arc::new(FileKeys::open(&path, algorithms.to_vec()).unwrap())
}

/// What came of it, in short.
fn told(caller: &Caller) -> String {
    let owner = if caller.is_node_owner { ", the owner" } else { "" };
    format!("{} of {}{owner}", caller.principal.as_str(), caller.tenant.as_str())
}

#[test]
fn who_gets_in_and_as_whom() {
    let (mut node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let (ec, ed, rsa) = (Signer::elliptic("k1"), Signer::edwards("k2"), Signer::rsa("k3"));
    let of_plain = Signer::rsa("k1");
    let (gone, of_shared, stranger) = (Signer::elliptic("k4"), Signer::edwards("k1"), Signer::edwards("k2"));
    let algorithms = [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256];
    let of_idp = keys(folder.path(), "idp.json", &[&ec.jwk, &ed.jwk, &rsa.jwk, &gone.jwk], &algorithms);
    let idp = Issuer {
        lifetime_max: Some(Duration::from_secs(3_600)),
        principals: BTreeMap::from([("00u1".to_owned(), named("ci", None).1)]),
        ..Issuer::trusted(IDP, of_idp, algorithms.to_vec(), tenant("guests"))
    };
    let shared = Issuer {
        audience: Some("urn:nodes".to_owned()),
        ..Issuer::trusted(
            SHARED,
            keys(folder.path(), "shared.json", &[&of_shared.jwk], &[Algorithm::EdDSA]),
            vec![Algorithm::EdDSA],
            tenant("others"),
        )
    };
    let plain = Issuer {
        tokens: TokenTypes::Any,
        ..Issuer::trusted(
            PLAIN,
            keys(folder.path(), "plain.json", &[&of_plain.jwk], &[Algorithm::RS256]),
            vec![Algorithm::RS256],
            tenant("plain"),
        )
    };
    let principals = BTreeMap::from([named("ci", None), named("robot", Some(30))]);
    let own = Issuer { principals: principals.clone(), ..Issuer::node(node.keys.clone()) };
    let path = folder.path().join("api-keys.json");
    let made = ApiKeys::open(&path).unwrap();
    let make = |name: &str, of: Option<&str>, end: Option<u64>| {
        let expires = end.map(at);
        made.create(Principal::parse(name).unwrap(), of.map(tenant), expires, at(0)).unwrap()
    };
    let holders = ApiKeyHolders { keys: Arc::new(ApiKeys::open(&path).unwrap()), principals };
    node.verifier = Verifier::with_api_keys(
        VerifierConfig::default(),
        vec![own, Issuer::node_as(US, node.keys.clone()), idp, shared, plain],
        Some(holders),
    );

    // Before the keys change: a token of the node's first key, and of one that it drops.
    let of_first = node.token(node.header(json!({})), claims(json!({ "exp": NOW + 900 })));
    let first = node.kid();
    node.keys.new_key(at(0)).unwrap();
    let second = node.kid();
    let of_dropped = node.token(node.header(json!({})), claims(json!({ "exp": NOW + 900 })));
    node.keys.new_key(at(0)).unwrap();
    fs::remove_file(node.file(&second)).unwrap();
    node.keys.refresh().unwrap();
    let of_gone = gone.token(json!({}), changed(claims(json!({ "iss": IDP, "sub": "u1" })), json!({})));
    let rest = json!({ "keys": [ec.jwk, ed.jwk, rsa.jwk] }).to_string();
    fs::write(folder.path().join("next"), rest).unwrap();
    fs::rename(folder.path().join("next"), folder.path().join("idp.json")).unwrap();

    let theirs =
        |changes: Value| changed(claims(json!({ "iss": IDP, "sub": "u1", "tenant": null, "nbf": null })), changes);
    let others = |changes: Value| changed(theirs(json!({ "iss": SHARED, "aud": "urn:nodes" })), changes);
    let by = |signer: &Signer, header: Value, changes: Value| signer.token(header, theirs(changes));
    let good = |changes: Value| by(&ec, json!({}), changes);
    let simple =
        |header: Value, changes: Value| of_plain.token(header, changed(theirs(json!({ "iss": PLAIN })), changes));
    let headed = |header: Value| by(&ec, header, json!({}));
    let mine = |changes: Value| node.token(node.header(json!({})), claims(changes));
    let days = |days: u64| NOW + days * 86_400;
    let (of_ci, ci) = make("ci", None, None);
    let (of_later, _) = make("ci", None, Some(60));
    let (of_ended, _) = make("ci", None, Some(0));
    let (of_guest, _) = make("guest", None, None);
    let (of_tenant, _) = make("batch", Some("night"), None);
    let (of_revoked, revoked) = make("ci", None, None);
    made.revoke(&revoked.id).unwrap();
    let flipped = of_ci.replace(&of_ci[of_ci.len() - 4..], if of_ci.ends_with("0000") { "1111" } else { "0000" });
    let u1 = "https://idp.example#u1 of guests";
    let owner = "node-owner of local, the owner";
    let rows: Vec<(&str, String, &str)> = vec![
        // Issuers.
        ("the node's owner", mine(json!({})), owner),
        ("a named principal of the node", mine(json!({ "sub": "ci" })), "ci of acme"),
        ("one whom nobody has named", mine(json!({ "sub": "someone" })), "someone of local"),
        (
            "a name in another tenant than the configuration's",
            mine(json!({ "sub": "ci", "tenant": "x" })),
            "ci of acme",
        ),
        ("the node by its other name", mine(json!({ "iss": US, "sub": "someone" })), "someone of local"),
        ("the owner by its other name", mine(json!({ "iss": US })), "sub is malformed"),
        ("a trusted issuer", good(json!({})), u1),
        ("its subject who has a name here", good(json!({ "sub": "00u1" })), "ci of acme"),
        (
            "its subject called as the owner",
            good(json!({ "sub": "node-owner" })),
            "https://idp.example#node-owner of guests",
        ),
        ("its subject called as a name here", good(json!({ "sub": "ci" })), "https://idp.example#ci of guests"),
        ("its tenant claim", good(json!({ "tenant": "acme" })), u1),
        ("an issuer whom nobody trusts", good(json!({ "iss": "https://evil.example" })), "another issuer"),
        ("the issuer with a slash", good(json!({ "iss": "https://idp.example/" })), "another issuer"),
        ("the issuer in capitals", good(json!({ "iss": "https://IDP.example" })), "another issuer"),
        ("no issuer", good(json!({ "iss": null })), "no iss"),
        ("an issuer that is a list", good(json!({ "iss": [IDP] })), "payload is malformed"),
        ("no subject", good(json!({ "sub": null })), "no sub"),
        ("an empty subject", good(json!({ "sub": "" })), "sub is malformed"),
        ("a subject with a line break", good(json!({ "sub": "a\nb" })), "sub is malformed"),
        ("the shared issuer", of_shared.token(json!({}), others(json!({}))), "https://shared.example#u1 of others"),
        (
            "the shared issuer by the other's key",
            ed.token(json!({ "kid": "k1" }), others(json!({}))),
            "signature does not match",
        ),
        (
            "the node by the issuer's key",
            by(&ed, json!({}), json!({ "iss": "bobbinet:node", "sub": "node-owner" })),
            "no key has the id k2",
        ),
        ("the issuer by the node's key", node.token(node.header(json!({})), theirs(json!({}))), "no key has the id"),
        // Audiences.
        ("for another agent", good(json!({ "aud": "http://127.0.0.1:7420/agents/other" })), "is for"),
        ("for several", good(json!({ "aud": [AGENT, "http://127.0.0.1:7420/agents/other"] })), "is for"),
        ("for one, as a list", good(json!({ "aud": [AGENT] })), u1),
        ("for none, as a list", good(json!({ "aud": [] })), "is for"),
        ("for nobody", good(json!({ "aud": null })), "no aud"),
        ("for the host alone", good(json!({ "aud": "http://127.0.0.1:7420" })), "is for"),
        ("for the agent below", good(json!({ "aud": format!("{AGENT}/skills/x") })), "is for"),
        ("the issuer's word of the other", good(json!({ "aud": "urn:nodes" })), "is for"),
        (
            "for the agent, of the one with a word",
            of_shared.token(json!({}), others(json!({ "aud": AGENT }))),
            "is for",
        ),
        // Times.
        ("ended", good(json!({ "iat": NOW - 600, "exp": NOW - 31 })), "expired"),
        ("ended within the leeway", good(json!({ "iat": NOW - 600, "exp": NOW - 27 })), u1),
        ("not begun", good(json!({ "nbf": NOW + 33 })), "not valid yet"),
        ("begins within the leeway", good(json!({ "nbf": NOW + 29 })), u1),
        ("made in the future", good(json!({ "iat": NOW + 33, "exp": NOW + 300 })), "not valid yet"),
        ("without an end", good(json!({ "exp": null })), "no exp"),
        ("without a beginning", good(json!({ "iat": null })), "no iat"),
        ("an end before its beginning", good(json!({ "exp": NOW - 1 })), u1),
        ("an end that is a text", good(json!({ "exp": "never" })), "payload is malformed"),
        ("an end below zero", good(json!({ "exp": -1 })), "payload is malformed"),
        ("the longest life of the issuer's", good(json!({ "exp": NOW + 3_600 })), u1),
        ("longer than the issuer's", good(json!({ "exp": NOW + 3_601 })), "lives too long"),
        ("the longest life of the node's", mine(json!({ "exp": NOW + 900 })), owner),
        ("longer than the node's", mine(json!({ "exp": NOW + 901 })), "lives too long"),
        ("a month, of one who may", mine(json!({ "sub": "robot", "exp": days(30) })), "robot of acme"),
        ("a month, of one who may not", mine(json!({ "sub": "ci", "exp": days(30) })), "lives too long"),
        ("more than a month", mine(json!({ "sub": "robot", "exp": days(31) })), "lives too long"),
        ("no end in sight", mine(json!({ "sub": "robot", "exp": u64::MAX })), "lives too long"),
        // Algorithms and types.
        ("Ed25519", by(&ed, json!({}), json!({})), u1),
        ("RSA", by(&rsa, json!({}), json!({})), u1),
        ("one that is not the key's", by(&ec, json!({ "alg": "RS256" }), json!({})), "algorithm is not the key's"),
        ("one that the issuer may not use", headed(json!({ "alg": "RS512" })), "algorithm is not the key's"),
        (
            "the node's by RSA",
            rsa.token(json!({ "kid": first.clone() }), claims(json!({}))),
            "algorithm is not the key's",
        ),
        ("none", headed(json!({ "alg": "none" })), "algorithm is not the key's"),
        ("a secret of both", headed(json!({ "alg": "HS256" })), "algorithm is not the key's"),
        ("no algorithm", headed(json!({ "alg": null })), "algorithm is not the key's"),
        ("an id token", headed(json!({ "typ": "JWT" })), "not an access token"),
        ("no type", headed(json!({ "typ": null })), "not an access token"),
        ("the type in full", headed(json!({ "typ": "application/at+jwt" })), u1),
        ("a critical header", headed(json!({ "crit": ["b64"] })), "critical header"),
        ("a key of its own", headed(json!({ "jwk": ec.jwk })), "brings its own key"),
        ("a key at its own URL", headed(json!({ "jku": "https://evil.example" })), "brings its own key"),
        (
            "a token without a type, of one who makes such",
            simple(json!({ "typ": null }), json!({})),
            "https://plain.example#u1 of plain",
        ),
        (
            "a plain one, of one who makes such",
            simple(json!({ "typ": "JWT" }), json!({})),
            "https://plain.example#u1 of plain",
        ),
        (
            "a plain one without an id",
            simple(json!({ "typ": "JWT" }), json!({ "jti": null })),
            "https://plain.example#u1 of plain",
        ),
        (
            "an access token of one who makes plain ones",
            simple(json!({}), json!({})),
            "https://plain.example#u1 of plain",
        ),
        ("a plain one for another", simple(json!({ "typ": "JWT" }), json!({ "aud": "client" })), "is for"),
        ("a proof of possession", simple(json!({ "typ": "dpop+jwt" }), json!({})), "not an access token"),
        ("a logout token", simple(json!({ "typ": "logout+jwt" }), json!({})), "not an access token"),
        ("no id of its own", good(json!({ "jti": null })), "no jti"),
        // Key ids, taken back and exchanged.
        ("an unknown key", headed(json!({ "kid": "k9" })), "no key has the id k9"),
        ("the id of another of its keys", headed(json!({ "kid": "k2" })), "algorithm is not the key's"),
        ("no key id", headed(json!({ "kid": null })), "kid is malformed"),
        ("a key id that is a path", headed(json!({ "kid": "../k1" })), "kid is malformed"),
        ("a key of the same id of somebody's", by(&stranger, json!({}), json!({})), "signature does not match"),
        ("a key that the issuer has taken back", of_gone, "no key has the id k4"),
        ("the node's key before the last", of_first, owner),
        ("the node's key that was dropped", of_dropped, "no key has the id"),
        // API keys.
        ("an API key", of_ci.clone(), "ci of acme"),
        ("one with an end", of_later, "ci of acme"),
        ("one that has ended", of_ended, "expired"),
        ("one that was taken back", of_revoked, "no API key has the id"),
        ("one of nobody whom the configuration names", of_guest, "does not name"),
        ("one with a tenant of its own", of_tenant, "batch of night"),
        ("another secret", flipped, "secret of the API key"),
        ("a key that was never made", format!("bbk_{}_{}", "0".repeat(16), "0".repeat(64)), "no API key has the id"),
        ("half a key", of_ci[..30].to_owned(), "malformed"),
        ("its id alone", ci.id.clone(), "malformed"),
        ("nothing", String::new(), "malformed"),
        ("a word", "secret".to_owned(), "malformed"),
        ("much", "a".repeat(9 << 10), "bytes long"),
        ("half a token", good(json!({})).rsplit_once('.').unwrap().0.to_owned(), "malformed"),
    ];
    assert!(rows.len() >= 60, "{}", rows.len());
    for (what, shown, expected) in &rows {
        // Twice: what was verified is looked up the second time.
        for attempt in ["first", "second"] {
            let found = match node.verify(shown, &[AGENT], at(2)) {
                Ok(caller) => told(&caller),
                Err(rejected) => rejected.to_string(),
            };
            let is_whom = expected.contains(" of ") && !expected.contains("API key");
            let is_right = if is_whom { found == *expected } else { found.contains(expected) };
            assert!(is_right, "{what}, {attempt} attempt: {found:?}, and not {expected:?}");
        }
    }
    println!("{} rows", rows.len());
}
