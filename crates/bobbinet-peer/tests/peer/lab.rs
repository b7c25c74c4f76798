//! A peer of many ways, and nodes before it that come and go.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State as Shared,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bobbinet_auth::{KeyRing, MintError};
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Caller, Description, Effect, Limits, Message, MessageId, Outcome, Part,
    Plan, Principal, Question, QuestionKind, Role, Task, TaskId, Tenant,
};
use bobbinet_engine::{Agent, AllowAll, Engine, Env, Handle, NewTask, Reply, Request, Run, Setup, SystemEnv};
use bobbinet_outbound::{Guard, Origin, OutboundLimits, Resolver};
use bobbinet_peer::{A2aAgent, CallCredentials, PeerAgent, PeerAuth, PeerConfig, PeerLimits};
use bobbinet_store::MemoryStore;
use bobbinet_wire::signed_card::{self, CardSignature};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

use crate::older;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the peer does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Works,
    /// Makes one thing, whole, and is done.
    Quick,
    /// Answers without a task.
    Message,
    /// Works until it is let go.
    Hangs,
    /// Asks, and makes of the answer an artifact.
    Asks,
    /// Asks, and breaks the connection over which it is answered.
    AsksAndBreaks,
    /// Asks, and works on once it has an answer, until it is let go.
    AsksAndWorks,
    Fails,
    Rejects,
    CanceledThere,
    /// Refuses the request.
    SaysNo,
    /// Says that it has too much to do.
    Busy,
    /// Takes no context of another's making.
    MakesContexts,
    /// Says that its own time was up, in Go's words.
    RunsOut,
    /// Breaks the connection before a word, the first two times.
    BreaksTwice,
    /// Breaks the connection before a word, and then a proxy says that there is nothing here.
    BreaksAndIsGone,
    /// Answers nonsense.
    Garbage,
    /// Takes the message, and says nothing.
    Silent,
    /// Takes the message, and then knows nothing of it.
    Forgets,
    /// Takes the message, and then answers nothing any more.
    DiesAfter,
}

/// What kind of peer it is.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) way: Way,
    pub(crate) streams: bool,
    /// Whether its card says that it drops repeats.
    pub(crate) keys: bool,
    /// The token that it wants.
    pub(crate) token: Option<&'static str>,
    /// Whether it speaks 0.3.
    pub(crate) is_older: bool,
    /// Whose key signs its card.
    pub(crate) signer: Option<Arc<KeyRing>>,
}

impl Default for Form {
    fn default() -> Self {
        Self { way: Way::Works, streams: true, keys: false, token: None, is_older: false, signer: None }
    }
}

/// A message that the peer was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) message: Value,
    pub(crate) key: Option<String>,
}

struct Far {
    form: Form,
    origin: String,
    way: Mutex<Way>,
    skill: Mutex<&'static str>,
    leads: Mutex<Option<&'static str>>,
    sent: Mutex<Vec<Sent>>,
    /// The task's status and parts, as far as it is.
    answer: Mutex<Option<String>>,
    is_free: AtomicBool,
    is_gone: AtomicBool,
    free: Notify,
    canceled: Arc<AtomicUsize>,
    cards: Arc<AtomicUsize>,
    tokens: Arc<AtomicUsize>,
}

pub(crate) struct Lab {
    far: Arc<Far>,
    store: Arc<MemoryStore>,
    pub(crate) canceled: Arc<AtomicUsize>,
    pub(crate) cards: Arc<AtomicUsize>,
    pub(crate) tokens: Arc<AtomicUsize>,
    serving: Mutex<JoinSet<()>>,
}

impl Lab {
    pub(crate) async fn new(form: Form) -> Self {
        Self::at(form, (Ipv4Addr::LOCALHOST, 0).into(), None).await
    }

