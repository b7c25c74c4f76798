//! One node, and a host that speaks MCP with it by hand.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bobbinet_auth::{
    Claims, Issuer, KeyRing, Lines, NODE_ISSUER, NODE_OWNER, NODE_TENANT, Policy, PolicyLine, Verifier, VerifierConfig,
    mint,
};
use bobbinet_core::{AgentName, Limits, Principal, Tenant};
use bobbinet_engine::{Agent, AllowAll, Engine, Env, Setup, SystemEnv, TaskBlobs};
use bobbinet_gateway::{Gateway, GatewayLimits, GatewaySetup};
use bobbinet_http::{CardForm, HttpBlobUrls, HttpLimits, Mount, OtherBinding, Server, ServerSetup, serve};
use bobbinet_store::{
    MemoryStore,
    blobs::{BlobLimits, Blobs},
};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::desk::{Dead, Desk, Talker};

/// What should take milliseconds is given up after this: far more than a slow machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const BOTH: &str = "application/json, text/event-stream";
pub(crate) const STATELESS: &str = "2026-07-28";

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) url: String,
    pub(crate) desk: Arc<Desk>,
    pub(crate) policy: Policy,
    keys: Arc<KeyRing>,
    stop: CancellationToken,
    store: Arc<MemoryStore>,
    engine: Engine,
    serving: JoinSet<()>,
    folder: TempDir,
}

/// A host in a session, or without one.
pub(crate) struct Host {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) session: Option<String>,
    pub(crate) version: &'static str,
    pub(crate) capabilities: Value,
}

/// What comes in an event stream.
pub(crate) struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(bobbinet_mcp_server::routes).await
    }

    pub(crate) async fn with(mcp: OtherBinding) -> Self {
        Self::among(mcp, BTreeMap::new()).await
    }

    /// One with these agents beside the usual ones.
    pub(crate) async fn among(mcp: OtherBinding, others: BTreeMap<AgentName, Arc<dyn Agent>>) -> Self {
        Self::on(Arc::new(MemoryStore::default()), tempfile::tempdir().unwrap(), mcp, others).await
    }

    /// Stops it, and starts it again on what it has kept, at another address.
    pub(crate) async fn restart(mut self, mcp: OtherBinding, others: BTreeMap<AgentName, Arc<dyn Agent>>) -> Self {
        self.stop.cancel();
        timeout(PATIENCE, self.serving.join_next()).await.unwrap().unwrap().unwrap();
        self.engine.shutdown(Duration::from_millis(100)).await;
        Self::on(self.store, self.folder, mcp, others).await
    }

    async fn on(
        store: Arc<MemoryStore>,
        folder: TempDir,
        mcp: OtherBinding,
        others: BTreeMap<AgentName, Arc<dyn Agent>>,
    ) -> Self {
        let keys = Arc::new(KeyRing::open_or_create(&folder.path().join("keys"), SystemEnv.now()).unwrap());
        let desk = Arc::new(Desk::default());
        let name = |text: &str| AgentName::parse(text).unwrap();
        let mut agents: BTreeMap<AgentName, Arc<dyn Agent>> = BTreeMap::from([
            (name("desk"), desk.clone() as Arc<dyn Agent>),
            (name("talker"), Arc::new(Talker) as Arc<dyn Agent>),
            (name("dead"), Arc::new(Dead) as Arc<dyn Agent>),
        ]);
        agents.extend(others);
        let setup = Setup {
            store: store.clone(),
            agents,
            env: Arc::new(SystemEnv),
            limits: Limits::default(),
            authorizer: Arc::new(AllowAll),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let urls = HttpBlobUrls::new((None, "http"), (address, &[]), Mount::EachByName);
        let blobs = TaskBlobs::new(Blobs::in_memory(BlobLimits::default()), Arc::new(urls));
        let engine = Engine::open_with_blobs(setup, blobs).await.unwrap();
        let stop = CancellationToken::new();
        let limits = HttpLimits { keep_alive_ms: 100, drain_ms: 500, ..HttpLimits::default() };
        let policy = Policy::owner_only();
        let gateway = Gateway::new(GatewaySetup {
            engine: engine.clone(),
            policy: policy.clone(),
            limits: GatewayLimits::default(),
            wait_max: None,
            drain: limits.drain(),
            stop: stop.clone(),
        });
        let server = Server::new(ServerSetup {
            gateway,
            keys: keys.clone(),
            verifier: Verifier::new(VerifierConfig::default(), vec![Issuer::node(keys.clone())]),
            mount: Mount::EachByName,
            listen: address,
            addresses: Vec::new(),
            proxies: Vec::new(),
            cors: vec!["https://ui.example.com".to_owned()],
            public_url: None,
            limits,
            is_version_required: true,
            card: CardForm::default(),
            grpc: None,
            mcp: Some(mcp),
            stop: stop.clone(),
        })
        .unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, server));
        let url = format!("http://{address}/mcp");
        Self { address, url, desk, policy, keys, stop, store, engine, serving, folder }
    }

    pub(crate) fn token_of(&self, subject: &str, audience: &str) -> String {
        let claims = Claims {
            issuer: NODE_ISSUER,
            subject: &Principal::parse(subject).unwrap(),
            tenant: &Tenant::parse(NODE_TENANT).unwrap(),
            audience,
            scopes: &[],
            now: SystemEnv.now(),
            lifetime: Duration::from_secs(300),
        };
        mint(&self.keys, &claims).unwrap()
    }

    /// The owner's host, which has said nothing yet.
    pub(crate) fn host(&self, version: &'static str, capabilities: Value) -> Host {
        self.host_of(NODE_OWNER, version, capabilities)
    }

    pub(crate) fn host_of(&self, subject: &str, version: &'static str, capabilities: Value) -> Host {
        let (http, url) = (reqwest::Client::new(), self.url.clone());
        Host { http, token: self.token_of(subject, &url), url, session: None, version, capabilities }
    }

    /// The owner's host after its handshake, if its revision has one.
    pub(crate) async fn open(&self, version: &'static str, capabilities: Value) -> Host {
        let mut host = self.host(version, capabilities);
        if version != STATELESS {
            host.initialize().await;
        }
        host
    }

    /// From now on callers may do what this line of a policy allows.
    pub(crate) fn allow(&self, line: &str) {
        let line = PolicyLine::parse("p.yaml:1", line, []).unwrap();
        self.policy.replace(&Policy::new(Lines::new(vec![line]).unwrap()));
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        timeout(PATIENCE, self.serving.join_next()).await.unwrap().unwrap().unwrap();
    }
}

