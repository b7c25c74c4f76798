//! Arguments written as text: `path=a.txt limit=3 tags=["x"]`, typed by the schema of the tool.

use std::borrow::Cow;

use bobbinet_core::Json;

use crate::{
    json_object::JsonObject,
    salvage,
    schema::{Schema, type_of},
};

/// Pairs that a text may consist of. One of more is no list of arguments that somebody wrote.
const PAIRS_MAX: usize = 1_000;

/// One `name=value`.
#[derive(Debug, PartialEq, Eq)]
struct Pair<'a> {
    name: &'a str,
    value: String,
    /// Whether the value stood in quotation marks: then it is a text, if it may be one.
    is_quoted: bool,
}

/// What a text gives a tool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParsedText {
    /// These arguments; perhaps none.
    Arguments(JsonObject),
    /// It cannot be read as arguments of this tool.
    NotArguments(NotArguments),
}

/// Why a text is no arguments of a tool. What looks like arguments and is not quite is never taken for something else:
/// a tool would run with what nobody meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotArguments {
    /// Nothing in it looks like arguments.
    Words,
    /// It begins like the argument of this name, and cannot be read on as arguments: a value with spaces that is not
    /// quoted, as a rule.
    Half(String),
    /// It gives an argument of this name, which the tool does not have.
    Unknown(String),
    /// It gives this argument twice.
    Twice(String),
}

impl NotArguments {
    /// What to do about it, as a sentence to go on from; empty where there is nothing to say.
    pub(crate) fn advice(&self, text: &str) -> String {
        match self {
            Self::Words => String::new(),
            Self::Half(name) => {
                let value = text.split_once('=').map(|(_, value)| value.trim()).unwrap_or_default();
                let is_short = value.chars().count() <= QUOTED_MAX && !value.contains(['"', '\'', '\\', '\n', '=']);
                let value = if is_short && !value.is_empty() { value } else { "…" };
                format!("A value with spaces stands in quotation marks: {name}=\"{value}\". ")
            }
            Self::Unknown(name) => format!(
                "It has no argument `{name}`; a text that looks like one stands in quotation marks, behind its argument's name. "
            ),
            Self::Twice(name) => format!("`{name}` is given twice. "),
        }
    }
}

/// Characters of a value that is said again in the advice to quote it.
const QUOTED_MAX: usize = 80;

/// Reads a text as the arguments of a tool: a JSON object, `name=value` pairs, or, where the tool can take one text
/// only, that text.
pub(crate) fn read(text: &str, schema: &Schema) -> ParsedText {
    let text = text.trim();
    if text.is_empty() {
        return ParsedText::Arguments(JsonObject::default());
    }
    if let Some(fields) = object(text) {
        return ParsedText::Arguments(fields);
    }
    if let Some(pairs) = pairs(text) {
        return match named(&pairs, schema) {
            Ok(fields) => ParsedText::Arguments(fields),
            Err(unclear) => ParsedText::NotArguments(unclear),
        };
    }
    if let Some(name) = begins_like(text).filter(|name| schema.has_property(name)) {
        return ParsedText::NotArguments(NotArguments::Half(name.to_owned()));
    }
    match schema.only_text() {
        Some(name) => {
            let mut fields = JsonObject::default();
            fields.set(name, Json::of(text));
            ParsedText::Arguments(fields)
        }
        None => ParsedText::NotArguments(NotArguments::Words),
    }
}

