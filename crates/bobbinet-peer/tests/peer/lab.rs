//! A peer of many ways, and nodes before it that come and go.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{AgentName, Limits};
use bobbinet_engine::{Agent, AllowAll, Engine, Setup, SystemEnv};
use bobbinet_outbound::{Guard, Origin, OutboundLimits, Resolver};
use bobbinet_peer::{A2aAgent, PeerAgent, PeerAuth, PeerConfig, PeerLimits};
use bobbinet_store::MemoryStore;
use reqwest::Url;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    far::{Far, Form, Sent, Way},
    near::{AsksNear, Near, Reached, Tokens},
    node::{Node, name},
};

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
        let far = Far::new(form, format!("http://{host}:{}", address.port()));
        let router = far.router();
        let (canceled, cards, tokens) = (far.canceled.clone(), far.cards.clone(), far.tokens.clone());
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

    pub(crate) fn set_bindings(&self, bindings: &'static [&'static str]) {
        *self.far.bindings.lock().unwrap() = bindings;
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

/// Resolves every name to these addresses.
#[derive(Debug)]
pub(crate) struct Names(pub(crate) Mutex<Vec<IpAddr>>);

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(self.0.lock().unwrap().clone())
    }
}
