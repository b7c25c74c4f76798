//! One agent's settings, in whichever file they stand: how its server is started, and what is said of its tools.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bobbinet_core::{Effect, agent::EXTENSION_URI};
use bobbinet_mcp::{
    CacheConfig, CallerLends, HttpTransportKind, Isolation, McpConfig, McpLimits, PinPolicy, ProcessLimits,
    ProtocolEra, Sampling, ServerAddress, ServerAuth, ServerCommand, ServerUrl, Sharing, SkillNotes, StartPolicy,
    WorkFolder, WriteSharing,
};
use bobbinet_outbound::Origin;
use bobbinet_text::nearest;
use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};

use super::{
    cards::{self, Card},
    env_file,
    fallback::{self, FallbackSettings},
    finding::{Finding, Severity, Source},
    limits::Bounds,
    reader::{MapSettings, Reader},
    sampling::{self, SamplingSettings},
    server_auth, server_bounds, share,
    tree::{Node, Value},
};

/// What `cwd` is of a server that runs in a folder of its own; one that is called so is `./own`.
const OWN_FOLDER: &str = "own";

/// The settings of an agent beside how its server is started.
pub(crate) const AGENT_KEYS: [&str; 23] = [
    "use",
    "title",
    "description",
    "trust_hints",
    "effects",
    "idempotency",
    "fallback",
    "interactive",
    "stateless",
    "slots",
    "share",
    "cache",
    "era",
    "isolation",
    "rlimits",
    "pin",
    "start",
    "roots",
    "sampling",
    "mesh",
    "timeout",
    "timeouts",
    "limits",
];

/// Who a server is that calls other agents.
pub(crate) fn mesh_subject(agent: &str) -> String {
    format!("agent:{agent}")
}

/// Where an agent's server is.
#[derive(Clone)]
pub(crate) enum ServerConfig {
    /// It is started by us.
    Command(CommandConfig),
    /// It runs elsewhere.
    Url(Box<ServerUrl>),
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self::Command(CommandConfig::default())
    }
}

/// How a server is started.
#[derive(Clone, Default)]
pub(crate) struct CommandConfig {
    /// The program and its arguments. Empty if nobody said any, which has been told.
    pub(crate) words: Vec<String>,
    /// Variables beside the few that every server gets.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it runs, as far as that is known before it does: else the folder of its configuration.
    pub(crate) cwd: PathBuf,
    /// Whether it runs in a folder of its own.
    pub(crate) has_own_folder: bool,
}

impl CommandConfig {
    /// In a folder that is named, or in one of its own.
    pub(crate) fn new(words: Vec<String>, env: BTreeMap<String, String>, cwd: Option<&str>, folder: &Path) -> Self {
        let has_own_folder = cwd == Some(OWN_FOLDER);
        let cwd = cwd.filter(|_| !has_own_folder).map_or_else(|| folder.to_owned(), |cwd| folder.join(cwd));
        Self { words, env, cwd, has_own_folder }
    }

    /// Where it runs, for people.
    pub(crate) fn place_words(&self) -> String {
        match self.has_own_folder {
            true => "runs in a folder of its own".to_owned(),
            false => format!("runs in {}", self.cwd.display()),
        }
    }
}

