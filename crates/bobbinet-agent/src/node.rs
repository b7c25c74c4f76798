//! A whole node around one agent: store, keys, engine, server.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use bobbinet_auth::{
    Issuer, KEYS_FOLDER, KeyRing, NODE_OWNER, NODE_TENANT, Policy, SealingKey, Verifier, VerifierConfig,
};
use bobbinet_core::{AgentName, Caller, Limits, Principal, Tenant};
use bobbinet_engine::{Engine, Env, Setup, SystemEnv};
use bobbinet_gateway::{Gateway, GatewayLimits, GatewaySetup, PolicyAuthorizer};
use bobbinet_http::{CardForm, HttpCourier, HttpLimits, Mount, Server, ServerSetup};
use bobbinet_outbound::{Guard, OutboundLimits};
use bobbinet_push::{Webhooks, WebhooksSetup};
use bobbinet_store::{SledOptions, SledStore};
use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

use crate::{Agent, NodeError, Serving, adapter::Adapter};

/// Serves an agent as the command line says ([`Flags`]) until the process is told to stop. All that a `main` needs.
pub fn serve(agent: impl Agent) -> ExitCode {
    Node::new(agent).flags(Flags::parse()).run()
}

/// The command line of an agent. A program with flags of its own takes these in with `#[command(flatten)]`.
#[derive(Clone, Debug, Parser)]
pub struct Flags {
    /// Where to listen. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7420")]
    pub listen: SocketAddr,
    /// Where tasks and keys are kept; NAME-data if not said.
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// What callers know the agent by, if that is not its address: behind a proxy.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Prints a token for the agent, good for five minutes.
    #[arg(long)]
    pub print_token: bool,
    /// What is logged: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: LevelFilter,
}

/// A node around one agent, to be started.
pub struct Node {
    agent: Result<Named, NodeError>,
    in_front: Option<Named>,
    listen: SocketAddr,
    data_dir: Option<PathBuf>,
    public_url: Option<String>,
    is_open: bool,
    prints_token: bool,
    log: Option<LevelFilter>,
}

/// An agent as the engine knows it.
type Named = (AgentName, Arc<dyn bobbinet_engine::Agent>);

