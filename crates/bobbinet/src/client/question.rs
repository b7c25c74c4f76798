//! What a task asks, for a person: the fields of the answer, and an answer to fill in.

use bobbinet_core::Json;
use bobbinet_wire::view::TaskView;
use serde_json::{Map, Value, json};

/// The fields that are shown; a question with more of them is shown whole with `-o json`.
const FIELDS_MAX: usize = 40;

/// A question, as it is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// One line for each field of the answer.
    pub(crate) fields: Vec<String>,
    /// An answer to fill in: a text to quote, as nobody knows what is in it.
    pub(crate) answer: String,
}

/// What the task asks, as far as its question says it as data.
pub(crate) fn asked(task: &TaskView) -> Asked {
    let message = task.status.message.as_ref();
    let data = message.and_then(|message| message.parts.iter().find_map(|part| part.as_data().map(Json::to_value)));
    let data = data.unwrap_or_default();
    let texts =
        |name: &str| -> Vec<&str> { data[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
    if data.get("url").is_some() {
        return Asked { fields: Vec::new(), answer: "done".to_owned() };
    }
    let answers = texts("answers");
    if let Some(first) = answers.first() {
        return Asked { fields: vec![format!("one of: {}", answers.join(", "))], answer: (*first).to_owned() };
    }
    let missing = texts("missing");
    if !missing.is_empty() {
        return Asked { fields: Vec::new(), answer: to_fill_in(&missing) };
    }
    if let Some(candidates) = data["candidates"].as_array().filter(|candidates| !candidates.is_empty()) {
        return of_candidates(candidates);
    }
    let schema = data.get("requestedSchema").or_else(|| data.get("schema")).unwrap_or(&Value::Null);
    match schema["properties"].as_object().filter(|properties| !properties.is_empty()) {
        Some(properties) => of_schema(schema, properties),
        None => Asked { fields: Vec::new(), answer: "your answer".to_owned() },
    }
}

/// Skills to choose from, each with its arguments.
fn of_candidates(candidates: &[Value]) -> Asked {
    let typed = |candidate: &Value| {
        let skill = candidate["skill"].as_str().unwrap_or_default();
        let required = candidate["input"]["required"].as_array().into_iter().flatten();
        let names: Vec<&str> = required.filter_map(Value::as_str).collect();
        match (names.as_slice(), names.iter().chain([&skill]).all(|name| is_plain(name))) {
            ([], true) => skill.to_owned(),
            (names, true) => format!("{skill} {}", to_fill_in(names)),
            (names, false) => json!({ "skill": skill, "arguments": members(names) }).to_string(),
        }
    };
    let field = |candidate: &Value| match candidate["description"].as_str().filter(|about| !about.is_empty()) {
        Some(about) => format!("{}: {about}", typed(candidate)),
        None => typed(candidate),
    };
    Asked { fields: candidates.iter().take(FIELDS_MAX).map(field).collect(), answer: typed(&candidates[0]) }
}

/// Arguments to fill in: `a=… b=…`, or JSON where a name would not be read as one.
fn to_fill_in(names: &[&str]) -> String {
    if names.iter().all(|name| is_plain(name)) {
        return names.iter().map(|name| format!("{name}=…")).collect::<Vec<_>>().join(" ");
    }
    members(names).to_string()
}

fn members(names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), Value::from("…"))).collect::<Map<_, _>>().into()
}

/// Whether an agent of ours reads it as a name in text.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn of_schema(schema: &Value, properties: &Map<String, Value>) -> Asked {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_required = |name: &str| required.contains(&name);
    let mut names: Vec<&String> = properties.keys().collect();
    names.sort_by_key(|name| !is_required(name));
    let field = |name: &&String| describe(name, &properties[name.as_str()], is_required(name));
    let is_wanted = |name: &str| required.is_empty() || is_required(name);
    let example: Map<String, Value> = properties
        .iter()
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, schema)| (name.clone(), example(schema)))
        .collect();
    Asked { fields: names.iter().take(FIELDS_MAX).map(field).collect(), answer: Value::Object(example).to_string() }
}

