//! Arguments that came as text where their schema wants something else: `"5"` for an integer, `"[1, 2]"` for an array. Models
//! and forms send such, and clients of MCP set them right before they call. So do we, where the text says just one thing.

use bobbinet_core::Json;
use serde_json::Value;

use crate::{
    json_object::JsonObject,
    schema::{Schema, escape, type_of},
};

/// The arguments as the schema wants them, and JSON pointers to what was a text before. `None`: there is nothing to convert.
pub(crate) fn to_fit(schema: &Schema, fields: &JsonObject) -> Option<(JsonObject, Vec<String>)> {
    let mut converted = Vec::new();
    let fields = object(schema, &mut converted, "", fields, |name| schema.property(name))?;
    Some((fields, converted))
}

fn object<'s>(
    schema: &'s Schema,
    converted: &mut Vec<String>,
    place: &str,
    fields: &JsonObject,
    wanted: impl Fn(&str) -> Option<&'s Value>,
) -> Option<JsonObject> {
    let before = converted.len();
    let fields = fields.iter().map(|(name, json)| {
        let place = || format!("{place}/{}", escape(name));
        let fits = wanted(name).and_then(|wanted| value(schema, wanted, converted, &place(), json));
        (name.to_owned(), fits.unwrap_or_else(|| json.clone()))
    });
    let fields = fields.collect::<JsonObject>();
    (converted.len() > before).then_some(fields)
}

/// A value as `wanted` wants it; `None` if there is nothing to do.
fn value(schema: &Schema, wanted: &Value, converted: &mut Vec<String>, place: &str, json: &Json) -> Option<Json> {
    if let Ok(text) = json.read::<String>() {
        let types = schema.types_of(wanted);
        let is_wanted_so = types.is_empty() || types.contains("string");
        if is_wanted_so {
            return None;
        }
        let meant = Json::parse_strict(text.trim()).ok()?;
        let word = type_of(&meant.to_value());
        let fits = types.contains(word) || (word == "integer" && types.contains("number"));
        if !fits {
            return None;
        }
        converted.push(place.to_owned());
        return value(schema, wanted, converted, place, &meant).or(Some(meant));
    }
    if let Some(fields) = JsonObject::read(json) {
        return object(schema, converted, place, &fields, |name| schema.inside(wanted, Some(name)))
            .map(|fields| fields.to_json());
    }
    let item = schema.inside(wanted, None)?;
    let before = converted.len();
    let items = json.read::<Vec<Json>>().ok()?.into_iter().enumerate();
    let items = items.map(|(at, json)| value(schema, item, converted, &format!("{place}/{at}"), &json).unwrap_or(json));
    let items = items.collect::<Vec<_>>();
    (converted.len() > before).then(|| Json::of(&items))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(arguments: &str, expected: &str) {
        let schema = Schema::new(
            Json::from(&json!({"$defs": {"N": {"type": "integer"}}, "properties": {
                "n": {"$ref": "#/$defs/N"}, "x": {"type": "number"}, "yes": {"type": "boolean"}, "text": {"type": "string"},
                "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "either": {"type": ["string", "integer"]},
                "list": {"type": "array", "items": {"type": "integer"}}, "any": {}, "word": {"enum": ["a", "b"]},
                "deep": {"type": "object", "properties": {"n/m": {"type": "integer"}}}}})),
            1 << 20,
        );
        let fields = JsonObject::read(&Json::parse(arguments).unwrap()).unwrap();
        let found = match to_fit(&schema, &fields) {
            Some((fields, converted)) => format!("{} {}", fields.to_json().as_str(), converted.join(" ")),
            None => "as it was".to_owned(),
        };
        assert_eq!(found, expected, "{arguments}");
    }

    #[test]
    fn what_a_text_plainly_means_is_taken_for_it() {
        check(r#"{"text":"5","n":"5"}"#, r#"{"text":"5","n":5} /n"#);
        check(r#"{"x":" 2.50 ","yes":"true"}"#, r#"{"x":2.50,"yes":true} /x /yes"#);
        check(r#"{"maybe":"null"}"#, r#"{"maybe":null} /maybe"#);
        check(r#"{"maybe":"9007199254740993"}"#, r#"{"maybe":9007199254740993} /maybe"#);
        check(r#"{"list":"[1, 2]"}"#, r#"{"list":[1, 2]} /list"#);
        check(r#"{"list":[1,"2"]}"#, r#"{"list":[1,2]} /list/1"#);
        check(r#"{"list":"[\"1\"]"}"#, r#"{"list":[1]} /list /list/0"#);
        check(r#"{"deep":"{\"n/m\": \"7\", \"o\": 1.0}"}"#, r#"{"deep":{"n/m":7,"o":1.0}} /deep /deep/n~1m"#);
    }

    #[test]
    fn what_may_mean_something_else_is_left_alone() {
        for arguments in [
            r#"{"n":5}"#,
            r#"{"n":"five"}"#,
            r#"{"n":"5.5"}"#,
            r#"{"n":"05"}"#,
            r#"{"n":""}"#,
            r#"{"yes":"True"}"#,
            r#"{"yes":"1"}"#,
            r#"{"text":"[1]"}"#,
            r#"{"either":"5"}"#,
            r#"{"any":"5"}"#,
            r#"{"word":"5"}"#,
            r#"{"list":"1,2"}"#,
            r#"{"list":"{}"}"#,
            // A server may take the other of the two.
            r#"{"deep":"{\"o\":1,\"o\":2}"}"#,
            r#"{"list":"[{\"a\":1,\"a\":2}]"}"#,
            r#"{"unknown":"5"}"#,
        ] {
            check(arguments, "as it was");
        }
    }
}