/// The pairs as arguments, each of which the tool has.
fn named(pairs: &[Pair<'_>], schema: &Schema) -> Result<JsonObject, NotArguments> {
    let mut fields = JsonObject::default();
    for pair in pairs {
        if !schema.has_property(pair.name) {
            return Err(NotArguments::Unknown(pair.name.to_owned()));
        }
        if fields.get(pair.name).is_some() {
            return Err(NotArguments::Twice(pair.name.to_owned()));
        }
        fields.set(pair.name, typed(schema, pair.name, &pair.value, pair.is_quoted));
    }
    Ok(fields)
}

/// The name that a text begins with, if it begins like an argument: `name=`, `name =`, `name:=`.
fn begins_like(text: &str) -> Option<&str> {
    let (name, rest) = text.split_at(text.find(|c: char| !is_of_a_name(c)).unwrap_or(text.len()));
    let rest = rest.trim_start();
    let is_argument = !name.is_empty() && (rest.starts_with('=') || rest.starts_with(":="));
    is_argument.then_some(name)
}

/// What the name of an argument is made of, in text.
fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The text as a JSON object, if it is one that every reader takes for the same: what is checked here is read again by the server.
pub(crate) fn object(text: &str) -> Option<JsonObject> {
    let text = text.trim();
    if !text.starts_with('{') {
        return None;
    }
    // What a person or a model writes as JSON in a text was checked by nobody yet.
    let text = if salvage::has_surrogate(text) { Cow::Owned(salvage::mend(text)) } else { Cow::Borrowed(text) };
    JsonObject::read(&Json::parse_strict(&text).ok()?)
}

/// The value of a property, from its text: a number where the schema says number, and so on. What fits no type stays
/// a text, and the check will say so.
pub(crate) fn typed(schema: &Schema, property: &str, text: &str, is_quoted: bool) -> Json {
    let types = schema.types(property);
    let may_be_text = types.is_empty() || types.contains("string");
    if is_quoted && may_be_text {
        return Json::of(text);
    }
    let as_json = Json::parse_strict(text.trim()).ok().filter(|json| {
        let word = type_of(&json.to_value());
        let is_wanted = types.contains(word) || (word == "integer" && types.contains("number"));
        is_wanted || (types.is_empty() && word != "string")
    });
    as_json.unwrap_or_else(|| Json::of(text))
}

/// Splits a text into pairs; `None` if it is anything else.
fn pairs(text: &str) -> Option<Vec<Pair<'_>>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace())?;
        let (name, after) = rest.split_at(end);
        let after = after.strip_prefix('=')?;
        if name.is_empty() || !name.chars().all(is_of_a_name) || pairs.len() == PAIRS_MAX {
            return None;
        }
        let (value, is_quoted, after) = value(after)?;
        pairs.push(Pair { name, value, is_quoted });
        rest = after.trim_start();
    }
    Some(pairs)
}

/// Takes a value from the beginning of a text: in quotation marks, a JSON array or object, or up to the next space.
fn value(text: &str) -> Option<(String, bool, &str)> {
    let first = text.chars().next();
    match first {
        Some(quote @ ('"' | '\'')) => {
            let mut value = String::new();
            let mut characters = text.char_indices().skip(1);
            while let Some((at, c)) = characters.next() {
                match c {
                    '\\' if quote == '"' => value.push(match characters.next()?.1 {
                        'n' => '\n',
                        't' => '\t',
                        other => other,
                    }),
                    c if c == quote => {
                        let after = &text[at + c.len_utf8()..];
                        let is_over = after.is_empty() || after.starts_with(char::is_whitespace);
                        return is_over.then_some((value, true, after));
                    }
                    c => value.push(c),
                }
            }
            None
        }
        Some('[' | '{') => {
            let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
            match stream.next() {
                Some(Ok(_)) => {
                    let (value, after) = text.split_at(stream.byte_offset());
                    let is_over = after.is_empty() || after.starts_with(char::is_whitespace);
                    is_over.then(|| (value.to_owned(), false, after))
                }
                Some(Err(_)) | None => Some(word(text)),
            }
        }
        Some(_) | None => Some(word(text)),
    }
}