impl Host {
    /// A request with all that it takes.
    pub(crate) fn post(&self, message: &Value) -> RequestBuilder {
        let request = self.http.post(&self.url).bearer_auth(&self.token).header("accept", BOTH);
        let request = match &self.session {
            Some(session) => request.header("mcp-session-id", session),
            None => request,
        };
        let request = match message["method"].as_str() {
            Some("initialize") => request,
            _ => request.header("mcp-protocol-version", self.version),
        };
        let (method, name) = (message["method"].as_str(), message["params"]["name"].as_str());
        let request = match method.filter(|_| self.version == STATELESS) {
            Some(method) => request.header("mcp-method", method),
            None => request,
        };
        let params = &message["params"];
        let name = name.or_else(|| params["uri"].as_str()).or_else(|| params["taskId"].as_str());
        let request = match name.filter(|_| self.version == STATELESS) {
            Some(name) => request.header("mcp-name", name),
            None => request,
        };
        request.header("content-type", "application/json").body(message.to_string())
    }

    pub(crate) async fn send(&self, message: &Value) -> Response {
        timeout(PATIENCE, self.post(message).send()).await.expect("an answer in time").unwrap()
    }

    pub(crate) async fn initialize(&mut self) -> Value {
        let params = json!({"protocolVersion": self.version, "capabilities": self.capabilities,
            "clientInfo": {"name": "test", "version": "1"}});
        let response = self.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})).await;
        assert_eq!(response.status(), 200);
        self.session = Some(response.headers()["mcp-session-id"].to_str().unwrap().to_owned());
        let answer = last(response).await;
        let done = self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        assert_eq!(done.status(), 202);
        answer["result"].clone()
    }

    /// A request of this revision.
    pub(crate) fn request(&self, id: &Value, method: &str, params: &Value) -> Value {
        let mut params = params.clone();
        if self.version == STATELESS {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = self.version.into();
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        }
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    }

    pub(crate) async fn ask(&self, method: &str, params: &Value) -> Value {
        last(self.send(&self.request(&json!(7), method, params)).await).await
    }

    /// The result of a tool.
    pub(crate) async fn call(&self, tool: &str, arguments: &Value) -> Value {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments})).await;
        assert!(answer["result"].is_object(), "{answer}");
        answer["result"].clone()
    }

    /// The same where the answer is to be read as it comes.
    pub(crate) async fn stream(&self, id: &Value, params: &Value) -> Events {
        Events::of(self.send(&self.request(id, "tools/call", params)).await)
    }
}

impl Events {
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: Vec::new() }
    }

    /// The next message; comments are passed over.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let text = String::from_utf8(event).unwrap();
                if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) {
                    return Some(serde_json::from_str(data).unwrap());
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("something in time").unwrap()?;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

/// The last message of an answer, whichever form it has.
pub(crate) async fn last(response: Response) -> Value {
    if response.headers()["content-type"] == "application/json" {
        return response.json().await.unwrap();
    }
    let mut events = Events { response, buffer: Vec::new() };
    let mut last = None;
    while let Some(message) = events.next().await {
        last = Some(message);
    }
    last.unwrap()
}

/// The texts of a result.
pub(crate) fn texts(result: &Value) -> Vec<&str> {
    result["content"].as_array().unwrap().iter().filter_map(|block| block["text"].as_str()).collect()
}
