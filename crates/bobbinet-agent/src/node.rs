//! A whole node around one agent: store, keys, engine, server.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use bobbinet_auth::{
    Issuer, KEYS_FOLDER, KeyRing, NODE_OWNER, NODE_TENANT, Policy, SealingKey, Verifier, VerifierConfig,
};
use bobbinet_core::{AgentName, Caller, Limits, Principal, Tenant};
use bobbinet_engine::{Engine, Env, Setup, SystemEnv};
use bobbinet_gateway::{Gateway, GatewayLimits, GatewaySetup, PolicyAuthorizer};
use bobbinet_http::{CardForm, HttpCourier, HttpLimits, Mount, Server, ServerSetup, Tls, TlsFiles};
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
    /// Where to listen, 127.0.0.1:7420 if not said. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where tasks and keys are kept; NAME-data if not said.
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// What callers know the agent by, if that is not its address: behind a proxy.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// A certificate in PEM, and those between it and an authority; the file is read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Listens without TLS where others can reach it: a proxy or a mesh before the agent has it.
    #[arg(long, conflicts_with = "tls_cert")]
    pub no_tls: bool,
    /// Speaks gRPC, too, on the same port. Some clients refuse a card that lists it.
    #[arg(long)]
    pub grpc: bool,
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
    tls: Option<TlsFiles>,
    has_proxy: bool,
    is_open: bool,
    has_grpc: bool,
    card_form: CardForm,
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
            tls: None,
            has_proxy: false,
            is_open: false,
            has_grpc: false,
            card_form: CardForm::default(),
            prints_token: false,
            log: None,
        }
    }

    /// As the command line says.
    #[must_use]
    pub fn flags(self, flags: Flags) -> Self {
        let tls = flags.tls_cert.zip(flags.tls_key).map(|(certificate, key)| tls_files(certificate, key));
        Self {
            listen: flags.listen.unwrap_or(self.listen),
            data_dir: flags.data_dir.or(self.data_dir),
            public_url: flags.public_url.or(self.public_url),
            tls: if flags.no_tls { None } else { tls.or(self.tls) },
            has_proxy: flags.no_tls || self.has_proxy,
            has_grpc: flags.grpc || self.has_grpc,
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

    /// Listens with TLS, with this certificate and its key, each in PEM. The files are read again when they change.
    #[must_use]
    pub fn tls(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { tls: Some(tls_files(certificate.into(), key.into())), ..self }
    }

    /// Listens without TLS also where others can reach it, as a proxy or a mesh before it has TLS. Without that, without a certificate and
    /// without a public URL of https it listens on loopback only.
    #[must_use]
    pub fn behind_tls_proxy(self) -> Self {
        Self { has_proxy: true, ..self }
    }

    /// Takes whoever shows no token for its owner: for tests, and on loopback only.
    #[must_use]
    pub fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    /// Speaks gRPC, too, on the same port, and lists it on its card: some clients, Google's ADK among them, refuse such a card.
    #[must_use]
    pub fn grpc(self) -> Self {
        Self { has_grpc: true, ..self }
    }

    /// Shows this form of its card to clients that do not say which version they speak. Otherwise one that those of 1.0 and of 0.3 can
    /// both read.
    #[must_use]
    pub fn card_form(self, form: CardForm) -> Self {
        Self { card_form: form, ..self }
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
        let is_public_by_tls = self.public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
        let is_safe = self.listen.ip().is_loopback() || self.tls.is_some() || self.has_proxy || is_public_by_tls;
        if !is_safe {
            return Err(NodeError::InClear(self.listen));
        }
        let tls = self.tls.map(Tls::open).transpose().map_err(NodeError::Tls)?;
        // Taken first, so that an address in use is known before any task is begun.
        let unheard = |source| NodeError::Listen { address: self.listen, source };
        let listener = TcpListener::bind(self.listen).await.map_err(unheard)?;
        let address = listener.local_addr().map_err(unheard)?;
        let own = self.agent?;
        let folder = self.data_dir.unwrap_or_else(|| format!("{}-data", own.0).into());
        let served = self.in_front.as_ref().unwrap_or(&own).0.clone();
        let agents: BTreeMap<_, _> = self.in_front.into_iter().chain([own]).collect();
        let env = Arc::new(SystemEnv);
        let keys = KeyRing::open_or_create(&folder.join(KEYS_FOLDER), env.now());
        let keys = Arc::new(keys.map_err(|source| NodeError::Keys { folder: folder.clone(), source })?);
        let store = SledStore::open(SledOptions::beside_witness(&folder));
        let store = Arc::new(store.map_err(|source| NodeError::Store { folder: folder.clone(), source })?);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let known_as = self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
        let guard = Guard::new([], OutboundLimits::default()).map_err(|error| NodeError::Outbound(error.into()))?;
        let guard = if self.is_open { guard.trusting_loopback() } else { guard };
        let seal = SealingKey::open_or_create(&folder.join(KEYS_FOLDER));
        let seal = seal.map_err(|source| NodeError::Keys { folder: folder.clone(), source })?;
        let policy = Policy::owner_only();
        let authorizer = Arc::new(PolicyAuthorizer::new(policy.clone()));
        let courier = HttpCourier::new(guard, keys.clone(), known_as, Arc::new(SystemEnv));
        let courier = Arc::new(courier.map_err(|error| NodeError::Outbound(error.into()))?);
        let engine = Engine::open(Setup { store, agents, env, limits: Limits::default(), authorizer });
        let engine = engine.await.map_err(NodeError::Engine)?;
        let (stop, limits) = (CancellationToken::new(), HttpLimits::default());
        let webhooks = match Webhooks::start(WebhooksSetup { engine: engine.clone(), seal, courier }).await {
            Ok(webhooks) => webhooks,
            Err(error) => {
                engine.shutdown(Duration::ZERO).await;
                return Err(NodeError::Engine(error));
            }
        };
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
        let setup = ServerSetup {
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
            card: self.card_form,
            grpc: self.has_grpc.then_some(bobbinet_grpc::routes),
            mcp: None,
            stop: stop.clone(),
        };
        let server = match tls {
            Some(tls) => Server::with_tls(tls, setup),
            None => Server::new(setup),
        };
        let server = match server {
            Ok(server) => server,
            Err(error) => {
                engine.shutdown(Duration::ZERO).await;
                webhooks.stop().await;
                return Err(NodeError::Setup(error));
            }
        };
        Ok(Serving::begin((engine, webhooks), (listener, server), &served, (folder, stop)))
    }
}

/// Callers are not asked for certificates: only a node's configuration says whose they would be.
fn tls_files(certificate: PathBuf, key: PathBuf) -> TlsFiles {
    TlsFiles { certificate, key, client_ca: None, is_client_required: false }
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