fn word(text: &str) -> (String, bool, &str) {
    let (value, after) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    (value.to_owned(), false, after)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(schema: &Value, text: &str, expected: &str) {
        let schema = Schema::new(Json::from(schema), 1 << 20);
        let found = match read(text, &schema) {
            ParsedText::Arguments(fields) => fields.to_json().as_str().to_owned(),
            ParsedText::NotArguments(why) => format!("{why:?}"),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn pairs_are_typed_by_the_schema() {
        let file = json!({"properties":{"path":{"type":"string"},"head":{"type":"integer"},"ratio":{"type":"number"},
            "deep":{"type":"boolean"},"tags":{"type":"array"},"filter":{"type":"object"},
            "limit":{"anyOf":[{"type":"integer"},{"type":"null"}]},"free":{}},"required":["path"]});
        check(&file, "path=a.txt", r#"{"path":"a.txt"}"#);
        check(&file, r#"path="a b.txt" head=3"#, r#"{"path":"a b.txt","head":3}"#);
        check(&file, r#"path='it"s' deep=true"#, r#"{"path":"it\"s","deep":true}"#);
        check(&file, r#"path="a\"b\\c""#, r#"{"path":"a\"b\\c"}"#);
        check(&file, "path=7 head=x", r#"{"path":"7","head":"x"}"#);
        check(&file, "path=x ratio=2 limit=null", r#"{"path":"x","ratio":2,"limit":null}"#);
        check(
            &file,
            r#"path=x tags=["a", "b"] filter={"a": [1]}"#,
            r#"{"path":"x","tags":["a", "b"],"filter":{"a": [1]}}"#,
        );
        check(&file, r#"free=1 path=null"#, r#"{"free":1,"path":"null"}"#);
        check(&file, r#"{"path": "x", "n": 1.0}"#, r#"{"path":"x","n":1.0}"#);
        // A server may take the other of the two.
        check(&file, r#"path=x filter={"a":1,"a":2}"#, r#"{"path":"x","filter":"{\"a\":1,\"a\":2}"}"#);
        check(&file, r#"{"path":"x","path":"y"}"#, r#"{"path":"{\"path\":\"x\",\"path\":\"y\"}"}"#);
        check(&file, "", "{}");
        check(&file, "docs/a.txt", r#"{"path":"docs/a.txt"}"#);
        check(&file, "what is in docs/a.txt?x=1", r#"{"path":"what is in docs/a.txt?x=1"}"#);
    }

    #[test]
    fn what_looks_like_arguments_is_never_taken_for_a_text() {
        let echo = json!({"properties":{"message":{"type":"string"},"loud":{"type":"boolean"}},"required":["message"]});
        check(&echo, "message=hello world", r#"Half("message")"#);
        check(&echo, "message = hello", r#"Half("message")"#);
        check(&echo, r#"message:="hello""#, r#"Half("message")"#);
        check(&echo, r#"message="unclosed"#, r#"Half("message")"#);
        check(&echo, "loud=true hello", r#"Half("loud")"#);
        check(&echo, "mesage=hello", r#"Unknown("mesage")"#);
        check(&echo, "message=a message=b", r#"Twice("message")"#);
        check(&echo, r#"message="hello world" loud=true"#, r#"{"message":"hello world","loud":true}"#);
        check(&echo, "hello message=world", r#"{"message":"hello message=world"}"#);
        check(&echo, "messages = none", r#"{"message":"messages = none"}"#);
        let advice = |text: &str| NotArguments::Half("message".to_owned()).advice(text);
        let expected = "A value with spaces stands in quotation marks: message=\"hello world\". ";
        assert_eq!(advice("message=hello world"), expected);
        assert!(advice("message=say \"x\" to").contains("message=\"…\""));
    }

    #[test]
    fn what_could_mean_several_things_is_unclear() {
        let sum = json!({"properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"]});
        check(&sum, "a=1 b=2.50", r#"{"a":1,"b":2.50}"#);
        check(&sum, "1 2", "Words");
        check(&sum, "a=1 and b=2", r#"Half("a")"#);
        check(&json!({}), "x=1 y=z", r#"{"x":1,"y":"z"}"#);
        let many = |count: usize| (0..count).map(|n| format!("x{n}=1 ")).collect::<String>();
        let ParsedText::Arguments(_) = read(&many(PAIRS_MAX), &Schema::new(Json::from(&json!({})), 1 << 20)) else {
            panic!("so many are read")
        };
        check(&json!({}), &many(PAIRS_MAX + 1), r#"Half("x0")"#);
    }
}
