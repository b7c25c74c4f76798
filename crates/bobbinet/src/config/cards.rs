//! Agent cards as data: what is known of a server that it does not say itself, or cannot be trusted on.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bobbinet_core::Effect;

use super::{
    finding::{Finding, Source},
    reader::Reader,
    tree::Node,
    variables::Variables,
    yaml,
};

/// The cards that come with the program, by the word that `use` takes.
const SHIPPED: [(&str, &str); 13] = [
    ("calculator", include_str!("../../../../agent-cards/calculator.yaml")),
    ("duckdb", include_str!("../../../../agent-cards/duckdb.yaml")),
    ("everything", include_str!("../../../../agent-cards/everything.yaml")),
    ("excel", include_str!("../../../../agent-cards/excel.yaml")),
    ("fetch", include_str!("../../../../agent-cards/fetch.yaml")),
    ("filesystem", include_str!("../../../../agent-cards/filesystem.yaml")),
    ("git", include_str!("../../../../agent-cards/git.yaml")),
    ("markitdown", include_str!("../../../../agent-cards/markitdown.yaml")),
    ("memory", include_str!("../../../../agent-cards/memory.yaml")),
    ("playwright", include_str!("../../../../agent-cards/playwright.yaml")),
    ("sequential-thinking", include_str!("../../../../agent-cards/sequential-thinking.yaml")),
    ("sqlite", include_str!("../../../../agent-cards/sqlite.yaml")),
    ("time", include_str!("../../../../agent-cards/time.yaml")),
];

/// What somebody who knows a server's tools says of them: descriptions, effects, examples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Card {
    /// The agent's name for people.
    pub(crate) name: Option<String>,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// The packages that the server comes in.
    pub(crate) packages: Vec<String>,
    /// Words to find any of its skills by.
    pub(crate) tags: Vec<String>,
    /// Whether any of its tools asks its user, beside those that say so themselves. `false`: none does.
    pub(crate) interactive: Option<bool>,
    /// Whether the server keeps nothing between two calls, so that several of its processes can serve them.
    pub(crate) stateless: bool,
    /// By the tools' names.
    pub(crate) skills: BTreeMap<String, CardSkill>,
}

/// What a card says of one tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CardSkill {
    /// A name for people, instead of the tool's.
    pub(crate) name: Option<String>,
    /// What it does, instead of the tool's own words.
    pub(crate) description: Option<String>,
    /// What running it twice means; nothing said is at-most-once.
    pub(crate) effect: Option<Effect>,
    /// Whether it asks its user: then it runs apart from other callers' calls, so that its questions are known to be its own.
    /// `false`: it never does. Nothing said: not known.
    pub(crate) interactive: Option<bool>,
    /// How long a call of it may go without a word of the server.
    pub(crate) timeout: Option<Duration>,
    /// Words to find it by.
    pub(crate) tags: Vec<String>,
    /// Messages that it answers.
    pub(crate) examples: Vec<String>,
}

/// What `use` says where a server's own words are all that is to be known of it.
pub(crate) const NONE: &str = "none";

/// The words that `use` takes for a card.
pub(crate) fn names() -> [&'static str; SHIPPED.len()] {
    SHIPPED.map(|(name, _)| name)
}

/// The shipped card of this name.
///
/// # Panics
/// If a shipped card cannot be read, which a test rules out.
pub(crate) fn shipped(name: &str) -> Option<Card> {
    let (name, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    let source = Source { name: format!("agent-cards/{name}.yaml"), text: (*text).to_owned(), folder: PathBuf::new() };
    Some(read(&source).unwrap_or_else(|findings| panic!("a shipped card has faults: {findings:?}")))
}

/// The shipped card of what this command starts, by the package or program that it names.
pub(crate) fn of_command(command: &[String]) -> Option<&'static str> {
    let names = |card: &Card| command.iter().any(|word| card.packages.iter().any(|it| it == package(word)));
    names_of_shipped().find(|name| shipped(name).is_some_and(|card| names(&card)))
}

fn names_of_shipped() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// A package's name without its version, or a program's without its folder.
fn package(word: &str) -> &str {
    let word = match word.rfind('@') {
        Some(at) if at > 0 => &word[..at],
        Some(_) | None => word,
    };
    if word.starts_with('@') { word } else { word.rsplit('/').next().unwrap_or(word) }
}

