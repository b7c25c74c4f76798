//! The flows of a node: `flows: { triage: ./flows/triage.yaml }` of a `bobbinet.yaml`, each one an agent.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use bobbinet_core::AgentName;
use bobbinet_flow::{
    document::{Definition, Reach},
    finding as flow,
    limits::Limits,
};
use bobbinet_orchestrator::{Flow, FlowAgent};
use bobbinet_text::nearest;

use super::{
    excerpt::Excerpt,
    finding::{Finding, Severity},
    reader::{MapSettings, Reader},
    tree::{Key, Node},
};

/// The agent that makes HTTP requests for flows. Only they can call it; policy lines name it.
pub(crate) const HTTP_AGENT: &str = "call-http";

/// The same for flows that come in messages: it reaches no private address, whatever the operator's own flows may.
pub(crate) const PUBLIC_HTTP_AGENT: &str = "call-http-public";

/// The agent that calls agents by URL for flows.
pub(crate) const A2A_AGENT: &str = "call-a2a";

/// The same for flows that come in messages.
pub(crate) const PUBLIC_A2A_AGENT: &str = "call-a2a-public";

/// The agent that calls MCP servers for flows.
pub(crate) const MCP_AGENT: &str = "call-mcp";

/// The same for flows that come in messages: it starts none.
pub(crate) const PUBLIC_MCP_AGENT: &str = "call-mcp-public";

/// The agents that a node with flows has of itself.
pub(crate) const INTERNAL_AGENTS: [&str; 6] =
    [HTTP_AGENT, PUBLIC_HTTP_AGENT, A2A_AGENT, PUBLIC_A2A_AGENT, MCP_AGENT, PUBLIC_MCP_AGENT];

const FLOW_KEYS: [&str; 5] = ["file", "as", "secrets", "from", "commands"];

/// A flow that becomes an agent.
#[derive(Clone, Debug)]
pub(crate) struct FlowConfig {
    /// What it is made of.
    pub(crate) flow: Flow,
    /// The same, read.
    pub(crate) definition: Arc<Definition>,
    /// Where it stands.
    pub(crate) path: PathBuf,
    /// The principal under whom it runs by itself, if it has a schedule.
    pub(crate) runs_as: Option<String>,
    /// Whether its steps may start MCP servers.
    pub(crate) has_commands: bool,
}

/// The agents that flows are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flows {
    /// Of a file each.
    pub(crate) files: BTreeMap<AgentName, FlowConfig>,
    /// The one that runs flows which come in messages, if there is to be one.
    pub(crate) of_messages: Option<AgentName>,
}

impl Flows {
    /// All their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &AgentName> {
        self.files.keys().chain(&self.of_messages)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.of_messages.is_none()
    }
}

/// Reads the flows of a file, and their own files.
pub(crate) fn read<'n>(
    reader: &mut Reader<'_>,
    fields: &MapSettings<'_>,
    agents: impl Iterator<Item = &'n AgentName>,
) -> Flows {
    let Some(node) = fields.get("flows") else { return Flows::default() };
    let agents: Vec<&str> = agents.map(AgentName::as_str).collect();
    let mut flows = Flows::default();
    for (key, node) in reader.entries(node, "flows") {
        let name = match AgentName::parse(&key.text) {
            Ok(name) if agents.contains(&name.as_str()) => {
                reader.fault_with_hint(
                    key.at,
                    format!("there is an agent {name} already"),
                    "call the flow something else",
                );
                None
            }
            Ok(name) => Some(name),
            Err(error) => {
                reader.fault_with_hint(key.at, error.to_string(), "a name has lower-case letters, digits, - and _");
                None
            }
        };
        let flow = read_flow(reader, node, &key.text);
        match (name, flow) {
            (Some(name), Some(Read::File(flow))) => {
                let principals = fields.get("principals").map_or(&[][..], Node::entries);
                let flow = with_principal(reader, key, node, *flow, principals);
                flows.files.insert(name, flow);
            }
            (Some(name), Some(Read::OfMessages)) => match &flows.of_messages {
                None => flows.of_messages = Some(name),
                Some(first) => {
                    let hint = "one agent runs all flows that come in messages: take this one out";
                    reader.fault_with_hint(key.at, format!("{first} runs the flows of messages already"), hint);
                }
            },
            (None, _) | (_, None) => {}
        }
    }
    flows
}

/// What one entry is.
enum Read {
    File(Box<FlowConfig>),
    OfMessages,
}

