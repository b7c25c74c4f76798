//! What a word of `bobbinet call` may be, for a shell: agents and skills of nodes that run, arguments by their schema, and their values as
//! the agent's server proposes them.
//!
//! Somebody has pressed a key: there is a bound on the time it takes, and where nothing is known nothing is said. Nothing is proposed
//! either that a shell would make something else of: others have chosen these words.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bobbinet_core::{
    Json, Message, MessageId, Part, Role,
    agent::EXTENSION_URI,
    operation::{Configuration, SendParams},
};
use bobbinet_http::client::{Client as Connected, SendOptions};
use bobbinet_wire::view::Sent;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, resolve::Agent};
use crate::{cli::Target, failure::Failure, node::Running, shell::quoted};

/// How long a shell waits for words.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Words that are shown: more than anybody looks through.
const WORDS_MAX: usize = 200;

/// What stands before a prompt's name in the name of its skill, and the skill that completes its arguments.
const PROMPT: &str = "prompt:";
const COMPLETE: &str = "argument:complete";

/// What was typed behind `bobbinet call`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Typed {
    agent: Option<String>,
    data_dir: Option<PathBuf>,
    /// Whole words that are no flags.
    words: Vec<String>,
    /// What is being typed.
    current: String,
    /// The flag that it is a value of.
    flag: Option<String>,
}

impl Typed {
    /// `is_valued` says whether a flag has a value in the word behind it.
    fn read(words: &[String], is_valued: impl Fn(&str) -> bool) -> Self {
        let mut typed = Self::default();
        let Some((current, before)) = words.split_last() else { return typed };
        typed.current.clone_from(current);
        for word in before {
            match typed.flag.take() {
                Some(flag) => typed.take_flag(&flag, word),
                None if word.starts_with('-') => match word.split_once('=') {
                    Some((flag, value)) => typed.take_flag(flag, value),
                    None if is_valued(word) => typed.flag = Some(word.clone()),
                    None => {}
                },
                None => typed.words.push(word.clone()),
            }
        }
        typed
    }

    fn take_flag(&mut self, flag: &str, value: &str) {
        match flag {
            "-a" | "--agent" | "--agent-card" => self.agent = Some(value.to_owned()),
            "--data-dir" => self.data_dir = Some(value.into()),
            _ => {}
        }
    }

    /// The agent and the skill that are called, once both are there.
    fn called(&self) -> Option<(String, String)> {
        let skill = self.words.first()?;
        match (&self.agent, skill.split_once('.')) {
            (None, named) => named.map(|(agent, skill)| (agent.to_owned(), skill.to_owned())),
            (Some(agent), Some((prefix, rest))) if agent == prefix => Some((agent.clone(), rest.to_owned())),
            (Some(agent), _) => Some((agent.clone(), skill.clone())),
        }
    }
}

/// The words that the last one may be, whole.
pub(super) async fn words(client: &Client, words: &[String], is_valued: impl Fn(&str) -> bool) -> Vec<String> {
    let typed = Typed::read(words, is_valued);
    let is_named = typed.agent.as_ref().is_some_and(|agent| agent.contains(['/', ':']));
    if !is_named && typed.data_dir.is_none() && Running::all().is_empty() {
        return Vec::new();
    }
    let found = tokio::time::timeout(TIME_MAX, candidates(client, &typed)).await;
    let mut found = found.ok().and_then(Result::ok).unwrap_or_default();
    found.retain(|word| word.starts_with(&typed.current) && is_safe(word));
    found.truncate(WORDS_MAX);
    found
}

/// Whether a shell takes it as it is.
fn is_safe(word: &str) -> bool {
    word.split('=').all(|part| part.is_empty() || quoted(part) == part) && !word.starts_with('-')
}

async fn candidates(client: &Client, typed: &Typed) -> Result<Vec<String>, Failure> {
    let target = |agent: Option<&str>| Target { agent: agent.map(str::to_owned), data_dir: typed.data_dir.clone() };
    if let Some(flag) = &typed.flag {
        let is_agent = matches!(flag.as_str(), "-a" | "--agent" | "--agent-card");
        return if is_agent { names(client, target(None)).await } else { Ok(Vec::new()) };
    }
    if typed.words.is_empty() {
        let named = typed.current.split_once('.').map(|(agent, _)| agent);
        let agent = match (&typed.agent, named) {
            (Some(agent), _) => return skills(client, target(Some(agent))).await,
            (None, Some(agent)) => agent.to_owned(),
            (None, None) => {
                let mut names = names(client, target(None)).await?;
                names.retain(|name| name.starts_with(&typed.current));
                match names.as_slice() {
                    [only] => only.clone(),
                    _ => return Ok(names.iter().map(|name| format!("{name}.")).collect()),
                }
            }
        };
        let skills = skills(client, target(Some(&agent))).await?;
        return Ok(skills.iter().map(|skill| format!("{agent}.{skill}")).collect());
    }
    let Some((agent, skill)) = typed.called() else { return Ok(Vec::new()) };
    let agent = client.resolver(target(Some(&agent))).await.agent()?;
    let connected = agent.connect().await?;
    let ours = connected.card().value.extension_skills();
    let Some(schema) = ours.get(&skill).and_then(|skill| skill.input.as_ref()) else { return Ok(Vec::new()) };
    let Some((name, begun)) = typed.current.split_once('=') else {
        return Ok(arguments(&schema.to_value(), &typed.words));
    };
    let mut values = known_values(&schema.to_value()["properties"][name]);
    if let Some(prompt) = skill.strip_prefix(PROMPT).filter(|_| values.is_empty() && ours.contains_key(COMPLETE)) {
        let others = typed.words.iter().skip(1).filter_map(|word| word.split_once('='));
        let asked = json!({
            "prompt": prompt, "argument": name, "value": begun, "arguments": others.collect::<BTreeMap<_, _>>(),
        });
        values = proposed(&agent, &connected, &asked).await?;
    }
    Ok(values.iter().map(|value| format!("{name}={value}")).collect())
}

