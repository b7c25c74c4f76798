//! Agent Cards, their canonical form, and their signatures.

use std::convert::Infallible;

use bobbinet_wire::{
    signed_card::{CardSignature, covered, sign},
    v1_0::CardView,
};
use serde_json::{Number, Value};

/// A card as a client reads it. Signed, it is verified; and what is read of it is what was signed.
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
    let is_read = |payload: &Vec<u8>| {
        let payload: Value = serde_json::from_slice(payload).expect("what was signed is JSON");
        are_same(&read, &payload)
    };
    assert!(made.iter().any(is_read), "what is read is not what was signed");
}

/// Whether what is read says what was signed. There each number is a double, whatever its digits; a whole one is read as an integer only
/// where it is no other's double.
fn are_same(read: &Value, signed: &Value) -> bool {
    let is_exact = |number: &Number| number.as_i64().is_some_and(|whole| whole.unsigned_abs() < 1 << 53);
    match (read, signed) {
        (Value::Number(read), Value::Number(signed)) => {
            read.as_f64() == signed.as_f64() && (read.is_f64() || is_exact(read))
        }
        (Value::Array(read), Value::Array(signed)) => {
            read.len() == signed.len() && read.iter().zip(signed).all(|(read, signed)| are_same(read, signed))
        }
        (Value::Object(read), Value::Object(signed)) => {
            let is_same = |(name, value): (&String, &Value)| signed.get(name).is_some_and(|it| are_same(value, it));
            read.len() == signed.len() && read.iter().all(is_same)
        }
        (read, signed) => read == signed,
    }
}

/// The canonical form of JSON (RFC 8785) is one of its own.
pub(crate) fn jcs(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let Ok(canonical) = serde_json_canonicalizer::to_vec(&value) else { return };
    let read: Value = serde_json::from_slice(&canonical).expect("a canonical form is JSON");
    let again = serde_json_canonicalizer::to_vec(&read).expect("and has a canonical form");
    assert_eq!(canonical, again, "its canonical form is another one");
}
