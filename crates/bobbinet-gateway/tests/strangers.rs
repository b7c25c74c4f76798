//! What one principal finds of another's: nothing, whatever it tries, and with the same reads of the store as if there were nothing.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_auth::{Action, Denied, Policy, Rules, SealingKey};
use bobbinet_core::{
    AgentName, Call, Caller, Content, ContextId, Description, Effect, Event, Fault, Generation, Limits, Message,
    MessageId, Outcome, Part, Plan, Principal, PushConfig, Question, QuestionKind, Role, State, Task, Tenant,
    operation::{CancelParams, Configuration, GetParams, ListParams, SendParams, SubscribeParams},
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use bobbinet_engine::{Agent, AllowAll, Engine, Request, Run, Setup, SystemEnv};
use bobbinet_gateway::{Answer, Gateway, GatewayError, GatewayLimits, GatewaySetup, RequestContext, Resume};
use bobbinet_push::{Courier, Destination, Notification, Posted, Told, Webhooks, WebhooksSetup};
use bobbinet_store::{
    Cell, Census, Commit, CommitError, Cursor, Key, Listing, Loaded, MemoryStore, Page, Query, Scope, Store,
    StoreError, StreamId, Summary, Tail, Timestamp, Version,
};
use tokio_util::sync::CancellationToken;

/// Counts what is read for callers. What the node itself looks at every second is left out.
#[derive(Debug, Default)]
struct Counting {
    store: MemoryStore,
    reads: AtomicUsize,
}

impl Counting {
    fn count(&self) {
        self.reads.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Store for Counting {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.store.commit(commit).await
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn summary(&self, id: &StreamId) -> Result<Option<(Version, Summary)>, StoreError> {
        self.count();
        self.store.summary(id).await
    }

    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
        self.count();
        self.store.load(id).await
    }

    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
        self.count();
        self.store.read(id, after, limit).await
    }

    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
        self.count();
        self.store.cells(id, prefix, at).await
    }

    async fn list(&self, query: &Query) -> Result<Listing, StoreError> {
        self.count();
        self.store.list(query).await
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        self.store.census().await
    }

    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError> {
        self.store.due(before, limit).await
    }

    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
        self.store.tail(scope, after, limit).await
    }

    async fn changed(&self, id: &StreamId, after: Version) {
        self.store.changed(id, after).await;
    }

    async fn mark(&self, id: &StreamId, reader: &str, at: Version) -> Result<(), StoreError> {
        self.store.mark(id, reader, at).await
    }

    async fn marks(&self, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError> {
        self.count();
        self.store.marks(id).await
    }

    async fn trim(&self, id: &StreamId, before: Version) -> Result<(), StoreError> {
        self.store.trim(id, before).await
    }

    async fn forget(&self, id: &StreamId) -> Result<(), StoreError> {
        self.store.forget(id).await
    }

    fn health(&self) -> Result<(), String> {
        self.store.health()
    }
}

/// Asks if it is told `ask`, and else does what it is told.
#[derive(Debug)]
struct Clerk;

fn text_of(message: &Message) -> &str {
    match &message.parts[0].content {
        Content::Text(text) => text,
        Content::Raw(_) | Content::Url(_) | Content::Data(_) => "",
    }
}

fn message(id: &str, role: Role, text: &str) -> Message {
    Message {
        id: MessageId::parse(id).unwrap(),
        role,
        parts: vec![Part::new(Content::Text(text.into()))],
        metadata: None,
        extensions: Vec::new(),
        reference_tasks: Vec::new(),
    }
}

#[async_trait]
impl Agent for Clerk {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        if text_of(request.message) != "ask" {
            return Plan::Call(Arc::new(Call::of_message(Effect::ReadOnly)));
        }
        let question = Arc::new(message(request.question_id.as_str(), Role::Agent, "what?"));
        Plan::Ask(Arc::new(Question { kind: QuestionKind::Input, message: question, schema: None }))
    }

    async fn ready_to_plan(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn max_concurrency(&self) -> usize {
        4
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, _run: Run) -> Outcome {
        Outcome::Completed { artifacts: Vec::new(), message: None }
    }

    async fn shutdown(&self) {}
}

