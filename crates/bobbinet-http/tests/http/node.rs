//! One node with one or two agents on a free port, and what tests say to it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bobbinet_auth::{
    CertifiedPrincipal, Claims, Issuer, KeyRing, NODE_ISSUER, NODE_OWNER, NODE_TENANT, Policy, SealingKey, Verifier,
    VerifierConfig, mint,
};
use bobbinet_core::{AgentName, Limits, Principal, Tenant, Timestamp};
use bobbinet_engine::{Agent, Engine, Env, Setup, SystemEnv, TaskBlobs};
use bobbinet_gateway::{Gateway, GatewayLimits, GatewaySetup, PolicyAuthorizer};
use bobbinet_http::{HttpBlobUrls, HttpCourier, HttpLimits, Mount, Server, ServerSetup, Tls, TlsFiles, serve};
use bobbinet_outbound::{
    Guard, Origin, OutboundLimits,
    sse::{SseEvent, SseParser},
};
use bobbinet_push::{Webhooks, WebhooksSetup};
use bobbinet_store::{
    MemoryStore, Store,
    blobs::{BlobLimits, Blobs},
};
use bobbinet_wire::interface::CardForm;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::worker::Worker;

/// What should take milliseconds is given up after this: far more than a slow machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// The agent's URL.
    pub(crate) url: String,
    pub(crate) engine: Engine,
    pub(crate) worker: Arc<Worker>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) stop: CancellationToken,
    pub(crate) server: Arc<Server>,
    /// What the server asks; what is exchanged here is exchanged there.
    pub(crate) policy: Policy,
    pub(crate) verifier: Verifier,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) serving: JoinSet<()>,
    pub(crate) http: reqwest::Client,
    /// Its keys are in `keys`.
    pub(crate) folder: TempDir,
}

