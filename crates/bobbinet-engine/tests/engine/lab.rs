//! Engines that come and go on one store, and those who call them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Caller, Description, Effect, Fault, Json, Limits, Message, MessageId,
    Outcome, Part, Plan, Principal, Question, QuestionKind, Role, State, StreamId, Task, TaskId, Tenant, Timestamp,
};
use bobbinet_engine::{
    Agent, AllowAll, Engine, EngineError, Env, Handle, NewChild, NewTask, Reply, Request, Run, Setup,
};
use bobbinet_store::{
    Cell, Census, Commit, CommitError, Cursor, Key, Listing, Loaded, MemoryStore, Page, Query, Scope, Store,
    StoreError, Summary, Tail, Version,
};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::counter::Counter;

/// When the tests' clock begins.
const BEGINNING: u64 = 1_795_258_800_000;

/// What outlives an engine: the store, the clock, and what the tools have done.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) store: Arc<Counting>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) tool: Arc<Tool>,
    pub(crate) limits: Limits,
}

impl Lab {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            store: Arc::default(),
            clock: Arc::new(Clock { shown: AtomicU64::new(BEGINNING), passed: AtomicU64::new(0) }),
            tool: Arc::default(),
            limits,
        }
    }

    /// One whose store is shared with those of [`Lab::beside`].
    pub(crate) fn shared(limits: Limits) -> Self {
        Self { store: Counting::of(Arc::new(MemoryStore::shared())), ..Self::new(limits) }
    }

    /// Another machine: the same clock, its own way to the same store, and its own tool.
    pub(crate) fn beside(&self) -> Self {
        let store = Counting::of(self.store.memory.clone());
        Self { store, clock: self.clock.clone(), ..Self::new(self.limits.clone()) }
    }

    /// How many calls of the tool were stopped.
    pub(crate) fn stopped(&self) -> usize {
        self.tool.stopped.load(Ordering::SeqCst)
    }

    /// Lets so many seconds pass, for clocks and for whoever sleeps.
    pub(crate) async fn pass(&self, seconds: u32) {
        for _ in 0..seconds {
            self.clock.forward(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// An engine with agents of these names, all of which are the one tool.
    pub(crate) async fn open(&self, agents: &[&str]) -> Engine {
        self.try_open(agents).await.unwrap()
    }

    /// The same where it may fail.
    pub(crate) async fn try_open(&self, agents: &[&str]) -> Result<Engine, EngineError> {
        let agent = |name: &&str| (name_of(name), self.tool.clone() as Arc<dyn Agent>);
        let setup = Setup {
            store: self.store.clone(),
            agents: agents.iter().map(agent).collect::<BTreeMap<_, _>>(),
            env: self.clock.clone(),
            limits: self.limits.clone(),
            authorizer: Arc::new(AllowAll),
        };
        Engine::open(setup).await
    }

    /// The process of this engine dies: what it would still write is not kept.
    pub(crate) async fn kill(&self, engine: Engine) {
        self.store.is_away.store(true, Ordering::SeqCst);
        engine.shutdown(Duration::ZERO).await;
        self.store.is_away.store(false, Ordering::SeqCst);
    }

    /// Lets the tool return so often.
    pub(crate) fn let_go(&self, times: usize) {
        self.tool.gate.add_permits(times);
    }

    pub(crate) fn runs(&self) -> usize {
        self.tool.runs.load(Ordering::SeqCst)
    }

    /// How many commits there were since this was asked last.
    pub(crate) fn commits(&self) -> usize {
        self.store.commits.swap(0, Ordering::SeqCst)
    }

    /// How many commits were not kept since this was asked last, as the store was away.
    pub(crate) fn refused(&self) -> usize {
        self.store.refused.swap(0, Ordering::SeqCst)
    }

    /// How often a log has been read since this was asked last.
    pub(crate) fn reads(&self) -> usize {
        self.store.reads.swap(0, Ordering::SeqCst)
    }
}

pub(crate) fn name_of(agent: &str) -> AgentName {
    AgentName::parse(agent).unwrap()
}

pub(crate) fn caller(name: &str) -> Caller {
    caller_of("tenant", name)
}

pub(crate) fn caller_of(tenant: &str, name: &str) -> Caller {
    Caller {
        principal: Principal::parse(name).unwrap(),
        tenant: Tenant::parse(tenant).unwrap(),
        is_node_owner: false,
        scopes: Vec::new(),
        chain: Vec::new(),
        issuer: None,
        claims: None,
    }
}

pub(crate) fn said(id: &str, text: &str) -> Message {
    let id = MessageId::parse(id).unwrap();
    Message { role: Role::User, ..Message::from_agent(id, vec![Part::text(text)]) }
}

/// An answer, said under a key if there is one.
pub(crate) fn answer(id: &str, text: &str, key: Option<&str>) -> Reply {
    let idempotency = key.map(|key| (key.to_owned(), [u8::try_from(text.len()).unwrap(); 32]));
    Reply { message: said(id, text), context: None, skill: None, idempotency }
}

/// Begins a task of agent `tool`.
pub(crate) fn begin(engine: &Engine, owner: &Caller, text: &str) -> Result<Handle, EngineError> {
    begin_at("tool", engine, owner, text)
}

pub(crate) fn begin_at(agent: &str, engine: &Engine, owner: &Caller, text: &str) -> Result<Handle, EngineError> {
    let message = said("first", text);
    let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
    engine.submit(owner, &name_of(agent), new)
}

/// Begins a task for whoever waits for nothing but its outcome, under a key if there is one.
pub(crate) fn ask_for_outcome(engine: &Engine, owner: &Caller, text: &str, key: Option<&str>) -> Handle {
    let (message, idempotency) = (said("first", text), key.map(|key| (key.to_owned(), [7; 32])));
    let new = NewTask { message, context: None, skill: None, trace: None, idempotency };
    engine.submit_for_outcome(owner, engine.plan(&name_of("tool"), new).unwrap()).unwrap()
}

/// Begins a task that is kept when this returns.
pub(crate) async fn kept(engine: &Engine, owner: &Caller, text: &str) -> Arc<Task> {
    begin(engine, owner, text).unwrap().accepted().await.unwrap()
}

/// Waits until the task is in this state; in paused time that takes none.
pub(crate) async fn until(engine: &Engine, owner: &Caller, agent: &str, id: &TaskId, state: State) -> Arc<Task> {
    for _ in 0..1_000 {
        let task = engine.get(owner, &name_of(agent), id).await.unwrap();
        if task.state == state {
            return task;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{id} does not come to be {state:?}");
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub(crate) struct Clock {
    /// What it shows.
    shown: AtomicU64,
    /// How much time has passed.
    passed: AtomicU64,
}

impl Clock {
    /// Lets time pass, and the clock with it.
    pub(crate) fn forward(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.shown.fetch_add(millis, Ordering::SeqCst);
        self.passed.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the clock forward, though no time has passed.
    pub(crate) fn step(&self, time: Duration) {
        self.shown.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Env for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.shown.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed.load(Ordering::SeqCst))
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// - `ask` asks first, and works on any answer but another `ask`.
/// - `work` may run again, and returns when the test lets it go.
/// - `many …` adds forty artifacts and completes.
/// - `look …` only reads: says first what the second word says, and returns when the test lets it go.
/// - `once` runs at most once, and never knows whether it did.
/// - Anything else is refused.
#[derive(Debug)]
pub(crate) struct Tool {
    gate: Semaphore,
    runs: AtomicUsize,
    stopped: AtomicUsize,
}

impl Default for Tool {
    fn default() -> Self {
        Self { gate: Semaphore::new(0), runs: AtomicUsize::new(0), stopped: AtomicUsize::new(0) }
    }
}

/// Something that a run may say before its end.
async fn say(run: &Run, what: &str) {
    match what {
        "progress" => run.progress(None, Some(Json::of(&what))),
        "artifact" => {
            let artifact = Artifact::new(ArtifactId::parse("a").unwrap(), vec![Part::text("x")]);
            run.add(Arc::new(artifact), false, true).await.unwrap();
        }
        "checkpoint" => run.checkpoint(Json::of(&what)).await.unwrap(),
        "record" => drop(run.advance(vec![Json::of(&what)], &[]).await.unwrap()),
        "child" => {
            let message = Message::from_agent(run.message_id("child"), vec![Part::text("look")]);
            let (name, agent) = ("child".into(), name_of("other"));
            run.begin_child(NewChild { name, agent, message, skill: None, time: None, budget: None }).await.unwrap();
        }
        "question" => {
            let message = Arc::new(Message::from_agent(run.message_id("ask"), vec![Part::text("really?")]));
            let question = Question { kind: QuestionKind::Elicitation, message, schema: None };
            run.put_question(Arc::new(question)).await.unwrap();
        }
        "itself" => drop(run.current().await.unwrap()),
        "elsewhere" => drop(run.aggregates::<Counter>()),
        what => panic!("nothing is known of {what}"),
    }
}

fn told_to_stop() -> Outcome {
    Outcome::Failed(Fault::new("canceled", "told to stop"))
}

/// A call at work. Told to stop, or dropped before it returns, it is counted.
struct AtWork<'a>(Option<&'a AtomicUsize>);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.map(|dropped| dropped.fetch_add(1, Ordering::SeqCst));
    }
}

#[async_trait]
impl Agent for Tool {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        let call = |effect| Plan::Call(Arc::new(Call::of_message(effect)));
        if request.question().is_some() && request.message.text() != "ask" {
            return call(Effect::Idempotent);
        }
        match request.message.text().as_str() {
            "work" => call(Effect::Idempotent),
            "once" => call(Effect::AtMostOnce),
            text if text.starts_with("many") => call(Effect::Idempotent),
            text if text.starts_with("look") => call(Effect::ReadOnly),
            "ask" => {
                let message = Arc::new(Message::from_agent(request.question_id.clone(), vec![Part::text("what?")]));
                Plan::Ask(Arc::new(Question { kind: QuestionKind::Input, message, schema: None }))
            }
            _ => Plan::Reject(Fault::new("unknown", "no")),
        }
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        self.runs.fetch_add(1, Ordering::SeqCst);
        if run.call().effect == Effect::AtMostOnce {
            return Outcome::Unknown { fault: Fault::new("server-died", "it died"), again: false };
        }
        if run.message().text().starts_with("many") {
            for number in 0..40 {
                let id = ArtifactId::parse(&format!("a-{number}")).unwrap();
                run.add(Arc::new(Artifact::new(id, vec![Part::text("x")])), false, true).await.unwrap();
            }
            return Outcome::Completed { artifacts: Vec::new(), message: None };
        }
        if let Some(("look", what)) = run.message().text().split_once(' ') {
            say(&run, what).await;
        }
        let mut at_work = AtWork(Some(&self.stopped));
        let outcome = tokio::select! {
            biased;
            () = run.canceled() => told_to_stop(),
            permit = self.gate.acquire() => {
                permit.unwrap().forget();
                Outcome::Completed { artifacts: Vec::new(), message: None }
            }
        };
        if outcome != told_to_stop() {
            at_work.0 = None;
        }
        outcome
    }

    async fn shutdown(&self) {}
}

/// A store in memory that counts how often a log is read.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    memory: Arc<MemoryStore>,
    reads: AtomicUsize,
    commits: AtomicUsize,
    is_vague: AtomicBool,
    /// How many milliseconds the answer of the next commit takes.
    pub(crate) commit_late: AtomicU64,
    /// The same of the next log that is read.
    pub(crate) load_late: AtomicU64,
    /// The logs that cannot be read, and why not.
    unread: Mutex<BTreeMap<StreamId, StoreError>>,
    /// A stream that cannot be forgotten.
    pub(crate) stuck: Mutex<Option<StreamId>>,
    /// Whether the next look at what is due panics.
    pub(crate) panics_over_due: AtomicBool,
    /// Whether the next commit panics: before it is kept, or after.
    pub(crate) panics: AtomicUsize,
    /// Whether nothing is kept.
    pub(crate) is_away: AtomicBool,
    /// Whether nothing is kept after the next commit.
    pub(crate) is_leaving: AtomicBool,
    /// The commits that were not kept for that.
    refused: AtomicUsize,
    /// Whether the commits with which children begin are on their way for as long.
    pub(crate) holds_children: AtomicBool,
    /// Whether one was held.
    pub(crate) has_held: AtomicBool,
    /// Whether there is no way to the store at all: its machine is paused, say.
    pub(crate) is_cut_off: AtomicBool,
}

/// The commit panics before it is kept.
pub(crate) const BEFORE: usize = 1;

/// The commit panics when it is kept.
pub(crate) const AFTER: usize = 2;

/// No test commits so often: what goes on for ever ends here.
const COMMITS_MAX: usize = 10_000;

impl Counting {
    fn of(memory: Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { memory, ..Self::default() })
    }

    /// From now on, or no longer, it keeps commits and cannot say so.
    pub(crate) fn be_vague(&self, is_vague: bool) {
        self.is_vague.store(is_vague, Ordering::SeqCst);
    }

    /// From now on the log of this stream cannot be read.
    pub(crate) fn damage(&self, id: StreamId) {
        self.unread.lock().unwrap().insert(id, StoreError::Corrupt("a blob is missing".to_owned()));
    }

    /// The log of this stream cannot be read for a while.
    pub(crate) fn withhold(&self, id: StreamId) {
        self.unread.lock().unwrap().insert(id, StoreError::Unavailable("the disk does not answer".to_owned()));
    }

    /// All logs can be read again.
    pub(crate) fn mend(&self) {
        self.unread.lock().unwrap().clear();
    }

    fn check(&self, id: &StreamId) -> Result<(), StoreError> {
        self.unread.lock().unwrap().get(id).cloned().map_or(Ok(()), Err)
    }

    fn reach(&self) -> Result<&MemoryStore, StoreError> {
        match self.is_cut_off.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("it is out of reach".to_owned())),
            false => Ok(&self.memory),
        }
    }

    fn count(&self, reads: usize) -> &MemoryStore {
        self.reads.fetch_add(reads, Ordering::SeqCst);
        &self.memory
    }
}

