//! YAML into the tree. What is wrong with the YAML itself is the only finding then: there is nothing behind it to look at.

use std::{fmt, ops::Range};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::{
    finding::{Finding, Severity, Source},
    position::Position,
    tree::{Key, Node, Value},
};

/// Reads a document.
pub(crate) fn parse(source: &Source) -> Result<Node, Finding> {
    let spanned: Spanned<Raw> = serde_saphyr::from_str(&source.text).map_err(|error| fault(source, &error))?;
    Ok(node(&source.text, spanned))
}

fn fault(source: &Source, error: &serde_saphyr::Error) -> Finding {
    let position = error.location().map(position).unwrap_or_default();
    let text = error.without_snippet().to_string();
    // The place is told apart from the words, and what to set in the reader is nothing to tell a user.
    let words = text.split(" at line ").next().unwrap_or(&text);
    let words = words.split(", set ").next().unwrap_or(words);
    let finding = Finding::at(Severity::Error, source, position, format!("this is not YAML: {words}"));
    let line = position.line.checked_sub(1).and_then(|index| source.text.lines().nth(index)).unwrap_or_default();
    match hint(words, line, &source.text) {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

/// What trips most people up.
fn hint(words: &str, line: &str, text: &str) -> Option<&'static str> {
    if words.contains("duplicate") {
        return Some("take one of them out");
    }
    let is_flow = |line: &str| line.contains('[') || line.contains('{') || line.trim_start().starts_with('-');
    let has_bare =
        |line: &str, what: &str| [" ", "[", ",", "{"].iter().any(|before| line.contains(&format!("{before}{what}")));
    let is_bare = |line: &str| is_flow(line) && (has_bare(line, "@") || has_bare(line, "${") || has_bare(line, "`"));
    if line.contains('\t') && line.trim_start_matches(' ').starts_with('\t') {
        return Some("YAML is indented by spaces, never by tabs");
    }
    if is_bare(line) || text.lines().any(is_bare) {
        return Some(r#"put a word that begins with @ or has ${…} in quotes: ["npx", "-y", "@scope/package"]"#);
    }
    let is_second_colon = words.contains("mapping value") || line.matches(": ").count() > 1 && !is_flow(line);
    is_second_colon.then_some("put a text that has a colon followed by a space in quotes")
}

fn position(location: Location) -> Position {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Position { line: number(location.line()), column: number(location.column()) }
}

fn written(text: &str, location: Location) -> String {
    let range = location.span().byte_offset().zip(location.span().byte_len()).and_then(|(start, length)| {
        let start = usize::try_from(start).ok()?;
        Some(Range { start, end: start + usize::try_from(length).ok()? })
    });
    range.and_then(|range| text.get(range)).unwrap_or_default().trim().to_owned()
}

fn node(text: &str, spanned: Spanned<Raw>) -> Node {
    let raw_text = || written(text, spanned.defined);
    let value = match spanned.value {
        Raw::Null => Value::Null(raw_text()),
        Raw::Flag(flag) => Value::Flag(flag, raw_text()),
        Raw::Number => Value::Number(raw_text()),
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(text, item)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (Key { at: position(key.referenced), text: key.value }, node(text, value)))
                .collect(),
        ),
    };
    Node { at: position(spanned.referenced), value }
}

/// A value as the reader gives it.
enum Raw {
    Null,
    Flag(bool),
    Number,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Flag(flag))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key()? {
            map.push((key, entries.next_value()?));
        }
        Ok(Raw::Map(map))
    }
}
