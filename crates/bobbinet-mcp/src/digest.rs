//! What tells one JSON value from another, however it is written, and a hash as text.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A value in its canonical form (RFC 8785). What has none is told apart by how it is written.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).unwrap_or_else(|_| value.to_string().into_bytes())
}

/// The hash of a value, as text.
pub(crate) fn hash_of(value: &Value) -> String {
    hex(&Sha256::digest(canonical(value)))
}

/// Bytes as text, two digits for each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_however_they_are_written() {
        let hash = |text: &str| hash_of(&serde_json::from_str(text).unwrap());
        assert_eq!(hash(r#"{"a":1,"b":2.0}"#), hash(r#"{ "b": 2, "a": 1 }"#));
        assert_ne!(hash(r#"{"a":1}"#), hash(r#"{"a":"1"}"#));
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
