//! A JSON object taken apart one level deep: its fields in their order, their values as they came.

use std::collections::BTreeSet;

use bobbinet_core::Json;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The fields of a JSON object, in their order. Of a name that comes twice the last value counts, as with most readers. Names are found by their hash:
/// a server or a caller says how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct JsonObject(IndexMap<String, Json>);

impl JsonObject {
    /// Takes an object apart; `None` if it is none.
    pub(crate) fn read(json: &Json) -> Option<Self> {
        json.is_object().then(|| json.read().ok()).flatten()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// The value of a field that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.read().ok()
    }

    /// Takes a field out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json> {
        self.0.shift_remove(name)
    }

    /// Takes all of these out.
    pub(crate) fn take_all(&mut self, names: &BTreeSet<&str>) {
        self.0.retain(|name, _| !names.contains(name.as_str()));
    }

    /// Adds a field, or gives it another value.
    pub(crate) fn set(&mut self, name: &str, value: Json) {
        match self.0.get_mut(name) {
            Some(known) => *known = value,
            None => drop(self.0.insert(name.to_owned(), value)),
        }
    }

    /// Adds all fields of another object; its values count.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The fields in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn to_json(&self) -> Json {
        Json::of(self)
    }
}

impl FromIterator<(String, Json)> for JsonObject {
    fn from_iter<I: IntoIterator<Item = (String, Json)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_values_survive() {
        let text = r#"{"z":1.0,"a":{"y":1e2,"b":[1, 2]},"n":null}"#;
        let mut fields = JsonObject::read(&Json::parse(text).unwrap()).unwrap();
        assert_eq!(fields.to_json().as_str(), text);
        fields.set("a", Json::of(&2));
        fields.set("c", Json::of("3"));
        assert_eq!(fields.take("n"), Some(Json::of(&())));
        assert_eq!(fields.to_json().as_str(), r#"{"z":1.0,"a":2,"c":"3"}"#);
        assert_eq!(JsonObject::read(&Json::parse("[1]").unwrap()), None);
        let twice = JsonObject::read(&Json::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap()).unwrap();
        assert_eq!(twice.to_json().as_str(), r#"{"a":3,"b":2}"#);
    }
}
