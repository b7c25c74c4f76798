//! YAML into the tree. What is wrong with the YAML itself is the only finding then: there is nothing behind it to look at.

use bobbinet_text::yaml::{self, Booleans, NotYaml};

use super::{
    finding::{Finding, Severity, Source},
    tree::{Key, Node, Value},
};

/// Reads a document.
pub(crate) fn parse(source: &Source) -> Result<Node, Finding> {
    let read = yaml::parse(&source.text, Booleans::Loose).map_err(|error| fault(source, &error))?;
    Ok(node(&source.text, read))
}

fn fault(source: &Source, NotYaml { at, words }: &NotYaml) -> Finding {
    let finding = Finding::at(Severity::Error, source, *at, format!("this is not YAML: {words}"));
    let line = at.line.checked_sub(1).and_then(|index| source.text.lines().nth(index)).unwrap_or_default();
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

fn node(text: &str, read: yaml::Node) -> Node {
    let written = || text.get(read.span.clone()).unwrap_or_default().trim().to_owned();
    let value = match read.value {
        yaml::Value::Null => Value::Null(written()),
        yaml::Value::Flag(flag) => Value::Flag(flag, written()),
        yaml::Value::Number(_) => Value::Number(written()),
        yaml::Value::Text(text) => Value::Text(text),
        yaml::Value::List(items) => Value::List(items.into_iter().map(|item| node(text, item)).collect()),
        yaml::Value::Map(entries) => {
            let entry = |(key, value): (yaml::Key, _)| (Key { at: key.at, text: key.text }, node(text, value));
            Value::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { at: read.at, value }
}
