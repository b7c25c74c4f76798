//! Events as CloudEvents 1.0 has them, in its JSON format: checked once, where they come in.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::Json;

/// The attribute that says how many flows an event has come through: each flow that sends one counts one more than it has heard.
pub const HOPS: &str = "bobbinethops";

/// How much is shown of what is wrong, in characters.
const SHOWN_MAX: usize = 64;

/// Why something is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudEventFault {
    /// Not as CloudEvents 1.0 says.
    #[error("{0}")]
    Malformed(String),
    /// More bytes than one may have.
    #[error("an event has at most {max} bytes, and this one {bytes}")]
    Large {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
}

/// An event that has all that it must have. Cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    json: Json,
    id: Arc<str>,
    source: Arc<str>,
    hops: u32,
}

impl CloudEvent {
    /// Reads an event in CloudEvents' JSON format. Attributes that are `null` are as if they were not there.
    ///
    /// # Errors
    /// If it is none, or larger than this.
    pub fn read(event: Value, bytes_max: usize) -> Result<Self, CloudEventFault> {
        let Value::Object(mut event) = event else { return Err(malformed("an event is an object")) };
        event.retain(|name, value| name == "data" || !value.is_null());
        for (name, value) in &event {
            check_attribute(name, value)?;
        }
        match text(&event, "specversion") {
            Some("1.0") => {}
            Some(other) => return Err(malformed(format!("specversion is {:?}, and only 1.0 is known", short(other)))),
            None => return Err(malformed("an event has specversion: 1.0")),
        }
        let required = |name| text(&event, name).filter(|text| !text.is_empty());
        for name in ["id", "source", "type"] {
            if required(name).is_none() {
                return Err(malformed(format!("an event has a {name} that is a text and not empty")));
            }
        }
        for name in ["datacontenttype", "dataschema", "subject", "time"] {
            match event.get(name) {
                Some(Value::String(text)) if !text.is_empty() => {}
                Some(_) => return Err(malformed(format!("{name} is a text that is not empty, or is left out"))),
                None => {}
            }
        }
        if let Some(time) = text(&event, "time")
            && time.parse::<jiff::Timestamp>().is_err()
        {
            return Err(malformed(format!("time is like 2026-11-27T12:00:00Z (RFC 3339), and not {:?}", short(time))));
        }
        if event.contains_key("data") && event.contains_key("data_base64") {
            return Err(malformed("an event has data or data_base64, and not both"));
        }
        let hops = match event.get(HOPS) {
            None => 0,
            Some(hops) => hops
                .as_u64()
                .and_then(|hops| u32::try_from(hops).ok())
                .ok_or_else(|| malformed(format!("{HOPS} is how many flows the event has come through, a number")))?,
        };
        let (id, source) = (required("id").unwrap_or_default().into(), required("source").unwrap_or_default().into());
        let json = Json::from(&Value::Object(event));
        match json.as_str().len() {
            bytes if bytes > bytes_max => Err(CloudEventFault::Large { bytes, max: bytes_max }),
            _ => Ok(Self { json, id, source, hops }),
        }
    }

    /// The whole event, in CloudEvents' JSON format.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Its id: with its source, no other event has it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it comes from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How many flows it has come through.
    pub fn hops(&self) -> u32 {
        self.hops
    }
}

/// How many flows an event that was read before has come through.
pub fn hops_of(event: &Value) -> u32 {
    event.get(HOPS).and_then(Value::as_u64).and_then(|hops| u32::try_from(hops).ok()).unwrap_or_default()
}

fn malformed(why: impl Into<String>) -> CloudEventFault {
    CloudEventFault::Malformed(why.into())
}

fn short(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

fn text<'e>(event: &'e Map<String, Value>, name: &str) -> Option<&'e str> {
    event.get(name).and_then(Value::as_str)
}