/// How a test wants its node.
pub(crate) struct Form {
    pub(crate) limits: HttpLimits,
    /// How much may be at work at a time.
    pub(crate) admission: GatewayLimits,
    pub(crate) is_root: bool,
    /// Whether it has a second agent.
    pub(crate) has_other: bool,
    pub(crate) public_url: Option<&'static str>,
    pub(crate) cors: Vec<&'static str>,
    pub(crate) proxies: Vec<&'static str>,
    pub(crate) card: CardForm,
    pub(crate) wait_max: Option<Duration>,
    /// Receivers that may be told of tasks though they are on this machine; nobody is told anything without it.
    pub(crate) receivers: Option<Vec<String>>,
    pub(crate) tls: Option<TlsFiles>,
    /// Who is known by his certificate.
    pub(crate) certified: Vec<CertifiedPrincipal>,
    pub(crate) policy: Policy,
    /// What the node finds in its folder.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Arc<Blobs>,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            limits: HttpLimits::default(),
            admission: GatewayLimits::default(),
            is_root: true,
            has_other: true,
            public_url: None,
            cors: Vec::new(),
            proxies: Vec::new(),
            card: CardForm::default(),
            wait_max: None,
            receivers: None,
            tls: None,
            certified: Vec::new(),
            policy: Policy::owner_only(),
            store: Arc::new(MemoryStore::default()),
            blobs: Blobs::in_memory(BlobLimits::default()),
        }
    }
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(Form::default()).await
    }

    pub(crate) async fn limited(limit: impl FnOnce(&mut HttpLimits)) -> Self {
        let mut form = Form::default();
        limit(&mut form.limits);
        Self::with(form).await
    }

    pub(crate) async fn limited_by(limit: impl FnOnce(&mut HttpLimits, &mut GatewayLimits)) -> Self {
        let mut form = Form::default();
        limit(&mut form.limits, &mut form.admission);
        Self::with(form).await
    }

    pub(crate) async fn with(form: Form) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(KeyRing::open_or_create(&folder.path().join("keys"), SystemEnv.now()).unwrap());
        let worker = Arc::new(Worker::new());
        let name = |text: &str| AgentName::parse(text).unwrap();
        let mut agents: BTreeMap<AgentName, Arc<dyn Agent>> =
            BTreeMap::from([(name("worker"), worker.clone() as Arc<dyn Agent>)]);
        agents.extend(form.has_other.then(|| (name("other"), Arc::new(Worker::new()) as Arc<dyn Agent>)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mount = if form.is_root { Mount::Root(name("worker")) } else { Mount::EachByName };
        let scheme = if form.tls.is_some() { "https" } else { "http" };
        let urls = HttpBlobUrls::new((form.public_url, scheme), (address, &[]), mount.clone());
        let setup = Setup {
            store: form.store,
            agents,
            env: Arc::new(SystemEnv),
            limits: Limits::default(),
            authorizer: Arc::new(PolicyAuthorizer::new(form.policy.clone())),
        };
        let blobs = TaskBlobs::new(form.blobs, Arc::new(urls));
        let engine = Engine::open_with_blobs(setup, blobs).await.unwrap();
        let stop = CancellationToken::new();
        let policy = form.policy;
        let verifier = Verifier::new(VerifierConfig::default(), vec![Issuer::node(keys.clone())])
            .with_certificates(form.certified);
        let setup = GatewaySetup {
            engine: engine.clone(),
            policy: policy.clone(),
            limits: form.admission,
            wait_max: form.wait_max,
            drain: form.limits.drain(),
            stop: stop.clone(),
        };
        let webhooks = match &form.receivers {
            Some(origins) => Some(webhooks(&engine, &keys, &folder.path().join("keys"), origins, address).await),
            None => None,
        };
        let gateway = match &webhooks {
            Some(webhooks) => Gateway::with_webhooks(setup, webhooks.clone()),
            None => Gateway::new(setup),
        };
        let tls = form.tls.map(|files| Tls::open(files).unwrap());
        let setup = ServerSetup {
            gateway: gateway.clone(),
            keys: keys.clone(),
            verifier: verifier.clone(),
            mount,
            listen: address,
            addresses: Vec::new(),
            proxies: form.proxies.iter().map(|text| text.parse().unwrap()).collect(),
            cors: form.cors.iter().map(|text| (*text).to_owned()).collect(),
            public_url: form.public_url.map(str::to_owned),
            limits: form.limits,
            is_version_required: true,
            grpc: None,
            mcp: None,
            card: form.card,
            stop: stop.clone(),
        };
        let server = match tls {
            Some(tls) => Server::with_tls(tls, setup),
            None => Server::new(setup),
        };
        let server = server.unwrap();
        let scheme = server.scheme();
        let url = format!("{scheme}://{address}{}", if form.is_root { "" } else { "/agents/worker" });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, server.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, url, engine, worker, keys, stop, server, policy, verifier, gateway, serving, http, folder }
    }

    /// A token for the agent under test.
    pub(crate) fn token(&self) -> String {
        self.token_of(NODE_OWNER, &self.url, SystemEnv.now())
    }

    pub(crate) fn token_of(&self, subject: &str, audience: &str, now: Timestamp) -> String {
        let claims = Claims {
            issuer: NODE_ISSUER,
            subject: &Principal::parse(subject).unwrap(),
            tenant: &Tenant::parse(NODE_TENANT).unwrap(),
            audience,
            scopes: &[],
            now,
            lifetime: Duration::from_secs(300),
        };
        mint(&self.keys, &claims).unwrap()
    }

    /// A request without a body, without a token and without a version.
    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).header("content-type", "application/json")
    }

    /// A request with all that it takes.
    pub(crate) fn request(&self, method: &str, params: &Value) -> RequestBuilder {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.post("/").bearer_auth(self.token()).header("a2a-version", "1.0").body(body.to_string())
    }

    /// The same as bytes.
    pub(crate) fn raw(&self, method: &str, params: &Value) -> Vec<u8> {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
        let (token, length) = (self.token(), body.len());
        let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nA2A-Version: 1.0\r\n";
        format!("{head}Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    }

    /// The answer to a request that HTTP has no objection to.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let (status, answer) = whole(self.request(method, &params)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
        answer
    }

    pub(crate) async fn result(&self, method: &str, params: Value) -> Value {
        let mut answer = self.call(method, params).await;
        assert_eq!(answer["error"], Value::Null);
        answer["result"].take()
    }

    pub(crate) async fn error_code(&self, method: &str, params: Value) -> i64 {
        let answer = self.call(method, params).await;
        answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
    }

    /// Begins a task and does not wait for its end.
    pub(crate) async fn begin(&self, text: &str) -> Value {
        let mut params = message(text);
        params["configuration"] = json!({ "returnImmediately": true });
        self.result("SendMessage", params).await["task"].take()
    }

    /// Begins a task and waits for its end, or its question.
    pub(crate) async fn send(&self, text: &str) -> Value {
        self.result("SendMessage", message(text)).await["task"].take()
    }

    /// A stream that must come about.
    pub(crate) async fn stream(&self, method: &str, params: &Value) -> Events {
        Events::open(self.request(method, params)).await
    }

    pub(crate) async fn subscribe(&self, task: &Value, last_event_id: Option<&str>) -> Events {
        let mut request = self.request("SubscribeToTask", &json!({ "id": task["id"] }));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        Events::open(request).await
    }

    pub(crate) async fn assert_ready(&self) {
        let response = self.http.get(format!("http://{}/readyz", self.address)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

async fn webhooks(
    engine: &Engine,
    keys: &Arc<KeyRing>,
    folder: &std::path::Path,
    origins: &[String],
    address: SocketAddr,
) -> Arc<Webhooks> {
    let origins = origins.iter().map(|origin| Origin::of(&origin.parse().unwrap()).unwrap());
    let guard = Guard::new(origins, OutboundLimits::default()).unwrap();
    let courier = HttpCourier::new(guard, keys.clone(), format!("http://{address}"), Arc::new(SystemEnv));
    let courier = Arc::new(courier.unwrap());
    let seal = SealingKey::open_or_create(folder).unwrap();
    Webhooks::start(WebhooksSetup { engine: engine.clone(), seal, courier }).await.unwrap()
}

/// Parameters that say this.
pub(crate) fn message(text: &str) -> Value {
    json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": text }] } })
}

/// Parameters that say this to a task.
pub(crate) fn reply(text: &str, task: &Value) -> Value {
    let mut params = message(text);
    params["message"]["taskId"] = task["id"].clone();
    params
}

pub(crate) async fn whole(request: RequestBuilder) -> (StatusCode, Value) {
    let response = timeout(PATIENCE, request.send()).await.expect("an answer in time").unwrap();
    let status = response.status();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.text().await.unwrap();
    assert_eq!(media_type, "application/json", "{body}");
    (status, serde_json::from_str(&body).unwrap())
}

/// An event stream as it comes.
pub(crate) struct Events {
    response: Response,
    parser: SseParser,
    ready: Vec<SseEvent>,
}

impl Events {
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let response = timeout(PATIENCE, request.send()).await.expect("headers in time").unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { response, parser: SseParser::new(), ready: Vec::new() }
    }

    /// The next event, or `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<SseEvent> {
        while self.ready.is_empty() {
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("an event in time").unwrap()?;
            self.ready = self.parser.feed(&chunk).unwrap();
        }
        Some(self.ready.remove(0))
    }

    /// The next event in short, as [`short`] says it.
    pub(crate) async fn short(&mut self) -> Option<String> {
        self.next().await.map(|event| short(&event))
    }

    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(event) = self.short().await {
            rest.push(event);
        }
        rest
    }

    pub(crate) fn retry(&self) -> Option<Duration> {
        self.parser.retry()
    }
}

