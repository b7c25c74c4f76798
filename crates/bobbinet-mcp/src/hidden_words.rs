//! What a server says of its tools that people do not see, or that speaks to a model behind their backs.

use std::collections::BTreeSet;

use bobbinet_core::Json;
use bobbinet_text::{Hidden, hidden};
use serde_json::Value;

/// How deep schemas and data are looked into. What is deeper was not written by anybody.
const DEPTH_MAX: usize = 64;

/// Says in the log what is hidden in what a server says of a tool: in these texts, and in its schemas.
pub(crate) fn warn_of_hidden<'j>(agent: &str, tool: &str, texts: [&str; 2], schemas: impl Iterator<Item = &'j Json>) {
    let mut found: BTreeSet<Hidden> = texts.into_iter().flat_map(hidden).collect();
    found.extend(schemas.flat_map(in_json));
    if !found.is_empty() {
        let found = found.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
        tracing::warn!(
            agent,
            tool,
            found,
            "the words of this tool hide something from people: look at them before a model does"
        );
    }
}

fn in_json(json: &Json) -> BTreeSet<Hidden> {
    in_value(&json.to_value(), hidden)
}

/// What `search` finds in the names and texts of a value.
pub(crate) fn in_value(value: &Value, search: fn(&str) -> BTreeSet<Hidden>) -> BTreeSet<Hidden> {
    let mut found = BTreeSet::new();
    look(value, search, 0, &mut found);
    found
}

fn look(value: &Value, search: fn(&str) -> BTreeSet<Hidden>, depth: usize, found: &mut BTreeSet<Hidden>) {
    if depth > DEPTH_MAX {
        return;
    }
    match value {
        Value::String(text) => found.extend(search(text)),
        Value::Array(items) => items.iter().for_each(|item| look(item, search, depth + 1, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                found.extend(search(name));
                look(value, search, depth + 1, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_in_a_schema_is_found_wherever_it_stands() {
        let check = |text: &str, expected: &[Hidden]| {
            let found: Vec<_> = in_json(&Json::parse(text).unwrap()).into_iter().collect();
            assert_eq!(found, expected, "{text}");
        };
        check(r#"{"type": "object", "properties": {"a": {"description": "A number."}}}"#, &[]);
        check(r#"{"properties": {"a": {"description": "x\u200b"}}}"#, &[Hidden::Invisible]);
        check(r#"{"properties": {"a\u202e": {}}}"#, &[Hidden::Direction]);
        check(r#"{"anyOf": [{"title": "<IMPORTANT>"}]}"#, &[Hidden::Markup]);
        check(r#"{"enum": ["do not tell the user"]}"#, &[Hidden::Order]);
    }
}
