//! An `mcp.json` of another program, in its dialects: what a host calls the map of its servers, and what it calls what is in it. The
//! file is theirs: it is only read, and settings that we do not know are passed over, unless they look like a slip of the pen. A
//! server that cannot be started is left out with a warning, as it would be by its host; with `--strict` it is an error.

use std::{collections::BTreeMap, slice, time::Duration};

use bobbinet_core::AgentName;
use bobbinet_mcp::HttpTransportKind;
use bobbinet_text::Position;
use bobbinet_wire::sha256_hex;

use super::{
    AgentConfig, Config,
    agent::{self, AGENT_KEYS},
    reader::{MapSettings, Reader},
    tree::{Key, Node, Value},
};

/// What the hosts call the map of their servers, most of them first: Claude, Cursor, Windsurf, Cline, Gemini CLI, Copilot CLI, Kiro,
/// Roo Code and LM Studio; VS Code and Visual Studio; Zed; Codex, as JSON.
const ROOTS: [&str; 4] = ["mcpServers", "servers", "context_servers", "mcp_servers"];

/// What some call the map around it, or, where there is none, the map itself: the settings of VS Code; OpenCode and Crush; Goose.
const OUTER_ROOTS: [&str; 3] = ["mcp", "augment.advanced", "extensions"];

/// The end of what others call it in settings that have the names of all programs in one map: VS Code, Amp, Zencoder.
const ROOT_ENDS: [&str; 2] = ["mcp.servers", ".mcpServers"];

/// What we read of a server, and what many files have that is near to it in spelling but not in meaning.
const SERVER_KEYS: [&str; 16] = [
    "type", "command", "args", "env", "envFile", "cwd", "url", "headers", "disabled", "enabled", "bobbinet", "dev",
    "timeout", "tools", "name", "id",
];

/// What else the hosts call what we read of a server: Goose, OpenCode, Warp, Gemini CLI, Windsurf, Cline, Cherry Studio.
const ALIASES: [(&str, &str); 23] = [
    ("cmd", "command"),
    ("arguments", "args"),
    ("environment", "env"),
    ("envs", "env"),
    ("env_vars", "env"),
    ("env_file", "envFile"),
    ("working_directory", "cwd"),
    ("workingDirectory", "cwd"),
    ("workingDir", "cwd"),
    ("httpUrl", "url"),
    ("http_url", "url"),
    ("serverUrl", "url"),
    ("server_url", "url"),
    ("baseUrl", "url"),
    ("uri", "url"),
    ("http_headers", "headers"),
    ("transport", "type"),
    ("transportType", "type"),
    ("isActive", "enabled"),
    ("is_active", "enabled"),
    ("active", "enabled"),
    ("disable", "disabled"),
    ("isDisabled", "disabled"),
];

/// The same in the map that Zed once had in place of a command.
const COMMAND_ALIASES: [(&str, &str); 1] = [("path", "command")];

/// How much of a server's name is an agent's: it is part of every URL of it.
const NAME_LENGTH_MAX: usize = 64;

/// How many digits of a name's hash tell it from others: enough for the servers of one file.
const HASH_LENGTH: usize = 8;

/// What is done about a server that cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// It is left out with a warning.
    Lenient,
    /// Nothing is started.
    Strict,
}

/// The servers of a file, in its order.
struct Servers<'n> {
    at: Position,
    entries: Vec<(Key, &'n Node)>,
}

impl<'n> Servers<'n> {
    /// Those of a whole file, wherever its host has them.
    fn find(root: &'n Node) -> Option<Self> {
        Self::named(root).or_else(|| Self::of(root).filter(Self::has_one))
    }

