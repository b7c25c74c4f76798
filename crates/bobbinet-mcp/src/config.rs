//! What is to be known of a server before it is started.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use bobbinet_core::{AgentName, Effect};
use bobbinet_engine::CallLog;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    cache_config::CacheConfig, login_desk::LoginDesk, process_limits::ProcessLimits, server_auth::ServerAuth,
    sharing::Sharing,
};

/// One MCP server, and how it is to be presented.
#[derive(Clone, Debug)]
pub struct McpConfig {
    /// The agent's name, for descriptions and messages.
    pub name: String,
    /// Where the server is, and how it is reached.
    pub server: ServerAddress,
    /// Where the same server is beside that, if it is in several places.
    pub replicas: Vec<ServerAddress>,
    /// What callers share of it.
    pub share: Sharing,
    /// Which results are kept for others who ask for the same.
    pub cache: CacheConfig,
    /// Which generation of the protocol it is spoken to in.
    pub era: ProtocolEra,
    /// What becomes of a tool of which its server says something else than when it was first seen.
    pub pin: PinPolicy,
    /// When its server is started.
    pub start: StartPolicy,
    /// What it means to run each tool twice, by the operator's word.
    pub effects: BTreeMap<String, Effect>,
    /// Where calls of single tools have a key in their arguments, as a JSON pointer (RFC 6901): under one key a caller's call is made once.
    pub idempotency: BTreeMap<String, String>,
    /// Whether the server's own hints count for tools that `effects` does not name.
    pub trust_hints: bool,
    /// Tools known to ask their user: each runs alone.
    pub interactive: Vec<String>,
    /// Tools that are declared never to ask: their calls run beside all others.
    pub silent: Vec<String>,
    /// Whether none but those of `interactive` are declared to ask: then all others count as `silent`.
    pub is_silent: bool,
    /// Whether the server keeps nothing between two calls, in memory or in files: only then may several of its processes
    /// serve calls at the same time.
    pub stateless: bool,
    /// The folders and files that the server is told to work with, if it asks (`roots/list`). It is guidance, and keeps it from nothing.
    pub roots: Vec<PathBuf>,
    /// Who says what the server wants a language model to say (`sampling/createMessage`). If nobody does, that is not offered to it.
    pub sampling: Option<Sampling>,
    /// Who is called where the server cannot be: an agent with the same tools.
    pub fallback: Option<AgentName>,
    /// What the server may ask of the client of whoever has made a call, if that client has declared it.
    pub lends: CallerLends,
    /// The agent's name for people, instead of the server's.
    pub title: Option<String>,
    /// What the agent is for, instead of the server's instructions.
    pub description: Option<String>,
    /// The version, instead of the server's. A hash of the tools is added to it all the same.
    pub version: Option<String>,
    /// Where to read more.
    pub documentation_url: Option<String>,
    /// Who provides it, and their site.
    pub provider: Option<(String, String)>,
    /// What to say of single skills.
    pub skills: BTreeMap<String, SkillNotes>,
    /// How long calls of single tools may go without a word of the server, instead of `limits.idle_ms`.
    pub timeouts: BTreeMap<String, Duration>,
    /// How many calls the server takes at a time; further ones wait in line. All its other bounds are in `limits`.
    pub max_concurrency: usize,
    /// The URI of the extension by which a message names its skill.
    pub extension_uri: &'static str,
    /// What it may take of us: time, memory, restarts.
    pub limits: McpLimits,
    /// Where those listen who wait for a call and want to hear what the server says for a log meanwhile.
    pub call_log: Arc<CallLog>,
    /// Where logins come back, and what agents share of them. One for all agents of a node.
    pub logins: Arc<LoginDesk>,
}

impl McpConfig {
    /// How many calls a server takes at a time, if nobody says otherwise.
    pub const MAX_CONCURRENCY: usize = 8;

    /// A server of which only the command is known.
    pub fn new(name: &str, command: &str, args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let command = ServerCommand { command: command.to_owned(), args, ..ServerCommand::default() };
        Self::of(name, ServerAddress::Command(command))
    }