    /// Another replica of this peer, with the same name and port at another address of this machine.
    pub(crate) async fn replica(&self, form: Form, host: &str, last: u8) -> Self {
        let port = self.url("/").port().unwrap();
        Self::at(form, (Ipv4Addr::new(127, 0, 0, last), port).into(), Some(host)).await
    }

    async fn at(form: Form, address: SocketAddr, host: Option<&str>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let host = host.map_or_else(|| address.ip().to_string(), str::to_owned);
        let (canceled, cards, tokens) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let far = Arc::new(Far {
            way: Mutex::new(form.way),
            form,
            origin: format!("http://{host}:{}", address.port()),
            skill: Mutex::new("work"),
            leads: Mutex::default(),
            sent: Mutex::default(),
            answer: Mutex::default(),
            is_free: AtomicBool::default(),
            is_gone: AtomicBool::default(),
            free: Notify::new(),
            canceled: canceled.clone(),
            cards: cards.clone(),
            tokens: tokens.clone(),
        });
        let router = Router::new()
            .route("/.well-known/agent-card.json", get(card))
            .route("/", post(rpc))
            .route("/token", post(token))
            // A connection that is kept would outlive the listener.
            .layer(axum::middleware::map_response(|mut response: Response| async move {
                response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
                response
            }))
            .with_state(far.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { far, store: Arc::default(), canceled, cards, tokens, serving: Mutex::new(serving) }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}{path}", self.far.origin)).unwrap()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.far.sent.lock().unwrap().clone()
    }

    pub(crate) fn set_way(&self, way: Way) {
        *self.far.way.lock().unwrap() = way;
    }

    /// Somebody else answers what the peer asks.
    pub(crate) fn answer(&self, text: &str) {
        *self.far.answer.lock().unwrap() = Some(text.to_owned());
    }

    pub(crate) fn set_skill(&self, skill: &'static str) {
        *self.far.skill.lock().unwrap() = skill;
    }

    pub(crate) fn lead_elsewhere(&self) {
        *self.far.leads.lock().unwrap() = Some("http://elsewhere.example/");
    }

    /// What hangs has ended, and its stream does not say so.
    pub(crate) fn end_in_silence(&self) {
        self.far.is_free.store(true, Ordering::SeqCst);
    }

    pub(crate) fn let_go(&self) {
        self.far.is_free.store(true, Ordering::SeqCst);
        self.far.free.notify_waiters();
    }

    /// The peer is gone: nobody listens any more.
    pub(crate) fn stop(&self) {
        self.serving.lock().unwrap().abort_all();
    }

    pub(crate) async fn node(&self) -> Node {
        self.node_with(|_| ()).await
    }

    /// A node whose calls by URL are asked about.
    pub(crate) async fn flow_node(&self) -> Node {
        Node { at: name("by-url"), ..self.node().await }
    }

    pub(crate) async fn node_with(&self, change: impl FnOnce(&mut PeerConfig)) -> Node {
        let url = self.url("/");
        let guard = Guard::new([Origin::of(&url).unwrap()], OutboundLimits::default()).unwrap();
        let limits = PeerLimits {
            patience: Duration::ZERO,
            silence_max: Duration::from_secs(2),
            answer: Duration::from_secs(1),
            pause_min: Duration::from_millis(20),
            pause_max: Duration::from_millis(200),
            poll: Duration::from_millis(50),
            start_max: Duration::from_secs(5),
            ..PeerLimits::default()
        };
        let mut config = PeerConfig {
            name: name("far"),
            url: url.to_string(),
            node: "node".to_owned(),
            auth: PeerAuth::None,
            fallback: None,
            effect: None,
            origin: None,
            card_keys: None,
            grpc: None,
            title: None,
            description: None,
            env: Arc::new(SystemEnv),
            guard,
            limits,
        };
        change(&mut config);
        let (guard, limits) = (config.guard.clone(), config.limits.clone());
        let by_url =
            A2aAgent::new(name("by-url"), "node".to_owned(), guard, Arc::new(Tokens), Arc::new(SystemEnv), limits);
        let agent = PeerAgent::start(config);
        let agents: BTreeMap<AgentName, Arc<dyn Agent>> = BTreeMap::from([
            (name("far"), agent.clone() as Arc<dyn Agent>),
            (name("near"), Arc::new(Near) as _),
            (name("asks"), Arc::new(AsksNear) as _),
            (name("by-url"), Arc::new(Reached(by_url)) as _),
        ]);
        let engine = Engine::open(Setup {
            store: self.store.clone(),
            agents,
            env: Arc::new(SystemEnv),
            limits: Limits::default(),
            authorizer: Arc::new(AllowAll),
        });
        Node { engine: engine.await.unwrap(), at: name("far"), agent }
    }
}

