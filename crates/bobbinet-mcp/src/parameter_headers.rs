//! Arguments that a tool wants said again in headers (`x-mcp-header` in its input schema, 2026-07-28), so that what stands between us and
//! its server can route by them.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bobbinet_core::Json;
use serde_json::Value;

/// What annotates a property.
const ANNOTATION: &str = "x-mcp-header";

/// The beginning of each such header's name.
const PREFIX: &str = "mcp-param-";

/// How deep annotations are looked for. A schema that is deeper was not written by anybody.
const DEPTH_MAX: usize = 32;

/// The headers that go with the calls of one tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ParameterHeaders(Vec<ParameterHeader>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct ParameterHeader {
    /// The names that lead to the argument.
    path: Vec<String>,
    /// The header's whole name.
    name: String,
}

impl ParameterHeaders {
    /// Those that an input schema asks for.
    ///
    /// # Errors
    /// What is wrong with an annotation: a tool with one such must not be called over HTTP.
    pub(crate) fn of(schema: &Value) -> Result<Self, String> {
        let mut found = Self::default();
        let mut taken = BTreeSet::new();
        if schema.get(ANNOTATION).is_some() {
            return Err(format!("{ANNOTATION} annotates properties, and here the whole input"));
        }
        found.look(schema, &mut Vec::new(), &mut taken)?;
        // What was not found along the properties stands where no argument can be told from another.
        if count(schema, 0) != found.0.len() {
            return Err(format!(
                "{ANNOTATION} stands where no property is: only what properties alone lead to can have it"
            ));
        }
        Ok(found)
    }

    fn look(&mut self, schema: &Value, path: &mut Vec<String>, taken: &mut BTreeSet<String>) -> Result<(), String> {
        let Some(Value::Object(properties)) = schema.get("properties").filter(|_| path.len() < DEPTH_MAX) else {
            return Ok(());
        };
        for (property, inner) in properties {
            path.push(property.clone());
            if let Some(annotation) = inner.get(ANNOTATION) {
                let place = path.join(".");
                let header = annotation.as_str().ok_or_else(|| format!("{ANNOTATION} of {place} is no text"))?;
                let is_token = !header.is_empty() && header.bytes().all(is_token_byte);
                if !is_token {
                    return Err(format!("{ANNOTATION} of {place} is no name of a header: {header:?}"));
                }
                if !matches!(inner.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
                    return Err(format!("{ANNOTATION} of {place} needs a string, an integer or a boolean"));
                }
                let name = format!("{PREFIX}{}", header.to_ascii_lowercase());
                if !taken.insert(name.clone()) {
                    return Err(format!("{ANNOTATION} {header:?} stands there twice"));
                }
                self.0.push(ParameterHeader { path: path.clone(), name });
            }
            self.look(inner, path, taken)?;
            path.pop();
        }
        Ok(())
    }

    /// The headers of a call with these arguments. What is not there, or null, has none.
    pub(crate) fn values(&self, arguments: &Json) -> Vec<(String, String)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let arguments = arguments.to_value();
        let value = |header: &ParameterHeader| {
            let argument = header.path.iter().try_fold(&arguments, |value, name| value.get(name))?;
            Some((header.name.clone(), header_value(&text_of(argument)?)))
        };
        self.0.iter().filter_map(value).collect()
    }
}

/// How many annotations a schema has, wherever they stand. What is given as data is none.
fn count(schema: &Value, depth: usize) -> usize {
    if depth > 2 * DEPTH_MAX {
        return 0;
    }
    match schema {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match name.as_str() {
                "default" | "const" | "enum" | "examples" => 0,
                // The names in there are properties', whatever they are called.
                "properties" => value.as_object().map_or(0, |all| all.values().map(|it| count(it, depth + 2)).sum()),
                ANNOTATION => 1,
                _ => count(value, depth + 1),
            })
            .sum(),
        Value::Array(items) => items.iter().map(|item| count(item, depth + 1)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn text_of(argument: &Value) -> Option<String> {
    match argument {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        // An integer may be written so, too.
        Value::Number(number) => number.as_f64().filter(|it| it.fract() == 0.0).map(|it| format!("{it:.0}")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A text as the value of a header (2026-07-28): in Base64, with a mark, if it cannot stand there as it is.
pub(crate) fn header_value(text: &str) -> String {
    const MARK: &str = "=?base64?";
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t')
        && text.trim_matches([' ', '\t']) == text
        && !(text.starts_with(MARK) && text.ends_with("?="));
    if is_plain { text.to_owned() } else { format!("{MARK}{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: &Value, arguments: &Value, expected: &[&str]) {
        let headers = ParameterHeaders::of(schema).unwrap();
        let found = headers.values(&Json::from(arguments));
        let mut found: Vec<_> = found.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        found.sort();
        assert_eq!(found, expected, "{schema} {arguments}");
    }

    #[test]
    fn annotated_arguments_are_headers() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "count": {"type": "integer", "x-mcp-header": "Count"},
            "inner": {"type": "object", "properties": {"dry": {"type": "boolean", "x-mcp-header": "Dry"}}},
            "x-mcp-header": {"type": "string", "default": {"x-mcp-header": 1}},
        }});
        check(&schema, &json!({}), &[]);
        check(&schema, &json!({"region": null, "count": [1], "inner": 7}), &[]);
        check(
            &schema,
            &json!({"region": "eu west", "count": 3.0, "inner": {"dry": true}}),
            &["mcp-param-count: 3", "mcp-param-dry: true", "mcp-param-region: eu west"],
        );
        check(&schema, &json!({"region": "ä"}), &["mcp-param-region: =?base64?w6Q=?="]);
        check(&json!({"type": "object"}), &json!({"a": 1}), &[]);
    }

    #[test]
    fn what_is_wrong_with_an_annotation_is_said() {
        let wrong = |schema: Value| ParameterHeaders::of(&schema).unwrap_err();
        let of = |property: Value| json!({"properties": {"p": property}});
        for (schema, expected) in [
            (json!({"x-mcp-header": "A"}), "the whole input"),
            (of(json!({"type": "string", "x-mcp-header": ""})), "no name of a header"),
            (of(json!({"type": "string", "x-mcp-header": "a b"})), "no name of a header"),
            (of(json!({"type": "string", "x-mcp-header": 7})), "is no text"),
            (of(json!({"type": "number", "x-mcp-header": "A"})), "needs a string"),
            (of(json!({"type": "array", "items": {"type": "string", "x-mcp-header": "A"}})), "where no property is"),
            (
                json!({"properties": {"p": {"type": "string", "x-mcp-header": "A"}, "q": {"type": "string", "x-mcp-header": "a"}}}),
                "twice",
            ),
        ] {
            let found = wrong(schema.clone());
            assert!(found.contains(expected), "{schema}: {found}");
        }
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_encoded() {
        for plain in ["", "a", "a b", "=?base64?x", "~"] {
            assert_eq!(header_value(plain), plain);
        }
        for (text, expected) in [
            (" a", "=?base64?IGE=?="),
            ("a\n", "=?base64?YQo=?="),
            ("ä", "=?base64?w6Q=?="),
            ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
        ] {
            assert_eq!(header_value(text), expected);
        }
    }
}
