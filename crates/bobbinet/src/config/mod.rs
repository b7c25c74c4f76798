//! What a node is to run: read from a `bobbinet.yaml` or an `mcp.json`, with the place of every mistake.

mod agent;
mod callers;
mod cards;
mod check;
pub(crate) mod env_file;
mod excerpt;
mod fallback;
mod finding;
mod flows;
mod import;
mod jsonc;
mod limits;
mod mcp_file;
mod models;
mod node_file;
mod peers;
mod policy_cases;
mod reader;
mod sampling;
mod server_auth;
mod server_bounds;
mod share;
mod share_check;
mod tls;
mod tree;
mod typed_server;
mod variables;
mod yaml;

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use bobbinet_core::{AgentName, Limits};
use bobbinet_gateway::GatewayLimits;
use bobbinet_http::{CardForm, HttpLimits};
use bobbinet_mcp_server::names::Naming;
use bobbinet_outbound::Origin;
use bobbinet_store::blobs::BlobLimits;
use ipnet::IpNet;

pub(crate) use agent::{AgentConfig, CommandConfig, NoCard, ServerConfig, find_card, mesh_subject, whole_millis};
pub(crate) use callers::{ApiKeysConfig, CallersConfig};
pub(crate) use cards::{Card, CardSkill};
pub(crate) use check::{check, program};
pub(crate) use finding::{Finding, Severity, Source};
pub(crate) use flows::{
    A2A_AGENT, FlowConfig, Flows, HTTP_AGENT, INTERNAL_AGENTS, MCP_AGENT, NoFlow, PUBLIC_A2A_AGENT, PUBLIC_HTTP_AGENT,
    PUBLIC_MCP_AGENT, load as load_flow,
};
pub(crate) use import::Import;
pub(crate) use mcp_file::Strictness;
pub(crate) use models::ModelSettings;
pub(crate) use node_file::{parse_address, parse_network};
pub(crate) use peers::{AuthSettings, ClientSettings, NodePeer, PeerSettings, peer_url};
pub(crate) use policy_cases::{CaseCaller, Expectation, PolicyCase, PolicyCases, read as read_policy_cases};

pub(crate) use share_check::words as share_words;
pub(crate) use tls::TlsSettings;
pub(crate) use typed_server::read_typed;

use reader::Reader;
use variables::Variables;

/// Where a node listens if nobody says otherwise.
pub(crate) const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7420);

/// Where a node keeps its data if nobody says otherwise: below the working directory.
pub(crate) const DATA: &str = "bobbinet-data";

/// How long a node in a pod goes on taking work after it was told to stop: so long the news takes to get around.
pub(crate) const PRE_STOP_DELAY_IN_POD: Duration = Duration::from_secs(3);

/// What a file with callers alone may say.
const CALLERS_KEYS: [&str; 4] = ["principals", "trust", "api_keys", "policy"];

/// Files that are taken if none is named, the first that is there.
const DEFAULT_FILES: [&str; 5] = ["bobbinet.yaml", "bobbinet.yml", "mcp.json", ".mcp.json", ".vscode/mcp.json"];

/// Bytes of a configuration; a larger file is something else. Claude Code keeps a history of megabytes beside its servers.
const FILE_LENGTH_MAX: u64 = 16 << 20;

/// A node and its agents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) node: NodeConfig,
    pub(crate) agents: BTreeMap<AgentName, AgentConfig>,
    /// Agents that are somewhere else.
    pub(crate) remotes: BTreeMap<AgentName, PeerSettings>,
    /// Language models.
    pub(crate) models: BTreeMap<AgentName, ModelSettings>,
    /// Nodes all of whose agents are agents of this one.
    pub(crate) peers: Vec<NodePeer>,
    pub(crate) callers: CallersConfig,
    /// Flows that are agents too.
    pub(crate) flows: Flows,
    /// Whether an agent that cannot be started is no reason not to start the others.
    pub(crate) is_lenient: bool,
}

