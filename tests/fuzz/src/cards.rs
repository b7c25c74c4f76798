//! Agent Cards, their canonical form, and their signatures.

use std::convert::Infallible;

use bobbinet_wire::{
    signed_card::{CardSignature, covered, sign},
    v1_0::CardView,
};
use serde_json::Value;

/// A card as a client reads it. Signed, it is verified; and what was covered reads as a card.
pub(crate) fn cards(bytes: &[u8]) {
    if let Ok(card) = CardView::parse(bytes) {
        card.spoken().count();
        card.api_key();
        card.extension_skills();
        card.honours_idempotency_keys();
    }
    let Ok(Value::Object(mut card)) = serde_json::from_slice::<Value>(bytes) else { return };
    covered(&Value::Object(card.clone()), |_, _| false);
    card.remove("signatures");
    let text = Value::Object(card).to_string().into_bytes();
    let mut made = Vec::new();
    let signed = sign(text, |payload| {
        made.push(payload.to_vec());
        let signature = CardSignature { protected: String::new(), signature: made.len().to_string() };
        Ok::<_, Infallible>(signature)
    });
    let Ok(signed) = signed;
    let signed: Value = serde_json::from_slice(&signed).expect("a signed card is JSON");
    let is_good = |signature: &CardSignature, payload: &[u8]| {
        let number: usize = signature.signature.parse().unwrap_or_default();
        number > 0 && made.get(number - 1).is_some_and(|known| known == payload)
    };
    if made.is_empty() {
        return;
    }
    let read = covered(&signed, is_good).expect("what was signed is verified");
    let again = serde_json_canonicalizer::to_vec(&read).expect("it has a canonical form");
    assert!(made.contains(&again), "what is read is not what was signed");
}

/// The canonical form of JSON (RFC 8785) is one of its own.
pub(crate) fn jcs(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let Ok(canonical) = serde_json_canonicalizer::to_vec(&value) else { return };
    let read: Value = serde_json::from_slice(&canonical).expect("a canonical form is JSON");
    let again = serde_json_canonicalizer::to_vec(&read).expect("and has a canonical form");
    assert_eq!(canonical, again, "its canonical form is another one");
}
