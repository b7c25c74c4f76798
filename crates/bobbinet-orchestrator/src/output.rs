//! Values of a flow as parts of A2A, and back.

use std::sync::Arc;

use bobbinet_core::{Artifact, ArtifactId, Content, Json, Part, Task};
use serde_json::{Value, json};

/// What a task has given, as a step's output: its data, if that is one value; its text, if it is nothing but text; else all its parts,
/// as A2A 1.0 writes them.
pub(crate) fn of_task(task: &Task) -> Value {
    of_parts(task.artifacts.iter().flat_map(|artifact| &artifact.parts))
}

fn of_parts<'a>(parts: impl Iterator<Item = &'a Part> + Clone) -> Value {
    let mut data = parts.clone().filter_map(Part::as_data);
    if let (Some(one), None) = (data.next(), data.next()) {
        return one.to_value();
    }
    if let Some(texts) = parts.clone().map(Part::as_text).collect::<Option<Vec<_>>>() {
        return Value::String(texts.join("\n"));
    }
    Value::Array(parts.map(of_part).collect())
}

fn of_part(part: &Part) -> Value {
    let mut value = match &part.content {
        Content::Text(text) => json!({ "text": &**text }),
        Content::Raw(base64) => json!({ "raw": base64.as_str() }),
        Content::Url(url) => json!({ "url": &**url }),
        Content::Data(data) => json!({ "data": data.to_value() }),
    };
    for (name, word) in [("mediaType", &part.media_type), ("filename", &part.filename)] {
        if let Some(word) = word {
            value[name] = Value::from(&**word);
        }
    }
    value
}

/// A value that is data whatever it is, as the artifact of a task.
pub(crate) fn data_artifact(value: &Value) -> Arc<Artifact> {
    Arc::new(Artifact::new(ArtifactId::parse("output").expect("a word"), vec![Part::data(Json::from(value))]))
}

/// A flow's output, as the artifact of its task: a text as text, anything else as data.
pub(crate) fn artifact(output: &Value) -> Arc<Artifact> {
    let part = match output {
        Value::String(text) => Part::text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Part::data(Json::from(output))
        }
    };
    Arc::new(Artifact::new(ArtifactId::parse("output").expect("a word"), vec![part]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_gave_is_one_value() {
        let data = |value: Value| Part::data(Json::from(&value));
        let check = |parts: &[Part], expected: Value| assert_eq!(of_parts(parts.iter()), expected, "{parts:?}");
        check(&[], json!(""));
        check(&[Part::text("a")], json!("a"));
        check(&[Part::text("a"), Part::text("b")], json!("a\nb"));
        check(&[Part::text("{\"x\":1}"), data(json!({"x": 1}))], json!({"x": 1}));
        check(
            &[data(json!(1)), data(json!(2))],
            json!([{"data": 1, "mediaType": "application/json"}, {"data": 2, "mediaType": "application/json"}]),
        );
        check(
            &[Part::text("a"), Part::new(Content::Url("https://a.example/x".into()))],
            json!([{"text": "a"}, {"url": "https://a.example/x"}]),
        );
    }
}
