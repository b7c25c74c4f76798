//! An `mcp.json` of another program, in its dialects: `{"mcpServers": …}` of Claude, Cursor, Cline and many more, and
//! `{"servers": …, "inputs": …}` of VS Code. The file is theirs: it is only read, and settings that we do not know are
//! passed over, unless they look like a slip of the pen.

use std::collections::BTreeSet;

use bobbinet_core::AgentName;

use super::{
    AgentConfig, Config,
    agent::{self, AGENT_KEYS, STDIO_HINT},
    reader::Reader,
    tree::{Key, Node, Value},
};

const ROOT_KEYS: [&str; 3] = ["mcpServers", "servers", "inputs"];
/// What we read of a server, and what many files have that is near to it in spelling but not in meaning.
const SERVER_KEYS: [&str; 14] = [
    "type", "command", "args", "env", "envFile", "cwd", "url", "headers", "disabled", "enabled", "bobbinet", "dev",
    "timeout", "tools",
];

/// The ids of the inputs that a VS Code file declares.
pub(crate) fn inputs(root: &Node) -> BTreeSet<String> {
    let Value::Map(entries) = &root.value else { return BTreeSet::new() };
    let inputs = entries.iter().find(|(key, _)| key.text == "inputs").map(|(_, node)| &node.value);
    let Some(Value::List(inputs)) = inputs else { return BTreeSet::new() };
    let id = |node: &Node| match &node.value {
        Value::Map(entries) => {
            entries.iter().find(|(key, _)| key.text == "id").and_then(|(_, id)| id.as_written()).map(str::to_owned)
        }
        Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
    };
    inputs.iter().filter_map(id).collect()
}

/// Whether a tree is an `mcp.json` and not a `bobbinet.yaml` written in JSON.
pub(crate) fn is_one(root: &Node) -> bool {
    match &root.value {
        Value::Map(entries) => !entries.iter().any(|(key, _)| key.text == "agents" || key.text == "node"),
        Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::Text(_) | Value::List(_) => false,
    }
}

/// Reads the whole file.
pub(crate) fn read(reader: &mut Reader<'_>, root: &Node) -> Config {
    let mut config = Config::default();
    let fields = reader.foreign_fields(root, "the file", &ROOT_KEYS);
    let servers = fields.entry("mcpServers").or_else(|| fields.entry("servers"));
    let Some((_, servers)) = servers else {
        reader.fault_with_hint(
            fields.at,
            "there are no servers",
            r#"an mcp.json has {"mcpServers": {…}} or {"servers": {…}}"#,
        );
        return config;
    };
    for (key, node) in reader.entries(servers, "servers") {
        let Some(agent) = read_server(reader, key, node) else { continue };
        let Some(name) = agent_name(reader, key) else { continue };
        if config.agents.contains_key(&name) {
            reader.fault_with_hint(
                key.at,
                format!("another server is the agent {name} already"),
                "give one of them another name",
            );
            continue;
        }
        config.agents.insert(name, agent);
    }
    let has_errors = reader.findings.iter().any(super::finding::Finding::is_error);
    if config.agents.is_empty() && !has_errors {
        reader.fault(servers.at, "there is no server to start");
    }
    config
}

fn read_server(reader: &mut Reader<'_>, key: &Key, node: &Node) -> Option<AgentConfig> {
    let what = format!("server {}", key.text);
    let fields = reader.foreign_fields(node, &what, &SERVER_KEYS);
    let is_off = |reader: &mut Reader<'_>, name: &str, when: bool| {
        fields.get(name).and_then(|node| reader.flag(node, name)).is_some_and(|flag| flag == when)
    };
    if is_off(reader, "disabled", true) || is_off(reader, "enabled", false) {
        reader.note(key.at, format!("{what} is disabled, and left out"), None);
        return None;
    }
    let kind = fields.get("type").and_then(|node| Some((reader.text(node, "type")?, node.at)));
    match kind.as_ref().map(|(kind, at)| (kind.as_str(), *at)) {
        None | Some(("stdio" | "local", _)) => {}
        Some(("http" | "sse" | "streamable-http" | "streamableHttp" | "ws" | "remote", at)) => {
            reader.fault_with_hint(at, "servers over HTTP are not in this version yet", STDIO_HINT);
            return None;
        }
        Some((kind, at)) => {
            reader.fault_with_hint(at, format!("{kind:?} is no type of server"), "there is stdio, http and sse");
            return None;
        }
    }
    if let Some((url, _)) = fields.entry("url").filter(|_| fields.get("command").is_none()) {
        reader.fault_with_hint(url.at, "servers over HTTP are not in this version yet", STDIO_HINT);
        return None;
    }
    let mut config = agent::server(reader, &fields, "envFile");
    if let Some(node) = fields.get("bobbinet") {
        let ours = reader.fields(node, "bobbinet", &AGENT_KEYS);
        agent::settings(reader, &ours, &mut config);
    }
    Some(config)
}

/// A server's name as an agent's, which is part of a URL.
fn agent_name(reader: &mut Reader<'_>, key: &Key) -> Option<AgentName> {
    if let Ok(name) = AgentName::parse(&key.text) {
        return Some(name);
    }
    let replaced = key.text.to_lowercase();
    let replaced =
        replaced.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect::<String>();
    match AgentName::parse(replaced.trim_matches('-')) {
        Ok(name) => {
            reader.note(key.at, format!("server {:?} is the agent {name}", key.text), None);
            Some(name)
        }
        Err(error) => {
            reader.fault_with_hint(key.at, error.to_string(), "a name has lower-case letters, digits, - and _");
            None
        }
    }
}
