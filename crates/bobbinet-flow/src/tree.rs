//! A definition's values with their places and pointers: what YAML and JSON are both read into.

use std::{fmt::Write as _, ops::Range, rc::Rc};

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
    /// Its place among the others, as a chain: a text for each node would take their number times the length of the longest name.
    path: Rc<Path>,
    pub(crate) value: Value,
}

/// The steps that lead to a node.
#[derive(Debug)]
struct Path {
    above: Option<Rc<Path>>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Top,
    Name(String),
    Place(usize),
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
    /// Its JSON Pointer (RFC 6901).
    pub(crate) fn pointer(&self) -> String {
        let mut steps = Vec::new();
        let mut path = Some(&self.path);
        while let Some(one) = path {
            steps.push(&one.step);
            path = one.above.as_ref();
        }
        let mut pointer = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Top => {}
                Step::Name(name) => {
                    pointer.push('/');
                    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                }
                Step::Place(at) => {
                    let _ = write!(pointer, "/{at}");
                }
            }
        }
        pointer
    }

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
    Ok(node(yaml::parse(text, Booleans::Strict)?, Rc::new(Path { above: None, step: Step::Top })))
}

fn node(read: yaml::Node, path: Rc<Path>) -> Node {
    let below = |step| Rc::new(Path { above: Some(path.clone()), step });
    let value = match read.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Flag(flag) => Value::Flag(flag),
        yaml::Value::Number(number) => Value::Number(number),
        yaml::Value::Text(text) => Value::Text(text),
        yaml::Value::List(items) => {
            let items = items.into_iter().enumerate();
            Value::List(items.map(|(at, item)| node(item, below(Step::Place(at)))).collect())
        }
        yaml::Value::Map(entries) => {
            let entry = |(key, value): (Key, _)| {
                let below = below(Step::Name(key.text.clone()));
                (key, node(value, below))
            };
            Value::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { at: read.at, span: read.span, path, value }
}