/// A node before the peer.
pub(crate) struct Node {
    engine: Engine,
    /// The agent that is called.
    at: AgentName,
    pub(crate) agent: Arc<PeerAgent>,
}

impl Node {
    /// Waits for the card.
    pub(crate) async fn ready(&self) {
        wait_for(|| self.agent.ready().is_ok()).await;
    }

    pub(crate) fn begin(&self, text: &str) -> Handle {
        self.begin_message(said(text))
    }

    pub(crate) fn begin_message(&self, message: Message) -> Handle {
        let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
        self.engine.submit(&caller(), &self.at, new).unwrap()
    }

    pub(crate) async fn send(&self, text: &str) -> Arc<Task> {
        self.send_message(said(text)).await
    }

    pub(crate) async fn send_data(&self, data: &Value) -> Arc<Task> {
        let message = Message { parts: vec![Part::data(bobbinet_core::Json::from(data))], ..said("") };
        self.send_message(message).await
    }

    pub(crate) async fn send_message(&self, message: Message) -> Arc<Task> {
        let handle = self.begin_message(message);
        tokio::time::timeout(PATIENCE, handle.settled()).await.expect("it comes to something").unwrap()
    }

    pub(crate) async fn answer(&self, id: &TaskId, text: &str) -> Arc<Task> {
        let reply = Reply { message: said(text), context: None, skill: None, idempotency: None };
        let handle = self.engine.reply(&caller(), &self.at, id, reply).await.unwrap();
        tokio::time::timeout(PATIENCE, handle.settled()).await.expect("it comes to something").unwrap()
    }

    /// A call of a flow: of this method, of the agent at this URL.
    pub(crate) fn begin_call(&self, method: &str, url: &Url, parameters: &Value) -> Handle {
        let request = json!({"method": method, "uri": url.as_str(), "isCard": false, "parameters": parameters});
        let message = Message { parts: vec![Part::data(bobbinet_core::Json::from(&request))], ..said("") };
        let skill = Some(bobbinet_core::SkillId::parse(method).unwrap());
        let new = NewTask { message, context: None, skill, trace: None, idempotency: None };
        self.engine.submit(&caller(), &name("by-url"), new).unwrap()
    }

    pub(crate) async fn call(&self, method: &str, url: &Url, parameters: &Value) -> Arc<Task> {
        let handle = self.begin_call(method, url, parameters);
        tokio::time::timeout(PATIENCE, handle.settled()).await.expect("it comes to something").unwrap()
    }

    pub(crate) async fn cancel(&self, id: &TaskId) -> Arc<Task> {
        self.engine.cancel(&caller(), &self.at, id).await.unwrap()
    }

