//! What is known of a value before it is there: a JSON Schema, followed along plain paths.

use std::rc::Rc;

use serde_json::{Value as Json, json};

/// What is known of a value. It borrows all that is large: it is handed from step to step.
#[derive(Clone, Debug)]
pub(super) enum Shape<'a> {
    /// Nothing.
    Unknown,
    /// Its type alone.
    Kind(&'static str),
    /// This very value.
    Value(&'a Json),
    /// What this schema says.
    Schema(&'a Json),
    /// A map of which these are the values.
    Map(Rc<Vec<(&'a str, Shape<'a>)>>),
}

static NULL: Json = Json::Null;

impl<'a> Shape<'a> {
    /// What is known of the child at this step of a path.
    fn child(&self, step: &Step) -> Self {
        match (self, step) {
            (Self::Value(value), Step::Name(name)) => Self::Value(value.get(name).unwrap_or(&NULL)),
            (Self::Value(value), Step::Place(at)) => Self::Value(value.get(at).unwrap_or(&NULL)),
            (Self::Map(entries), Step::Name(name)) => {
                let found = entries.iter().find(|(known, _)| known == name);
                found.map_or(Self::Value(&NULL), |(_, shape)| shape.clone())
            }
            (Self::Schema(schema), Step::Name(name)) => {
                schema.get("properties").and_then(|known| known.get(name)).map_or(Self::Unknown, Self::of_schema)
            }
            (Self::Schema(schema), Step::Place(_)) => schema.get("items").map_or(Self::Unknown, Self::of_schema),
            (Self::Unknown | Self::Kind(_) | Self::Map(_), _) => Self::Unknown,
        }
    }

    /// What a schema says, as far as we follow it.
    pub(super) fn of_schema(schema: &'a Json) -> Self {
        let is_followed = schema.is_object()
            && ["$ref", "anyOf", "oneOf", "allOf", "if", "not"].iter().all(|word| schema.get(word).is_none());
        if is_followed { Self::Schema(schema) } else { Self::Unknown }
    }

    /// Its type, in JSON Schema's word.
    pub(super) fn kind(&self) -> Option<&'a str> {
        match self {
            Self::Unknown => None,
            Self::Kind(kind) => Some(kind),
            Self::Map(_) => Some("object"),
            Self::Value(value) => Some(kind_of(value)),
            Self::Schema(schema) => schema.get("type").and_then(Json::as_str),
        }
    }

    /// The shape of all that is known, without anything that is not.
    pub(super) fn value(&self) -> Option<Json> {
        match self {
            Self::Value(value) => Some(Json::clone(value)),
            Self::Map(entries) => {
                let all: Option<Vec<_>> =
                    entries.iter().map(|(name, shape)| Some(((*name).to_owned(), shape.value()?))).collect();
                Some(json!(all?.into_iter().collect::<serde_json::Map<_, _>>()))
            }
            Self::Unknown | Self::Kind(_) | Self::Schema(_) => None,
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
pub(super) fn follow<'a>(shape: &Shape<'a>, steps: &[Step]) -> Shape<'a> {
    steps.iter().fold(shape.clone(), |shape, step| shape.child(step))
}