/// All may do all: whose a task is, and nothing else, keeps them apart.
#[derive(Debug)]
struct Everybody;

impl Rules for Everybody {
    fn allows(&self, _caller: &Caller, _action: Action<'_>) -> Result<(), Denied> {
        Ok(())
    }

    fn shuts_out(&self, _caller: &Caller) -> Option<&'static str> {
        None
    }
}

fn caller(name: &str, tenant: &str) -> Caller {
    Caller::new(Principal::parse(name).unwrap(), Tenant::parse(tenant).unwrap())
}

/// Takes whatever is sent.
#[derive(Debug)]
struct Takes;

#[async_trait]
impl Courier for Takes {
    fn receiver(&self, url: &str) -> Result<String, String> {
        Ok(url.to_owned())
    }

    async fn check(&self, _url: &str) -> Result<(), String> {
        Ok(())
    }

    fn told(&self, _dialect: &str, _event: &Event) -> Told {
        Told::Event
    }

    fn write(&self, _dialect: &str, _notification: &Notification) -> Vec<u8> {
        Vec::new()
    }

    async fn post(&self, _to: &Destination, _notification: &Notification, _body: Vec<u8>) -> Posted {
        Posted::Taken
    }
}

fn webhook(url: &str) -> PushConfig {
    let id = Some("h".to_owned());
    PushConfig { id, url: url.to_owned(), token: None, authentication: None, dialect: "1.0".into() }
}

struct Node {
    store: Arc<Counting>,
    engine: Engine,
    webhooks: Arc<Webhooks>,
    gateway: Arc<Gateway>,
    agent: AgentName,
    /// So that no message is a repeat.
    messages: Mutex<u32>,
}

/// What a stranger tries with the id of a task.
#[derive(Clone, Copy, Debug)]
enum Attempt {
    Get,
    GetShort,
    Cancel,
    Subscribe,
    Resume,
    ResumeFromNowhere,
    Answer,
    AnswerStreaming,
    Record,
    Tree,
    AnswerWithWebhook,
    AddWebhook,
    GetWebhook,
    GetFirstWebhook,
    ListWebhooks,
    DeleteWebhook,
}

const ATTEMPTS: [Attempt; 16] = [
    Attempt::Get,
    Attempt::GetShort,
    Attempt::Cancel,
    Attempt::Subscribe,
    Attempt::Resume,
    Attempt::ResumeFromNowhere,
    Attempt::Answer,
    Attempt::AnswerStreaming,
    Attempt::Record,
    Attempt::Tree,
    Attempt::AnswerWithWebhook,
    Attempt::AddWebhook,
    Attempt::GetWebhook,
    Attempt::GetFirstWebhook,
    Attempt::ListWebhooks,
    Attempt::DeleteWebhook,
];

/// An id of the right form that nobody has.
const NOBODYS: &str = "00000000-0000-7000-8000-000000000001";

impl Node {
    async fn start() -> Self {
        let store = Arc::new(Counting::default());
        let agent = AgentName::parse("clerk").unwrap();
        let setup = Setup {
            store: store.clone(),
            agents: [(agent.clone(), Arc::new(Clerk) as Arc<dyn Agent>)].into(),
            env: Arc::new(SystemEnv),
            limits: Limits::default(),
            authorizer: Arc::new(AllowAll),
        };
        let engine = Engine::open(setup).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let seal = SealingKey::open_or_create(folder.path()).unwrap();
        let setup = WebhooksSetup { engine: engine.clone(), seal, courier: Arc::new(Takes) };
        let webhooks = Webhooks::start(setup).await.unwrap();
        let setup = GatewaySetup {
            engine: engine.clone(),
            policy: Policy::new(Everybody),
            limits: GatewayLimits::default(),
            wait_max: None,
            drain: Duration::ZERO,
            stop: CancellationToken::new(),
        };
        let gateway = Gateway::with_webhooks(setup, webhooks.clone());
        Self { store, engine, webhooks, gateway, agent, messages: Mutex::default() }
    }