    pub(crate) async fn until(&self, handle: &Handle, is_it: impl Fn(&Task) -> bool) {
        handle.accepted().await.unwrap();
        for _ in 0..1_000 {
            if is_it(&self.engine.get(&caller(), &self.at, &handle.id()).await.unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not come to that");
    }

    pub(crate) async fn settled(&self, id: &TaskId) -> Arc<Task> {
        for _ in 0..1_000 {
            let task = self.engine.get(&caller(), &self.at, id).await.unwrap();
            if task.state.is_terminal() || task.state.is_interrupted() {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not come to an end");
    }

    /// The process ends in the middle of everything.
    pub(crate) async fn die(self) {
        self.engine.shutdown(Duration::ZERO).await;
        self.agent.shutdown().await;
    }

    /// The process is told to end, and has so long for it.
    pub(crate) async fn stop(self, grace: Duration) {
        self.engine.shutdown(grace).await;
        self.agent.shutdown().await;
    }

    /// How long the agent takes to end, in whole seconds.
    pub(crate) async fn shutdown(self) -> Duration {
        let begun = tokio::time::Instant::now();
        self.die().await;
        Duration::from_secs(begun.elapsed().as_secs())
    }
}

/// An agent that flows alone can call, as if anybody could.
#[derive(Debug)]
struct Reached(Arc<A2aAgent>);

#[async_trait]
impl Agent for Reached {
    fn describe(&self) -> Arc<Description> {
        assert!(self.0.is_internal());
        self.0.describe()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        self.0.prepare(request)
    }

    fn max_concurrency(&self) -> usize {
        self.0.max_concurrency()
    }

    fn ready(&self) -> Result<(), String> {
        self.0.ready()
    }

    async fn run(&self, run: Run) -> Outcome {
        self.0.run(run).await
    }

    async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

/// Knows no flow.
struct Tokens;

#[async_trait]
impl CallCredentials for Tokens {
    async fn of(&self, _: TaskId, _: u64) -> Option<Arc<Value>> {
        None
    }
}

/// An agent of the node itself that asks, and makes of the answer an artifact.
#[derive(Debug)]
struct AsksNear;

#[async_trait]
impl Agent for AsksNear {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        match request.question() {
            Some(_) => Plan::Answer(bobbinet_core::Json::of(&request.message.text())),
            None => Plan::Call(Arc::new(Call::of_message(Effect::Keyed))),
        }
    }

    fn max_concurrency(&self) -> usize {
        8
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let message = Arc::new(Message::from_agent(run.message_id("ask"), vec![Part::text("near or far?")]));
        let question = Question { kind: QuestionKind::Elicitation, message, schema: None };
        let answer = match run.answer_to("near or far?", None) {
            Some(answer) => answer,
            None => match run.ask(Arc::new(question)).await {
                Ok(answer) => answer,
                Err(_) => return Outcome::Declined,
            },
        };
        let text = answer.read::<String>().unwrap();
        let artifact = Artifact::new(ArtifactId::parse("a").unwrap(), vec![Part::text(text)]);
        Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }
    }

    async fn shutdown(&self) {}
}

/// An agent of the node itself.
#[derive(Debug)]
struct Near;

#[async_trait]
impl Agent for Near {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, _: &Request<'_>) -> Plan {
        Plan::Call(Arc::new(Call::of_message(Effect::ReadOnly)))
    }

    fn max_concurrency(&self) -> usize {
        8
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, _: Run) -> Outcome {
        let artifact = Artifact::new(ArtifactId::parse("a").unwrap(), vec![Part::text("near does it")]);
        Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }
    }

    async fn shutdown(&self) {}
}

pub(crate) fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

fn caller() -> Caller {
    Caller::new(Principal::parse("me").unwrap(), Tenant::parse("here").unwrap())
}

pub(crate) fn said(text: &str) -> Message {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let id = MessageId::parse(&format!("m-{}", NEXT.fetch_add(1, Ordering::SeqCst))).unwrap();
    Message { role: Role::User, ..Message::from_agent(id, vec![Part::text(text)]) }
}

pub(crate) async fn wait_for(is_it: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_it() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to that");
}

async fn card(Shared(far): Shared<Arc<Far>>, headers: HeaderMap) -> Response {
    far.cards.fetch_add(1, Ordering::SeqCst);
    let skill = *far.skill.lock().unwrap();
    let leads = *far.leads.lock().unwrap();
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let params =
        json!({"idempotencyKeys": far.form.keys, "skills": {skill: {"input": schema, "effects": "idempotent"}}});
    // One that does not drop repeats says nothing of what calling it twice means.
    let extensions = match far.form.keys {
        true => json!([{"uri": "urn:bobbinet:skills:v1", "params": params}]),
        false => json!([]),
    };
    let url = leads.map_or_else(|| format!("{}/", far.origin), str::to_owned);
    let mut card = json!({
        "name": "far", "description": "is far away", "version": "1",
        "capabilities": {"streaming": far.form.streams, "extensions": extensions},
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": [{"id": skill, "name": skill, "description": "works", "tags": []}],
    });
    match far.form.is_older {
        true => {
            card["url"] = json!(url);
            card["protocolVersion"] = json!("0.3.0");
        }
        false => {
            let interface = json!({"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"});
            card["supportedInterfaces"] = json!([interface]);
        }
    }
    if let Some(keys) = &far.form.signer {
        let signed = signed_card::sign(card.to_string().into_bytes(), |payload| {
            let input = |protected: &str| signed_card::signing_input(protected, payload);
            let (protected, signature) = keys.sign_card(&far.origin, SystemEnv.now(), input)?;
            Ok::<_, MintError>(CardSignature { protected, signature })
        });
        card = serde_json::from_slice(&signed.unwrap()).unwrap();
    }
    let etag = format!("\"{skill}{leads:?}\"").replace(['(', ')'], "");
    let answer_headers = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, "max-age=0".to_owned())];
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    match is_known {
        true => (StatusCode::NOT_MODIFIED, answer_headers).into_response(),
        false => (answer_headers, axum::Json(card)).into_response(),
    }
}

