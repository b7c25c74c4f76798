//! What an argument of a prompt, or a name in a resource's address, may be, as its server says it (`completion/complete`).

use bobbinet_core::Json;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::json_object::JsonObject;

/// The skill that says it.
pub(crate) const SKILL: &str = "argument:complete";

/// What it takes.
pub(crate) fn input_schema() -> Json {
    let text = |about: &str| json!({"type": "string", "description": about});
    Json::from(&json!({
        "type": "object", "required": ["argument"], "additionalProperties": false,
        "properties": {
            "prompt": text("The prompt whose argument it is."),
            "resource": text("Or the URI template that the name stands in."),
            "argument": text("The argument, or the name."),
            "value": text("How it begins."),
            "arguments": {"type": "object", "description": "What the others are, as far as that is known."},
        },
    }))
}

/// The same as the protocol has it.
pub(crate) fn params(arguments: &Json) -> JsonObject {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Arguments {
        prompt: Option<String>,
        resource: Option<String>,
        argument: String,
        value: String,
        arguments: Map<String, Value>,
    }
    let Arguments { prompt, resource, argument, value, arguments } = arguments.read().unwrap_or_default();
    let of = match (prompt, resource) {
        (None, Some(uri)) => json!({"type": "ref/resource", "uri": uri}),
        (prompt, _) => json!({"type": "ref/prompt", "name": prompt.unwrap_or_default()}),
    };
    let mut params = JsonObject::default();
    params.set("ref", Json::from(&of));
    params.set("argument", Json::from(&json!({"name": argument, "value": value})));
    if !arguments.is_empty() {
        params.set("context", Json::from(&json!({ "arguments": arguments })));
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_completed_is_named_as_the_protocol_has_it() {
        let check = |arguments: &str, expected: &str| {
            assert_eq!(params(&Json::parse(arguments).unwrap()).to_json().as_str(), expected);
        };
        check(
            r#"{"prompt":"p","argument":"a","value":"x","arguments":{"b":"1"}}"#,
            r#"{"ref":{"name":"p","type":"ref/prompt"},"argument":{"name":"a","value":"x"},"context":{"arguments":{"b":"1"}}}"#,
        );
        check(
            r#"{"resource":"demo://{id}","argument":"id"}"#,
            r#"{"ref":{"type":"ref/resource","uri":"demo://{id}"},"argument":{"name":"id","value":""}}"#,
        );
    }
}
