//! `call: mcp` of flows as an agent that nobody but flows can call: each request is a task, to a server that is no agent and is known by its
//! address, or by the command that starts it.
//!
//! A server is held for a while after a call, for one caller alone: what it keeps between two calls is nobody else's.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bobbinet_core::{Call, Description, Effect, Fault, Json, Outcome, Plan, SkillId, Task, TaskId};
use bobbinet_engine::{Agent, Request, Run, watched};
use bobbinet_outbound::Guard;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    agent::McpAgent,
    call,
    call_listener::Target,
    config::{McpConfig, PinPolicy, ProtocolEra, ServerAddress, ServerCommand, ServerUrl},
    digest::hex,
    json_object::JsonObject,
    list_call::{self, Asking},
    plan_message, prompts, resources,
    server_feature::ServerFeature,
    transport::stdio::{FreshEnv, Launcher},
};

/// Calls of one node that are on their way at the same time.
const CALLS_MAX: usize = 64;

/// Servers that are held at the same time.
const SERVERS_MAX: usize = 16;

/// How long one is held after its last call.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How often it is looked for those whose time is up.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How often a server may fail to start for a call, which is not made then.
const STARTS_MAX: usize = 3;

/// Knows how calls of flows authenticate.
#[async_trait]
pub trait ServerCredentials: Send + Sync {
    /// What authenticates this call of a flow's run, as the DSL writes it.
    async fn of(&self, flow: TaskId, call: u64) -> Option<Arc<Value>>;
}