/// Reads a card's file.
pub(crate) fn read(source: &Source) -> Result<Card, Vec<Finding>> {
    let root = yaml::parse(source).map_err(|finding| vec![finding])?;
    // A card is for everybody, so it says nothing of one machine.
    let variables = Variables::default();
    let mut reader = Reader::new(source, &variables);
    let card = card(&mut reader, &root);
    if reader.findings.iter().any(Finding::is_error) { Err(reader.findings) } else { Ok(card) }
}

fn card(reader: &mut Reader<'_>, root: &Node) -> Card {
    let fields = reader.fields(
        root,
        "a card",
        &["name", "description", "packages", "tags", "interactive", "stateless", "skills"],
    );
    let skills = fields.get("skills").map(|node| reader.entries(node, "skills")).unwrap_or_default();
    Card {
        name: fields.get("name").and_then(|node| reader.text(node, "name")),
        description: fields.get("description").and_then(|node| reader.text(node, "description")),
        packages: fields.get("packages").map(|node| reader.words(node, "packages")).unwrap_or_default(),
        tags: fields.get("tags").map(|node| reader.words(node, "tags")).unwrap_or_default(),
        interactive: fields.get("interactive").and_then(|node| reader.flag(node, "interactive")),
        stateless: fields.get("stateless").and_then(|node| reader.flag(node, "stateless")).unwrap_or_default(),
        skills: skills.into_iter().map(|(key, node)| (key.text.clone(), skill(reader, node))).collect(),
    }
}

fn skill(reader: &mut Reader<'_>, node: &Node) -> CardSkill {
    let known = ["name", "description", "effect", "interactive", "timeout", "tags", "examples"];
    let fields = reader.fields(node, "a skill", &known);
    CardSkill {
        name: fields.get("name").and_then(|node| reader.text(node, "name")),
        description: fields.get("description").and_then(|node| reader.text(node, "description")),
        effect: fields.get("effect").and_then(|node| effect(reader, node)),
        interactive: fields.get("interactive").and_then(|node| reader.flag(node, "interactive")),
        timeout: fields.get("timeout").and_then(|node| timeout(reader, node)),
        tags: fields.get("tags").map(|node| reader.words(node, "tags")).unwrap_or_default(),
        examples: fields.get("examples").map(|node| reader.words(node, "examples")).unwrap_or_default(),
    }
}

/// How long a call may go without a word of the server.
pub(crate) fn timeout(reader: &mut Reader<'_>, node: &Node) -> Option<Duration> {
    let text = reader.word(node, "timeout")?;
    let time = humantime::parse_duration(&text).ok().filter(|time| !time.is_zero());
    if time.is_none() {
        let hint = "write a time such as 30s, 10m or 2h";
        reader.fault_with_hint(node.at, format!("timeout cannot be {text:?}"), hint);
    }
    time
}

/// One of the four effect classes.
pub(crate) fn effect(reader: &mut Reader<'_>, node: &Node) -> Option<Effect> {
    const ALL: [Effect; 4] = [Effect::ReadOnly, Effect::Idempotent, Effect::Keyed, Effect::AtMostOnce];
    let text = reader.text(node, "an effect")?;
    let found = ALL.into_iter().find(|effect| effect.as_str() == text);
    if found.is_none() {
        let names = ALL.map(Effect::as_str);
        let hint = match bobbinet_text::nearest(&text, &names) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("there is {}", names.join(", ")),
        };
        reader.fault_with_hint(node.at, format!("{text:?} is no effect"), hint);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_card_is_whole() {
        for name in names() {
            let card = shipped(name).expect("a shipped card");
            assert!(card.name.is_some() && card.description.is_some() && !card.packages.is_empty(), "{name}");
            assert!(card.skills.values().all(|skill| skill.effect.is_some()), "{name}: each skill has an effect");
        }
    }

    fn check(command: &[&str], expected: Option<&str>) {
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(of_command(&command), expected, "{command:?}");
    }

    #[test]
    fn a_card_is_found_by_its_package() {
        check(&["npx", "-y", "@modelcontextprotocol/server-filesystem", "docs"], Some("filesystem"));
        check(&["npx", "-y", "@modelcontextprotocol/server-memory@2026.8.31"], Some("memory"));
        check(&["npx", "-y", "@somebody/server-memory"], None);
        check(&["node_modules/.bin/mcp-server-everything", "stdio"], Some("everything"));
        check(&["python", "server.py"], None);
    }
}