async fn names(client: &Client, target: Target) -> Result<Vec<String>, Failure> {
    let agents = client.resolver(target).await.all()?;
    Ok(agents.into_iter().filter_map(|agent| agent.name).collect())
}

async fn skills(client: &Client, target: Target) -> Result<Vec<String>, Failure> {
    let (card, _) = client.resolver(target).await.agent()?.card().await?;
    Ok(card.value.skills.into_iter().map(|skill| skill.id).collect())
}

/// The arguments of a skill that were not given yet, those first that must be.
fn arguments(schema: &Value, words: &[String]) -> Vec<String> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_given = |name: &str| {
        words.iter().any(|word| word.split_once('=').is_some_and(|(it, _)| it.trim_end_matches(':') == name))
    };
    let mut names: Vec<&String> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| !is_given(name))
        .collect();
    names.sort_by_key(|name| !required.contains(&name.as_str()));
    names.into_iter().map(|name| format!("{name}=")).collect()
}

/// What an argument may be by its schema, if that is not much.
fn known_values(schema: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (schema["enum"].as_array(), schema["type"].as_str()) {
        (Some(values), _) => values.iter().map(text).collect(),
        (None, Some("boolean")) => ["true", "false"].map(str::to_owned).to_vec(),
        (None, _) => Vec::new(),
    }
}

/// What the agent's server says that it may be.
async fn proposed(agent: &Agent, connected: &Connected, asked: &Value) -> Result<Vec<String>, Failure> {
    let id = MessageId::parse(&Uuid::new_v4().to_string()).expect("such an id is short and printable");
    let message = Message {
        id,
        role: Role::User,
        parts: vec![Part::data(Json::from(asked))],
        metadata: Some(Json::from(&json!({ EXTENSION_URI: { "skill": COMPLETE } }))),
        extensions: vec![EXTENSION_URI.into()],
        reference_tasks: Vec::new(),
    };
    let configuration = Configuration::default();
    let params = SendParams { message, context: None, task: None, configuration, metadata: None, tenant: None };
    let sent = connected.send(params, &SendOptions::default()).await.map_err(|error| agent.fault(error))?;
    let Sent::Task(task) = sent.value else { return Ok(Vec::new()) };
    let parts = task.artifacts.iter().flat_map(|artifact| &artifact.parts);
    let documents = parts.filter_map(|part| match part.as_data() {
        Some(data) => Some(data.to_value()),
        None => part.as_text().and_then(|text| serde_json::from_str(text).ok()),
    });
    let values =
        documents.flat_map(|document: Value| document["completion"]["values"].as_array().cloned().unwrap_or_default());
    Ok(values.filter_map(|value| value.as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Typed {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Typed::read(&words, |flag| matches!(flag, "-a" | "--timeout"))
    }

    #[test]
    fn flags_and_their_values_are_no_arguments() {
        let found = typed("--stream docs.prompt:x -a docs --timeout 5s who=me wh");
        assert_eq!((found.words.join(" ").as_str(), found.current.as_str()), ("docs.prompt:x who=me", "wh"));
        assert_eq!(found.called(), Some(("docs".to_owned(), "prompt:x".to_owned())));
        assert_eq!(typed("-a ").flag.as_deref(), Some("-a"));
        assert_eq!(typed("--agent=d s x=").called(), Some(("d".to_owned(), "s".to_owned())));
        assert_eq!(typed("s x=").called(), None);
    }

    #[test]
    fn what_a_shell_would_make_something_else_of_is_not_proposed() {
        for safe in ["docs.prompt:x", "path=a/b.txt", "path=", "files."] {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_word in ["x=$(touch y)", "x=a b", "x=`id`", "x=*", "-a", "x='", "x=\u{1b}[2J", "~root", "x=a;b"] {
            assert!(!is_safe(unsafe_word), "{unsafe_word}");
        }
    }

    #[test]
    fn arguments_come_by_their_schema() {
        let schema = json!({"required": ["to"], "properties": {"cc": {}, "to": {}, "kind": {"enum": ["a", 1]}, "dry": {"type": "boolean"}}});
        let words = ["s", "kind=a"].map(str::to_owned);
        assert_eq!(arguments(&schema, &words), ["to=", "cc=", "dry="]);
        assert_eq!(known_values(&schema["properties"]["kind"]), ["a", "1"]);
        assert_eq!(known_values(&schema["properties"]["dry"]), ["true", "false"]);
        assert!(known_values(&schema["properties"]["cc"]).is_empty());
    }
}