fn read_flow(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Read> {
    let what = format!("flow {name}");
    let (file, secrets, has_commands) = if node.is_map() {
        let fields = reader.fields(node, &what, &FLOW_KEYS);
        if let Some(from) = fields.get("from") {
            let word = reader.word(from, "from")?;
            if word != "messages" {
                let hint = "write from: messages, for flows that callers send as data";
                reader.fault_with_hint(from.at, format!("flows cannot come from {word:?}"), hint);
                return None;
            }
            return Some(Read::OfMessages);
        }
        let Some(file) = fields.get("file") else {
            reader.fault_with_hint(
                fields.at,
                format!("{what} has no file"),
                "say where it stands: file: ./flows/x.yaml",
            );
            return None;
        };
        let mut secrets = BTreeMap::new();
        if let Some(node) = fields.get("secrets") {
            for (key, node) in reader.entries(node, "secrets") {
                let value = reader.text(node, &format!("secret {}", key.text));
                secrets.extend(value.map(|value| (key.text.clone(), serde_json::Value::from(value))));
            }
        }
        let allowed = |text: &str| match text {
            "allowed" => Some(true),
            "off" | "false" => Some(false),
            _ => None,
        };
        let has_commands = fields.get("commands").and_then(|node| reader.parsed(node, "commands", allowed));
        (file, secrets, has_commands.unwrap_or_default())
    } else {
        (node, BTreeMap::new(), false)
    };
    let path = reader.source().folder.join(reader.text(file, "file")?);
    match load(path, secrets) {
        Ok(flow) => {
            for name in flow.definition.secrets.iter().filter(|name| !flow.flow.secrets.contains_key(*name)) {
                let known: Vec<&str> = flow.flow.secrets.keys().map(String::as_str).collect();
                let hint = match nearest(name, &known) {
                    Some(known) => format!("there is one called {known}"),
                    None => format!("say it: {{ file: …, secrets: {{ {name}: ${{env:NAME}} }} }}"),
                };
                reader.fault_with_hint(file.at, format!("{what} reads a secret {name}, which it is not given"), hint);
            }
            let starts = flow.definition.reaches().find(|(_, reach)| matches!(reach, Reach::Command));
            if let Some((task, _)) = starts.filter(|_| !has_commands) {
                let hint = format!("if it may, say so: {name}: {{ file: …, commands: allowed }}");
                let what = format!("step {} of {what} starts an MCP server, and flows start no programs", task.pointer);
                reader.fault_with_hint(file.at, what, hint);
            }
            Some(Read::File(Box::new(FlowConfig { has_commands, ..flow })))
        }
        Err(NoFlow::Unreadable { path, why }) => {
            let hint = "name a file with a flow in it, from the folder of this file";
            reader.fault_with_hint(file.at, format!("{} cannot be read: {why}", path.display()), hint);
            None
        }
        Err(NoFlow::Faulty(findings)) => {
            reader.findings.extend(findings);
            None
        }
    }
}

/// The flow with whom it runs as, which a scheduled one must say.
fn with_principal(
    reader: &mut Reader<'_>,
    key: &Key,
    node: &Node,
    flow: FlowConfig,
    principals: &[(Key, Node)],
) -> FlowConfig {
    let name = &key.text;
    let is_scheduled = flow.definition.schedule.is_some();
    let Some(said) = node.get("as") else {
        if is_scheduled {
            let file = flow.path.display();
            let hint = format!("name one of principals: {name}: {{ file: {file}, as: … }}");
            reader.fault_with_hint(key.at, format!("flow {name} runs by itself, and nothing says as whom"), hint);
        }
        return flow;
    };
    let Some(principal) = reader.text(said, "as") else { return flow };
    let known: Vec<&str> = principals.iter().map(|(key, _)| key.text.as_str()).collect();
    if !known.contains(&principal.as_str()) {
        let hint = match nearest(&principal, &known) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("name his tenant: principals: {{ {principal}: {{ tenant: … }} }}"),
        };
        reader.fault_with_hint(said.at, format!("there is no principal {principal:?}"), hint);
    } else if !is_scheduled {
        let hint = "it runs as whoever asks for it; take as out, or give the flow a schedule".to_owned();
        reader.note(said.at, format!("flow {name} has no schedule, so that nothing runs as {principal}"), Some(hint));
    }
    FlowConfig { runs_as: Some(principal), ..flow }
}

/// Why a file gives no flow.
#[derive(Debug)]
pub(crate) enum NoFlow {
    /// It cannot be read.
    Unreadable { path: PathBuf, why: String },
    /// What is wrong with it.
    Faulty(Vec<Finding>),
}

/// Reads a flow from its file.
pub(crate) fn load(path: PathBuf, secrets: BTreeMap<String, serde_json::Value>) -> Result<FlowConfig, NoFlow> {
    let limits = Limits::default();
    let text = fs::metadata(&path).and_then(|metadata| {
        if metadata.len() > limits.document_bytes as u64 {
            return Err(std::io::Error::other(format!("it has more than {} bytes", limits.document_bytes)));
        }
        fs::read_to_string(&path)
    });
    let text = match text {
        Ok(text) => text,
        Err(error) => return Err(NoFlow::Unreadable { path, why: error.to_string() }),
    };
    let flow = Flow { file: path.display().to_string(), text: text.into(), secrets };
    match FlowAgent::read(&flow, &limits) {
        Ok(definition) => Ok(FlowConfig { flow, definition, path, runs_as: None, has_commands: false }),
        Err(fault) => Err(NoFlow::Faulty(fault.findings.iter().map(Finding::of_flow).collect())),
    }
}

impl Finding {
    /// The same, of a flow.
    pub(crate) fn of_flow(finding: &flow::Finding) -> Self {
        let severity = match finding.severity {
            flow::Severity::Error => Severity::Error,
            flow::Severity::Warning => Severity::Warning,
            flow::Severity::Note => Severity::Note,
        };
        let message = match finding.pointer.as_str() {
            "" => finding.message.clone(),
            pointer => format!("{} ({pointer})", finding.message),
        };
        let excerpt = finding
            .excerpt
            .as_ref()
            .map(|excerpt| Box::new(Excerpt { line: excerpt.text.clone(), column: excerpt.column }));
        Self {
            severity,
            file: finding.file.clone(),
            line: finding.at.line,
            column: finding.at.column,
            message,
            hint: finding.hint.clone(),
            excerpt,
        }
    }
}