/// One MCP server that becomes an agent.
#[derive(Clone, Default)]
pub(crate) struct AgentConfig {
    pub(crate) server: ServerConfig,
    /// Where the same server is beside that, if it is called.
    pub(crate) other_urls: Vec<Url>,
    /// How many processes of it there are, if it is started, if that was said.
    pub(crate) replicas: Option<usize>,
    /// What callers share of it.
    pub(crate) share: Sharing,
    /// What is known of it.
    pub(crate) card: Option<Card>,
    /// Its name for people.
    pub(crate) title: Option<String>,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// Whether the server's own hints count.
    pub(crate) trust_hints: bool,
    /// Whether its server gets the mesh's address and a token, and so may call what a line of the policy lets it.
    pub(crate) calls_mesh: bool,
    /// What running a tool twice means, by the operator's word: above the card's.
    pub(crate) effects: BTreeMap<String, Effect>,
    /// Where calls of single tools have a key in their arguments, as JSON pointers.
    pub(crate) idempotency: BTreeMap<String, String>,
    /// Who is called where its server cannot be.
    pub(crate) fallback: Option<FallbackSettings>,
    /// Tools that ask their user; an empty list says that none does.
    pub(crate) interactive: Option<Vec<String>>,
    /// Whether the server keeps nothing between two calls, so that several of its processes can serve them.
    pub(crate) stateless: Option<bool>,
    /// How many calls it takes at a time.
    pub(crate) slots: Option<usize>,
    /// Which generation of the protocol it is spoken to in.
    pub(crate) era: ProtocolEra,
    /// Whether it is kept from seeing the node's keys and store.
    pub(crate) isolation: Isolation,
    /// What its processes may take of the machine, if it is started.
    pub(crate) rlimits: ProcessLimits,
    /// Which of its results are kept.
    pub(crate) cache: CacheConfig,
    /// What becomes of a tool of which its server says something else than when it was first seen.
    pub(crate) pin: PinPolicy,
    /// When its server is started.
    pub(crate) start: StartPolicy,
    /// The folders and files that it is told to work with.
    pub(crate) roots: Vec<PathBuf>,
    /// Who says what it wants a language model to say.
    pub(crate) sampling: Option<SamplingSettings>,
    pub(crate) lends: CallerLends,
    /// How long calls of single tools may go without a word of the server.
    pub(crate) timeouts: BTreeMap<String, Duration>,
    /// The bounds of its server: how long it may take, and how much it may say.
    pub(crate) limits: McpLimits,
}

/// Names variables, never their values: those are secrets as often as not.
impl fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AgentConfig");
        match &self.server {
            ServerConfig::Command(CommandConfig { words, env, cwd, .. }) => {
                shown.field("command", words).field("env", &env.keys()).field("cwd", cwd)
            }
            ServerConfig::Url(server) => shown.field("server", server),
        };
        shown.finish_non_exhaustive()
    }
}

impl AgentConfig {
    /// How its server is started, if it is.
    pub(crate) fn command(&self) -> Option<&CommandConfig> {
        match &self.server {
            ServerConfig::Command(command) => Some(command),
            ServerConfig::Url(_) => None,
        }
    }

    /// Where its server is, if that is elsewhere, and who gives out tokens for it, as it was written.
    pub(crate) fn origins(&self) -> Vec<Origin> {
        match &self.server {
            ServerConfig::Command(_) => Vec::new(),
            ServerConfig::Url(server) => {
                let authority = server.auth.as_ref().and_then(ServerAuth::authority_url);
                let urls =
                    [Some(server.url.clone()), authority].into_iter().flatten().chain(self.other_urls.iter().cloned());
                urls.filter_map(|url| Origin::of(&url).ok()).collect()
            }
        }
    }

    /// The file that holds what its server is shown, if one does.
    pub(crate) fn secret_file(&self) -> Option<&Path> {
        match &self.server {
            ServerConfig::Command(_) => None,
            ServerConfig::Url(server) => server.auth.as_ref().and_then(ServerAuth::secret_file),
        }
    }

    /// Whether its server keeps nothing between two calls: by the operator's word, or its card's.
    pub(crate) fn keeps_nothing(&self) -> bool {
        self.stateless.unwrap_or(self.card.as_ref().is_some_and(|card| card.stateless))
    }

    /// Which of its calls that may change something run at the same time.
    pub(crate) fn write_sharing(&self) -> &WriteSharing {
        self.share.effective_writes(self.keeps_nothing())
    }

    /// In how many places its server is.
    pub(crate) fn replica_count(&self) -> usize {
        match &self.server {
            ServerConfig::Command(_) => self.replicas.unwrap_or(1),
            ServerConfig::Url(_) => 1 + self.other_urls.len(),
        }
    }

    /// Takes the shipped card of what it starts, if nothing else is said of its tools as a whole, and says so.
    pub(crate) fn take_known_card(&mut self, name: &str, file: &str) -> Option<Finding> {
        if self.card.is_some() || self.trust_hints {
            return None;
        }
        let card = cards::of_command(&self.command()?.words)?;
        self.card = cards::shipped(card);
        let message = format!("agent {name} goes by the card {card}, which knows its tools");
        Some(Finding::about(Severity::Note, file, message).hint("say `use: none` if it is another server"))
    }