async fn token(Shared(far): Shared<Arc<Far>>, headers: HeaderMap, body: String) -> Response {
    let nth = far.tokens.fetch_add(1, Ordering::SeqCst);
    // node:s3cret
    let is_ours = headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Basic bm9kZTpzM2NyZXQ=");
    if !is_ours || body != "grant_type=client_credentials&scope=a2a" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let token = if nth == 0 { "stale" } else { "fresh" };
    axum::Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": u64::MAX})).into_response()
}

fn task(state: &str, message: Option<&str>, parts: &[&str]) -> Value {
    let mut status = json!({"state": format!("TASK_STATE_{state}"), "timestamp": "2026-11-27T12:00:00.000Z"});
    if let Some(text) = message {
        let schema = json!({"requestedSchema": {"type": "object", "properties": {"colour": {"type": "string"}}}});
        let parts = match state {
            "INPUT_REQUIRED" => json!([{"text": text}, {"data": schema}]),
            _ => json!([{"text": text}]),
        };
        status["message"] = json!({"messageId": format!("s-{state}"), "role": "ROLE_AGENT", "parts": parts});
    }
    let parts: Vec<Value> = parts.iter().map(|text| json!({ "text": text })).collect();
    let artifacts = if parts.is_empty() { json!([]) } else { json!([{"artifactId": "a", "parts": parts}]) };
    json!({"id": "t-1", "contextId": "c-1", "status": status, "artifacts": artifacts})
}

fn status(task: &Value) -> Value {
    json!({"statusUpdate": {"taskId": "t-1", "contextId": "c-1", "status": task["status"]}})
}

fn piece(text: &str, append: bool) -> Value {
    json!({"artifactUpdate": {
        "taskId": "t-1", "contextId": "c-1", "append": append, "lastChunk": append,
        "artifact": {"artifactId": "a", "parts": [{"text": text}]},
    }})
}

