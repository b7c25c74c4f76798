//! One node with one or two agents on a free port, and clients of both packages.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bobbinet_auth::{
    Claims, Issuer, KeyRing, NODE_ISSUER, NODE_OWNER, NODE_TENANT, Policy, SealingKey, Verifier, VerifierConfig, mint,
};
use bobbinet_core::{AgentName, Limits, Principal, Tenant};
use bobbinet_engine::{Agent, AllowAll, Engine, Env, Setup, SystemEnv};
use bobbinet_gateway::{Gateway, GatewayLimits, GatewaySetup};
use bobbinet_grpc::pb::{v0_3, v1_0};
use bobbinet_http::{CardForm, HttpCourier, HttpLimits, Mount, Server, ServerSetup, serve};
use bobbinet_outbound::{Guard, Origin, OutboundLimits};
use bobbinet_push::{Webhooks, WebhooksSetup};
use bobbinet_store::MemoryStore;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::worker::Worker;

/// What should take milliseconds is given up after this: far more than a slow machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Client = v1_0::a2a_service_client::A2aServiceClient<Channel>;
pub(crate) type OlderClient = v0_3::a2a_service_client::A2aServiceClient<Channel>;

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// The agent's URL.
    pub(crate) url: String,
    pub(crate) worker: Arc<Worker>,
    pub(crate) stop: CancellationToken,
    keys: Arc<KeyRing>,
    _engine: Engine,
    _serving: JoinSet<()>,
    _folder: TempDir,
}

/// How a test wants its node.
#[derive(Default)]
pub(crate) struct Form {
    pub(crate) limits: HttpLimits,
    pub(crate) admission: GatewayLimits,
    /// Whether it has a second agent, and each has a URL of its own.
    pub(crate) has_other: bool,
    /// A receiver that may be told of tasks though it is on this machine; nobody is told anything without it.
    pub(crate) receiver: Option<String>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(Form::default()).await
    }

    pub(crate) async fn limited(limit: impl FnOnce(&mut HttpLimits, &mut GatewayLimits)) -> Self {
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
        let setup = Setup {
            store: Arc::new(MemoryStore::default()),
            agents,
            env: Arc::new(SystemEnv),
            limits: Limits::default(),
            authorizer: Arc::new(AllowAll),
        };
        let engine = Engine::open(setup).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let setup = GatewaySetup {
            engine: engine.clone(),
            policy: Policy::owner_only(),
            limits: form.admission,
            wait_max: None,
            drain: form.limits.drain(),
            stop: stop.clone(),
        };
        let gateway = match &form.receiver {
            Some(receiver) => {
                let origin = Origin::of(&receiver.parse().unwrap()).unwrap();
                let guard = Guard::new([origin], OutboundLimits::default()).unwrap();
                let env = Arc::new(SystemEnv);
                let courier = HttpCourier::new(guard, keys.clone(), format!("http://{address}"), env);
                let courier = Arc::new(courier.unwrap());
                let seal = SealingKey::open_or_create(&folder.path().join("keys")).unwrap();
                let webhooks = WebhooksSetup { engine: engine.clone(), seal, courier };
                Gateway::with_webhooks(setup, Webhooks::start(webhooks).await.unwrap())
            }
            None => Gateway::new(setup),
        };
        let server = Server::new(ServerSetup {
            gateway,
            keys: keys.clone(),
            verifier: Verifier::new(VerifierConfig::default(), vec![Issuer::node(keys.clone())]),
            mount: if form.has_other { Mount::EachByName } else { Mount::Root(name("worker")) },
            listen: address,
            addresses: Vec::new(),
            proxies: Vec::new(),
            cors: Vec::new(),
            public_url: None,
            limits: form.limits,
            is_version_required: true,
            card: CardForm::default(),
            grpc: Some(bobbinet_grpc::routes),
            mcp: None,
            stop: stop.clone(),
        })
        .unwrap();
        let url = format!("http://{address}{}", if form.has_other { "/agents/worker" } else { "" });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, server));
        Self { address, url, worker, stop, keys, _engine: engine, _serving: serving, _folder: folder }
    }

    /// A token of this subject for this URL.
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

    /// A request with all that it takes.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        with(message, &[("authorization", &format!("Bearer {}", self.token_of(NODE_OWNER, &self.url)))])
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        timeout(PATIENCE, endpoint.connect()).await.expect("a connection in time").unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(self.channel().await)
    }

    pub(crate) async fn older(&self) -> OlderClient {
        OlderClient::new(self.channel().await)
    }

    /// What comes of saying this.
    pub(crate) async fn send(&self, message: v1_0::SendMessageRequest) -> Result<v1_0::Task, Status> {
        let answer = self.client().await.send_message(self.request(message)).await?.into_inner();
        match answer.payload.unwrap() {
            v1_0::send_message_response::Payload::Task(task) => Ok(task),
            v1_0::send_message_response::Payload::Message(message) => panic!("no task: {message:?}"),
        }
    }

    /// A stream that must come about.
    pub(crate) async fn stream(&self, message: v1_0::SendMessageRequest) -> Streaming<v1_0::StreamResponse> {
        self.client().await.send_streaming_message(self.request(message)).await.unwrap().into_inner()
    }
}