    /// Those that stand under a name that says so.
    fn named(root: &'n Node) -> Option<Self> {
        let of_end = |(key, node): &'n (Key, Node)| {
            ROOT_ENDS.iter().any(|end| key.text.ends_with(end)).then(|| Self::of(node)).flatten()
        };
        let outer = |name: &&str| {
            let node = root.get(name)?;
            let inner = ROOTS.iter().find_map(|name| node.get(name)).and_then(Self::of);
            inner.or_else(|| Self::of(node).filter(Self::has_one))
        };
        let direct = ROOTS.iter().find_map(|name| root.get(name)).and_then(Self::of);
        direct.or_else(|| root.entries().iter().find_map(of_end)).or_else(|| OUTER_ROOTS.iter().find_map(outer))
    }

    /// Those of a map by their names, or of a list whose items say theirs.
    fn of(node: &'n Node) -> Option<Self> {
        let named = |(index, node): (usize, &'n Node)| {
            let name = node.get("name").or_else(|| node.get("id")).and_then(Node::as_written);
            let text = name.map_or_else(|| format!("server-{}", index + 1), str::to_owned);
            (Key { at: node.at, text }, node)
        };
        let entries = match &node.value {
            Value::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), node)).collect(),
            Value::List(items) => items.iter().enumerate().map(named).collect(),
            Value::Null(_) => Vec::new(),
            Value::Flag(..) | Value::Number(_) | Value::Text(_) => return None,
        };
        Some(Self { at: node.at, entries })
    }

    /// Whether there is something in it that could be nothing else than a server.
    fn has_one(&self) -> bool {
        let names = ["command", "cmd", "url", "httpUrl", "serverUrl"];
        self.entries.iter().any(|(_, node)| names.iter().any(|name| node.get(name).is_some()))
    }
}

/// The ids of the inputs that a VS Code file declares, each with what it is if nobody is asked.
pub(crate) fn inputs(root: &Node) -> BTreeMap<String, Option<String>> {
    let all = slice::from_ref(root).iter().chain(root.get("mcp"));
    let lists = all.filter_map(|node| match node.get("inputs").map(|inputs| &inputs.value) {
        Some(Value::List(inputs)) => Some(inputs),
        Some(_) | None => None,
    });
    let written = |input: &Node, name: &str| input.get(name)?.as_written().map(str::to_owned);
    lists.flatten().filter_map(|input| Some((written(input, "id")?, written(input, "default")))).collect()
}

/// Whether a tree is an `mcp.json` and not a `bobbinet.yaml` written in JSON. Settings of other programs may have a `node` too.
pub(crate) fn is_one(root: &Node) -> bool {
    let is_ours = root.get("agents").is_some() || (root.get("node").is_some() && Servers::named(root).is_none());
    !is_ours && matches!(root.value, Value::Map(_) | Value::List(_))
}

/// Whether a tree can be nothing else: a file that is YAML and has its servers where a host has them.
pub(crate) fn is_certainly_one(root: &Node) -> bool {
    is_one(root) && Servers::named(root).is_some_and(|servers| servers.has_one())
}

/// Reads the whole file.
pub(crate) fn read(reader: &mut Reader<'_>, root: &Node, strictness: Strictness) -> Config {
    let mut config = Config { is_lenient: strictness == Strictness::Lenient, ..Config::default() };
    let Some(servers) = Servers::find(root) else {
        let known = [ROOTS.as_slice(), &["inputs"]].concat();
        let at = if root.is_map() { reader.foreign_fields(root, "the file", &known, &[]).at } else { root.at };
        let hint = r#"an mcp.json has {"mcpServers": {…}} or {"servers": {…}}"#;
        reader.fault_with_hint(at, "there are no servers", hint);
        return config;
    };
    let mut left_out = 0;
    for (index, (key, node)) in servers.entries.iter().enumerate() {
        if is_comment(reader, key, node) {
            continue;
        }
        let since = reader.findings.len();
        let what = format!("server {}", key.text);
        // Of two of one name the hosts take the last.
        let is_repeated = servers.entries[index + 1..].iter().any(|(other, _)| other.text == key.text);
        if is_repeated {
            reader.fault(key.at, format!("{:?} stands here twice", key.text));
        }
        let agent = read_server(reader, key, node, &what);
        if strictness == Strictness::Lenient && reader.excuse(since, &what) {
            left_out += 1;
            continue;
        }
        if let Some(agent) = agent {
            let name = agent_name(reader, key, &servers, &|name| config.agents.contains_key(name));
            config.agents.insert(name, agent);
        }
    }
    let has_errors = reader.findings.iter().any(super::finding::Finding::is_error);
    if config.agents.is_empty() && !has_errors {
        let why = if left_out == 0 { "there is no server to start" } else { "there is no server that can be started" };
        reader.fault(servers.at, why);
    }
    config
}

