//! Signatures of cards, by pinned keys and by nobody else's.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test: what cannot be unwrapped has failed, and not all that tests share is used by each"
)]

mod common;
#[path = "common/signer.rs"]
mod signer;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_auth::{CardKeys, KeyRing};
use common::{Node, at, claims, sign};
use jsonwebtoken::Algorithm;
use serde_json::json;
use signer::Signer;

const PAYLOAD: &str = "eyJuYW1lIjoiYSJ9";

fn input(protected: &str) -> String {
    format!("{protected}.{PAYLOAD}")
}

fn signed(keys: &KeyRing) -> (String, String) {
    signed_at(keys, 0)
}

fn signed_at(keys: &KeyRing, seconds: u64) -> (String, String) {
    keys.sign_card("https://a.example/.well-known/jwks.json", at(seconds), input).unwrap()
}

#[test]
fn a_card_is_believed_by_its_keys_or_their_thumbprints() {
    let node = Node::start();
    let other = Node::start();
    let (protected, signature) = signed(&node.keys);
    let of_set = |node: &Node| CardKeys::of_set(node.keys.jwks().to_string().as_bytes()).unwrap();
    let of_thumbprint = |node: &Node| CardKeys::of_thumbprints([node.kid()]).unwrap();
    for keys in [of_set(&node), of_thumbprint(&node)] {
        assert!(keys.have_signed(&protected, &input(&protected), &signature));
        assert!(!keys.have_signed(&protected, &format!("{protected}.e30"), &signature), "another card");
        let (by_other, its) = signed(&other.keys);
        assert!(!keys.have_signed(&by_other, &input(&by_other), &its), "another key");
        assert!(!keys.have_signed(&protected, &input(&protected), &its), "another's signature");
    }
    assert!(!CardKeys::default().have_signed(&protected, &input(&protected), &signature));
    // The key that signs next is pinned only by those who know it.
    let pinned = of_thumbprint(&node);
    node.keys.new_key(at(1)).unwrap();
    let (protected, signature) = signed_at(&node.keys, 2);
    assert!(!pinned.have_signed(&protected, &input(&protected), &signature));
    assert!(of_set(&node).have_signed(&protected, &input(&protected), &signature));
}

#[test]
fn a_header_chooses_nothing_that_is_not_pinned() {
    let node = Node::start();
    let thief = Node::start();
    let keys = CardKeys::of_set(node.keys.jwks().to_string().as_bytes()).unwrap();
    let check = |header: serde_json::Value, expected: bool, why: &str| {
        let protected = URL_SAFE_NO_PAD.encode(header.to_string());
        let signature =
            jsonwebtoken::crypto::sign(input(&protected).as_bytes(), &node.secret(), Algorithm::EdDSA).unwrap();
        assert_eq!(keys.have_signed(&protected, &input(&protected), &signature), expected, "{why}");
    };
    let kid = node.kid();
    check(json!({ "alg": "EdDSA", "kid": kid }), true, "all that is needed");
    check(json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT" }), true, "as PyJWT has it");
    check(json!({ "alg": "none", "kid": kid }), false, "no algorithm");
    check(json!({ "alg": "ES256", "kid": kid }), false, "another algorithm");
    check(json!({ "alg": "EdDSA" }), false, "no key");
    check(json!({ "alg": "EdDSA", "kid": kid, "crit": ["b64"], "b64": false }), false, "what nobody here understands");
    check(json!({ "alg": "EdDSA", "kid": kid, "typ": "at+jwt" }), false, "a token");
    // A key that the card itself brings is believed only by its thumbprint.
    let (protected, signature) = signed(&thief.keys);
    assert!(!keys.have_signed(&protected, &input(&protected), &signature));
    let mut header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&protected).unwrap()).unwrap();
    header["kid"] = json!(kid);
    let forged = URL_SAFE_NO_PAD.encode(header.to_string());
    let by_thief = jsonwebtoken::crypto::sign(input(&forged).as_bytes(), &thief.secret(), Algorithm::EdDSA).unwrap();
    for keys in [keys, CardKeys::of_thumbprints([kid]).unwrap()] {
        assert!(!keys.have_signed(&forged, &input(&forged), &by_thief));
    }
    // A card's signature is no token, nor a token a card's signature.
    let token =
        sign(&node.header(json!({})).to_string(), &claims(json!({})).to_string(), &node.secret(), Algorithm::EdDSA);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let all = CardKeys::of_set(node.keys.jwks().to_string().as_bytes()).unwrap();
    assert!(!all.have_signed(message.split('.').next().unwrap(), message, signature));
}

#[test]
fn what_is_no_thumbprint_is_refused() {
    for text in ["", "abc", "!".repeat(43).as_str(), "A".repeat(44).as_str()] {
        assert_eq!(CardKeys::of_thumbprints([text.to_owned()]).err().as_deref(), Some(text));
    }
    assert!(CardKeys::of_set(br#"{"keys":[]}"#).is_err());
}

/// As the specification's example is signed, and cards of those who use the SDKs.
#[test]
fn a_card_that_is_signed_with_es256_is_believed_by_its_key_or_its_thumbprint() {
    // As AWS Cognito and DIDs name keys.
    for kid in ["key-1", "DGnOoTgq+5x1tlLY9XUmZFp4Qfm1BMyAFjRFMyVxv2o=", "did:web:a.example#key-1"] {
        let signer = Signer::elliptic(kid);
        let set = |jwk: &serde_json::Value| CardKeys::of_set(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
        let header = json!({ "typ": "JOSE", "jwk": signer.jwk });
        let jws = signer.token(header, json!({ "name": "a" }));
        let (message, signature) = jws.rsplit_once('.').unwrap();
        let protected = message.split('.').next().unwrap();
        let thumbprint = CardKeys::brought(protected).unwrap();
        for keys in [set(&signer.jwk), CardKeys::of_thumbprints([thumbprint]).unwrap()] {
            assert!(keys.have_signed(protected, message, signature), "{kid}");
            assert!(!keys.have_signed(protected, &format!("{protected}.e30"), signature), "{kid}: another card");
            let mut reversed = signature.chars().rev().collect::<String>();
            assert!(!keys.have_signed(protected, message, &reversed), "{kid}: another signature");
            reversed.clear();
            assert!(!keys.have_signed(protected, message, &reversed), "{kid}: no signature");
        }
        // Another key under the same name, and the same key for something else.
        assert!(!set(&Signer::elliptic(kid).jwk).have_signed(protected, message, signature), "{kid}");
        let mut for_encryption = signer.jwk.clone();
        for_encryption["use"] = json!("enc");
        let sets = json!({ "keys": [for_encryption] }).to_string();
        assert!(CardKeys::of_set(sets.as_bytes()).is_err(), "{kid}");
    }
}