/// A message with this metadata.
pub(crate) fn with<T>(message: T, metadata: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// A message that says this.
pub(crate) fn says(text: &str) -> v1_0::SendMessageRequest {
    let part = v1_0::Part { content: Some(v1_0::part::Content::Text(text.to_owned())), ..v1_0::Part::default() };
    let message = v1_0::Message {
        message_id: "m".to_owned(),
        role: v1_0::Role::User.into(),
        parts: vec![part],
        ..v1_0::Message::default()
    };
    v1_0::SendMessageRequest { message: Some(message), ..v1_0::SendMessageRequest::default() }
}

/// The same without waiting.
pub(crate) fn begins(text: &str) -> v1_0::SendMessageRequest {
    let configuration =
        v1_0::SendMessageConfiguration { return_immediately: true, ..v1_0::SendMessageConfiguration::default() };
    v1_0::SendMessageRequest { configuration: Some(configuration), ..says(text) }
}

/// The same to a task.
pub(crate) fn answers(text: &str, task: &str) -> v1_0::SendMessageRequest {
    let mut request = says(text);
    if let Some(message) = &mut request.message {
        task.clone_into(&mut message.task_id);
    }
    request
}

pub(crate) fn task_of(id: &str) -> v1_0::GetTaskRequest {
    v1_0::GetTaskRequest { id: id.to_owned(), ..v1_0::GetTaskRequest::default() }
}

/// The text of the first artifact.
pub(crate) fn made(task: &v1_0::Task) -> &str {
    match &task.artifacts[0].parts[0].content {
        Some(v1_0::part::Content::Text(text)) => text,
        other => panic!("no text: {other:?}"),
    }
}

/// The state, in one word.
pub(crate) fn state(task: &v1_0::Task) -> &'static str {
    state_name(task.status.as_ref())
}

fn state_name(status: Option<&v1_0::TaskStatus>) -> &'static str {
    status.unwrap().state().as_str_name().strip_prefix("TASK_STATE_").unwrap()
}

/// What the stream tells next, in short: `task SUBMITTED`, `WORKING`, `artifact 1 append last`.
pub(crate) async fn short(stream: &mut Streaming<v1_0::StreamResponse>) -> Result<Option<String>, Status> {
    use v1_0::stream_response::Payload;
    let told = timeout(PATIENCE, stream.message()).await.expect("a message in time")?;
    Ok(told.map(|told| match told.payload.unwrap() {
        Payload::Task(task) => format!("task {}", state(&task)),
        Payload::StatusUpdate(update) => state_name(update.status.as_ref()).to_owned(),
        Payload::ArtifactUpdate(update) => {
            let artifact = update.artifact.unwrap();
            let Some(v1_0::part::Content::Text(text)) = &artifact.parts[0].content else { panic!("no text") };
            let (append, last) =
                (if update.append { " append" } else { "" }, if update.last_chunk { " last" } else { "" });
            format!("artifact {text}{append}{last}")
        }
        Payload::Message(message) => panic!("no event: {message:?}"),
    }))
}

/// All that the stream tells until its end.
pub(crate) async fn rest(stream: &mut Streaming<v1_0::StreamResponse>) -> Vec<String> {
    let mut rest = Vec::new();
    while let Some(told) = short(stream).await.unwrap() {
        rest.push(told);
    }
    rest
}