async fn rpc(Shared(far): Shared<Arc<Far>>, headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let id = request["id"].clone();
    if far.is_gone.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    if let Some(token) = far.form.token {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if shown != format!("Bearer {token}") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
    }
    let is_older = far.form.is_older;
    let result = |result: Value| {
        let result = if is_older { older::result(&result) } else { result };
        axum::Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
    };
    let error = |code: i64, message: &str| {
        axum::Json(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})).into_response()
    };
    let way = *far.way.lock().unwrap();
    let method = request["method"].as_str().unwrap();
    match if is_older { older::method(method) } else { method } {
        "SendMessage" | "SendStreamingMessage" => {
            let key = headers.get("idempotency-key").map(|value| value.to_str().unwrap().to_owned());
            let count = {
                let mut sent = far.sent.lock().unwrap();
                sent.push(Sent { message: request["params"]["message"].clone(), key });
                sent.len()
            };
            match way {
                Way::Message => {
                    let message = json!({"messageId": "x", "role": "ROLE_AGENT", "parts": [{"text": "just so"}]});
                    result(json!({ "message": message }))
                }
                Way::SaysNo => error(-32602, "bad parameters"),
                Way::MakesContexts if request["params"]["message"]["contextId"].is_string() => {
                    error(-32602, "unknown contextId")
                }
                Way::Busy => StatusCode::TOO_MANY_REQUESTS.into_response(),
                Way::RunsOut => error(-32603, "context deadline exceeded"),
                Way::Garbage => "<html>welcome</html>".into_response(),
                Way::Silent => std::future::pending().await,
                Way::BreaksAndIsGone if count > 1 => (StatusCode::NOT_FOUND, "<html>no</html>").into_response(),
                Way::BreaksTwice | Way::BreaksAndIsGone | Way::AsksAndBreaks
                    if count <= 2 && (way != Way::AsksAndBreaks || count == 2) =>
                {
                    let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
                    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(broken)).into_response()
                }
                Way::Forgets | Way::DiesAfter => {
                    far.is_gone.store(way == Way::DiesAfter, Ordering::SeqCst);
                    match far.form.streams {
                        true => stream(is_older, &id, vec![json!({"task": task("WORKING", None, &[])})], None),
                        false => result(json!({"task": task("WORKING", None, &[])})),
                    }
                }
                Way::Works
                | Way::Quick
                | Way::MakesContexts
                | Way::AsksAndBreaks
                | Way::BreaksAndIsGone
                | Way::BreaksTwice
                | Way::Hangs
                | Way::Asks
                | Way::AsksAndWorks
                | Way::Fails
                | Way::Rejects
                | Way::CanceledThere => {
                    if way == Way::Asks && count > 1 {
                        let text = request["params"]["message"]["parts"][0]["text"].as_str().unwrap().to_owned();
                        *far.answer.lock().unwrap() = Some(text);
                    }
                    match far.form.streams {
                        true => told(&far, &id, way),
                        false => result(json!({"task": task("WORKING", None, &[])})),
                    }
                }
            }
        }
        "GetTask" if way == Way::Forgets => error(-32001, "Task not found"),
        "GetTask" => result(stands(&far, way)),
        "SubscribeToTask" if way == Way::Forgets => error(-32001, "Task not found"),
        "ListTasks" => result(json!({"tasks": [stands(&far, way)], "totalSize": 1, "nextPageToken": ""})),
        "SubscribeToTask" if !far.form.streams => error(-32004, "no"),
        "SubscribeToTask" => told(&far, &id, way),
        "CancelTask" => {
            far.canceled.fetch_add(1, Ordering::SeqCst);
            match far.is_free.load(Ordering::SeqCst) {
                true => error(-32002, "it has ended"),
                false => result(task("CANCELED", None, &[])),
            }
        }
        _ => error(-32601, "no"),
    }
}