    /// The same for the crate that runs the server.
    pub(crate) fn into_mcp(self, name: &str) -> McpConfig {
        let (stateless, copies) = (self.keeps_nothing(), self.replica_count());
        let Self { server, other_urls, share, card, title, description, trust_hints, effects, .. } = self;
        let Self {
            slots, cache, era, isolation, rlimits, pin, start, roots, sampling, lends, timeouts, limits, ..
        } = self;
        let Self { idempotency, fallback, .. } = self;
        let card = card.unwrap_or_default();
        // Whoever names those that ask says of all others that they do not.
        let is_silent = self.interactive.is_some() || card.interactive == Some(false);
        let server = match server {
            ServerConfig::Command(CommandConfig { words, env, cwd, has_own_folder }) => {
                let mut words = words.into_iter();
                let command = words.next().unwrap_or_default();
                let cwd = if has_own_folder { WorkFolder::Own } else { WorkFolder::At(cwd) };
                let args = words.collect();
                ServerAddress::Command(ServerCommand { command, args, env, cwd, isolation, rlimits })
            }
            ServerConfig::Url(server) => ServerAddress::Url(*server),
        };
        let replicas = match &server {
            ServerAddress::Command(_) => vec![server.clone(); copies - 1],
            ServerAddress::Url(first) => {
                let other = |url| ServerAddress::Url(ServerUrl { url, ..first.clone() });
                other_urls.into_iter().map(other).collect()
            }
        };
        let mut all_effects: BTreeMap<String, Effect> = BTreeMap::new();
        let mut skills = BTreeMap::new();
        let mut interactive = self.interactive.unwrap_or_default();
        let mut silent = Vec::new();
        let mut all_timeouts = BTreeMap::new();
        for (tool, skill) in card.skills {
            match skill.interactive {
                Some(true) => interactive.push(tool.clone()),
                Some(false) => silent.push(tool.clone()),
                None => {}
            }
            all_effects.insert(tool.clone(), skill.effect.unwrap_or_default());
            all_timeouts.extend(skill.timeout.map(|timeout| (tool.clone(), timeout)));
            let tags = card.tags.iter().cloned().chain(skill.tags).collect();
            let notes = SkillNotes { name: skill.name, description: skill.description, tags, examples: skill.examples };
            skills.insert(tool, notes);
        }
        all_effects.extend(effects);
        all_timeouts.extend(timeouts);
        McpConfig {
            replicas,
            share,
            cache,
            era,
            pin,
            start,
            roots,
            lends,
            sampling: sampling.and_then(|it| it.agent().cloned()).map(|agent| Sampling { agent }),
            effects: all_effects,
            idempotency,
            fallback: fallback.map(|it| it.agent),
            trust_hints,
            interactive,
            silent,
            is_silent,
            stateless,
            title: title.or(card.name),
            description: description.or(card.description),
            skills,
            timeouts: all_timeouts,
            max_concurrency: slots.unwrap_or(McpConfig::MAX_CONCURRENCY),
            extension_uri: EXTENSION_URI,
            limits,
            ..McpConfig::of(name, server)
        }
    }
}

/// A server that is started, whatever else is said.
pub(crate) fn server_of_command(reader: &mut Reader<'_>, fields: &MapSettings<'_>, env_file_key: &str) -> ServerConfig {
    ServerConfig::Command(server_command(reader, fields, env_file_key))
}

/// A server that is called at this URL.
pub(crate) fn server_of_url(
    reader: &mut Reader<'_>,
    fields: &MapSettings<'_>,
    url: &Node,
    transport: HttpTransportKind,
) -> ServerConfig {
    let (headers, has_secret) = fields.get("headers").map(|node| headers(reader, node)).unwrap_or_default();
    let Some(parsed) = server_url(reader, url) else { return ServerConfig::default() };
    if has_secret {
        server_auth::warn_of_plain(reader, url, "a header with a secret", &parsed);
    }
    ServerConfig::Url(Box::new(ServerUrl { headers, transport, ..ServerUrl::new(parsed) }))
}

