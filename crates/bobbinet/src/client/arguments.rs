//! Arguments as they are typed, `name=value`, as the JSON that a skill takes.

use bobbinet_core::Json;
use serde_json::{Map, Value};

use crate::failure::{Code, Failure};

/// The arguments as one JSON object. The skill's schema, where its card shows one, says what is a text and what a number;
/// where it does not, what reads as JSON is JSON.
pub(crate) fn parse(typed: &[String], schema: Option<&Json>) -> Result<Value, Failure> {
    if let [only] = typed
        && only.trim_start().starts_with('{')
    {
        return serde_json::from_str(only)
            .map_err(|error| Failure::new(Code::Usage, format!("the arguments are not JSON: {error}")));
    }
    let schema = schema.map(Json::to_value).unwrap_or_default();
    let mut arguments = Map::new();
    for pair in typed {
        let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let failure = Failure::new(Code::Usage, format!("{pair:?} is no argument"));
            return Err(failure.hint("write NAME=VALUE, NAME:=JSON, or one JSON object for all"));
        };
        let (name, value) = match name.strip_suffix(':') {
            Some(name) => (name, json(name, value)?),
            None => (name, typed_value(&schema["properties"][name], value)),
        };
        if arguments.insert(name.to_owned(), value).is_some() {
            return Err(Failure::new(Code::Usage, format!("{name} is given twice")));
        }
    }
    Ok(Value::Object(arguments))
}

fn json(name: &str, value: &str) -> Result<Value, Failure> {
    serde_json::from_str(value).map_err(|error| Failure::new(Code::Usage, format!("{name} is not JSON: {error}")))
}

fn typed_value(schema: &Value, value: &str) -> Value {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    let text = || Value::from(value);
    let is_text_only = types == ["string"];
    if is_text_only {
        return text();
    }
    let read = serde_json::from_str::<Value>(value).ok();
    let is_wanted = |read: &Value| match read {
        Value::Number(_) => types.contains(&"number") || types.contains(&"integer"),
        Value::Bool(_) => types.contains(&"boolean"),
        Value::Array(_) => types.contains(&"array"),
        Value::Object(_) => types.contains(&"object"),
        Value::Null => types.contains(&"null"),
        Value::String(_) => types.contains(&"string"),
    };
    // What does not fit goes as it was typed: the agent says what is wrong with it.
    read.filter(|read| types.is_empty() || is_wanted(read)).unwrap_or_else(text)
}

/// The names that a schema has, the optional ones with a question mark.
pub(crate) fn names(schema: &Json) -> Vec<String> {
    let schema = schema.to_value();
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object();
    let name = |name: &String| if required.contains(&name.as_str()) { name.clone() } else { format!("{name}?") };
    properties.into_iter().flatten().map(|(property, _)| name(property)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"properties":{"path":{"type":"string"},"head":{"type":"integer"},"all":{"type":"boolean"},
        "paths":{"type":"array"},"any":{"type":["string","number"]},"free":{}},"required":["path"]}"#;

    fn check(typed: &[&str], expected: Option<&str>) {
        let typed: Vec<String> = typed.iter().map(|&typed| typed.to_owned()).collect();
        let schema = Json::parse(SCHEMA).unwrap();
        let found = parse(&typed, Some(&schema)).ok().map(|value| value.to_string());
        assert_eq!(found.as_deref(), expected, "{typed:?}");
    }

    #[test]
    fn the_schema_says_what_is_a_text() {
        check(&["path=1.txt", "head=10"], Some(r#"{"head":10,"path":"1.txt"}"#));
        check(&["path=42"], Some(r#"{"path":"42"}"#));
        check(&["head=x"], Some(r#"{"head":"x"}"#));
        check(&["all=true", "paths=[\"a\"]"], Some(r#"{"all":true,"paths":["a"]}"#));
        check(&["any=3", "free=[1]", "unknown=x=y"], Some(r#"{"any":3,"free":[1],"unknown":"x=y"}"#));
        check(&["path:={\"a\":1}"], Some(r#"{"path":{"a":1}}"#));
        check(&[r#"{"path":"a"}"#], Some(r#"{"path":"a"}"#));
        check(&[], Some("{}"));
        check(&["path"], None);
        check(&["path:=x"], None);
        check(&["path=a", "path=b"], None);
    }

    #[test]
    fn names_show_what_may_be_left_out() {
        let schema = Json::parse(r#"{"properties":{"a":{},"b":{}},"required":["a"]}"#).unwrap();
        assert_eq!(names(&schema), ["a", "b?"]);
    }
}