impl Node {
    /// A node around this agent, at 127.0.0.1:7420, with its data in a folder in the working directory that is called as the agent is.
    pub fn new(agent: impl Agent) -> Self {
        let agent = agent.card().checked().map_err(NodeError::Card).map(|card| {
            let adapter: Arc<dyn bobbinet_engine::Agent> = Arc::new(Adapter::new(agent, card.description));
            (card.name, adapter)
        });
        Self {
            agent,
            in_front: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 7420)),
            data_dir: None,
            public_url: None,
            is_open: false,
            prints_token: false,
            log: None,
        }
    }

    /// As the command line says.
    #[must_use]
    pub fn flags(self, flags: Flags) -> Self {
        Self {
            listen: flags.listen,
            data_dir: flags.data_dir.or(self.data_dir),
            public_url: flags.public_url.or(self.public_url),
            prints_token: flags.print_token,
            log: Some(flags.log),
            ..self
        }
    }

    /// Listens at this address. Port 0 takes a free one.
    #[must_use]
    pub fn listen(self, address: SocketAddr) -> Self {
        Self { listen: address, ..self }
    }

    /// Keeps tasks and keys in this folder.
    #[must_use]
    pub fn data_dir(self, folder: impl Into<PathBuf>) -> Self {
        Self { data_dir: Some(folder.into()), ..self }
    }

    /// Is known to callers by this URL: behind a proxy.
    #[must_use]
    pub fn public_url(self, url: &str) -> Self {
        Self { public_url: Some(url.to_owned()), ..self }
    }

    /// Takes whoever shows no token for its owner: for tests, and on loopback only.
    #[must_use]
    pub fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    /// Serves another agent in the place of this one, which runs of that one can call. For agents that are written for the engine itself,
    /// such as flows.
    #[must_use]
    pub fn in_front(self, name: AgentName, agent: Arc<dyn bobbinet_engine::Agent>) -> Self {
        Self { in_front: Some((name, agent)), ..self }
    }

    /// Serves until the process is told to stop. Prints where, and why not to the standard error.
    pub fn run(self) -> ExitCode {
        if let Some(level) = self.log {
            // A program that has set up a log of its own keeps it.
            let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
            log.try_init().ok();
        }
        match self.run_to_end() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprint!("{error}");
                let mut cause = std::error::Error::source(&error);
                while let Some(error) = cause {
                    eprint!(": {error}");
                    cause = error.source();
                }
                eprintln!();
                ExitCode::FAILURE
            }
        }
    }

    fn run_to_end(self) -> Result<(), NodeError> {
        let prints_token = self.prints_token;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(NodeError::Process)?;
        runtime.block_on(async {
            let serving = self.start().await?;
            println!("listening on {}", serving.url());
            if prints_token {
                println!("token {}", serving.token()?);
            }
            serving.until_told().await
        })
    }

    /// Starts to serve: tasks that were left are taken up, and the address is listened at when this returns.
    ///
    /// # Errors
    /// If it cannot be served so.
    pub async fn start(self) -> Result<Serving, NodeError> {
        if self.is_open && !self.listen.ip().is_loopback() {
            return Err(NodeError::Open(self.listen));
        }
        let own = self.agent?;
        let folder = self.data_dir.unwrap_or_else(|| format!("{}-data", own.0).into());
        let served = self.in_front.as_ref().unwrap_or(&own).0.clone();
        let agents: BTreeMap<_, _> = self.in_front.into_iter().chain([own]).collect();
        let env = Arc::new(SystemEnv);
        let keys = KeyRing::open_or_create(&folder.join(KEYS_FOLDER), env.now());
        let keys = Arc::new(keys.map_err(|source| NodeError::Keys { folder: folder.clone(), source })?);
        let store = SledStore::open(SledOptions::new(folder.join("store")));
        let store = Arc::new(store.map_err(|source| NodeError::Store { folder: folder.clone(), source })?);
        let policy = Policy::owner_only();
        let authorizer = Arc::new(PolicyAuthorizer::new(policy.clone()));
        let engine = Engine::open(Setup { store, agents, env, limits: Limits::default(), authorizer });
        let engine = engine.await.map_err(NodeError::Engine)?;
        let unheard = |source| NodeError::Listen { address: self.listen, source };
        let listener = TcpListener::bind(self.listen).await.map_err(unheard)?;
        let address = listener.local_addr().map_err(unheard)?;
        let (stop, limits) = (CancellationToken::new(), HttpLimits::default());
        let known_as = self.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let guard = Guard::new([], OutboundLimits::default()).map_err(|error| NodeError::Outbound(error.into()))?;
        let guard = if self.is_open { guard.trusting_loopback() } else { guard };
        let seal = SealingKey::open_or_create(&folder.join(KEYS_FOLDER));
        let seal = seal.map_err(|source| NodeError::Keys { folder: folder.clone(), source })?;
        let courier = Arc::new(HttpCourier::new(guard, keys.clone(), known_as, Arc::new(SystemEnv)));
        let webhooks = Webhooks::start(WebhooksSetup { engine: engine.clone(), seal, courier });
        let webhooks = webhooks.await.map_err(NodeError::Engine)?;
        let setup = GatewaySetup {
            engine: engine.clone(),
            policy,
            limits: GatewayLimits::default(),
            wait_max: None,
            drain: limits.drain(),
            stop: stop.clone(),
        };
        let gateway = Gateway::with_webhooks(setup, webhooks.clone());
        let anonymous = self.is_open.then(|| Arc::new(owner()));
        let config = VerifierConfig { anonymous, ..VerifierConfig::default() };
        let server = Server::new(ServerSetup {
            gateway,
            keys: keys.clone(),
            verifier: Verifier::new(config, vec![Issuer::node(keys)]),
            mount: Mount::Root(served.clone()),
            listen: address,
            addresses: Vec::new(),
            public_url: self.public_url,
            proxies: Vec::new(),
            cors: Vec::new(),
            limits,
            is_version_required: true,
            card: CardForm::default(),
            grpc: Some(bobbinet_grpc::routes),
            stop: stop.clone(),
        });
        let server = server.map_err(NodeError::Setup)?;
        Ok(Serving::begin((engine, webhooks), (listener, server), &served, (folder, stop)))
    }
}

/// Whoever can read the data folder.
fn owner() -> Caller {
    let principal = Principal::parse(NODE_OWNER).expect("a well-formed principal");
    let tenant = Tenant::parse(NODE_TENANT).expect("a well-formed tenant");
    Caller { is_node_owner: true, ..Caller::new(principal, tenant) }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("listen", &self.listen).field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}
