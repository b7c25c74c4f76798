//! Servers of another program's file, written as agents of a `bobbinet.yaml`. What stands there by reference stays a reference: nothing
//! is looked up, so no secret is copied that the file does not have itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::{Path, PathBuf},
};

use bobbinet_core::AgentName;
use serde_json::{Map, Value as Json};

use super::{
    Finding, Severity, Source,
    agent::AGENT_KEYS,
    cards, jsonc, mcp_file, read_text,
    reader::{MapSettings, Reader},
    tree::{Key, Node, Value},
    variables::{Variables, bare_name, input_variable},
    workspace, yaml,
};

/// What was found in the files of a program.
#[derive(Debug, Default)]
pub(crate) struct Import {
    /// The agents, each with its settings as lines of YAML.
    pub(crate) agents: BTreeMap<AgentName, String>,
    /// Variables that must be set, as their values would be asked for where the servers come from.
    pub(crate) inputs: BTreeSet<String>,
    /// Headers and variables whose values stand in the file, by their agents.
    pub(crate) literals: Vec<String>,
    pub(crate) findings: Vec<Finding>,
    /// What the file says that an input is if nobody is asked, by its id.
    defaults: BTreeMap<String, String>,
}

impl Import {
    /// Adds the servers of a file that are not there yet, for a new file in this folder. Claude Code has a project's own servers apart, by
    /// the project's folder.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn add(&mut self, path: &Path, here: &Path) -> Result<(), Box<Finding>> {
        let name = path.display().to_string();
        let fault = |error| Finding::about(Severity::Error, &name, format!("cannot be read: {error}"));
        let text = read_text(path).map_err(fault)?;
        let source = Source { name, text, folder: workspace(path) };
        let is_json = source.text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[', '/']);
        let root = if is_json { jsonc::parse(&source) } else { yaml::parse(&source) }?;
        // A file that belongs to a folder has its servers start there, and one of the user's where he is.
        let is_of_user = std::env::home_dir().is_some_and(|home| {
            let settings = [home.join(".config"), home.join("Library/Application Support")];
            source.folder == home || settings.iter().any(|folder| path.starts_with(folder))
        });
        let is_of_user =
            is_of_user || std::env::var_os("XDG_CONFIG_HOME").is_some_and(|folder| path.starts_with(folder));
        let folder = Some(source.folder.clone()).filter(|folder| !is_of_user && folder != here);
        let variables = Variables { is_foreign: true, ..Variables::default() };
        let mut reader = Reader::new(&source, &variables);
        self.defaults = mcp_file::inputs(&root).into_iter().filter_map(|(id, default)| Some((id, default?))).collect();
        let of_project = root.get("projects").and_then(|all| all.get(&here.display().to_string()));
        for root in of_project.into_iter().chain([&root]) {
            for (name, fields) in mcp_file::written(&mut reader, root) {
                if self.agents.contains_key(&name) {
                    reader.note(fields.at, format!("an agent {name} is there already: this one is left out"), None);
                    continue;
                }
                let agent = self.agent(&name, &fields, folder.as_deref());
                self.agents.insert(name, agent);
            }
        }
        self.findings.append(&mut reader.findings);
        Ok(())
    }

    fn agent(&mut self, name: &AgentName, fields: &MapSettings<'_>, folder: Option<&Path>) -> String {
        let mut lines = String::new();
        let ours = fields.get("bobbinet").map(Node::entries).unwrap_or_default();
        let words = self.words(fields);
        if !ours.iter().any(|(key, _)| matches!(key.text.as_str(), "use" | "trust_hints"))
            && let Some(card) = cards::of_command(&words)
        {
            line(&mut lines, 4, "use", &card.into());
        }
        for (key, node) in ours.iter().filter(|(key, _)| AGENT_KEYS.contains(&key.text.as_str())) {
            line(&mut lines, 4, &key.text, &self.json(node));
        }
        let timeout = fields.get("timeout").and_then(Node::as_written).and_then(mcp_file::host_timeout);
        if let Some(timeout) = timeout.filter(|_| !ours.iter().any(|(key, _)| key.text == "timeout")) {
            line(&mut lines, 4, "timeout", &humantime::format_duration(timeout).to_string().into());
        }
        lines.push_str("    mcp:\n");
        match mcp_file::called(fields) {
            Some((url, is_sse)) => {
                line(&mut lines, 6, "url", &self.json(url));
                if is_sse {
                    line(&mut lines, 6, "transport", &"sse".into());
                }
                if let Some(headers) = fields.get("headers") {
                    self.note_literals(name, headers);
                    line(&mut lines, 6, "headers", &self.texts(headers));
                }
            }
            None => {
                line(&mut lines, 6, "command", &words.into());
                if let Some(env) = fields.get("env").filter(|env| !env.entries().is_empty()) {
                    self.note_literals(name, env);
                    line(&mut lines, 6, "env", &self.texts(env));
                }
                let placed = |text: &str| match folder {
                    Some(folder) if !text.starts_with(['/', '~', '$']) => folder.join(text).display().to_string(),
                    Some(_) | None => text.to_owned(),
                };
                if let Some(file) = fields.get("envFile").and_then(Node::as_written) {
                    line(&mut lines, 6, "env_file", &placed(&self.reference(file)).into());
                }
                let cwd = fields.get("cwd").and_then(Node::as_written).map(|cwd| placed(&self.reference(cwd)));
                if let Some(cwd) = cwd.or_else(|| folder.map(|folder| folder.display().to_string())) {
                    line(&mut lines, 6, "cwd", &cwd.into());
                }
            }
        }
        lines
    }

