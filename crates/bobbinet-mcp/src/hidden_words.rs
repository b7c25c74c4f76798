//! What a server says of its tools that people do not see, or that speaks to a model behind their backs.

use std::{borrow::Cow, collections::BTreeSet};

use bobbinet_core::Json;
use bobbinet_text::{Hidden, hidden};
use serde_json::Value;

use crate::catalog::Tool;

/// How deep schemas are looked into. One that is deeper was not written by anybody.
const DEPTH_MAX: usize = 64;

/// Says in the log what is hidden in the words of a tool, each time that they are other words.
pub(crate) fn warn_of_hidden(agent: &str, title: &str, tool: &Tool, before: Option<&Tool>) {
    let is_known =
        before.is_some_and(|before| before.description == tool.description && before.input.json == tool.input.json);
    if is_known {
        return;
    }
    let mut found = hidden(title);
    found.extend(hidden(&tool.description));
    for schema in std::iter::once(&tool.input).chain(&tool.output) {
        found.extend(in_json(&schema.json));
    }
    if !found.is_empty() {
        let found = found.iter().map(|it| Cow::Borrowed(it.as_str())).collect::<Vec<_>>().join(", ");
        tracing::warn!(
            agent,
            tool = %tool.id,
            found,
            "the words of this tool hide something from people: look at them before a model does"
        );
    }
}

fn in_json(json: &Json) -> BTreeSet<Hidden> {
    let mut found = BTreeSet::new();
    look(&json.to_value(), 0, &mut found);
    found
}

fn look(value: &Value, depth: usize, found: &mut BTreeSet<Hidden>) {
    if depth > DEPTH_MAX {
        return;
    }
    match value {
        Value::String(text) => found.extend(hidden(text)),
        Value::Array(items) => items.iter().for_each(|item| look(item, depth + 1, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                found.extend(hidden(name));
                look(value, depth + 1, found);
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