/// `name (integer, 1 to 100, or leave it out): Your favorite integer`
fn describe(name: &str, schema: &Value, is_required: bool) -> String {
    let mut facts: Vec<String> = schema["type"].as_str().map(str::to_owned).into_iter().collect();
    let range = [("minimum", "at least"), ("maximum", "at most"), ("format", "format")];
    facts.extend(range.iter().filter_map(|(key, words)| Some(format!("{words} {}", plain(schema.get(key)?)))));
    let choices = choices(schema);
    if !choices.is_empty() {
        facts.push(format!("one of {}", choices.join(", ")));
    }
    if let Some(default) = schema.get("default") {
        facts.push(format!("default {}", plain(default)));
    }
    if !is_required {
        facts.push("may be left out".to_owned());
    }
    let about = schema["description"].as_str().or_else(|| schema["title"].as_str());
    let about = about.map(|about| format!(": {about}")).unwrap_or_default();
    format!("{name} ({}){about}", facts.join(", "))
}

fn choices(schema: &Value) -> Vec<String> {
    let of = |schema: &Value| -> Vec<String> {
        let plain_values = schema["enum"].as_array().into_iter().flatten().map(plain);
        let titled = ["oneOf", "anyOf"].iter().flat_map(|key| schema[*key].as_array().into_iter().flatten());
        plain_values.chain(titled.filter_map(|choice| choice.get("const").map(plain))).collect()
    };
    let own = of(schema);
    if own.is_empty() { of(&schema["items"]) } else { own }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn example(schema: &Value) -> Value {
    let first = schema["enum"].as_array().and_then(|values| values.first()).cloned();
    schema.get("default").cloned().or(first).unwrap_or_else(|| match schema["type"].as_str() {
        Some("boolean") => Value::Bool(true),
        Some("number" | "integer") => schema.get("minimum").cloned().unwrap_or_else(|| Value::from(1)),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => Value::Object(Map::new()),
        Some(_) | None => Value::from("…"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbinet_core::{Message, MessageId, Part, State};
    use bobbinet_wire::view::StatusView;

    fn check(data: &Value, fields: &[&str], answer: &str) {
        let message = Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::data(Json::from(data))]);
        let task = TaskView {
            id: "t".to_owned(),
            context_id: None,
            status: StatusView { state: State::InputRequired, message: Some(message), at: None },
            history: Vec::new(),
            artifacts: Vec::new(),
            metadata: None,
        };
        let asked = asked(&task);
        assert_eq!(
            (asked.fields.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), asked.answer.as_str()),
            (fields, answer)
        );
    }

    #[test]
    fn a_question_says_what_to_type() {
        check(&json!({"type": "outcome", "answers": ["retry", "happened"]}), &["one of: retry, happened"], "retry");
        check(&json!({"type": "input", "missing": ["a", "b"]}), &[], "a=… b=…");
        check(&json!({"type": "input", "missing": ["a'; touch x; '"]}), &[], r#"{"a'; touch x; '":"…"}"#);
        check(&json!({"type": "authorization", "url": "https://x"}), &[], "done");
        check(&json!({}), &[], "your answer");
        let candidates = json!([
            {"skill": "read", "description": "Reads", "input": {"properties": {"path": {}, "head": {}}, "required": ["path"]}},
            {"skill": "list", "description": ""}
        ]);
        check(&json!({"type": "input", "candidates": candidates}), &["read path=…: Reads", "list"], "read path=…");
        let odd = json!([{"skill": "my tool", "input": {"required": ["a b"]}}]);
        let answer = r#"{"arguments":{"a b":"…"},"skill":"my tool"}"#;
        check(&json!({"type": "input", "candidates": odd}), &[answer], answer);
        let schema = json!({"properties": {
            "n": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many"},
            "ok": {"type": "boolean"}, "pet": {"enum": ["cat", "dog"]}
        }, "required": ["ok"]});
        check(
            &json!({"type": "elicitation", "requestedSchema": schema}),
            &[
                "ok (boolean)",
                "n (integer, at least 1, at most 9, may be left out): How many",
                "pet (one of cat, dog, may be left out)",
            ],
            r#"{"ok":true}"#,
        );
    }
}