    fn context<'a>(&'a self, caller: &'a Caller) -> RequestContext<'a> {
        let agent = &self.agent;
        RequestContext { caller, agent, skill: None, trace: None, idempotency: None, extensions: &[] }
    }

    fn params(&self, text: &str, task: Option<&str>, context: Option<&ContextId>) -> Box<SendParams> {
        let mut messages = self.messages.lock().unwrap();
        *messages += 1;
        Box::new(SendParams {
            message: message(&format!("m{messages}"), Role::User, text),
            context: context.cloned(),
            task: task.map(str::to_owned),
            configuration: Configuration::default(),
            metadata: None,
            tenant: None,
        })
    }

    async fn send(&self, caller: &Caller, text: &str, context: Option<&ContextId>) -> Result<Arc<Task>, GatewayError> {
        let permit = self.gateway.admit(caller).unwrap();
        match self.gateway.send(&self.context(caller), self.params(text, None, context), permit).await? {
            Answer::Task(task) => Ok(task),
            Answer::Message(said) => panic!("{said:?}"),
        }
    }

    /// Tries one thing: what comes of it, and how often the store was read.
    async fn attempt(&self, attempt: Attempt, caller: &Caller, id: &str) -> (Result<(), GatewayError>, usize) {
        let (gateway, context) = (&self.gateway, self.context(caller));
        let id = id.to_owned();
        let subscribe = SubscribeParams { id: id.clone(), tenant: None };
        let before = self.store.reads.load(Ordering::SeqCst);
        let result = match attempt {
            Attempt::Get => gateway.get(&context, &GetParams { id, ..GetParams::default() }).await.map(drop),
            Attempt::GetShort => {
                let params = GetParams { id, history_length: Some(0), tenant: Some("here".to_owned()) };
                gateway.get(&context, &params).await.map(drop)
            }
            Attempt::Cancel => {
                let cancel = CancelParams { id, metadata: None, tenant: None };
                gateway.cancel(&context, &cancel).await.map(drop)
            }
            Attempt::Subscribe => gateway.subscribe(&context, subscribe, None).await.map(drop),
            Attempt::Resume => {
                gateway.subscribe(&context, subscribe, Some(Resume::After(Generation(0)))).await.map(drop)
            }
            Attempt::ResumeFromNowhere => {
                gateway.subscribe(&context, subscribe, Some(Resume::Unreadable)).await.map(drop)
            }
            Attempt::Answer => {
                let permit = gateway.admit(caller).unwrap();
                gateway.send(&context, self.params("yes", Some(&id), None), permit).await.map(drop)
            }
            Attempt::AnswerStreaming => {
                gateway.send_streaming(&context, self.params("yes", Some(&id), None)).await.map(drop)
            }
            Attempt::Record => gateway.record(&context, &id).await.map(drop),
            Attempt::Tree => gateway.tree(&context, &id).await.map(drop),
            Attempt::AnswerWithWebhook => {
                let permit = gateway.admit(caller).unwrap();
                let mut params = self.params("yes", Some(&id), None);
                params.configuration.push_config = Some(Box::new(webhook("https://his.example")));
                gateway.send(&context, params, permit).await.map(drop)
            }
            Attempt::AddWebhook => {
                let config = webhook("https://his.example");
                gateway.create_webhook(&context, &CreatePushParams { task: id, config, tenant: None }).await.map(drop)
            }
            Attempt::GetWebhook => {
                let params = GetPushParams { task: id, id: Some("h".to_owned()), tenant: None };
                gateway.webhook(&context, &params).await.map(drop)
            }
            Attempt::GetFirstWebhook => {
                let params = GetPushParams { task: id, ..GetPushParams::default() };
                gateway.webhook(&context, &params).await.map(drop)
            }
            Attempt::ListWebhooks => {
                let params = ListPushParams { task: id, ..ListPushParams::default() };
                gateway.list_webhooks(&context, &params).await.map(drop)
            }
            Attempt::DeleteWebhook => {
                let params = DeletePushParams { task: id, id: "h".to_owned(), tenant: None };
                gateway.delete_webhook(&context, &params).await
            }
        };
        (result, self.store.reads.load(Ordering::SeqCst) - before)
    }

