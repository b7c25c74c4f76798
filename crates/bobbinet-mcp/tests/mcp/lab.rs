//! A node in small: an engine on a store in memory, one agent for each scripted server, one caller.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bobbinet_core::{
    AgentName, Caller, Effect, Event, Json, Limits, Message, MessageId, Part, Principal, Role, State, Task, TaskId,
    Tenant,
};
use bobbinet_engine::{Agent, AllowAll, Authorizer, Engine, Env, Handle, NewTask, Reply, Setup, SystemEnv};
use bobbinet_mcp::{FreshEnv, Launcher, McpAgent, McpConfig, ServerAddress, ServerCommand};
use bobbinet_outbound::{Guard, OutboundLimits};
use bobbinet_store::{Cursor, MemoryStore, Scope, Store};
use tempfile::TempDir;

/// The extension by which messages name their skill.
pub(crate) const EXTENSION: &str = "https://example.com/skills";

/// Longer than anything here takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a call may go without a sign of life here.
pub(crate) const IDLE_MS: u64 = 1_500;

pub(crate) struct Lab {
    pub(crate) engine: Engine,
    pub(crate) agents: BTreeMap<String, Arc<McpAgent>>,
    store: Arc<MemoryStore>,
    folder: TempDir,
}

/// The shim of this crate as the launcher.
pub(crate) fn launcher() -> Launcher {
    Launcher {
        program: PathBuf::from(env!("CARGO_BIN_EXE_bobbinet-exec-mcp")),
        args: Vec::new(),
        hidden: Vec::new(),
        own_folders: None,
        fresh_env: FreshEnv::default(),
    }
}

/// Lets everything on this machine be reached.
pub(crate) fn guard() -> Guard {
    Guard::new([], OutboundLimits::default()).unwrap().without_redirects().unwrap().trusting_loopback()
}

/// The program that the server is, to be changed.
pub(crate) fn command(config: &mut McpConfig) -> &mut ServerCommand {
    match &mut config.server {
        ServerAddress::Command(command) => command,
        ServerAddress::Url(server) => panic!("{server:?} is no command"),
    }
}

/// A scripted server with bounds that make a test short. Its tools may run again, but for `echo`.
pub(crate) fn config(mode: &str, notes: &Path) -> McpConfig {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bad_server.py");
    let mut config = McpConfig::new(mode, "python3", &[script, mode, notes.to_str().unwrap()]);
    config.extension_uri = EXTENSION;
    for tool in ["do", "sum", "ask", "ask-odd", "ask-link"] {
        config.effects.insert(tool.to_owned(), Effect::ReadOnly);
    }
    config.limits.idle_ms = IDLE_MS;
    config.limits.start_patience_ms = 10_000;
    config.limits.stop_grace_ms = 300;
    config.limits.restart_first_ms = 20;
    config.limits.list_debounce_ms = 50;
    config.limits.retry_first_ms = 20;
    config
}

pub(crate) fn limits() -> Limits {
    Limits { run_limit_ms: 20_000, ..Limits::default() }
}

impl Lab {
    /// One agent for each mode, named after it.
    pub(crate) async fn new(modes: &[&str]) -> Self {
        Self::with(modes, limits(), |_| {}).await
    }

    pub(crate) async fn with(modes: &[&str], limits: Limits, change: impl Fn(&mut McpConfig)) -> Self {
        Self::on(Arc::new(MemoryStore::new()), tempfile::tempdir().unwrap(), modes, limits, change, Arc::new(AllowAll))
            .await
    }

    /// Calls are made only if this allows them.
    pub(crate) async fn guarded(modes: &[&str], authorizer: Arc<dyn Authorizer>) -> Self {
        Self::on(Arc::new(MemoryStore::new()), tempfile::tempdir().unwrap(), modes, limits(), |_| {}, authorizer).await
    }

