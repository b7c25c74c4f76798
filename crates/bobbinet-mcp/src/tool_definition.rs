//! What a server says of a tool, a prompt or a resource template, as one thing: its hash, by which a change is known, and as text for the one who is to look at it.

use std::fmt::Write as _;

use bobbinet_core::{Json, json::strict};
use bobbinet_text::{hidden, revealed};
use serde_json::{Map, Value};

use crate::{digest, listing::RawTool, prompts::RawPrompt, resources::RawTemplate, rpc_message::shorten};

/// What begins the hash of a tool: `_meta` counts in it.
const WITH_META: &str = "m:";

/// Bytes of a definition that are kept to be shown.
const SHOWN_MAX: usize = 16 << 10;

/// What is said of a tool, a prompt or a resource template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolDefinition {
    /// Of its canonical form (RFC 8785): the order of names and what stands between them are no change, nor is the order of what is a set,
    /// which some servers list in another one each time they start.
    pub(crate) hash: String,
    /// The hash of a tool without its `_meta`, as it was made before that was shown to anybody.
    pub(crate) before: Option<String>,
    /// For people, with all that is invisible written out.
    pub(crate) shown: String,
}

impl ToolDefinition {
    pub(crate) fn of_tool(tool: &RawTool) -> Self {
        let mut fields = Map::new();
        let mut set = |name: &str, value: Option<Value>| fields.extend(value.map(|value| (name.to_owned(), value)));
        set("name", Some(tool.name.as_str().into()));
        set("title", tool.title.as_deref().map(Value::from));
        set("description", tool.description.as_deref().map(Value::from));
        // Of what comes later than its time there are no hints: only those that are said count.
        let hints = tool.annotations.as_ref().and_then(|hints| serde_json::to_value(hints).ok());
        set("annotations", hints.map(without_nulls));
        set("inputSchema", tool.input_schema.as_ref().map(value_of));
        set("outputSchema", tool.output_schema.as_ref().map(value_of));
        let before = hash_of(&fields);
        fields.extend(tool.meta.as_ref().map(|meta| ("_meta".to_owned(), value_of(meta))));
        let Self { hash, shown, .. } = Self::of(fields);
        Self { hash: format!("{WITH_META}{hash}"), before: Some(before), shown }
    }

    pub(crate) fn of_prompt(prompt: &RawPrompt) -> Self {
        match serde_json::to_value(prompt).map(without_nulls) {
            Ok(Value::Object(fields)) => Self::of(fields),
            Ok(_) | Err(_) => Self::of(Map::new()),
        }
    }

    /// Of what is told to people and models: when it was made, and pictures, change as they like.
    pub(crate) fn of_template(template: &RawTemplate) -> Self {
        let mut fields = Map::new();
        let listed = template.listed.as_ref().map(Json::to_value);
        for name in ["name", "title", "description", "mimeType"] {
            let value = listed.as_ref().and_then(|listed| listed.get(name)).cloned();
            fields.extend(value.map(|value| (name.to_owned(), value)));
        }
        // As the server writes them: what is listed is without what is invisible.
        for (name, text) in [("name", &template.name), ("title", &template.title)] {
            fields.extend(text.as_deref().map(|text| (name.to_owned(), text.into())));
        }
        fields.insert("uriTemplate".to_owned(), template.uri_template.as_str().into());
        Self::of(fields)
    }

    fn of(fields: Map<String, Value>) -> Self {
        Self { hash: hash_of(&fields), before: None, shown: shown(&fields) }
    }
}

fn hash_of(fields: &Map<String, Value>) -> String {
    digest::hash_of(&in_order(Value::Object(fields.clone())))
}

/// A schema's value. Of one that says a name twice readers see this or that, so it is what it is letter for letter.
fn value_of(json: &Json) -> Value {
    match strict::check(json.as_str().as_bytes()) {
        Ok(()) => json.to_value(),
        Err(_) => Value::from(json.as_str()),
    }
}