/// The servers of a file as it says them, each by its agent's name, but for those that are switched off, or say nothing that could be
/// started or called. None where the file has none.
pub(crate) fn written<'n>(reader: &mut Reader<'_>, root: &'n Node) -> Vec<(AgentName, MapSettings<'n>)> {
    let Some(servers) = Servers::find(root) else { return Vec::new() };
    let mut found: Vec<(AgentName, MapSettings<'n>)> = Vec::new();
    for (index, (key, node)) in servers.entries.iter().enumerate() {
        let is_repeated = servers.entries[index + 1..].iter().any(|(other, _)| other.text == key.text);
        if is_repeated || is_comment(reader, key, node) {
            continue;
        }
        let what = format!("server {}", key.text);
        let fields = fields_of(reader, node, &what);
        if !node.is_map() || is_off(reader, key, &fields, &what) {
            continue;
        }
        if fields.get("command").is_none() && fields.get("url").is_none() {
            reader.note(key.at, format!("{what} has no command and no url, and is left out"), None);
            continue;
        }
        let name = agent_name(reader, key, &servers, &|name| found.iter().any(|(other, _)| other == name));
        found.push((name, fields));
    }
    found
}

/// Where a server is called, and whether that is known to be by HTTP+SSE; `None` if it is started.
pub(crate) fn called<'n>(fields: &MapSettings<'n>) -> Option<(&'n Node, bool)> {
    let kind = fields.get("type").and_then(Node::as_written).and_then(Kind::of);
    fields.get("url").filter(|_| is_called(kind, fields)).map(|url| (url, kind == Some(Kind::Sse)))
}

/// Whether it is called: one that has a command and a URL is started, unless its type says so.
fn is_called(kind: Option<Kind>, fields: &MapSettings<'_>) -> bool {
    match kind {
        Some(Kind::Stdio) => false,
        Some(Kind::Http | Kind::Sse) => true,
        None => fields.get("command").is_none(),
    }
}

/// Whether it is switched off, and then says so.
fn is_off(reader: &mut Reader<'_>, key: &Key, fields: &MapSettings<'_>, what: &str) -> bool {
    let mut says = |name: &str, when: bool| {
        fields.get(name).and_then(|node| flag(reader, node, name)).is_some_and(|flag| flag == when)
    };
    let is_off = says("disabled", true) || says("enabled", false);
    if is_off {
        reader.note(key.at, format!("{what} is disabled, and left out"), None);
    }
    is_off
}

/// Whether it is none, but a word to people, or a server that was taken out as people take things out of JSON.
fn is_comment(reader: &mut Reader<'_>, key: &Key, node: &Node) -> bool {
    let is_comment = key.is_comment();
    if is_comment && node.is_map() {
        reader.note(key.at, format!("{:?} is taken as a comment, and left out", key.text), None);
    }
    is_comment
}

fn read_server(reader: &mut Reader<'_>, key: &Key, node: &Node, what: &str) -> Option<AgentConfig> {
    let fields = fields_of(reader, node, what);
    if !node.is_map() && !node.is_null() {
        // That has been told.
        return None;
    }
    if is_off(reader, key, &fields, what) {
        return None;
    }
    let mut kind = None;
    if let Some((node, word)) = fields.get("type").and_then(|node| Some((node, reader.text(node, "type")?))) {
        kind = Kind::of(&word);
        if kind.is_none() {
            let hint = "there is stdio, http and sse";
            reader.fault_with_hint(node.at, format!("{word:?} is no type of server"), hint);
            return None;
        }
    }
    let is_called = is_called(kind, &fields);
    let server = match (is_called, fields.get("url"), kind) {
        (true, Some(url), Some(Kind::Sse)) => agent::server_of_url(reader, &fields, url, HttpTransportKind::Sse),
        (true, Some(url), _) => agent::server_of_url(reader, &fields, url, HttpTransportKind::Auto),
        (true, None, Some(_)) => {
            reader.fault_with_hint(fields.at, format!("{what} has no url"), "or say type: stdio, and a command");
            return None;
        }
        (true, None, None) | (false, ..) => agent::server_of_command(reader, &fields, "envFile"),
    };
    let mut config = AgentConfig { server, ..AgentConfig::default() };
    if let Some(node) = fields.get("timeout") {
        match node.as_written().and_then(host_timeout) {
            Some(timeout) => {
                config.limits.idle_ms = agent::whole_millis(timeout);
                reader.note(node.at, format!("a call of {what} may go {timeout:?} without a word of it"), None);
            }
            None => {
                let hint = "write a number: up to 3600 in seconds, above that in milliseconds".to_owned();
                reader.note(node.at, format!("the timeout of {what} cannot be read, and is passed over"), Some(hint));
            }
        }
    }
    if let Some(node) = fields.get("bobbinet") {
        let known: Vec<&str> = AGENT_KEYS.into_iter().chain(["auth"]).collect();
        let ours = reader.fields(node, "bobbinet", &known);
        agent::settings(reader, &ours, &mut config);
        agent::server_auth(reader, &ours, &mut config);
    }
    Some(config)
}