/// An address that a server can be called at.
pub(crate) fn server_url(reader: &mut Reader<'_>, url: &Node) -> Option<Url> {
    let text = reader.text(url, "url")?;
    // What it comes to may be a secret: what is told of it is how it was written.
    let written = url.as_written().unwrap_or_default().split('?').next().unwrap_or_default();
    let fault = match text.parse::<Url>() {
        Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => "it is neither http nor https".to_owned(),
        Ok(parsed) => match Origin::of(&parsed) {
            Ok(_) => return Some(parsed),
            Err(refused) => refused.to_string(),
        },
        Err(error) => error.to_string(),
    };
    let hint = "for example url: https://mcp.example.com/mcp";
    reader.fault_with_hint(url.at, format!("{written:?} cannot be called: {fault}"), hint);
    None
}

/// How the server is shown who calls, if these settings say that.
pub(crate) fn server_auth(reader: &mut Reader<'_>, fields: &MapSettings<'_>, config: &mut AgentConfig) {
    let Some((key, node)) = fields.entry("auth") else { return };
    match &mut config.server {
        ServerConfig::Url(server) if server.headers.contains_key("authorization") => {
            let what = "the header \"authorization\" and auth are one too many";
            reader.fault_with_hint(key.at, what, "say one or the other");
        }
        ServerConfig::Url(server) => server.auth = server_auth::read(reader, node, &server.url),
        ServerConfig::Command(_) => {}
    }
}

/// What goes with every request to a server, and whether some of it is secret.
fn headers(reader: &mut Reader<'_>, node: &Node) -> (BTreeMap<String, String>, bool) {
    let (mut headers, mut has_secret) = (BTreeMap::new(), false);
    for (key, node) in reader.entries(node, "headers") {
        let Some(value) = reader.word(node, "a header") else { continue };
        let name = key.text.to_ascii_lowercase();
        if OUR_HEADERS.contains(&name.as_str()) {
            reader.fault(key.at, format!("the header {:?} is the transport's own", key.text));
        } else if HeaderName::try_from(&name).is_err() {
            reader.fault(key.at, format!("{:?} is no name of a header", key.text));
        } else if HeaderValue::try_from(&value).is_err() {
            reader.fault(
                node.at,
                format!("the value of the header {:?} cannot be sent: it has a line break or the like", key.text),
            );
        } else {
            has_secret |= server_auth::is_secret(&name, node.as_written().unwrap_or_default());
            headers.insert(name, value);
        }
    }
    (headers, has_secret)
}

/// Headers that say what our messages are.
const OUR_HEADERS: [&str; 8] = [
    "accept",
    "content-type",
    "content-length",
    "host",
    "connection",
    "mcp-session-id",
    "mcp-protocol-version",
    "last-event-id",
];

/// How the server is started. Without a command that could work there is none; what else is said is read all the same,
/// so that every mistake is found at once.
fn server_command(reader: &mut Reader<'_>, fields: &MapSettings<'_>, env_file_key: &str) -> CommandConfig {
    let folder = reader.source().folder.clone();
    let mut command = match fields.get("command") {
        Some(node) => command_words(reader, node),
        None => {
            // One that is nearly there has been told.
            if !fields.has_near("command") {
                let hint =
                    r#"for example command: ["npx", "-y", "@scope/server"], or url: https://mcp.example.com/mcp"#;
                reader.fault_with_hint(fields.at, "there is no command and no url", hint);
            }
            Vec::new()
        }
    };
    if let Some(node) = fields.get("args") {
        command.extend(reader.words(node, "args"));
    }
    let mut env = BTreeMap::new();
    if let Some(node) = fields.get(env_file_key) {
        env.extend(read_env_file(reader, node));
    }
    if let Some(node) = fields.get("env") {
        for (key, node) in reader.entries(node, "env") {
            // Nothing is an empty variable, as in a shell.
            let value = if node.is_null() { Some(String::new()) } else { reader.word(node, "a variable") };
            env.extend(value.map(|value| (key.text.clone(), value)));
        }
    }
    let cwd = fields.get("cwd").and_then(|node| reader.text(node, "cwd"));
    CommandConfig::new(command, env, cwd.as_deref(), &folder)
}

