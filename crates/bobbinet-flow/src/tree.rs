//! A definition's values with their places and pointers: what YAML and JSON are both read into.

use std::ops::Range;

pub(crate) use bobbinet_text::yaml::Key;
use bobbinet_text::{
    Position,
    yaml::{self, Booleans, NotYaml},
};
use serde_json::{Map, Number, Value as Json};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    /// Its bytes in the text; empty if it is not known.
    pub(crate) span: Range<usize>,
    pub(crate) pointer: String,
    pub(crate) value: Value,
}

/// What a value can be.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

impl Node {
    /// Its text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What it is, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Flag(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The value without its places.
    pub(crate) fn json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Flag(flag) => Json::Bool(*flag),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|(key, node)| (key.text.clone(), node.json())).collect::<Map<_, _>>())
            }
        }
    }
}

/// Reads a text.
pub(crate) fn parse(text: &str) -> Result<Node, NotYaml> {
    // As the standard has it: `no`, `on` and `n` are words.
    Ok(node(yaml::parse(text, Booleans::Strict)?, String::new()))
}

/// A step of a JSON Pointer (RFC 6901).
pub(crate) fn below(pointer: &str, step: &str) -> String {
    format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"))
}

fn node(read: yaml::Node, pointer: String) -> Node {
    let value = match read.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Flag(flag) => Value::Flag(flag),
        yaml::Value::Number(number) => Value::Number(number),
        yaml::Value::Text(text) => Value::Text(text),
        yaml::Value::List(items) => {
            let items = items.into_iter().enumerate();
            Value::List(items.map(|(at, item)| node(item, below(&pointer, &at.to_string()))).collect())
        }
        yaml::Value::Map(entries) => {
            let entry = |(key, value): (Key, _)| {
                let below = below(&pointer, &key.text);
                (key, node(value, below))
            };
            Value::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { at: read.at, span: read.span, pointer, value }
}
