//! A node with one agent, and receivers that do as they are told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_auth::SealingKey;
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Caller, Description, Effect, Event, Generation, Limits, Message, MessageId,
    Outcome, Part, Plan, Principal, PushAuthentication, PushConfig, Question, QuestionKind, Role, Secret, State, Task,
    TaskId, Tenant, Timestamp,
};
use bobbinet_engine::{Agent, AllowAll, Engine, Env, NewTask, Request, Run, Setup};
use bobbinet_push::{Courier, Destination, Notification, Of, Posted, Told, Webhooks, WebhooksSetup, What};
use bobbinet_store::{MemoryStore, Store};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// What outlives a node: its store, its keys, its receivers and the clock.
pub(crate) struct Lab {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) receivers: Arc<Receivers>,
    pub(crate) limits: Limits,
    worker: Arc<Worker>,
    clock: Arc<Clock>,
    keys: TempDir,
}

/// One start of a node.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) webhooks: Arc<Webhooks>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            store: Arc::new(MemoryStore::default()),
            receivers: Arc::default(),
            limits: Limits::default(),
            worker: Arc::new(Worker(Semaphore::new(0))),
            clock: Arc::new(Clock { passed: AtomicU64::new(0), set_to: AtomicU64::new(1_795_258_800_000) }),
            keys: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) async fn start(&self) -> Node {
        let setup = Setup {
            store: self.store.clone(),
            agents: BTreeMap::from([(agent(), self.worker.clone() as Arc<dyn Agent>)]),
            env: self.clock.clone(),
            limits: self.limits.clone(),
            authorizer: Arc::new(AllowAll),
        };
        let engine = Engine::open(setup).await.unwrap();
        let setup = WebhooksSetup {
            engine: engine.clone(),
            seal: SealingKey::open_or_create(self.keys.path()).unwrap(),
            courier: self.receivers.clone(),
        };
        Node { webhooks: Webhooks::start(setup).await.unwrap(), engine }
    }

    /// Ends a node. What its receivers have not said to have taken is as in a crash.
    pub(crate) async fn kill(&self, node: Node) {
        node.webhooks.stop().await;
        node.engine.shutdown(Duration::ZERO).await;
    }

    /// Lets time pass, for clocks and for whoever sleeps.
    pub(crate) async fn pass(&self, time: Duration) {
        let step = (time / 100).max(Duration::from_millis(10));
        let mut passed = Duration::ZERO;
        while passed < time {
            self.clock.passed.fetch_add(u64::try_from(step.as_millis()).unwrap(), Ordering::SeqCst);
            tokio::time::sleep(step).await;
            passed += step;
        }
    }

    /// Sets the clock forward, though no time passes.
    pub(crate) fn set_forward(&self, time: Duration) {
        self.clock.set_to.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Lets the worker go on so often.
    pub(crate) fn let_go(&self, times: usize) {
        self.worker.0.add_permits(times);
    }

    /// Waits until a receiver has been told so much.
    pub(crate) async fn until(&self, url: &str, count: usize) -> Vec<String> {
        for _ in 0..2_000 {
            let told = self.receivers.told(url);
            if told.len() >= count {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{url} was told only {:?}", self.receivers.told(url));
    }
}

impl Node {
    /// Begins a task with a webhook, as the gateway does.
    pub(crate) async fn begin(&self, text: &str, config: &PushConfig) -> Arc<Task> {
        let planned = self.engine.plan(&agent(), new(text)).unwrap();
        self.webhooks.register_first(of(), &planned.id(), config).await.unwrap();
        self.engine.submit_planned(&caller(), planned).unwrap().accepted().await.unwrap()
    }

    pub(crate) async fn until(&self, id: &TaskId, state: State) -> Arc<Task> {
        for _ in 0..1_000 {
            let task = self.engine.get(&caller(), &agent(), id).await.unwrap();
            if task.state == state {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{id} does not come to be {state:?}");
    }
}

pub(crate) fn new(text: &str) -> NewTask {
    let id = MessageId::parse("m").unwrap();
    let message = Message { role: Role::User, ..Message::from_agent(id, vec![Part::text(text)]) };
    NewTask { message, context: None, skill: None, trace: None, idempotency: None }
}

pub(crate) fn agent() -> AgentName {
    AgentName::parse("worker").unwrap()
}

pub(crate) fn caller() -> Caller {
    Caller::new(Principal::parse("o").unwrap(), Tenant::parse("t").unwrap())
}

pub(crate) fn of() -> Of {
    let Caller { principal, tenant, .. } = caller();
    Of { tenant, owner: principal, agent: agent() }
}

/// A webhook at this URL, in a dialect that is told each event.
pub(crate) fn config(url: &str) -> PushConfig {
    let credentials = Some(Secret::new("cred"));
    PushConfig {
        id: Some("h".to_owned()),
        url: url.to_owned(),
        token: Some(Secret::new("tok")),
        authentication: Some(PushAuthentication { scheme: "Bearer".to_owned(), credentials }),
        dialect: "events".into(),
    }
}

/// The same in a dialect that is told whole tasks.
pub(crate) fn whole(url: &str) -> PushConfig {
    PushConfig { dialect: "tasks".into(), ..config(url) }
}

/// A clock, and the milliseconds that have passed since it was set.
#[derive(Debug)]
struct Clock {
    passed: AtomicU64,
    set_to: AtomicU64,
}

impl Env for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.set_to.load(Ordering::SeqCst) + self.passed.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed.load(Ordering::SeqCst))
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// How many artifacts are many: more than a few reads of the log bring.
pub(crate) const MANY: usize = 800;

/// `ask` asks; `artifacts` adds two and waits to be let go, `many` so many; anything else but `now` waits to be let go.
#[derive(Debug)]
struct Worker(Semaphore);

#[async_trait]
impl Agent for Worker {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        if request.message.text() == "ask" {
            let message = Arc::new(Message::from_agent(request.question_id.clone(), vec![Part::text("what?")]));
            return Plan::Ask(Arc::new(Question { kind: QuestionKind::Input, message, schema: None }));
        }
        Plan::Call(Arc::new(Call::of_message(Effect::Idempotent)))
    }

    fn max_concurrency(&self) -> usize {
        2_000
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let artifacts = match run.message().text().as_str() {
            "artifacts" => 2,
            "many" => MANY,
            _ => 0,
        };
        for name in 0..artifacts {
            let artifact = Artifact::new(ArtifactId::parse(&name.to_string()).unwrap(), vec![Part::text("x")]);
            run.add(Arc::new(artifact), false, true).await.unwrap();
        }
        if run.message().text() != "now" {
            self.0.acquire().await.unwrap().forget();
        }
        Outcome::Completed { artifacts: Vec::new(), message: None }
    }

    async fn shutdown(&self) {}
}

/// What a receiver does with a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Takes,
    /// Takes it, and its answer is lost.
    Loses,
    Refuses,
    Hangs,
    IsGone,
}

/// All receivers: each URL is one.
#[derive(Debug, Default)]
pub(crate) struct Receivers(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    manners: BTreeMap<String, Manner>,
    told: BTreeMap<String, Vec<String>>,
    tried: BTreeMap<String, usize>,
    headers: BTreeMap<String, (String, String)>,
}

impl Receivers {
    pub(crate) fn set(&self, url: &str, manner: Manner) {
        self.0.lock().unwrap().manners.insert(url.to_owned(), manner);
    }

    /// What a receiver has been told, in words.
    pub(crate) fn told(&self, url: &str) -> Vec<String> {
        self.0.lock().unwrap().told.get(url).cloned().unwrap_or_default()
    }

    /// The same once repeats are dropped by their ids.
    pub(crate) fn told_once(&self, url: &str) -> Vec<String> {
        let mut seen = std::collections::BTreeSet::new();
        let told = self.told(url).into_iter();
        told.filter(|line| seen.insert(line.split(' ').next().unwrap().to_owned())).collect()
    }

    pub(crate) fn tried(&self, url: &str) -> usize {
        self.0.lock().unwrap().tried.get(url).copied().unwrap_or_default()
    }

    /// The token and the authorization that it was shown last.
    pub(crate) fn shown(&self, url: &str) -> (String, String) {
        self.0.lock().unwrap().headers.get(url).cloned().unwrap_or_default()
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a test: an event that it does not know has failed it")]
fn words(notification: &Notification) -> String {
    let Generation(generation) = notification.generation;
    match &notification.what {
        What::Task(task) => format!("{generation} task {} with {}", task.state.as_str(), task.artifacts.len()),
        What::Event(told) => {
            let what = match &told.event {
                Event::Started { .. } => "started",
                Event::ArtifactAdded { .. } => "artifact",
                Event::Asked { .. } => "asked",
                Event::Replied { .. } => "replied",
                Event::Ended { .. } => "ended",
                other => panic!("{other:?}"),
            };
            format!("{generation} {what}")
        }
    }
}

#[async_trait]
impl Courier for Receivers {
    fn receiver(&self, url: &str) -> Result<String, String> {
        match url.starts_with("http://10.") {
            true => Err("it is private".to_owned()),
            false => Ok(url.split("/path").next().unwrap().to_owned()),
        }
    }

    async fn check(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn told(&self, dialect: &str, event: &Event) -> Told {
        match (dialect, event) {
            ("tasks", Event::ArtifactAdded { .. }) => Told::Nothing,
            ("tasks", _) => Told::Task,
            (_, Event::Submitted(_)) => Told::Task,
            _ => Told::Event,
        }
    }

    fn write(&self, _: &str, notification: &Notification) -> Vec<u8> {
        words(notification).into_bytes()
    }

    async fn post(&self, to: &Destination, _: &Notification, body: Vec<u8>) -> Posted {
        let manner = {
            let mut state = self.0.lock().unwrap();
            *state.tried.entry(to.url.clone()).or_default() += 1;
            let secret = |secret: &Option<Secret>| secret.as_ref().map_or("-", Secret::reveal).to_owned();
            state.headers.insert(to.url.clone(), (secret(&to.token), secret(&to.authorization)));
            let manner = state.manners.get(&to.url).copied().unwrap_or(Manner::Takes);
            if matches!(manner, Manner::Takes | Manner::Loses) {
                state.told.entry(to.url.clone()).or_default().push(String::from_utf8(body).unwrap());
            }
            manner
        };
        tokio::time::sleep(Duration::from_millis(1)).await;
        match manner {
            Manner::Takes => Posted::Taken,
            Manner::Loses | Manner::Refuses => Posted::Failed { why: "503".to_owned(), retry_after: None },
            Manner::Hangs => std::future::pending().await,
            Manner::IsGone => Posted::Gone,
        }
    }
}