    /// The same for agents that are changed.
    pub(crate) async fn guarded_with(
        modes: &[&str],
        change: impl Fn(&mut McpConfig),
        authorizer: Arc<dyn Authorizer>,
    ) -> Self {
        Self::on(Arc::new(MemoryStore::new()), tempfile::tempdir().unwrap(), modes, limits(), change, authorizer).await
    }

    /// On what an earlier node has kept.
    pub(crate) async fn after(store: Arc<MemoryStore>, modes: &[&str]) -> Self {
        Self::on(store, tempfile::tempdir().unwrap(), modes, limits(), |_| {}, Arc::new(AllowAll)).await
    }

    async fn on(
        store: Arc<MemoryStore>,
        folder: TempDir,
        modes: &[&str],
        limits: Limits,
        change: impl Fn(&mut McpConfig),
        authorizer: Arc<dyn Authorizer>,
    ) -> Self {
        let mut agents = BTreeMap::new();
        for mode in modes {
            let notes = folder.path().join(mode);
            fs::create_dir_all(&notes).unwrap();
            let mut config = config(mode, &notes);
            change(&mut config);
            agents.insert((*mode).to_owned(), McpAgent::start(config, launcher(), &guard(), notes.join("agent")));
        }
        let known = agents.iter().map(|(name, agent)| (name_of(name), agent.clone() as Arc<dyn Agent>));
        let setup =
            Setup { store: store.clone(), agents: known.collect(), env: Arc::new(SystemEnv), limits, authorizer };
        let engine = Engine::open(setup).await.unwrap();
        Self { engine, agents, store, folder }
    }

    /// Stops the node and starts it again, on what it has kept.
    pub(crate) async fn restart(self, change: impl Fn(&mut McpConfig)) -> Self {
        let (modes, store) = (self.agents.keys().cloned().collect::<Vec<_>>(), self.store.clone());
        let folder = self.close().await;
        let modes = modes.iter().map(String::as_str).collect::<Vec<_>>();
        Self::on(store, folder, &modes, limits(), change, Arc::new(AllowAll)).await
    }

    /// Waits until every server was listed.
    pub(crate) async fn ready(self) -> Self {
        for agent in self.agents.values() {
            agent.wait_ready(PATIENCE).await.unwrap();
        }
        self
    }

    /// The folder of a server's notes.
    pub(crate) fn notes(&self, mode: &str) -> PathBuf {
        self.folder.path().join(mode)
    }

    pub(crate) fn submit(&self, mode: &str, message: Message) -> Handle {
        self.submit_traced(mode, message, None)
    }

    /// The same for somebody else than usual.
    pub(crate) fn submit_as(&self, who: &str, mode: &str, message: Message) -> Handle {
        let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
        self.engine.submit(&caller_named(who), &name_of(mode), new).unwrap()
    }

    pub(crate) async fn send_as(&self, who: &str, mode: &str, message: Message) -> Arc<Task> {
        settled(&self.submit_as(who, mode, message)).await
    }

