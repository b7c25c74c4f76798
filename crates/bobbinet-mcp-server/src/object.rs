//! JSON objects, written field by field, with values as they came.

use std::borrow::Cow;

use bobbinet_core::Json;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// The fields of a JSON object, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object(Vec<(Cow<'static, str>, Json)>);

impl Object {
    /// The same with one more field.
    pub(crate) fn with<T: Serialize + ?Sized>(mut self, name: &'static str, value: &T) -> Self {
        self.0.push((Cow::Borrowed(name), Json::of(value)));
        self
    }

    /// The same with one more field, if there is a value for it.
    pub(crate) fn with_some<T: Serialize>(self, name: &'static str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(name, &value),
            None => self,
        }
    }

    /// The same with one more field, which somebody else has named.
    pub(crate) fn with_owned(mut self, name: String, value: Json) -> Self {
        self.0.push((Cow::Owned(name), value));
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn to_json(&self) -> Json {
        Json::of(self)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