fn command_words(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let words = match &node.value {
        Value::Text(_) => reader.text(node, "command").into_iter().collect(),
        Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
            reader.words(node, "command")
        }
    };
    match words.first().map(String::as_str) {
        Some(program) if words.len() == 1 && program.contains(' ') && !std::path::Path::new(program).exists() => {
            // As it was written: a variable in it may be a secret.
            let program = node.as_written().unwrap_or("the command");
            let parts: Vec<String> = program.split_whitespace().map(|word| format!("{word:?}")).collect();
            let hint = format!("no shell splits it: write command: [{}]", parts.join(", "));
            reader.fault_with_hint(node.at, format!("{program:?} is one word with a space in it"), hint);
            return Vec::new();
        }
        Some("") => reader.fault(node.at, "the command's first word is empty"),
        // A word that cannot be read has been told.
        None if !reader.has_fault_at_or_after(node.at) => reader.fault(node.at, "command has no words"),
        Some(_) | None => {}
    }
    words
}

fn read_env_file(reader: &mut Reader<'_>, node: &Node) -> Vec<(String, String)> {
    let Some(path) = reader.text(node, "the file of variables") else { return Vec::new() };
    let path = reader.source().folder.join(path);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            reader.fault(node.at, format!("reading {}: {error}", path.display()));
            return Vec::new();
        }
    };
    env_file::parse(&text).unwrap_or_else(|fault| {
        reader.fault(node.at, format!("{}:{}: {}", path.display(), fault.line, fault.message));
        Vec::new()
    })
}

/// What is said of the agent.
pub(crate) fn settings(reader: &mut Reader<'_>, fields: &MapSettings<'_>, config: &mut AgentConfig) {
    config.card = fields.get("use").and_then(|node| card(reader, node));
    config.title = fields.get("title").and_then(|node| reader.text(node, "title"));
    config.description = fields.get("description").and_then(|node| reader.text(node, "description"));
    let trust_hints = fields.get("trust_hints").and_then(|node| reader.flag(node, "trust_hints"));
    config.trust_hints = trust_hints.unwrap_or_default();
    if let Some(node) = fields.get("mesh") {
        config.calls_mesh = reader.flag(node, "mesh").unwrap_or_default();
        if config.calls_mesh && matches!(config.server, ServerConfig::Url(_)) {
            let hint =
                "a server elsewhere is given a token by its own operator: see `principals` and `bobbinet key create`";
            reader.fault_with_hint(node.at, "mesh is for servers that this node starts", hint);
        }
    }
    if let Some(node) = fields.get("effects") {
        for (key, node) in reader.entries(node, "effects") {
            config.effects.extend(cards::effect(reader, node).map(|effect| (key.text.clone(), effect)));
        }
    }
    config.idempotency = fields.get("idempotency").map(|node| idempotency(reader, node)).unwrap_or_default();
    config.fallback = fields.get("fallback").and_then(|node| fallback::read(reader, node));
    config.interactive = fields.get("interactive").map(|node| reader.words(node, "interactive"));
    config.stateless = fields.get("stateless").and_then(|node| reader.flag(node, "stateless"));
    let positive = |text: &str| text.parse().ok().filter(|slots| *slots > 0);
    config.slots = fields.get("slots").and_then(|node| reader.parsed(node, "slots", positive));
    config.share = fields.get("share").map(|node| share::read(reader, node)).unwrap_or_default();
    let era = |text: &str| serde_json::from_value(serde_json::Value::from(text)).ok();
    config.era = fields.get("era").and_then(|node| reader.parsed(node, "era", era)).unwrap_or_default();
    let isolation = |text: &str| serde_json::from_value(serde_json::Value::from(text)).ok();
    config.isolation =
        fields.get("isolation").and_then(|node| reader.parsed(node, "isolation", isolation)).unwrap_or_default();
    config.rlimits = fields.get("rlimits").map(|node| server_bounds::rlimits(reader, node)).unwrap_or_default();
    config.cache = fields.get("cache").map(|node| server_bounds::cache(reader, node)).unwrap_or_default();
    let pin = |text: &str| serde_json::from_value(serde_json::Value::from(text)).ok();
    config.pin = fields.get("pin").and_then(|node| reader.parsed(node, "pin", pin)).unwrap_or_default();
    let start = |text: &str| serde_json::from_value(serde_json::Value::from(text)).ok();
    config.start = fields.get("start").and_then(|node| reader.parsed(node, "start", start)).unwrap_or_default();
    config.lends.roots = fields.get("roots").is_some_and(sampling::is_of_caller);
    if let Some(node) = fields.get("roots").filter(|node| !sampling::is_of_caller(node)) {
        let folder = reader.source().folder.clone();
        config.roots = reader.words(node, "roots").into_iter().map(|path| folder.join(path)).collect();
    }
    config.lends.sampling = fields.get("sampling").is_some_and(sampling::is_of_caller);
    let sampling = fields.get("sampling").filter(|node| !sampling::is_of_caller(node));
    config.sampling = sampling.and_then(|node| sampling::read(reader, node));
    if let Some(node) = fields.get("timeouts") {
        for (key, node) in reader.entries(node, "timeouts") {
            config.timeouts.extend(cards::timeout(reader, node).map(|timeout| (key.text.clone(), timeout)));
        }
    }
    if let Some(node) = fields.get("limits") {
        let mut bounds = Bounds::of(&config.limits);
        let known: Vec<String> = bounds.names().into_iter().map(str::to_owned).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let entries = reader.fields(node, "limits", &known);
        for name in &known {
            if let Some(node) = entries.get(name) {
                bounds.take(reader, name, node);
            }
        }
        config.limits = bounds.into_limits();
    }
    if let Some(timeout) = fields.get("timeout").and_then(|node| cards::timeout(reader, node)) {
        config.limits.idle_ms = whole_millis(timeout);
    }
}