/// Its id and what it says: `3 artifact 1 append last`, `2 WORKING`, `1 task SUBMITTED`, and `resync` if it is marked so.
pub(crate) fn short(event: &SseEvent) -> String {
    let data: Value = serde_json::from_str(&event.data).unwrap();
    assert_eq!((&data["jsonrpc"], &data["id"]), (&json!("2.0"), &json!(7)), "{data}");
    short_of(event.id.as_deref(), &data["result"])
}

pub(crate) fn short_of(id: Option<&str>, result: &Value) -> String {
    let id = id.unwrap_or("-");
    let state = |status: &Value| status["state"].as_str().unwrap().replacen("TASK_STATE_", "", 1);
    if let Some(task) = result.get("task") {
        let is_marked = task["metadata"][bobbinet_http::RESYNC_KEY] == true;
        let mark = if is_marked { " resync" } else { "" };
        return format!("{id} task {}{mark}", state(&task["status"]));
    }
    if let Some(update) = result.get("statusUpdate") {
        return format!("{id} {}", state(&update["status"]));
    }
    let update = &result["artifactUpdate"];
    let mut text = format!("{id} artifact {}", update["artifact"]["parts"][0]["text"].as_str().unwrap());
    for flag in ["append", "lastChunk"] {
        if update[flag] == true {
            text.push_str(&format!(" {flag}"));
        }
    }
    text
}