/// Where an answer is to be late.
async fn pause(late: u64) {
    if late > 0 {
        tokio::time::sleep(Duration::from_millis(late)).await;
    }
}

#[async_trait]
impl Store for Counting {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        if self.is_away.load(Ordering::SeqCst) || self.is_cut_off.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(CommitError::Unavailable("it is away".to_owned()));
        }
        if self.commits.fetch_add(1, Ordering::SeqCst) >= COMMITS_MAX {
            return Err(CommitError::Unavailable("nobody commits so often".to_owned()));
        }
        let panics = self.panics.swap(0, Ordering::SeqCst);
        assert!(panics != BEFORE, "a store that breaks before it keeps");
        let mut records = commit.steps.iter().flat_map(|step| &step.records);
        let is_child = records.any(|record| String::from_utf8_lossy(&record.body).contains("\"parent\""));
        self.has_held.fetch_or(is_child && self.holds_children.load(Ordering::SeqCst), Ordering::SeqCst);
        while is_child && self.holds_children.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let late = self.commit_late.swap(0, Ordering::SeqCst);
        self.memory.commit(commit).await?;
        self.is_away.fetch_or(self.is_leaving.swap(false, Ordering::SeqCst), Ordering::SeqCst);
        pause(late).await;
        assert!(panics != AFTER, "a store that breaks when it has kept");
        match self.is_vague.load(Ordering::SeqCst) {
            true => Err(CommitError::Unavailable("a simulated fault".to_owned())),
            false => Ok(()),
        }
    }

    fn is_shared(&self) -> bool {
        self.memory.is_shared()
    }

    async fn summary(&self, id: &StreamId) -> Result<Option<(Version, Summary)>, StoreError> {
        self.reach()?.summary(id).await
    }

    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
        self.reach()?;
        self.check(id)?;
        let late = self.load_late.swap(0, Ordering::SeqCst);
        let loaded = self.count(1).load(id).await;
        pause(late).await;
        loaded
    }

    async fn load_all(&self, ids: &[StreamId], bytes_max: usize) -> Vec<Result<Option<Loaded>, StoreError>> {
        let mut all = self.count(ids.len()).load_all(ids, bytes_max).await;
        for (id, loaded) in ids.iter().zip(&mut all) {
            self.check(id).map_or_else(|error| *loaded = Err(error), |()| {});
        }
        all
    }

    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
        self.reach()?;
        self.count(1).read(id, after, limit).await
    }

    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
        self.memory.cells(id, prefix, at).await
    }

    async fn list(&self, query: &Query) -> Result<Listing, StoreError> {
        self.memory.list(query).await
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        self.memory.census().await
    }

    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError> {
        assert!(!self.panics_over_due.swap(false, Ordering::SeqCst), "a store that breaks when it is looked at");
        self.reach()?.due(before, limit).await
    }

    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
        self.memory.tail(scope, after, limit).await
    }

    async fn changed(&self, id: &StreamId, after: Version) {
        self.memory.changed(id, after).await;
    }

    async fn mark(&self, id: &StreamId, reader: &str, at: Version) -> Result<(), StoreError> {
        self.memory.mark(id, reader, at).await
    }

    async fn marks(&self, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError> {
        self.memory.marks(id).await
    }

    async fn trim(&self, id: &StreamId, before: Version) -> Result<(), StoreError> {
        self.memory.trim(id, before).await
    }

    async fn forget(&self, id: &StreamId) -> Result<(), StoreError> {
        if self.stuck.lock().unwrap().as_ref() == Some(id) {
            return Err(StoreError::Corrupt("its marks cannot be read".to_owned()));
        }
        self.memory.forget(id).await
    }

    fn health(&self) -> Result<(), String> {
        match self.is_away.load(Ordering::SeqCst) {
            true => Err("it is away".to_owned()),
            false => Ok(()),
        }
    }
}