/// With what has no order in one: alternatives and required names of a schema, and lists of words in texts.
fn in_order(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                let is_set = matches!(name.as_str(), "enum" | "required" | "type");
                match in_order(value) {
                    Value::Array(mut items) if is_set => {
                        items.sort_by_cached_key(Value::to_string);
                        (name, Value::Array(items))
                    }
                    value @ (Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_)) => (name, value),
                }
            };
            fields.into_iter().map(field).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(in_order).collect(),
        Value::String(text) => text.split('\n').map(list_in_order).collect::<Vec<_>>().join("\n").into(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// A line that ends in a list, `Allowed commands: ls, cat, pwd`, with the words of that in order. Sentences are left as they are: each item is
/// one word, and nothing follows.
fn list_in_order(line: &str) -> String {
    let (before, list) = line.split_once(": ").map_or(("", line), |(before, list)| (before, list));
    let is_word = |word: &&str| !word.is_empty() && !word.contains(char::is_whitespace);
    let mut words: Vec<&str> = list.split(", ").collect();
    if words.len() < 2 || !words.iter().all(is_word) {
        return line.to_owned();
    }
    words.sort_unstable();
    let list = words.join(", ");
    if before.is_empty() { list } else { format!("{before}: {list}") }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

/// One field after the other, a text as it is read, anything else as JSON.
fn shown(fields: &Map<String, Value>) -> String {
    let mut shown = String::new();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "name") {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                serde_json::to_string_pretty(value).unwrap_or_default()
            }
        };
        let mut lines = text.lines();
        let _ = writeln!(shown, "{name}: {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(shown, "  {line}");
        }
        let found = hidden(&text).iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
        if !found.is_empty() {
            let _ = writeln!(shown, "  ({name} hides something from people: {found})");
        }
    }
    shorten(&revealed(&shown), SHOWN_MAX).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(text: &str) -> ToolDefinition {
        ToolDefinition::of_tool(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_definition_is_the_same_however_it_is_written_and_another_with_each_word() {
        let first = tool(r#"{"name":"t","description":"Reads.","inputSchema":{"type":"object","required":["a"]}}"#);
        let check = |text: &str, is_same: bool| assert_eq!(tool(text).hash == first.hash, is_same, "{text}");
        check(r#"{"name":"t","description":"Reads.","inputSchema":{"required": ["a"], "type":"object"},"x":1}"#, true);
        check(
            r#"{"name":"t","description":"Reads.","title":null,"inputSchema":{"type":"object","required":["a"]}}"#,
            true,
        );
        for other in [
            r#"{"name":"t","description":"Reads!","inputSchema":{"type":"object","required":["a"]}}"#,
            r#"{"name":"t","description":"Reads.\u200b","inputSchema":{"type":"object","required":["a"]}}"#,
            r#"{"name":"t","description":"Reads.","inputSchema":{"type":"object","required":["b"]}}"#,
            r#"{"name":"t","description":"Reads.","inputSchema":{"type":"object","type":"object","required":["a"]}}"#,
            r#"{"name":"t","description":"Reads.","inputSchema":{"type":"object","required":["a"]},"outputSchema":{}}"#,
            r#"{"name":"t","description":"Reads.","inputSchema":{"type":"object","required":["a"]},"title":"T"}"#,
            r#"{"name":"t","description":"Reads.","inputSchema":{"type":"object","required":["a"]},"_meta":{"ui":{}}}"#,
            r#"{"name":"t","description":"Reads.","inputSchema":{"type":"object","required":["a"]},"annotations":{"readOnlyHint":true}}"#,
            r#"{"name":"t","description":"Reads.","inputSchema":{"type":"object","required":["a"]},"annotations":{"destructiveHint":false}}"#,
        ] {
            check(other, false);
        }
    }

    #[test]
    fn the_order_of_what_is_a_set_is_no_change_and_that_of_a_sentence_is_one() {
        let check = |one: &str, other: &str, is_same: bool| {
            let [one, other] = [one, other].map(|description| {
                let text = serde_json::json!({"name": "t", "description": description}).to_string();
                tool(&text).hash
            });
            assert_eq!(one == other, is_same);
        };
        check(
            "Runs it.\nAllowed commands: ls, cat, pwd\nNo more.",
            "Runs it.\nAllowed commands: pwd, ls, cat\nNo more.",
            true,
        );
        check("Allowed commands: ls, cat", "Allowed commands: ls, rm", false);
        check("Reads, never writes", "never, Reads writes", false);
        check("Do not: read files, send them", "Do not: send them, read files", false);
        let schema =
            |names: &str| format!(r#"{{"name":"t","inputSchema":{{"properties":{{"a":{{"enum":[{names}]}}}}}}}}"#);
        assert_eq!(tool(&schema(r#""x","y""#)).hash, tool(&schema(r#""y","x""#)).hash);
        assert_ne!(tool(&schema(r#""x","y""#)).hash, tool(&schema(r#""x","z""#)).hash);
    }

    #[test]
    fn what_is_shown_has_nothing_hidden_in_it() {
        let shown =
            tool(r#"{"name":"t","description":"Reads.\n\u001b[8mAnd sends\u200b.","inputSchema":{"a":"x\u202e"}}"#)
                .shown;
        assert_eq!(
            shown,
            "description: Reads.\n  \\u{1b}[8mAnd sends\\u{200b}.\n  (description hides something from people: control characters, \
             invisible characters)\ninputSchema: {\n    \"a\": \"x\\u{202e}\"\n  }\n  (inputSchema hides something from people: \
             overrides of direction)\n"
        );
        let long = format!(r#"{{"name":"t","description":"{}"}}"#, "x".repeat(100_000));
        assert!(tool(&long).shown.len() < SHOWN_MAX + 100);
        let prompt = |about: &str| {
            let text = format!(r#"{{"name":"p","arguments":[{{"name":"a","description":"{about}"}}]}}"#);
            ToolDefinition::of_prompt(&serde_json::from_str(&text).unwrap()).hash
        };
        assert!(prompt("x") == prompt("x") && prompt("x") != prompt("y"));
    }
}
