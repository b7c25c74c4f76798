//! Arguments written as text: `path=a.txt limit=3 tags=["x"]`, typed by the schema of the tool.

use std::borrow::Cow;

use bobbinet_core::Json;

use crate::{
    fields::Fields,
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
pub(crate) enum Spoken {
    /// These arguments; perhaps none.
    Arguments(Fields),
    /// It cannot be read as arguments of this tool.
    Unclear,
}

/// Reads a text as the arguments of a tool: a JSON object, `name=value` pairs, or, where the tool can take one text
/// only, that text.
pub(crate) fn read(text: &str, schema: &Schema) -> Spoken {
    let text = text.trim();
    if text.is_empty() {
        return Spoken::Arguments(Fields::default());
    }
    if let Some(fields) = object(text) {
        return Spoken::Arguments(fields);
    }
    let named = pairs(text).filter(|pairs| pairs.iter().all(|pair| schema.has_property(pair.name)));
    if let Some(pairs) = named {
        let mut fields = Fields::default();
        for pair in pairs {
            fields.set(pair.name, typed(schema, pair.name, &pair.value, pair.is_quoted));
        }
        return Spoken::Arguments(fields);
    }
    match schema.only_text() {
        Some(name) => {
            let mut fields = Fields::default();
            fields.set(name, Json::of(text));
            Spoken::Arguments(fields)
        }
        None => Spoken::Unclear,
    }
}

/// The text as a JSON object, if it is one that every reader takes for the same: what is checked here is read again by the server.
pub(crate) fn object(text: &str) -> Option<Fields> {
    let text = text.trim();
    if !text.starts_with('{') {
        return None;
    }
    // What a person or a model writes as JSON in a text was checked by nobody yet.
    let text = if salvage::has_surrogate(text) { Cow::Owned(salvage::mend(text)) } else { Cow::Borrowed(text) };
    Fields::read(&Json::parse_strict(&text).ok()?)
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
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if !is_name || pairs.len() == PAIRS_MAX {
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
            Spoken::Arguments(fields) => fields.to_json().as_str().to_owned(),
            Spoken::Unclear => "unclear".to_owned(),
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
        check(&file, "unknown=1", r#"{"path":"unknown=1"}"#);
        check(&file, r#"path="unclosed"#, r#"{"path":"path=\"unclosed"}"#);
    }

    #[test]
    fn what_could_mean_several_things_is_unclear() {
        let sum = json!({"properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"]});
        check(&sum, "a=1 b=2.50", r#"{"a":1,"b":2.50}"#);
        check(&sum, "1 2", "unclear");
        check(&sum, "a=1 and b=2", "unclear");
        check(&json!({}), "x=1 y=z", r#"{"x":1,"y":"z"}"#);
        check(&json!({}), &"x=1 ".repeat(PAIRS_MAX), r#"{"x":1}"#);
        check(&json!({}), &"x=1 ".repeat(PAIRS_MAX + 1), "unclear");
    }
}