/// The settings of a node, whatever agents it has.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Where it keeps its data.
    pub(crate) data: PathBuf,
    /// What its connections begin with.
    pub(crate) tls: TlsSettings,
    /// What callers know it by, if that is not its address.
    pub(crate) public_url: Option<String>,
    /// What others know its tokens by, if they are to know them.
    pub(crate) issuer: Option<String>,
    /// Proxies before it, which stand for many callers each.
    pub(crate) proxies: Vec<IpNet>,
    /// Origins whose pages may call its agents from a browser.
    pub(crate) cors: Vec<String>,
    /// Bounds of tasks.
    pub(crate) limits: Limits,
    /// Bounds of what callers may have at work.
    pub(crate) gateway: GatewayLimits,
    /// Bounds of what is kept beside the log.
    pub(crate) blobs: BlobLimits,
    /// Bounds of HTTP.
    pub(crate) http: HttpLimits,
    /// How long it goes on taking work after it has said that it is not ready, so that those who route to it can turn away.
    pub(crate) pre_stop_delay: Duration,
    /// How long runs may take to come to their end when it stops.
    pub(crate) grace: Duration,
    /// Where traces go, if anywhere.
    pub(crate) otlp: Option<String>,
    /// Whether a request must say that it speaks A2A 1.x.
    pub(crate) is_version_required: bool,
    /// Which card is shown to those who do not say which version of A2A they speak.
    pub(crate) card: CardForm,
    /// Whether A2A is spoken over gRPC, too. Its address on a card is a host and a port, which some clients take for a URL that is
    /// none of the node's, and then refuse the whole card.
    pub(crate) has_grpc: bool,
    /// Whether the agents are an MCP server at `/mcp`, too. Who may call them elsewhere may there, and nobody else.
    pub(crate) has_mcp: bool,
    /// What the tools of that server are called.
    pub(crate) mcp_naming: Naming,
    /// How long a blocking send waits at most.
    pub(crate) wait_max: Option<Duration>,
    /// Receivers of webhooks that may be anywhere, also inside.
    pub(crate) webhooks: Vec<Origin>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            data: PathBuf::from(DATA),
            tls: TlsSettings::Unsaid,
            public_url: None,
            issuer: None,
            proxies: Vec::new(),
            cors: Vec::new(),
            limits: Limits::default(),
            gateway: GatewayLimits::default(),
            // By then all runs have ended or were stopped, and there is nothing left to wait for.
            blobs: BlobLimits::default(),
            http: HttpLimits { drain_ms: 1_000, ..HttpLimits::default() },
            // Nobody routes to a node on a laptop. In a pod it is 3 s.
            pre_stop_delay: Duration::ZERO,
            grace: Duration::from_secs(25),
            otlp: None,
            is_version_required: true,
            card: CardForm::default(),
            has_grpc: false,
            has_mcp: true,
            mcp_naming: Naming::default(),
            wait_max: None,
            webhooks: Vec::new(),
        }
    }
}

/// What came of reading a file.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What it says, as far as it can be read.
    pub(crate) config: Config,
    /// What is to be said of it.
    pub(crate) findings: Vec<Finding>,
}