    /// A server of which only the address is known.
    pub fn of(name: &str, server: ServerAddress) -> Self {
        Self {
            name: name.to_owned(),
            server,
            replicas: Vec::new(),
            share: Sharing::default(),
            cache: CacheConfig::default(),
            era: ProtocolEra::Auto,
            pin: PinPolicy::Ask,
            start: StartPolicy::WithNode,
            effects: BTreeMap::new(),
            idempotency: BTreeMap::new(),
            trust_hints: false,
            interactive: Vec::new(),
            silent: Vec::new(),
            is_silent: false,
            stateless: false,
            roots: Vec::new(),
            sampling: None,
            fallback: None,
            lends: CallerLends::default(),
            title: None,
            description: None,
            version: None,
            documentation_url: None,
            provider: None,
            skills: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            max_concurrency: Self::MAX_CONCURRENCY,
            extension_uri: "",
            limits: McpLimits::default(),
            call_log: Arc::default(),
            logins: Arc::default(),
        }
    }

    /// How long a call of this tool may go without a word of the server.
    pub(crate) fn idle(&self, tool: &str) -> Duration {
        self.timeouts.get(tool).copied().unwrap_or(Duration::from_millis(self.limits.idle_ms))
    }
}

/// What a server may ask of the client of whoever has made a call. Nothing, unless the operator says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallerLends {
    /// To have its model say something (`sampling/createMessage`).
    pub sampling: bool,
    /// To list its folders and files (`roots/list`).
    pub roots: bool,
}

impl CallerLends {
    pub(crate) fn is_anything(self) -> bool {
        self.sampling || self.roots
    }
}

/// Who says what a server wants a language model to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// An agent that takes `{prompt, system?, maxTokens?}`, as every model of the configuration does.
    pub agent: AgentName,
}

/// Where a server is, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// A program that we start, and speak to over its pipes (stdio).
    Command(ServerCommand),
    /// A program that runs elsewhere, and is spoken to over HTTP.
    Url(ServerUrl),
}

impl ServerAddress {
    /// What tells it from other servers: of another, what was learned of this one is not true. Without secrets.
    pub(crate) fn words(&self) -> Vec<String> {
        match self {
            Self::Command(command) => std::iter::once(&command.command).chain(&command.args).cloned().collect(),
            Self::Url(ServerUrl { url, .. }) => {
                let hash = Sha256::digest(format!("{}{}", url.origin().ascii_serialization(), url.path()));
                vec![hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()]
            }
        }
    }
}

/// A server that is started by us.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServerCommand {
    /// The server's program, looked up in the `PATH` that the server gets.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables that it gets beside those that every server gets (`PATH`, proxies, locale …).
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub cwd: WorkFolder,
    /// Whether it is kept from seeing this node's keys and store.
    pub isolation: Isolation,
    /// What its processes may take of the machine.
    pub rlimits: ProcessLimits,
}

/// Names variables, never their values: those are secrets as often as not.
impl fmt::Debug for ServerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, args, env, cwd, isolation, rlimits } = self;
        let mut shown = f.debug_struct("ServerCommand");
        shown.field("command", command).field("args", args).field("env", &env.keys());
        shown.field("cwd", cwd).field("isolation", isolation).field("rlimits", rlimits).finish()
    }
}

/// Where a server runs, and so what its command's words are relative to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WorkFolder {
    /// In our own working directory.
    #[default]
    Ours,
    /// In this one.
    At(PathBuf),
    /// In one of its own, which is kept, and which no other server sees ([`crate::Launcher::own_folders`]).
    Own,
}

/// A server that is reached by its URL.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Its MCP endpoint.
    pub url: Url,
    /// What goes with every request to it, credentials among it.
    pub headers: BTreeMap<String, String>,
    /// The token that goes with every request, if it is got by this node.
    pub auth: Option<ServerAuth>,
    /// Over which of MCP's two HTTP transports.
    pub transport: HttpTransportKind,
}

impl ServerUrl {
    /// A server of which only the URL is known.
    pub fn new(url: Url) -> Self {
        Self { url, headers: BTreeMap::new(), auth: None, transport: HttpTransportKind::Auto }
    }

    /// Where it is, for people: its origin alone. The rest of such a URL is a secret as often as not.
    pub fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// Names headers, never their values.
impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ServerUrl");
        shown
            .field("url", &self.shown())
            .field("headers", &self.headers.keys())
            .field("auth", &self.auth)
            .field("transport", &self.transport)
            .finish()
    }
}