/// A context attribute (CloudEvents 1.0, section "Type System"), or one of the two members that are none.
fn check_attribute(name: &str, value: &Value) -> Result<(), CloudEventFault> {
    match name {
        "data" => return Ok(()),
        "data_base64" => {
            let is_base64 = value.as_str().is_some_and(is_base64);
            return if is_base64 { Ok(()) } else { Err(malformed("data_base64 is bytes in base64")) };
        }
        _ => {}
    }
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !is_name {
        let name = short(name);
        return Err(malformed(format!("an event has no attribute {name:?}: names have lower case letters and digits")));
    }
    let is_fit = match value {
        Value::Bool(_) => true,
        Value::Number(number) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Value::String(text) => !text.contains(char::is_control),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    match is_fit {
        true => Ok(()),
        false => Err(malformed(format!(
            "the attribute {name} is a text without control characters, a boolean or an integer of 32 bits: put the rest into data"
        ))),
    }
}

/// Whether this is standard base64 with its padding.
fn is_base64(text: &str) -> bool {
    let bare = text.trim_end_matches('=');
    let padding = text.len() - bare.len();
    let is_symbol = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.len().is_multiple_of(4) && padding <= 2 && bare.bytes().all(is_symbol)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An event with these members changed; `null` takes one out.
    fn with(changes: &Value) -> Result<CloudEvent, CloudEventFault> {
        let mut event = json!({ "specversion": "1.0", "id": "1", "source": "/a", "type": "t" });
        for (name, value) in changes.as_object().unwrap() {
            event[name] = value.clone();
        }
        CloudEvent::read(event, 1_000)
    }

    #[test]
    fn what_an_event_must_have_and_may_have() {
        for (changes, expected) in [
            (json!({}), ""),
            (json!({ "data": null }), ""),
            (json!({ "data": { "a": [1] }, "time": "2026-11-27T12:00:00.5+01:00", "subject": "s", "tries": 3 }), ""),
            (json!({ "data_base64": "AAE=", "datacontenttype": "image/png", "isnew": true }), ""),
            (json!({ "subject": null }), ""),
            (json!({ "specversion": "0.3" }), "only 1.0"),
            (json!({ "specversion": null }), "specversion: 1.0"),
            (json!({ "id": null }), "a id that"),
            (json!({ "id": "" }), "a id that"),
            (json!({ "id": 7 }), "a id that"),
            (json!({ "source": "" }), "a source that"),
            (json!({ "type": null }), "a type that"),
            (json!({ "time": "yesterday" }), "RFC 3339"),
            (json!({ "subject": "" }), "subject is a text"),
            (json!({ "datacontenttype": 1 }), "datacontenttype is a text"),
            (json!({ "data": 1, "data_base64": "AAE=" }), "not both"),
            (json!({ "data_base64": "A" }), "base64"),
            (json!({ "data_base64": "AA-=" }), "base64"),
            (json!({ "comExample": 1 }), "no attribute"),
            (json!({ "order": { "id": 1 } }), "put the rest into data"),
            (json!({ "big": 1_u64 << 40 }), "integer of 32 bits"),
            (json!({ "half": 0.5 }), "integer of 32 bits"),
            (json!({ "subject": "a\nb" }), "control characters"),
            (json!({ "bobbinethops": -1 }), "bobbinethops"),
            (json!({ "data": "x".repeat(1_000) }), "at most 1000 bytes"),
        ] {
            let told = with(&changes).err().map(|fault| fault.to_string()).unwrap_or_default();
            assert!(if expected.is_empty() { told.is_empty() } else { told.contains(expected) }, "{changes}: {told}");
        }
        assert!(CloudEvent::read(json!([]), 1_000).is_err());
    }

    #[test]
    fn an_event_is_known_by_its_source_and_id() {
        let event = with(&json!({ "subject": null, "bobbinethops": 2 })).unwrap();
        assert_eq!((event.id(), event.source(), event.hops()), ("1", "/a", 2));
        assert_eq!(event.json().to_value().get("subject"), None);
        assert_eq!(hops_of(&event.json().to_value()), 2);
    }
}
