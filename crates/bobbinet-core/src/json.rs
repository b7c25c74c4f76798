//! JSON that passes through: kept as the text that came, so that numbers and the order of keys survive.

pub mod line;
pub mod strict;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// One JSON value as its own text. Cloning shares it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// Takes a text that must be one JSON value.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Box<RawValue>>(text).map(Self::from)
    }

    /// The same, if any two readers would take it for the same.
    ///
    /// # Errors
    /// Also for a text that is JSON, but one of the kinds that [`strict::StrictFault`] names.
    pub fn parse_strict(text: &str) -> Result<Self, serde_json::Error> {
        strict::check(text.as_bytes()).map_err(serde::de::Error::custom)?;
        Self::parse(text)
    }

    /// The JSON of a value of ours.
    ///
    /// # Panics
    /// If the value cannot be written as JSON: a map with keys that are not strings, which is a fault of ours.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self::from(serde_json::value::to_raw_value(value).expect("values of ours have string keys"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value read as `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }

    /// The value as a tree.
    pub fn to_value(&self) -> serde_json::Value {
        // Nesting was bounded when the text was read; a text deeper than serde_json's own limit never gets here.
        self.read().unwrap_or(serde_json::Value::Null)
    }

    /// Whether this is an object.
    pub fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Self(Arc::from(raw))
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        Self::of(value)
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_order_survive() {
        for text in [r#"{"b":1.0,"a":1e2,"n":9007199254740993}"#, "null", "[1,2]", r#""x""#] {
            let json = Json::parse(text).unwrap();
            let back: Json = serde_json::from_str(&serde_json::to_string(&json).unwrap()).unwrap();
            assert_eq!(back.as_str(), text);
        }
    }
}