/// The file to read if none is named.
pub(crate) fn default_file() -> Option<PathBuf> {
    DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// The names of [`default_file`]'s candidates, for a hint.
pub(crate) fn default_files() -> String {
    DEFAULT_FILES.join(", ")
}

/// Reads a configuration file and all that it refers to.
pub(crate) fn read(path: &Path, strictness: Strictness) -> Reading {
    let name = path.display().to_string();
    match read_text(path) {
        Ok(text) => {
            let source = Source { name, text, folder: workspace(path) };
            read_source(&source, std::env::vars().collect(), strictness)
        }
        Err(error) => {
            let finding = Finding::about(Severity::Error, &name, format!("cannot be read: {error}"));
            let hint = format!("name a file; without one it is the first there is of {}", default_files());
            Reading { config: Config::default(), findings: vec![finding.hint(hint)] }
        }
    }
}

/// Reads a file that says who may call this agent, and nothing else.
pub(crate) fn read_callers(path: &Path, agent: &AgentName) -> (CallersConfig, Vec<Finding>) {
    let hint = "name a file with trust, principals and policy, as a bobbinet.yaml has them";
    let (source, root) = match open(path, hint) {
        Ok(opened) => opened,
        Err(finding) => return (CallersConfig::default(), vec![*finding]),
    };
    let variables = variables(&source, &root);
    let mut reader = Reader::new(&source, &variables);
    let fields = reader.fields(&root, "a file of callers", &CALLERS_KEYS);
    let usual = GatewayLimits::default();
    let config = callers::read(&mut reader, &fields, None, &usual, callers::Agents::These(std::slice::from_ref(agent)));
    (config, reader.findings)
}

/// Reads of a configuration who may call, and what the node calls itself. The rest need not be right, nor its variables set: a policy is
/// tried out on other machines than the node's.
pub(crate) fn read_policy(path: &Path) -> (CallersConfig, Option<String>, Vec<Finding>) {
    let (source, root) = match open(path, "name a bobbinet.yaml, or a file of callers") {
        Ok(opened) => opened,
        Err(finding) => return (CallersConfig::default(), None, vec![*finding]),
    };
    let variables = variables(&source, &root);
    let mut reader = Reader::new(&source, &variables);
    let fields = reader.fields(&root, "the file", &node_file::ROOT_KEYS);
    let issuer = root.get("node").and_then(|node| node.get("issuer")).and_then(|node| reader.text(node, "issuer"));
    let usual = GatewayLimits::default();
    let config = callers::read(&mut reader, &fields, issuer.as_deref(), &usual, callers::Agents::AndOthers);
    (config, issuer, reader.findings)
}

/// A file's text, and what is in it.
fn open(path: &Path, hint: &str) -> Result<(Source, tree::Node), Box<Finding>> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| {
        Box::new(Finding::about(Severity::Error, &name, format!("cannot be read: {error}")).hint(hint))
    })?;
    let source = Source { name, text, folder: workspace(path) };
    let root = yaml::parse(&source)?;
    Ok((source, root))
}

fn variables(source: &Source, root: &tree::Node) -> Variables {
    Variables {
        environment: std::env::vars().collect(),
        workspace: source.folder.clone(),
        home: std::env::home_dir(),
        inputs: mcp_file::inputs(root),
        is_foreign: false,
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let length = fs::metadata(path)?.len();
    if length > FILE_LENGTH_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_LENGTH_MAX} bytes")));
    }
    fs::read_to_string(path)
}

/// Folders that belong to a program, in the folder that they are about.
const EDITORS: [&str; 14] = [
    ".vscode",
    ".vs",
    ".cursor",
    ".idea",
    ".roo",
    ".gemini",
    ".zed",
    ".windsurf",
    ".kiro",
    ".claude",
    ".junie",
    ".continue",
    ".trae",
    ".amazonq",
];

/// The folder that a file's relative paths start from: its own, or, for a file in an editor's folder, the one around that.
fn workspace(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let is_editors = |folder: &&Path| folder.file_name().is_some_and(|name| EDITORS.iter().any(|it| name == *it));
    // `.vscode/mcp.json`, and `.kiro/settings/mcp.json`.
    let editors = folder.ancestors().take(2).find(is_editors);
    editors.and_then(Path::parent).unwrap_or(folder).to_owned()
}

/// Reads a file's text. What begins with `{` or `[` is JSON with comments, anything else is YAML.
pub(crate) fn read_source(source: &Source, environment: BTreeMap<String, String>, strictness: Strictness) -> Reading {
    let is_json = source.text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[', '/']);
    let tree = if is_json { jsonc::parse(source) } else { yaml::parse(source) };
    let root = match tree {
        Ok(root) => root,
        Err(finding) => return Reading { config: Config::default(), findings: vec![finding] },
    };
    let is_foreign = if is_json { mcp_file::is_one(&root) } else { mcp_file::is_certainly_one(&root) };
    let variables = Variables {
        environment,
        workspace: source.folder.clone(),
        home: std::env::home_dir(),
        inputs: mcp_file::inputs(&root),
        is_foreign,
    };
    let mut reader = Reader::new(source, &variables);
    let mut config = match is_foreign {
        true => mcp_file::read(&mut reader, &root, strictness),
        false => node_file::read(&mut reader, &root),
    };
    sampling::settle(&mut reader, &mut config);
    fallback::settle(&mut reader, &config);
    let mut findings = reader.findings;
    findings.sort_by_key(|finding| (finding.line, finding.column));
    let found = config.agents.iter_mut().filter_map(|(name, agent)| agent.take_known_card(name.as_str(), &source.name));
    findings.extend(found);
    Reading { config, findings }
}