/// The task as it stands.
fn stands(far: &Far, way: Way) -> Value {
    let answer = far.answer.lock().unwrap().clone();
    match way {
        Way::Hangs if !far.is_free.load(Ordering::SeqCst) => task("WORKING", None, &["one"]),
        Way::Asks => match answer {
            Some(answer) => task("COMPLETED", Some("done"), &[&answer]),
            None => task("INPUT_REQUIRED", Some("which?"), &[]),
        },
        Way::AsksAndBreaks => task("INPUT_REQUIRED", Some("which?"), &[]),
        Way::AsksAndWorks => match answer {
            Some(answer) if far.is_free.load(Ordering::SeqCst) => task("COMPLETED", Some("done"), &[&answer]),
            Some(_) => task("WORKING", None, &[]),
            None => task("INPUT_REQUIRED", Some("which?"), &[]),
        },
        Way::Fails => task("FAILED", Some("no luck"), &[]),
        Way::Rejects => task("REJECTED", Some("not me"), &[]),
        Way::CanceledThere => task("CANCELED", None, &[]),
        Way::Quick => task("COMPLETED", Some("done"), &["one"]),
        Way::Works
        | Way::Hangs
        | Way::BreaksTwice
        | Way::Message
        | Way::SaysNo
        | Way::MakesContexts
        | Way::RunsOut
        | Way::Busy
        | Way::BreaksAndIsGone
        | Way::Garbage
        | Way::Silent
        | Way::Forgets
        | Way::DiesAfter => task("COMPLETED", Some("done"), &["one", "two"]),
    }
}

/// What a stream tells of the task.
fn told(far: &Arc<Far>, id: &Value, way: Way) -> Response {
    let end = stands(far, way);
    let is_older = far.form.is_older;
    let begun = json!({"task": task("WORKING", None, &[])});
    match way {
        Way::Hangs if !far.is_free.load(Ordering::SeqCst) => {
            stream(is_older, id, vec![begun, piece("one", false)], Some(far.clone()))
        }
        Way::Quick => {
            let mut whole = piece("one", false);
            whole["artifactUpdate"]["lastChunk"] = json!(true);
            stream(is_older, id, vec![begun, whole, status(&end)], None)
        }
        Way::Works | Way::BreaksTwice => {
            stream(is_older, id, vec![begun, piece("one", false), piece("two", true), status(&end)], None)
        }
        _ if end["artifacts"] == json!([]) => stream(is_older, id, vec![begun, status(&end)], None),
        Way::Message
        | Way::Hangs
        | Way::Asks
        | Way::AsksAndBreaks
        | Way::AsksAndWorks
        | Way::Fails
        | Way::Rejects
        | Way::CanceledThere
        | Way::SaysNo
        | Way::MakesContexts
        | Way::RunsOut
        | Way::Busy
        | Way::BreaksAndIsGone
        | Way::Garbage
        | Way::Silent
        | Way::Forgets
        | Way::DiesAfter => stream(is_older, id, vec![json!({ "task": end })], None),
    }
}

/// A stream of these events; if there is a peer, then what it says when it is let go.
fn stream(is_older: bool, id: &Value, events: Vec<Value>, rest: Option<Arc<Far>>) -> Response {
    let id = id.clone();
    let event = move |event: Value| {
        let event = if is_older { older::result(&event) } else { event };
        Ok::<_, Infallible>(format!("data: {}\n\n", json!({"jsonrpc": "2.0", "id": id, "result": event})))
    };
    let first: Vec<_> = events.into_iter().map(&event).collect();
    let last = async move {
        let Some(far) = rest else { return Ok(String::new()) };
        while !far.is_free.load(Ordering::SeqCst) {
            far.free.notified().await;
        }
        event(status(&task("COMPLETED", Some("done"), &[])))
    };
    let all = futures::StreamExt::chain(futures::stream::iter(first), futures::stream::once(last));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(all)).into_response()
}

/// Resolves every name to these addresses.
#[derive(Debug)]
pub(crate) struct Names(pub(crate) Mutex<Vec<IpAddr>>);

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(self.0.lock().unwrap().clone())
    }
}