/// Which of MCP's HTTP transports a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpTransportKind {
    /// Streamable HTTP, and HTTP+SSE where that is refused in the way that the specification names.
    #[default]
    Auto,
    /// Streamable HTTP (from 2025-03-26 on).
    Streamable,
    /// HTTP+SSE (2024-11-05) first: one stream for all that the server says, and an address of its own to post to.
    Sse,
}

/// Which generation of MCP a server is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtocolEra {
    /// The server is asked first.
    #[default]
    Auto,
    /// 2026-07-28: no handshake, every request stands alone.
    Modern,
    /// Up to 2025-11-25: `initialize` first. Some servers that speak both can ask their user only in this one.
    Legacy,
}

/// What becomes of a tool of which its server says something else than when it was first seen: another description, other schemas, other
/// hints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinPolicy {
    /// It is withheld until the node's owner has answered the question that shows the difference.
    #[default]
    Ask,
    /// The log says so, and what is said now counts from then on.
    Warn,
    /// Nothing: what its server says is taken, and not remembered.
    Off,
}

/// When a server is started, where its tools are known from before; one whose tools nobody has seen is started with the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartPolicy {
    /// With the node, and it stays.
    #[default]
    WithNode,
    /// With the first call; it is ended when nobody has called it for `session_idle`, and what it kept in memory is gone.
    OnDemand,
}

/// Whether a server is kept from seeing what is the node's own: its keys, its store, what it keeps of its agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Where the system permits it; where not, the log says so.
    #[default]
    Auto,
    /// A server that cannot be kept from it is not started.
    Required,
    /// Not: for a server that needs rights which isolation takes, or that is to work on the node's own folder.
    Off,
}

/// What to say of one skill beside what the server says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkillNotes {
    /// A name for people, instead of the tool's title.
    pub name: Option<String>,
    /// What it does, instead of the tool's description.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Messages that it answers.
    pub examples: Vec<String>,
}

/// The bounds of a server. Times are in milliseconds. How many calls it takes at a time is [`McpConfig::max_concurrency`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct McpLimits {
    /// Bytes of one line of the server: one message. A longer one is dropped, and its call ended.
    pub line_bytes_max: usize,
    /// Lines that are no message, one after the other, before the server is ended.
    pub junk_lines_max: u64,
    /// Bytes that are no message, one after the other, before the server is ended.
    pub junk_bytes_max: u64,
    /// How deep a result may be nested. Readers on the way stop at 128, and a task is some levels around it.
    pub depth_max: usize,
    /// Requests of the server that wait for our answer.
    pub server_requests_max: usize,
    /// Pages of a tool listing.
    pub list_pages_max: usize,
    /// Tools of a listing.
    pub list_tools_max: usize,
    /// Resources of a listing, and as many templates of such.
    pub list_resources_max: usize,
    /// Prompts of a listing.
    pub list_prompts_max: usize,
    /// Bytes of a listing.
    pub list_bytes_max: usize,
    /// Bytes of one tool's schema; arguments are not checked against a larger one.
    pub schema_bytes_max: usize,
    /// Bytes of a result that stay in its task. What is more goes by reference: the task has a preview of it, and the URL to fetch it by.
    pub result_inline_max: usize,
    /// Bytes of an upload that a tool is given as an argument.
    pub argument_bytes_max: usize,
    /// How long a server that is starting may go without a sign of life: something that it writes, processor time that it
    /// uses, a process that it starts. Also how long it may take to list its tools.
    pub start_patience_ms: u64,
    /// How long a start may take at all, and how long a call waits for a server to be ready.
    pub start_limit_ms: u64,
    /// How long a call may go without a word of the server: a result, progress or a question.
    pub idle_ms: u64,
    /// How often one call may have a language model say something.
    pub samples_max: usize,
    /// Tokens of what it says, each time.
    pub sample_tokens_max: u64,
    /// Bytes of what it is told, each time, and of what a caller's client answers.
    pub sample_bytes_max: usize,
    /// How long a server is asked to keep a task of its own and its result, from its beginning (2025-11-25): our node may be away for a while,
    /// and its caller may take days to answer.
    pub task_ttl_ms: u64,
    /// How long a server has to end after its input was closed, and again after it was told to.
    pub stop_grace_ms: u64,
    /// The pause before the first restart; each further one doubles it.
    pub restart_first_ms: u64,
    /// The longest pause before a restart.
    pub restart_max_ms: u64,
    /// So many deaths within `deaths_within_ms` and the server is left alone for `rest_ms`. Deaths under a call that is
    /// known for them do not count.
    pub deaths_max: usize,
    /// The time in which `deaths_max` deaths are too many.
    pub deaths_within_ms: u64,
    /// How long a server that dies too often is left alone before one more attempt.
    pub rest_ms: u64,
    /// How long calls wait for a server that is left alone, counted from when it was last up: tasks stay submitted. After
    /// that they fail at once, until it is up again.
    pub rest_wait_ms: u64,
    /// How often a call that may run again is made, the first time counted, where its server lives and answers that it cannot.
    pub tries_max: u32,
    /// The pause before it is made again; each further one doubles it. Up to half of it is left out, by chance.
    pub retry_first_ms: u64,
    /// The longest such pause.
    pub retry_max_ms: u64,
    /// How many calls are made again at the most, of a hundred of the agent's.
    pub retry_percent: u64,
    /// How long a question is held open once a call of another caller has to wait for its answer.
    pub hold_for_others_ms: u64,
    /// How long a listing must have been out of date before it is read again.
    pub list_debounce_ms: u64,
    /// The shortest time for which a list is good whose server says for how long it is, and not when it changes: then it is read again if the
    /// server was called since.
    pub list_fresh_min_ms: u64,
    /// How long after an abandoned call a question may still be its own, so that nobody else is asked it.
    pub ghost_ms: u64,
    /// Calls that wait for others to be over, where they run one at a time. One more is refused.
    pub lane_queue_max: usize,
    /// Results that are kept for later calls.
    pub cache_entries_max: usize,
    /// Bytes of them. One that is more than the sixteenth part of that is not kept.
    pub cache_bytes_max: usize,
    /// Sessions at a time that not all callers share. Each is a process that takes some 50 to 130 MB.
    pub sessions_max: usize,
    /// How long such a session is kept without a call.
    pub session_idle_ms: u64,
    /// How long such a session is kept at all. One in use ends after its last call.
    pub session_life_ms: u64,
}