/// Where calls of each tool have their key.
fn idempotency(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, String> {
    let mut pointers = BTreeMap::new();
    for (key, node) in reader.entries(node, "idempotency") {
        match reader.text(node, "idempotency") {
            Some(pointer) if pointer.starts_with('/') => {
                pointers.insert(key.text.clone(), pointer);
            }
            Some(pointer) => {
                let hint = "for example idempotency: { create_order: /orderId } names an argument of the tool, as a JSON pointer";
                reader.fault_with_hint(node.at, format!("{pointer:?} is no JSON pointer: it begins with /"), hint);
            }
            None => {}
        }
    }
    pointers
}

/// A time as the bounds have it.
pub(crate) fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The card that `use` names: a shipped one by its word, any other by its file.
fn card(reader: &mut Reader<'_>, node: &Node) -> Option<Card> {
    let text = reader.text(node, "use")?;
    match find_card(&text, reader.source()) {
        Ok(card) => Some(card),
        Err(NoCard::Unknown { hint }) => {
            reader.fault_with_hint(node.at, format!("there is no card {text:?}"), hint);
            None
        }
        Err(NoCard::Faults(findings)) => {
            reader.findings.extend(findings);
            None
        }
    }
}

/// Why there is no card.
pub(crate) enum NoCard {
    /// Nothing goes by that name.
    Unknown { hint: String },
    /// Its file has faults.
    Faults(Vec<Finding>),
}

/// The card of this name, or of this file.
pub(crate) fn find_card(text: &str, source: &Source) -> Result<Card, NoCard> {
    if text == cards::NONE {
        return Ok(Card::default());
    }
    let is_file = text.contains('/') || text.ends_with(".yaml") || text.ends_with(".yml");
    if is_file {
        let path = source.folder.join(text);
        let content = fs::read_to_string(&path)
            .map_err(|error| NoCard::Unknown { hint: format!("reading {}: {error}", path.display()) })?;
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        let source = Source { name: path.display().to_string(), text: content, folder };
        return cards::read(&source).map_err(NoCard::Faults);
    }
    cards::shipped(text).ok_or_else(|| NoCard::Unknown {
        hint: match nearest(text, &cards::names()) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("there is {}; or name a file, such as ./{text}.yaml", cards::names().join(", ")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_and_what_keeps_nothing_is_the_operators_word_before_the_cards() {
        let of = |interactive: Option<&[&str]>, card: &str| {
            let words = interactive.map(|words| words.iter().map(|&word| word.to_owned()).collect());
            let card = cards::shipped(card).map(|card| Card { stateless: true, ..card });
            let config = AgentConfig { interactive: words, card, ..AgentConfig::default() }.into_mcp("a");
            (config.is_silent, config.interactive, config.stateless)
        };
        let asks = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(of(None, ""), (false, asks(&[]), false), "nothing is known");
        assert_eq!(of(Some(&[]), ""), (true, asks(&[]), false), "none asks");
        assert_eq!(of(Some(&["t"]), ""), (true, asks(&["t"]), false), "the others do not");
        assert_eq!(of(None, "filesystem"), (true, asks(&[]), true));
        assert_eq!(of(Some(&["t"]), "filesystem"), (true, asks(&["t"]), true));
        assert_eq!(of(None, "everything"), (false, asks(&["trigger-elicitation-request"]), true));
        let config = AgentConfig { stateless: Some(false), card: cards::shipped("memory"), ..AgentConfig::default() };
        assert!(!config.into_mcp("a").stateless);
    }

    #[test]
    fn roots_are_paths_from_the_folder_of_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bobbinet.yaml");
        std::fs::write(&file, "agents: { a: { mcp: { command: [ls] }, roots: [docs, /srv] } }\n").unwrap();
        let read = crate::config::read(&file, crate::config::Strictness::Strict);
        assert!(!read.findings.iter().any(|finding| finding.is_error()), "{:?}", read.findings);
        let (name, config) = read.config.agents.into_iter().next().unwrap();
        assert_eq!(config.into_mcp(name.as_str()).roots, [folder.path().join("docs"), PathBuf::from("/srv")]);
    }

    /// How long calls of `read`, `write` and any other tool may go without a word, as these files say it.
    fn patience(file: &str, text: &str, card: &str) -> [Duration; 3] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), text).unwrap();
        std::fs::write(folder.path().join("card.yaml"), card).unwrap();
        let read = crate::config::read(&folder.path().join(file), crate::config::Strictness::Strict);
        let faults = read.findings.iter().filter(|finding| finding.is_error()).collect::<Vec<_>>();
        assert!(faults.is_empty(), "{text}: {faults:?}");
        let (name, config) = read.config.agents.into_iter().next().unwrap();
        let config = config.into_mcp(name.as_str());
        ["read", "write", "other"]
            .map(|tool| config.timeouts.get(tool).copied().unwrap_or(Duration::from_millis(config.limits.idle_ms)))
    }

    #[test]
    fn a_call_may_take_as_long_as_the_operator_says_of_it() {
        let minutes = |minutes: [u64; 3]| minutes.map(|minutes| Duration::from_secs(60 * minutes));
        let card = "name: A card\nskills: { read: { timeout: 2m }, write: { timeout: 3m } }\n";
        let node = |settings: &str| format!("agents: {{ a: {{ mcp: {{ command: [ls] }}, {settings} }} }}\n");
        let check = |settings: &str, expected| {
            assert_eq!(patience("bobbinet.yaml", &node(settings), card), minutes(expected), "{settings}");
        };
        check("slots: 1", [60, 60, 60]);
        check("timeout: 5m", [5, 5, 5]);
        check("timeout: 5m, timeouts: { write: 7m }", [5, 7, 5]);
        check("use: ./card.yaml", [2, 3, 60]);
        check("use: ./card.yaml, timeout: 5m, timeouts: { write: 7m }", [2, 7, 5]);
        // A host's file says it in milliseconds, and some hosts in seconds.
        let host = r#"{ "mcpServers": { "a": { "command": "ls", "timeout": 120000 } } }"#;
        assert_eq!(patience("mcp.json", host, card), minutes([2, 2, 2]));
    }
}
