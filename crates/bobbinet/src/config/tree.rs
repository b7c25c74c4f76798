//! A configuration's values with their places: the one form that YAML and JSON are both read into.

use bobbinet_text::Position;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// What a value can be. Numbers and words keep the text that was written, so that `0777` in a variable stays `0777`.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Nothing: an empty place, or `null`.
    Null(String),
    /// Yes or no.
    Flag(bool, String),
    /// A number, as it was written.
    Number(String),
    /// A text, with or without quotation marks.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Named values in order.
    Map(Vec<(Key, Node)>),
}

/// The name of a value in a map.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) at: Position,
    pub(crate) text: String,
}

impl Key {
    /// Whether it names no setting, but begins as people begin what is for other people.
    pub(crate) fn is_comment(&self) -> bool {
        self.text.starts_with(['_', '$', '/', '#']) || matches!(self.text.as_str(), "comment" | "comments" | "note")
    }
}

impl Node {
    /// Its named values, if it is a map.
    pub(crate) fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::Text(_) | Value::List(_) => &[],
        }
    }

    /// The value of this name, if it is a map that has one.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
    }

    /// Whether it is a map.
    pub(crate) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// What it is, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null(_) => "nothing",
            Value::Flag(..) => "yes or no",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Whether there is nothing.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null(_))
    }

    /// The text that was written, if it is no collection.
    pub(crate) fn as_written(&self) -> Option<&str> {
        match &self.value {
            Value::Null(text) | Value::Flag(_, text) | Value::Number(text) | Value::Text(text) => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }
}