impl Default for McpLimits {
    fn default() -> Self {
        Self {
            line_bytes_max: 32 << 20,
            junk_lines_max: 10_000,
            junk_bytes_max: 32 << 20,
            depth_max: 100,
            server_requests_max: 64,
            list_pages_max: 50,
            list_tools_max: 1_000,
            list_resources_max: 1_000,
            list_prompts_max: 1_000,
            list_bytes_max: 4 << 20,
            schema_bytes_max: 256 << 10,
            result_inline_max: 1 << 20,
            argument_bytes_max: 32 << 20,
            start_patience_ms: 60_000,
            // A first start through a package runner, over a slow line.
            start_limit_ms: 15 * 60 * 1_000,
            // Durable work takes minutes, and most servers say nothing meanwhile.
            idle_ms: 60 * 60 * 1_000,
            samples_max: 10,
            sample_tokens_max: 4_096,
            sample_bytes_max: 256 << 10,
            task_ttl_ms: 7 * 24 * 60 * 60 * 1_000,
            stop_grace_ms: 2_000,
            restart_first_ms: 200,
            restart_max_ms: 30_000,
            deaths_max: 5,
            deaths_within_ms: 60_000,
            rest_ms: 30_000,
            // Whoever calls is told at once, and may call another.
            rest_wait_ms: 0,
            tries_max: 5,
            retry_first_ms: 1_000,
            retry_max_ms: 30_000,
            retry_percent: 20,
            hold_for_others_ms: 60_000,
            list_debounce_ms: 250,
            list_fresh_min_ms: 60_000,
            ghost_ms: 60_000,
            lane_queue_max: 1_000,
            cache_entries_max: 1_000,
            cache_bytes_max: 16 << 20,
            sessions_max: 16,
            session_idle_ms: 15 * 60 * 1_000,
            session_life_ms: 8 * 60 * 60 * 1_000,
        }
    }
}

impl McpLimits {
    pub(crate) fn start_patience(&self) -> Duration {
        Duration::from_millis(self.start_patience_ms)
    }

    pub(crate) fn start_limit(&self) -> Duration {
        Duration::from_millis(self.start_limit_ms)
    }

    pub(crate) fn restart_first(&self) -> Duration {
        Duration::from_millis(self.restart_first_ms)
    }

    pub(crate) fn stop_grace(&self) -> Duration {
        Duration::from_millis(self.stop_grace_ms)
    }
}