    /// What the task's status says, once it says that.
    pub(crate) async fn until_status(&self, mode: &str, id: &TaskId, words: &str) -> Arc<Task> {
        let looking = async {
            loop {
                // It may not be known yet.
                let task = self.engine.get(&caller(), &name_of(mode), id).await;
                let says = |task: &Arc<Task>| task.status_message.as_ref().is_some_and(|it| it.text().contains(words));
                if let Some(task) = task.ok().filter(says) {
                    return task;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never said: {words}"))
    }

    pub(crate) fn submit_traced(&self, mode: &str, message: Message, trace: Option<&str>) -> Handle {
        let new = NewTask { message, context: None, skill: None, trace: trace.map(Arc::from), idempotency: None };
        self.engine.submit(&caller(), &name_of(mode), new).unwrap()
    }

    /// Submits, and waits until the task ends or asks.
    pub(crate) async fn send(&self, mode: &str, message: Message) -> Arc<Task> {
        settled(&self.submit(mode, message)).await
    }

    /// Asks for what a message comes to, and counts the commits of its task.
    pub(crate) async fn commits_of(&self, mode: &str, message: Message) -> usize {
        let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
        let planned = self.engine.plan(&name_of(mode), new).unwrap();
        let task = settled(&self.engine.submit_for_outcome(&caller(), planned).unwrap()).await;
        let tail = self.store.tail(&Scope::default(), Cursor::default(), 10_000).await.unwrap();
        tail.entries.iter().filter(|entry| entry.stream == task.id.stream()).count()
    }

    pub(crate) async fn reply(&self, mode: &str, id: &TaskId, message: Message) -> Arc<Task> {
        // One message after the other has an id of its own: the same id again would be the same answer.
        let id_of_its_own = MessageId::parse(&SystemEnv.uuid().to_string()).unwrap();
        let message = Message { id: id_of_its_own, ..message };
        let answer = Reply { message, context: None, skill: None, idempotency: None };
        let replied = self.engine.reply(&caller(), &name_of(mode), id, answer).await.unwrap();
        settled(&replied).await
    }

    pub(crate) async fn get(&self, mode: &str, id: &TaskId) -> Arc<Task> {
        self.engine.get(&caller(), &name_of(mode), id).await.unwrap()
    }

    /// Everything that was told of a task, until it ends.
    pub(crate) async fn events(&self, mode: &str, handle: &Handle) -> Vec<Event> {
        handle.accepted().await.unwrap();
        let (_, mut follower) = self.engine.follow(&caller(), &name_of(mode), &handle.id()).await.unwrap();
        let mut events = Vec::new();
        while let Some(told) = tokio::time::timeout(PATIENCE, follower.next()).await.unwrap().unwrap() {
            events.push(told.event.clone());
        }
        events
    }

    /// Ends it all; afterwards nothing of any server is alive.
    pub(crate) async fn close(self) -> TempDir {
        self.engine.shutdown(Duration::from_millis(100)).await;
        for agent in self.agents.values() {
            tokio::time::timeout(PATIENCE, agent.shutdown()).await.unwrap();
        }
        self.folder
    }
}

pub(crate) fn name_of(agent: &str) -> AgentName {
    AgentName::parse(agent).unwrap()
}

pub(crate) fn caller() -> Caller {
    caller_named("ann")
}

pub(crate) fn caller_named(who: &str) -> Caller {
    Caller {
        principal: Principal::parse(who).unwrap(),
        tenant: Tenant::parse("main").unwrap(),
        is_node_owner: true,
        scopes: Vec::new(),
        chain: Vec::new(),
        issuer: None,
        claims: None,
    }
}

pub(crate) async fn settled(handle: &Handle) -> Arc<Task> {
    tokio::time::timeout(PATIENCE, handle.settled()).await.expect("a task ends or asks").unwrap()
}

/// A message: of data if it begins with `data:`, else of text.
pub(crate) fn say(part: &str) -> Message {
    let parts = match part.strip_prefix("data:") {
        Some(data) => vec![Part::data(Json::parse(data).unwrap())],
        None => vec![Part::text(part)],
    };
    Message { role: Role::User, ..Message::from_agent(MessageId::parse("m").unwrap(), parts) }
}

/// What there is to see of a task: its state, and its result, or the code and words of why there is none.
pub(crate) fn view(task: &Arc<Task>) -> String {
    let words = task.status_message.as_ref().map(|message| message.text()).unwrap_or_default();
    let code = task
        .status_message
        .as_ref()
        .and_then(|message| message.data().cloned())
        .and_then(|data| data.to_value().get("code").and_then(|code| code.as_str().map(str::to_owned)));
    let result = task.artifacts.iter().flat_map(|artifact| &artifact.parts).map(|part| match part.as_data() {
        Some(data) => data.as_str().to_owned(),
        None => part.as_text().unwrap_or("?").to_owned(),
    });
    let result = result.collect::<Vec<_>>().join(" ");
    let said = if task.state == State::Completed { result } else { code.unwrap_or(words) };
    format!("{}: {said}", task.state.as_str())
}

/// Looks at something again and again until it is so. It need not become so at once, but it must.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never so: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