    /// What a caller's list has, by these filters.
    async fn listed(&self, caller: &Caller, params: ListParams) -> (usize, usize) {
        let before = self.store.reads.load(Ordering::SeqCst);
        let context = self.context(caller);
        let mut pages = self.gateway.list(&context, params).unwrap();
        let page = pages.next(usize::MAX).await.unwrap().unwrap();
        assert_eq!(page.total, page.tasks.len());
        (page.total, self.store.reads.load(Ordering::SeqCst) - before)
    }
}

#[tokio::test]
async fn thirty_attempts_on_anothers_tasks_find_nothing_and_read_no_more_than_for_none() {
    let node = Node::start().await;
    let ann = caller("ann", "here");
    let ended = node.send(&ann, "hello", None).await.unwrap();
    let asking = node.send(&ann, "ask", None).await.unwrap();
    assert_eq!((ended.state, asking.state), (State::Completed, State::InputRequired));
    for task in [&ended, &asking] {
        let params =
            CreatePushParams { task: task.id.to_string(), config: webhook("https://hers.example"), tenant: None };
        node.gateway.create_webhook(&node.context(&ann), &params).await.unwrap();
    }
    // So that only what is read for callers is counted.
    node.webhooks.stop().await;
    let mut attempts = 0;
    for stranger in [caller("bob", "here"), caller("ann", "there")] {
        for task in [&ended, &asking] {
            for attempt in ATTEMPTS {
                let (of_none, reads_of_none) = node.attempt(attempt, &stranger, NOBODYS).await;
                let (of_hers, reads_of_hers) = node.attempt(attempt, &stranger, &task.id.to_string()).await;
                let what = format!("{attempt:?} of a task that is {:?}, by {}", task.state, stranger.principal);
                assert!(of_none.is_err(), "{what}");
                assert_eq!(of_hers, of_none, "{what}: it is as if it were not there");
                assert_eq!(reads_of_hers, reads_of_none, "{what}: reads of the store");
                attempts += 1;
            }
        }
        // Lists, by all that they can be narrowed by.
        for params in [
            ListParams::default(),
            ListParams { context: Some(asking.context.clone()), ..ListParams::default() },
            ListParams { state: Some(State::InputRequired), ..ListParams::default() },
            ListParams { status_timestamp_after: Some(Timestamp::from_millis(0)), ..ListParams::default() },
        ] {
            let (found, reads) = node.listed(&stranger, params.clone()).await;
            let (of_nobody, reads_of_nobody) = node.listed(&caller("nobody", "nowhere"), params).await;
            assert_eq!((found, reads), (of_nobody, reads_of_nobody));
            assert_eq!(found, 0);
            attempts += 1;
        }
    }
    assert!(attempts >= 30, "{attempts}");
    println!("{attempts} attempts");

    // A context is its owner's as well: a task of a stranger's in it is one of his own, and none of hers.
    let bob = caller("bob", "here");
    let in_hers = node.send(&bob, "hello", Some(&asking.context)).await;
    let of_context = ListParams { context: Some(asking.context.clone()), ..ListParams::default() };
    assert_eq!(node.listed(&ann, of_context).await.0, 1, "{in_hers:?}");

    // Nothing has happened to her tasks, and she finds them.
    for task in [&ended, &asking] {
        let params = GetParams { id: task.id.to_string(), ..GetParams::default() };
        let seen = node.gateway.get(&node.context(&ann), &params).await.unwrap();
        assert_eq!((seen.state, seen.version), (task.state, task.version));
        let params = ListPushParams { task: task.id.to_string(), ..ListPushParams::default() };
        let webhooks = node.gateway.list_webhooks(&node.context(&ann), &params).await.unwrap().configs;
        let urls: Vec<_> = webhooks.iter().map(|webhook| webhook.url.as_str()).collect();
        assert_eq!(urls, ["https://hers.example"]);
    }
    assert_eq!(node.listed(&ann, ListParams::default()).await.0, 2);
    node.engine.shutdown(Duration::ZERO).await;
}
