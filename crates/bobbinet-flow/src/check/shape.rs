//! What is known of a value before it is there: a JSON Schema, followed along plain paths.

use serde_json::{Value as Json, json};

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// Nothing.
    Unknown,
    /// This very value.
    Value(Json),
    /// What this schema says.
    Schema(Json),
    /// A map of which these are the values.
    Map(Vec<(String, Shape)>),
}

impl Shape {
    /// What is known of the child at this step of a path.
    fn child(&self, step: &Step) -> Self {
        match (self, step) {
            (Self::Value(value), Step::Name(name)) => Self::Value(value.get(name).cloned().unwrap_or(Json::Null)),
            (Self::Value(value), Step::Place(at)) => Self::Value(value.get(at).cloned().unwrap_or(Json::Null)),
            (Self::Map(entries), Step::Name(name)) => {
                let found = entries.iter().find(|(known, _)| known == name);
                found.map_or(Self::Value(Json::Null), |(_, shape)| shape.clone())
            }
            (Self::Schema(schema), Step::Name(name)) => {
                schema.get("properties").and_then(|known| known.get(name)).map_or(Self::Unknown, Self::of_schema)
            }
            (Self::Schema(schema), Step::Place(_)) => schema.get("items").map_or(Self::Unknown, Self::of_schema),
            (Self::Unknown | Self::Map(_), _) => Self::Unknown,
        }
    }

    /// What a schema says, as far as we follow it.
    pub(super) fn of_schema(schema: &Json) -> Self {
        let is_followed = schema.is_object()
            && ["$ref", "anyOf", "oneOf", "allOf", "if", "not"].iter().all(|word| schema.get(word).is_none());
        if is_followed { Self::Schema(schema.clone()) } else { Self::Unknown }
    }

    /// Its type, in JSON Schema's word.
    pub(super) fn kind(&self) -> Option<String> {
        match self {
            Self::Unknown => None,
            Self::Map(_) => Some("object".to_owned()),
            Self::Value(value) => Some(kind_of(value).to_owned()),
            Self::Schema(schema) => schema.get("type").and_then(Json::as_str).map(str::to_owned),
        }
    }

    /// The shape of all that is known, without anything that is not.
    pub(super) fn value(&self) -> Option<Json> {
        match self {
            Self::Value(value) => Some(value.clone()),
            Self::Map(entries) => {
                let all: Option<Vec<_>> =
                    entries.iter().map(|(name, shape)| Some((name.clone(), shape.value()?))).collect();
                Some(json!(all?.into_iter().collect::<serde_json::Map<_, _>>()))
            }
            Self::Unknown | Self::Schema(_) => None,
        }
    }
}

fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Place(usize),
}

/// A plain path: `.hits[0].id`, `$context.user.id`. Where it begins, and its steps.
pub(super) fn path(program: &str) -> Option<(Option<String>, Vec<Step>)> {
    let mut rest = program.trim();
    let mut start = None;
    if let Some(named) = rest.strip_prefix('$') {
        let end = named.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(named.len());
        start = Some(named[..end].to_owned());
        rest = &named[end..];
    } else if !rest.starts_with('.') {
        return None;
    } else if rest == "." {
        return Some((None, Vec::new()));
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix(".[").or_else(|| rest.strip_prefix('[')) {
            let (place, after) = inner.split_once(']')?;
            steps.push(Step::Place(place.trim().parse().ok()?));
            rest = after;
        } else {
            let named = rest.strip_prefix('.')?;
            let end = named.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(named.len());
            if end == 0 {
                return None;
            }
            steps.push(Step::Name(named[..end].to_owned()));
            rest = &named[end..];
        }
    }
    Some((start, steps))
}

/// What is known at the end of a path.
pub(super) fn follow(shape: &Shape, steps: &[Step]) -> Shape {
    steps.iter().fold(shape.clone(), |shape, step| shape.child(step))
}