/// Calls MCP servers for flows.
pub struct McpCallAgent {
    held: Arc<HeldServers>,
    credentials: Arc<dyn ServerCredentials>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// A request as it stands in the message that its task begins with. How it authenticates does not.
#[derive(Debug, Deserialize)]
struct McpRequest {
    method: String,
    uri: Option<String>,
    #[serde(default)]
    with: With,
    authenticated: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct With {
    parameters: Option<Json>,
    headers: BTreeMap<String, Value>,
    stdio: Option<Stdio>,
    protocol_version: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Stdio {
    command: String,
    #[serde(default)]
    arguments: Vec<Value>,
    #[serde(default)]
    environment: BTreeMap<String, Value>,
}

impl McpCallAgent {
    /// One whose requests go out through `guard`, which must follow no redirect, and whose servers are started by `launcher`; without one
    /// none is. What it keeps is in `folder`. Must be called within a runtime.
    pub fn new(
        guard: Guard,
        launcher: Option<Launcher>,
        credentials: Arc<dyn ServerCredentials>,
        folder: PathBuf,
    ) -> Arc<Self> {
        let held =
            Arc::new(HeldServers { guard, launcher, folder, begun: AtomicU64::new(0), servers: Mutex::default() });
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        tracker.spawn(watched("MCP servers of flows", held.clone().keep(stop.clone())));
        tracker.close();
        Arc::new(Self { held, credentials, tracker, stop })
    }

    async fn call(&self, run: &Run, request: McpRequest) -> Result<Outcome, Fault> {
        let config = self.config(run, &request).await?;
        let server = self.held.get(run.task(), config).await?;
        let params = request.with.parameters.unwrap_or_else(|| JsonObject::default().to_json());
        let fields = JsonObject::read(&params).ok_or_else(|| bad("parameters is no map"))?;
        let name = || fields.text("name").ok_or_else(|| bad("parameters say no name"));
        let arguments = || fields.get("arguments").cloned().unwrap_or_else(|| JsonObject::default().to_json());
        let (feature, skill, arguments) = match request.method.as_str() {
            "tools/call" => (ServerFeature::Tool, name()?, arguments()),
            "prompts/get" => (ServerFeature::Prompt, format!("{}{}", prompts::PREFIX, name()?), arguments()),
            "resources/read" => (ServerFeature::Resource, resources::READ.to_owned(), params.clone()),
            "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" => {
                return Ok(list_call::ask(server.sessions(), run, Asking { method: &request.method, params }).await);
            }
            method => return Err(bad(&format!("{method:?} is not asked of MCP servers"))),
        };
        let tool = SkillId::parse(&skill).map_err(|error| bad(&error.to_string()))?;
        let target = Target { feature, tool, arguments };
        Ok(call::carry_out_whole(server.sessions(), run, target).await)
    }

    /// The server that a request is to.
    async fn config(&self, run: &Run, request: &McpRequest) -> Result<McpConfig, Fault> {
        let With { headers, stdio, protocol_version, .. } = &request.with;
        let address = match (&request.uri, stdio) {
            (Some(uri), _) => {
                let url = uri.parse::<Url>().map_err(|error| bad(&format!("{uri:?} is no address: {error}")))?;
                self.held.guard.http(&url).map_err(|refused| Fault::new("denied", refused.to_string()))?;
                let mut all = BTreeMap::new();
                for (name, value) in headers {
                    all.insert(name.to_ascii_lowercase(), text_of(value));
                }
                if let Some(call) = request.authenticated {
                    all.insert("authorization".to_owned(), self.authorization(run, call).await?);
                }
                ServerAddress::Url(ServerUrl { headers: all, ..ServerUrl::new(url) })
            }
            (None, Some(Stdio { command, arguments, environment })) => ServerAddress::Command(ServerCommand {
                command: command.clone(),
                args: arguments.iter().map(text_of).collect(),
                env: environment.iter().map(|(name, value)| (name.clone(), text_of(value))).collect(),
                ..ServerCommand::default()
            }),
            (None, None) => return Err(bad("no server is named")),
        };
        let mut config = McpConfig::of("call-mcp", address);
        config.era = match protocol_version.as_deref() {
            None => ProtocolEra::Auto,
            Some(version) if version >= "2026-07-28" => ProtocolEra::Modern,
            Some(_) => ProtocolEra::Legacy,
        };
        // Nobody chooses by what such a server says of its tools: the flow names them.
        config.pin = PinPolicy::Off;
        config.cache.is_on = false;
        config.limits.deaths_max = STARTS_MAX;
        Ok(config)
    }

    async fn authorization(&self, run: &Run, call: u64) -> Result<String, Fault> {
        let unfit = |why: &str| Fault::new("server-unauthorized", why);
        let known = match run.task().parent.as_ref().map(|parent| parent.task) {
            Some(flow) => self.credentials.of(flow, call).await,
            None => None,
        };
        let known = known.ok_or_else(|| unfit("the flow that knows how to authenticate is not there"))?;
        let word = |scheme: &Value, name: &str| scheme.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(bearer) = known.get("bearer") {
            let token = word(bearer, "token").ok_or_else(|| unfit("a bearer authentication has a token"))?;
            return Ok(format!("Bearer {token}"));
        }
        if let Some(basic) = known.get("basic") {
            let user = word(basic, "username").ok_or_else(|| unfit("a basic authentication has a username"))?;
            let pair = format!("{user}:{}", word(basic, "password").unwrap_or_default());
            return Ok(format!("Basic {}", STANDARD.encode(pair)));
        }
        Err(unfit("only basic and bearer authentications are made here"))
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn bad(why: &str) -> Fault {
    Fault::new("bad-arguments", format!("this is no call of an MCP server: {why}"))
}

/// The servers that were called not long ago.
struct HeldServers {
    guard: Guard,
    launcher: Option<Launcher>,
    folder: PathBuf,
    /// How many servers were begun. Each has a folder of its own, so that one that ends takes nothing of the next.
    begun: AtomicU64,
    servers: Mutex<BTreeMap<String, HeldServer>>,
}

struct HeldServer {
    /// In use while anybody else has it too.
    agent: Arc<McpAgent>,
    folder: PathBuf,
    used: Instant,
}

impl HeldServer {
    fn is_free(&self) -> bool {
        Arc::strong_count(&self.agent) == 1
    }

    /// Ends it, and takes away what it kept.
    async fn end(self) {
        self.agent.shutdown().await;
        let folder = self.folder;
        // What is left of it is taken away with the agents' folder.
        let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
    }
}

impl HeldServers {
    fn servers(&self) -> MutexGuard<'_, BTreeMap<String, HeldServer>> {
        self.servers.lock().expect("nobody panics while holding a few servers")
    }

    /// The server for this task's caller; it is begun if there is none.
    async fn get(&self, task: &Task, config: McpConfig) -> Result<Arc<McpAgent>, Fault> {
        let launcher = match (&config.server, &self.launcher) {
            (ServerAddress::Url(_), launcher) => launcher.clone().unwrap_or_else(no_launcher),
            (ServerAddress::Command(_), Some(launcher)) => launcher.clone(),
            (ServerAddress::Command(_), None) => {
                return Err(Fault::new("denied", "this node starts no MCP servers for flows"));
            }
        };
        let (ended, begun) = self.place(key(task, &config), config, launcher);
        if let Some(ended) = ended {
            ended.end().await;
        }
        begun
    }

    /// The one that there is; or makes room, and begins a server there. Under one lock, so that two who come at once have one.
    fn place(
        &self,
        key: String,
        config: McpConfig,
        launcher: Launcher,
    ) -> (Option<HeldServer>, Result<Arc<McpAgent>, Fault>) {
        let mut servers = self.servers();
        if let Some(held) = servers.get_mut(&key) {
            held.used = Instant::now();
            return (None, Ok(held.agent.clone()));
        }
        let mut ended = None;
        if servers.len() >= SERVERS_MAX {
            let free = servers.iter().filter(|(_, held)| held.is_free());
            let Some(oldest) = free.min_by_key(|(_, held)| held.used).map(|(key, _)| key.clone()) else {
                let text =
                    format!("flows call {SERVERS_MAX} MCP servers at this moment, and no more are called at a time");
                return (None, Err(Fault::new("server-unavailable", text)));
            };
            ended = servers.remove(&oldest);
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(format!("{key}-{number}"));
        let agent = McpAgent::start(config, launcher, &self.guard, folder.clone());
        servers.insert(key, HeldServer { agent: agent.clone(), folder, used: Instant::now() });
        (ended, Ok(agent))
    }

    /// Ends those whose time is up, and in the end all.
    async fn keep(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let is_over = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let ended = {
                let mut servers = self.servers();
                let idle = |held: &HeldServer| is_over || (held.is_free() && held.used.elapsed() > IDLE_MAX);
                let keys =
                    servers.iter().filter(|(_, held)| idle(held)).map(|(key, _)| key.clone()).collect::<Vec<_>>();
                keys.iter().filter_map(|key| servers.remove(key)).collect::<Vec<_>>()
            };
            for held in ended {
                held.end().await;
            }
            if is_over {
                return;
            }
        }
    }
}

/// Who calls what, as a hash: secrets are part of it.
fn key(task: &Task, config: &McpConfig) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    add(task.tenant.as_str());
    add(task.owner.as_str());
    add(&format!("{:?}", config.era));
    let pairs = match &config.server {
        ServerAddress::Command(ServerCommand { command, args, env, .. }) => {
            // How many there are, so that no argument is taken for a variable.
            add(&args.len().to_string());
            std::iter::once(command).chain(args).for_each(|word| add(word));
            env
        }
        ServerAddress::Url(ServerUrl { url, headers, .. }) => {
            add(url.as_str());
            headers
        }
    };
    for (name, value) in pairs {
        add(name);
        add(value);
    }
    hex(&hash.finalize()[..16])
}

/// For a server that is not started.
fn no_launcher() -> Launcher {
    Launcher {
        program: PathBuf::new(),
        args: Vec::new(),
        hidden: Vec::new(),
        own_folders: None,
        fresh_env: FreshEnv::default(),
    }
}

#[async_trait]
impl Agent for McpCallAgent {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        if request.question().is_some() {
            // Nothing of a server has to be known for an answer.
            return plan_message::plan(&McpConfig::new("call-mcp", "", &[]), None, request);
        }
        let data = request.message.data();
        let Some(read) = data.and_then(|data| data.read::<McpRequest>().ok()) else {
            return Plan::Reject(bad("its words cannot be read"));
        };
        let effect = if read.method == "tools/call" { Effect::AtMostOnce } else { Effect::ReadOnly };
        let call = Call { skill: request.skill.cloned(), arguments: data.cloned(), converted: Vec::new(), effect };
        Plan::Call(Arc::new(call))
    }

    fn max_concurrency(&self) -> usize {
        CALLS_MAX
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn is_internal(&self) -> bool {
        true
    }

    async fn run(&self, run: Run) -> Outcome {
        let request = run.call().arguments.as_ref().and_then(|arguments| arguments.read::<McpRequest>().ok());
        let Some(request) = request else { return Outcome::Rejected(bad("its words cannot be read")) };
        self.call(&run, request).await.unwrap_or_else(Outcome::Failed)
    }

    async fn shutdown(&self) {
        self.stop.cancel();
        self.tracker.wait().await;
    }
}

/// One that is dropped takes its servers with it, though nobody waits for that.
impl Drop for McpCallAgent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for McpCallAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpCallAgent").finish_non_exhaustive()
    }
}