/// The settings of a server. Where a map stands in place of a command (Zed) or of a transport (Continue), they are in that.
fn fields_of<'n>(reader: &mut Reader<'_>, node: &'n Node, what: &str) -> MapSettings<'n> {
    let mut fields = reader.foreign_fields(node, what, &SERVER_KEYS, &ALIASES);
    for (name, aliases) in [("command", COMMAND_ALIASES.as_slice()), ("transport", &ALIASES)] {
        if let Some(inner) = fields.get(name).filter(|inner| inner.is_map()) {
            let known = ["command", "path", "args", "env", "type", "url", "headers"];
            let inner = reader.foreign_fields(inner, what, &known, &[]);
            fields = fields.unfolded(name, inner).also_called(aliases);
        }
    }
    fields
}

/// The largest `timeout` that is in seconds: Cline and Roo Code take up to an hour of them.
const SECONDS_MAX: f64 = 3_600.0;

/// A `timeout` of another program's. Cline and Roo Code mean seconds, from 1 to 3,600; Claude Code, Gemini CLI, Copilot, Amazon Q
/// and others mean milliseconds, of which so few would be no time for a tool.
pub(crate) fn host_timeout(text: &str) -> Option<Duration> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0)?;
    let seconds = if number <= SECONDS_MAX { number } else { number / 1_000.0 };
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero())
}

/// Yes or no, in quotes too.
fn flag(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<bool> {
    match node.as_written().filter(|_| matches!(node.value, Value::Text(_))) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) | None => reader.flag(node, what),
    }
}

/// How a server is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stdio,
    /// Streamable HTTP; some say so of any server with a URL.
    Http,
    Sse,
}

impl Kind {
    /// By the word for it, which hosts write in many ways: `streamable-http`, `streamableHttp`, `STREAMABLE_HTTP`.
    fn of(word: &str) -> Option<Self> {
        let simple: String = word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        match simple.as_str() {
            "stdio" | "local" | "command" | "process" => Some(Self::Stdio),
            "http" | "https" | "streamablehttp" | "httpstream" | "httpstreamable" | "streaming" | "remote" | "url" => {
                Some(Self::Http)
            }
            // Some hosts say it of every server with a URL: a server that answers a POST there is believed.
            "sse" => Some(Self::Sse),
            _ => None,
        }
    }
}

/// A server's name as an agent's, which is part of a URL. There is one for every name, and always the same, as long as no other server
/// of the file is called so.
fn agent_name(
    reader: &mut Reader<'_>,
    key: &Key,
    servers: &Servers<'_>,
    is_taken: &dyn Fn(&AgentName) -> bool,
) -> AgentName {
    let written = AgentName::parse(&key.text).ok().filter(|name| name.as_str().len() <= NAME_LENGTH_MAX);
    if let Some(name) = written.filter(|name| !is_taken(name)) {
        return name;
    }
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let simple: String = key.text.to_lowercase().chars().map(|c| if is_kept(c) { c } else { '-' }).collect();
    let simple: String = simple.trim_matches('-').chars().take(NAME_LENGTH_MAX - HASH_LENGTH - 1).collect();
    let hash = &sha256_hex(key.text.as_bytes())[..HASH_LENGTH];
    let is_free = |name: &AgentName| {
        let is_of_another = servers.entries.iter().any(|(other, _)| other.text == name.as_str());
        !is_taken(name) && !is_of_another
    };
    let simple = if simple.chars().any(is_kept) { simple } else { "server".to_owned() };
    let plain = AgentName::parse(&simple).ok().filter(|name| name.as_str() != "server" && is_free(name));
    let name = plain.unwrap_or_else(|| {
        AgentName::parse(&format!("{simple}-{hash}")).expect("letters, digits, - and _, and not many of them")
    });
    reader.note(key.at, format!("server {:?} is the agent {name}", key.text), None);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_in_the_unit_of_its_host() {
        for (text, expected) in
            [("60", 60_000), ("3600", 3_600_000), ("0.5", 500), ("5000", 5_000), ("600000", 600_000)]
        {
            assert_eq!(host_timeout(text), Some(Duration::from_millis(expected)), "{text}");
        }
        for text in ["0", "-1", "NaN", "inf", "soon", "1e300", "1e-300"] {
            assert_eq!(host_timeout(text), None, "{text}");
        }
    }
}