    fn words(&mut self, fields: &MapSettings<'_>) -> Vec<String> {
        let nodes = ["command", "args"].into_iter().filter_map(|name| fields.get(name));
        let words = nodes.flat_map(|node| match &node.value {
            Value::List(items) => items.iter().filter_map(Node::as_written).collect(),
            Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                node.as_written().into_iter().collect::<Vec<_>>()
            }
        });
        words.map(|word| self.reference(word)).collect()
    }

    /// A value as it was written, but for references that only other programs know.
    fn json(&mut self, node: &Node) -> Json {
        match &node.value {
            Value::Null(_) => Json::from(""),
            Value::Flag(flag, _) => Json::from(*flag),
            // In its own digits, which may be a text's.
            Value::Number(text) => text.parse().map(Json::Number).unwrap_or_else(|_| Json::from(text.as_str())),
            Value::Text(text) => Json::from(self.reference(text)),
            Value::List(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Map(entries) => {
                let entries = entries.iter().map(|(key, node)| (key.text.clone(), self.json(node)));
                Json::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    /// Variables or headers, which are texts, whatever they look like.
    fn texts(&mut self, values: &Node) -> Json {
        let texts = values.entries().iter().filter_map(|(key, node)| Some((key.text.clone(), node.as_written()?)));
        Json::Object(texts.map(|(name, text)| (name, Json::from(self.reference(text)))).collect())
    }

    /// Says which of them are in the file itself.
    fn note_literals(&mut self, name: &AgentName, values: &Node) {
        let is_literal = |node: &&(Key, Node)| {
            let text = node.1.as_written().unwrap_or_default();
            !text.is_empty() && !text.contains('$') && !text.contains("{env:")
        };
        let literals = values.entries().iter().filter(is_literal).map(|(key, _)| format!("{name}: {}", key.text));
        self.literals.extend(literals);
    }

    /// The same reference in our words: `$NAME` and `{env:NAME}` are those of others, and nobody is there to be asked for an input.
    fn reference(&mut self, text: &str) -> String {
        if let Some(name) = bare_name(text) {
            return format!("${{env:{name}}}");
        }
        let (mut said, mut rest) = (String::new(), text);
        while let Some(at) = rest.find("${input:") {
            let Some(end) = rest[at..].find('}').map(|end| at + end) else { break };
            let id = &rest[at + "${input:".len()..end];
            let name = input_variable(id);
            said.push_str(&rest[..at]);
            match self.defaults.get(id).filter(|default| !default.contains(['$', '}'])) {
                Some(default) => {
                    let _ = write!(said, "${{{name}:-{default}}}");
                }
                None => {
                    let _ = write!(said, "${{env:{name}}}");
                    self.inputs.insert(name);
                }
            }
            rest = &rest[end + 1..];
        }
        said + rest
    }

    /// The whole file.
    pub(crate) fn to_yaml(&self, from: &[PathBuf]) -> String {
        let from: Vec<String> = from.iter().map(|path| path.display().to_string()).collect();
        let mut text = format!("# The servers of {}, as agents.\nagents:\n", from.join(" and "));
        for (name, settings) in &self.agents {
            let _ = write!(text, "  {name}:\n{settings}");
        }
        text
    }
}

/// A setting. What JSON says, YAML says too.
fn line(lines: &mut String, indent: usize, name: &str, value: &Json) {
    let is_plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let words = ["true", "false", "null", "yes", "no", "on", "off"];
    let plain = value.as_str().filter(|text| is_plain(text) && !words.contains(text));
    let value = plain.map_or_else(|| value.to_string(), str::to_owned);
    let _ = writeln!(lines, "{:indent$}{name}: {value}", "");
}
