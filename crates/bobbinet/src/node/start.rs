//! Putting a node together, in the order in which the parts need each other. It listens only once it can work.

use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bobbinet_auth::{KEYS_FOLDER, KeyRing, NODE_OWNER, NODE_TENANT, Policy, SealingKey, Verifier, VerifierConfig};
use bobbinet_core::{AgentName, Caller, Principal, Tenant};
use bobbinet_engine::{Agent, Engine, EngineError, Env, Setup, SystemEnv, TaskBlobs};
use bobbinet_gateway::{Gateway, GatewaySetup, PolicyAuthorizer};
use bobbinet_http::{HttpBlobUrls, HttpCourier, Mount, Server, ServerSetup, SetupError, Tls};
use bobbinet_mcp::{Launcher, LoginDesk, McpAgent, ask_owner};
use bobbinet_mcp_server::names::Naming;
use bobbinet_model::{ModelAgent, ModelConfig};
use bobbinet_orchestrator::Scheduler;
use bobbinet_outbound::{Guard, Origin, OutboundLimits};
use bobbinet_peer::PeerAgent;
use bobbinet_push::{Webhooks, WebhooksSetup};
use bobbinet_store::{
    OpenError, STORE_FOLDER, SledOptions, SledStore,
    blobs::{BLOBS_FOLDER, BlobLimits, Blobs},
};
use nix::{ifaddrs::getifaddrs, sys::socket::SockaddrStorage};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinSet, spawn_blocking},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    descriptors, flows,
    logins::{self, LoginPages},
    mesh_access::MeshAccess,
    plan::{Plan, Whom},
    reload::{self, Reload},
    running::{self, Announcement, Running},
    say, schedules,
    start_pace::StartPace,
};
use crate::{
    alike_names,
    config::{
        AgentConfig, ApiKeysConfig, CallersConfig, ModelSettings, NodeConfig, NodePeer, PeerSettings, TlsSettings,
    },
    failure::{Code, Failure},
    peers::{self, Maker, PEERS_FOLDER},
    principals::KnownPrincipals,
};

/// Where agents keep what is theirs, in the data folder.
pub(crate) const AGENTS_FOLDER: &str = "agents";

/// Where servers run that are to have a folder of their own, in the data folder.
const SERVERS_FOLDER: &str = "servers";

/// The hidden command that stands between us and a server.
pub(crate) const SHIM: &str = "exec-mcp";

/// Addresses of this machine that are looked at: one with more routes packets for others.
const ADDRESSES_MAX: usize = 32;
/// Characters of a key's name that tell one node from another.
const KEY_SHOWN: usize = 8;

/// How often it is said that an agent is still starting.
const START_TOLD_EVERY: Duration = Duration::from_secs(30);

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 1_024;

/// A node that can work.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) store: Arc<SledStore>,
    pub(super) engine: Engine,
    /// Begins the runs that nobody asks for.
    pub(super) scheduler: Scheduler,
    /// Tells receivers elsewhere what happens.
    pub(super) webhooks: Arc<Webhooks>,
    pub(super) server: Arc<Server>,
    pub(super) listener: TcpListener,
    pub(super) announcement: Announcement,
    /// Tell how the start of each agent ends that was never seen before, and ask about tools that change.
    pub(super) starts: JoinSet<()>,
    /// Follows who may call.
    pub(super) reload: Reload,
}

/// Starts a node. Servers start in the background: nobody waits for them but those who call an agent that was never seen
/// before, and they a moment only.
pub(super) async fn start(
    whom: Whom,
    plan: Plan,
    mut announcement: Announcement,
    stop: CancellationToken,
) -> Result<Node, Failure> {
    let Plan { mut node, agents, remotes, models, peers, home, callers, callers_source, flows, mount } = plan;
    let descriptors = descriptors::raise();
    node.http = descriptors.share(&node.http, agents.len());
    // Taken first, so that an address in use is known before anything is begun; it listens at the very end.
    let tls = tls(&node)?;
    let socket = bind(node.listen)?;
    let scheduled = schedules::of(&flows.files, &callers, node.issuer.as_deref());
    let data = make_folder(&node.data)?;
    let env = Arc::new(SystemEnv);
    let (store, keys) = open(&data, env.now()).await?;
    // After the store: its folder's lock is the proof that no other node has started servers from here.
    // What servers must not see though they run as the same user. The agents' folder has to be there to be covered.
    make_folder(&data.join(PEERS_FOLDER))?;
    let own_folders = make_folder(&data.join(SERVERS_FOLDER))?;
    let blobs = blobs(&data, &node.blobs).await?;
    let hidden =
        [KEYS_FOLDER, STORE_FOLDER, BLOBS_FOLDER, AGENTS_FOLDER, PEERS_FOLDER].map(|folder| data.join(folder)).to_vec();
    let files = private_files(&node, &agents, &remotes, &peers, &callers);
    let launcher = Launcher::this_program(SHIM, hidden)
        .with_own_folders(own_folders)
        .with_hidden_files(files)
        .with_open_files(descriptors.before);
    let listen = socket.local_addr().map_err(|error| in_use(node.listen, &error))?;
    let logins = logins::open(&node, listen, tls.is_some(), &data)?;
    let mesh = MeshAccess::new(&node, listen, tls.is_some(), keys.clone(), &callers.principals);
    let servers = start_agents(agents, &launcher, (&mesh, &logins), &data)?;
    let mut agents: BTreeMap<AgentName, Arc<dyn Agent>> =
        servers.iter().map(|(name, agent)| (name.clone(), agent.clone() as Arc<dyn Agent>)).collect();
    agents.extend(start_models(models)?);
    agents.extend(flows::agents(flows, &path_name(&node, &keys), &env, &launcher, &data.join(AGENTS_FOLDER))?);
    // Where one agent stands at the root, no other is found.
    if matches!(mount, Mount::EachByName) {
        agents.extend(start_peers(remotes, peers, home.as_deref(), &node, &keys, &agents, &data).await?);
    }
    if let Err(error) = KnownPrincipals::of(node.issuer.as_deref(), &callers).write(&data) {
        tracing::warn!(%error, "bobbinet token mint will not know the node's principals");
    }
    let policy = callers.policy.clone().unwrap_or_else(Policy::owner_only);
    let authorizer = Arc::new(PolicyAuthorizer::new(policy.clone()));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let urls = HttpBlobUrls::new((node.public_url.as_deref(), scheme), (listen, &addresses()), mount.clone());
    let blobs = TaskBlobs::new(blobs, Arc::new(urls));
    let setup = Setup { store: store.clone(), agents, env, limits: node.limits.clone(), authorizer };
    let engine = Engine::open_with_blobs(setup, blobs).await.map_err(|error| of_engine(&error))?;
    bobbinet_mcp::drop_old_call_keys(&engine);
    let scheduler = schedules::start(&engine, &policy, scheduled).await;
    let believed = reload::believed(node.issuer.as_deref(), &callers, &keys, &data);
    let (issuers, api_keys) = believed.map_err(|error| Failure::of(Code::Config, &error))?;
    let verifier = Verifier::with_api_keys(VerifierConfig::default(), issuers, api_keys)
        .with_certificates(callers.certified.clone());
    let known_as = node.public_url.clone().unwrap_or_else(|| format!("{scheme}://{listen}"));
    let webhooks = start_webhooks(&node, &engine, &keys, &data, known_as).await?;
    let setup = GatewaySetup {
        engine: engine.clone(),
        policy: policy.clone(),
        limits: node.gateway.clone(),
        wait_max: node.wait_max,
        drain: node.http.drain(),
        stop: stop.clone(),
    };
    let gateway = Gateway::with_webhooks(setup, webhooks.clone());
    gateway.limit_callers(callers.limits.clone());
    let reload = Reload {
        source: callers_source,
        issuer: node.issuer.clone(),
        data: data.clone(),
        keys: keys.clone(),
        verifier: verifier.clone(),
        policy,
        gateway: gateway.clone(),
        longest_life: reload::longest_life(&callers),
    };
    let server = server(&node, tls, mount, gateway, (keys, verifier), listen, stop)?;
    server.take_logins(Arc::new(LoginPages { desk: logins, servers: servers.clone() }));
    // As late as can be: who is let in finds by the announcement with whose key to sign.
    let listener = socket.listen(BACKLOG).map_err(|error| in_use(node.listen, &error))?;
    let running = running(&engine, &server, &data, listen);
    if let Err(error) = announcement.ready(&running) {
        tracing::warn!(%error, "the command line on this machine will not find the node");
    }
    if listen.ip().is_unspecified() && node.public_url.is_none() {
        tracing::warn!(
            %listen,
            "the node cannot know which URL others reach it at: a card names the address of this machine that it was asked at; \
             behind a proxy, in a container or under a name, say it: --public-url https://agents.example.com"
        );
    }
    let starting: Vec<&AgentName> =
        engine.agents().filter(|(_, agent)| agent.is_starting()).map(|(name, _)| name).collect();
    match whom {
        Whom::Everybody(output) => say::ready(output, &running, &starting)?,
        Whom::Nobody => {}
    }
    let mut starts = starts(&engine, &starting);
    ask_about_tools(&mut starts, &engine, servers);
    let named = engine.clone();
    starts.spawn(async move { alike_names::watch(&named).await });
    tracing::info!(url = running.url, agents = running.agents.len(), data = %data.display(), "ready");
    Ok(Node { store, engine, scheduler, webhooks, server, listener, announcement, starts, reload })
}

/// Says of each agent that is starting when it has started.
fn starts(engine: &Engine, starting: &[&AgentName]) -> JoinSet<()> {
    let mut starts = JoinSet::new();
    for name in starting {
        let Some(agent) = engine.agent(name).cloned() else { continue };
        let name = (*name).clone();
        starts.spawn(async move {
            let mut pace = StartPace::default();
            while agent.is_starting() {
                agent.started(START_TOLD_EVERY).await;
                match agent.ready() {
                    Ok(()) => tracing::info!(agent = %name, "the agent has started"),
                    // It returns early where the server has failed and is tried again.
                    Err(why) if pace.is_due(Instant::now()) => {
                        tracing::warn!(agent = %name, why, "the agent has not started yet");
                    }
                    Err(_) => {}
                }
            }
        });
    }
    starts
}

/// Asks the node's owner about tools of which a server says something else than it did.
fn ask_about_tools(starts: &mut JoinSet<()>, engine: &Engine, servers: BTreeMap<AgentName, Arc<McpAgent>>) {
    let principal = Principal::parse(NODE_OWNER).expect("a well-formed principal");
    let tenant = Tenant::parse(NODE_TENANT).expect("a well-formed tenant");
    let owner = Caller { is_node_owner: true, ..Caller::new(principal, tenant) };
    for (name, agent) in servers {
        let (engine, owner) = (engine.clone(), owner.clone());
        starts.spawn(async move { ask_owner(&agent, &name, &engine, &owner).await });
    }
}

/// What the node's connections begin with. Tokens in clear go over no network unless the operator says that what is before the node
/// has TLS.
fn tls(node: &NodeConfig) -> Result<Option<Arc<Tls>>, Failure> {
    let is_behind_proxy =
        !node.proxies.is_empty() || node.public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
    match &node.tls {
        TlsSettings::Files(files) => match Tls::open(files.clone()) {
            Ok(tls) => Ok(Some(tls)),
            Err(fault) => Err(Failure::of(Code::Config, &fault)
                .hint("--tls-cert and --tls-key (tls: { cert, key } in a bobbinet.yaml) name a certificate and its key in PEM")),
        },
        TlsSettings::Off => Ok(None),
        TlsSettings::Unsaid if node.listen.ip().is_loopback() || is_behind_proxy => Ok(None),
        TlsSettings::Unsaid => {
            let text = format!("others can reach {}, and tokens would go there in clear", node.listen);
            Err(Failure::new(Code::Config, text).hint(
                "give the node a certificate: --tls-cert FILE --tls-key FILE (tls: { cert, key } in a bobbinet.yaml); where a proxy or a \
                 mesh before it has TLS, say --no-tls (tls: off); or listen on this machine alone: --listen 127.0.0.1:7420",
            ))
        }
    }
}

/// What the configuration names that is private and may lie anywhere: the key of the node's certificate, those that it shows to peers,
/// the tokens and secrets that it calls them and MCP servers with, and the hashes of its API keys. One that is replaced is covered no more for servers that run
/// by then: that goes by the file, and ends with their next start.
fn private_files(
    node: &NodeConfig,
    agents: &BTreeMap<AgentName, AgentConfig>,
    remotes: &BTreeMap<AgentName, PeerSettings>,
    peers: &[NodePeer],
    callers: &CallersConfig,
) -> Vec<PathBuf> {
    let own = match &node.tls {
        TlsSettings::Files(files) => Some(&files.key),
        TlsSettings::Off | TlsSettings::Unsaid => None,
    };
    let api_keys = match &callers.api_keys {
        ApiKeysConfig::File(path) => Some(path),
        ApiKeysConfig::KeyFolder | ApiKeysConfig::Off => None,
    };
    let shown = remotes.values().map(|peer| &peer.tls).chain(peers.iter().map(|peer| &peer.tls));
    let shown = shown.filter_map(|tls| tls.identity.as_ref().map(|(_, key)| key));
    let own = own.into_iter().chain(api_keys).chain(shown).map(PathBuf::as_path);
    let secrets = remotes.values().map(|peer| &peer.auth).chain(peers.iter().map(|peer| &peer.auth));
    // A server starts in a folder of its own.
    let of_servers = agents.values().filter_map(AgentConfig::secret_file);
    own.chain(secrets.filter_map(|auth| auth.secret_file()))
        .chain(of_servers)
        .filter_map(|path| std::path::absolute(path).ok())
        .collect()
}

fn bind(address: SocketAddr) -> Result<TcpSocket, Failure> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| Failure::of(Code::Listen, &error))?;
    // A node that was just killed may leave connections behind that keep its address for a minute.
    socket.set_reuseaddr(true).map_err(|error| Failure::of(Code::Listen, &error))?;
    socket.bind(address).map_err(|error| in_use(address, &error))?;
    Ok(socket)
}

fn in_use(address: SocketAddr, error: &io::Error) -> Failure {
    let failure = Failure::new(Code::Listen, format!("cannot listen at {address}: {error}"));
    if error.kind() == io::ErrorKind::AddrInUse {
        return failure.hint("another program listens there: name another address, such as --listen 127.0.0.1:0");
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return failure.hint("take a port above 1023");
    }
    failure.hint("name an address of this machine, such as --listen 127.0.0.1:7420")
}

/// The data folder, made for its owner alone if it is not there.
fn make_folder(path: &Path) -> Result<PathBuf, Failure> {
    let made = bobbinet_store::make_folder(path, true).and_then(|()| path.canonicalize());
    made.map_err(|error| {
        Failure::new(Code::Config, format!("the data folder {} cannot be made: {error}", path.display()))
            .hint("name another with --data-dir")
    })
}

/// Opens the store and the keys at the same time: each waits for the disk.
async fn open(data: &Path, now: bobbinet_core::Timestamp) -> Result<(Arc<SledStore>, Arc<KeyRing>), Failure> {
    let (store_options, keys_folder) = (store_options(data), data.join(KEYS_FOLDER));
    let store = spawn_blocking(move || SledStore::open(store_options));
    let keys = spawn_blocking(move || KeyRing::open_or_create(&keys_folder, now));
    let (store, keys) = tokio::join!(store, keys);
    let died = |error| Failure::of(Code::Internal, &error);
    let store = store.map_err(died)?.map_err(|error| of_store(&error))?;
    let keys = keys.map_err(died)?.map_err(|error| Failure::of(Code::Config, &error))?;
    Ok((Arc::new(store), Arc::new(keys)))
}

/// What is kept beside the store, whose lock is for both.
async fn blobs(data: &Path, limits: &BlobLimits) -> Result<Arc<Blobs>, Failure> {
    let (folder, limits) = (data.join(BLOBS_FOLDER), limits.clone());
    let opened = spawn_blocking(move || Blobs::open(&folder, true, limits)).await;
    let opened = opened.map_err(|error| Failure::of(Code::Internal, &error))?;
    opened.map_err(|error| {
        Failure::new(
            Code::Internal,
            format!("the folder {} cannot be used: {error}", data.join(BLOBS_FOLDER).display()),
        )
        .hint("it must be the node's own, as the rest of its data folder")
    })
}

/// How the store of a data folder is opened.
pub(crate) fn store_options(data: &Path) -> SledOptions {
    SledOptions::beside_witness(data)
}

/// What a store that does not open means for the one who started the node.
pub(crate) fn of_store(error: &OpenError) -> Failure {
    match error {
        OpenError::InUse { .. } => Failure::of(Code::StoreBusy, error)
            .hint("another node runs on this data folder: stop it, or name another folder with --data-dir"),
        OpenError::Corrupt(_) => Failure::of(Code::StoreDamaged, error)
            .hint("make a copy of the folder before anything else; `bobbinet store export --salvage` saves what can be read; then restore it from a backup, or start anew with another --data-dir"),
        OpenError::OlderFormat { .. } => Failure::of(Code::StoreDamaged, error).hint("start anew with another --data-dir"),
        OpenError::NewerFormat { .. } => Failure::of(Code::StoreDamaged, error).hint("run a newer bobbinet on this data"),
        OpenError::Full { .. } => Failure::of(Code::Internal, error).hint("make room on the disk and start again"),
        OpenError::Io { .. } => Failure::of(Code::Internal, error),
    }
}

fn of_engine(error: &EngineError) -> Failure {
    match error {
        EngineError::Corrupt(_) => Failure::of(Code::StoreDamaged, error)
            .hint("make a copy of the data folder, then run `bobbinet store check`"),
        EngineError::NotFound
        | EngineError::UnknownAgent
        | EngineError::Refused(_)
        | EngineError::ContextMismatch
        | EngineError::IdempotencyConflict
        | EngineError::Repeated(_)
        | EngineError::Limit { .. }
        | EngineError::Draining
        | EngineError::Unavailable(_)
        | EngineError::BadPageToken => Failure::of(Code::Internal, error),
    }
}

/// An agent's own folder: made for the node's owner alone, and never somewhere else than it seems to be. Whoever may make a
/// link there would have the server work, and the node write, where that leads.
fn agent_folder(data: &Path, name: &AgentName) -> Result<PathBuf, Failure> {
    let folder = data.join(AGENTS_FOLDER).join(name.as_str());
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder).and_then(|()| folder.symlink_metadata());
    match made {
        Ok(metadata) if metadata.is_symlink() => {
            Err(Failure::new(Code::Config, format!("the folder of agent {name}, {}, is a link", folder.display()))
                .hint("move what it leads to here, or name another data folder with --data-dir"))
        }
        Ok(_) => Ok(folder),
        Err(error) => {
            let what = format!("the folder of agent {name}, {}, cannot be made: {error}", folder.display());
            Err(Failure::new(Code::Config, what).hint("name another data folder with --data-dir"))
        }
    }
}

fn start_agents(
    agents: BTreeMap<AgentName, AgentConfig>,
    launcher: &Launcher,
    (mesh, logins): (&MeshAccess, &Arc<LoginDesk>),
    data: &Path,
) -> Result<BTreeMap<AgentName, Arc<McpAgent>>, Failure> {
    let mut folders = BTreeMap::new();
    for name in agents.keys() {
        folders.insert(name.clone(), agent_folder(data, name)?);
    }
    let origins: Vec<Origin> = agents.values().flat_map(AgentConfig::origins).collect();
    let guard = Guard::new(origins, OutboundLimits::default()).and_then(Guard::without_redirects);
    let guard = guard.map_err(|error| Failure::of(Code::Internal, &error))?;
    let start = |(name, config): (AgentName, AgentConfig)| {
        let folder = folders.remove(&name).unwrap_or_else(|| data.join(AGENTS_FOLDER).join(name.as_str()));
        let launcher = launcher.clone().with_fresh_env(mesh.env_of(&name, &config));
        let mut config = config.into_mcp(name.as_str());
        config.logins = logins.clone();
        let agent = McpAgent::start(config, launcher, &guard, folder);
        (name, agent)
    };
    Ok(agents.into_iter().map(start).collect())
}

/// What the node is called in the paths of calls. Two may well be known by the same address, each on its machine.
fn path_name(node: &NodeConfig, keys: &KeyRing) -> String {
    let key = keys.list().into_iter().find(|key| key.is_current).map(|key| key.kid).unwrap_or_default();
    let name = node.issuer.clone().or_else(|| node.public_url.clone()).unwrap_or_else(|| node.listen.to_string());
    format!("{name}#{}", key.chars().take(KEY_SHOWN).collect::<String>())
}

/// The agents that are somewhere else: those of the configuration, and those that were added by `bobbinet peers add`. None of them has
/// to be there.
async fn start_peers(
    mut remotes: BTreeMap<AgentName, PeerSettings>,
    mut nodes: Vec<NodePeer>,
    home: Option<&Path>,
    node: &NodeConfig,
    keys: &Arc<KeyRing>,
    own: &BTreeMap<AgentName, Arc<dyn Agent>>,
    data: &Path,
) -> Result<BTreeMap<AgentName, Arc<dyn Agent>>, Failure> {
    nodes.extend(peers::kept(home.unwrap_or(data))?.nodes());
    if remotes.is_empty() && nodes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let guard = peers::guard(remotes.values(), nodes.iter())?;
    let maker = match home {
        Some(home) => Maker::of_folder(home, path_name(node, keys), guard),
        None => Maker {
            keys: Some(keys.clone()),
            issuer: node.issuer.clone(),
            node: path_name(node, keys),
            guard,
            env: Arc::new(SystemEnv),
        },
    };
    let taken = own.keys().chain(remotes.keys()).cloned().collect();
    let (found, remarks) = peers::find(&maker, nodes, &taken, data).await;
    for text in remarks {
        tracing::warn!("{text}");
    }
    remotes.extend(found);
    let start = |(name, settings): (AgentName, PeerSettings)| {
        let agent = PeerAgent::start(maker.config(name.clone(), settings)?);
        Ok((name, agent as Arc<dyn Agent>))
    };
    remotes.into_iter().map(start).collect()
}

/// The agents that language models are.
fn start_models(models: BTreeMap<AgentName, ModelSettings>) -> Result<BTreeMap<AgentName, Arc<dyn Agent>>, Failure> {
    let origins: Vec<Origin> = models.values().map(|model| model.origin.clone()).collect();
    let guard = Guard::new(origins, OutboundLimits::default()).map_err(|error| Failure::of(Code::Internal, &error))?;
    let start = |(name, model): (AgentName, ModelSettings)| {
        let config = ModelConfig {
            url: model.url.to_string(),
            model: model.model,
            key: model.key,
            system: model.system,
            max_tokens: model.max_tokens,
            budget: model.budget,
            title: model.title,
            description: model.description,
            calls_max: model.slots,
            guard: guard.clone(),
        };
        let agent =
            ModelAgent::new(config).map_err(|why| Failure::new(Code::Config, format!("agent {name}: {why}")))?;
        Ok((name, agent as Arc<dyn Agent>))
    };
    models.into_iter().map(start).collect()
}

/// Goes on with the webhooks of the node's tasks. Receivers find the node's public keys below its own URL.
async fn start_webhooks(
    node: &NodeConfig,
    engine: &Engine,
    keys: &Arc<KeyRing>,
    data: &Path,
    known_as: String,
) -> Result<Arc<Webhooks>, Failure> {
    let seal =
        SealingKey::open_or_create(&data.join(KEYS_FOLDER)).map_err(|error| Failure::of(Code::Config, &error))?;
    let guard = Guard::new(node.webhooks.iter().cloned(), OutboundLimits::default());
    let guard = guard.map_err(|error| Failure::of(Code::Internal, &error))?;
    let courier = HttpCourier::new(guard, keys.clone(), known_as, Arc::new(SystemEnv));
    let courier = Arc::new(courier.map_err(|error| Failure::of(Code::Internal, &error))?);
    let setup = WebhooksSetup { engine: engine.clone(), seal, courier };
    Webhooks::start(setup).await.map_err(|error| of_engine(&error))
}

fn server(
    node: &NodeConfig,
    tls: Option<Arc<Tls>>,
    mount: Mount,
    gateway: Arc<Gateway>,
    (keys, verifier): (Arc<KeyRing>, Verifier),
    listen: SocketAddr,
    stop: CancellationToken,
) -> Result<Arc<Server>, Failure> {
    let setup = ServerSetup {
        gateway,
        verifier,
        keys,
        mount,
        listen,
        addresses: addresses(),
        public_url: node.public_url.clone(),
        proxies: node.proxies.clone(),
        cors: node.cors.clone(),
        limits: node.http.clone(),
        is_version_required: node.is_version_required,
        grpc: node.has_grpc.then_some(bobbinet_grpc::routes),
        mcp: node.has_mcp.then_some(match node.mcp_naming {
            Naming::AgentAndSkill => bobbinet_mcp_server::routes,
            Naming::SkillAlone => bobbinet_mcp_server::transparent_routes,
        }),
        card: node.card,
        stop,
    };
    let server = match tls {
        Some(tls) => Server::with_tls(tls, setup),
        None => Server::new(setup),
    };
    server.map_err(|error| {
        let failure = Failure::of(Code::Config, &error);
        match error {
            SetupError::PublicUrl(_) => failure.hint("--public-url takes one like https://agents.example.com"),
            SetupError::Cors(_) => {
                failure.hint("--cors takes what a browser sends as Origin: a scheme, a host, perhaps a port")
            }
            SetupError::NoAgent(_) => failure,
        }
    })
}

/// The addresses of this machine that others can write into a URL: none that needs the name of an interface.
fn addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten().filter_map(|interface| interface.address);
    let address = |address: SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
    };
    let is_of_link = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    interfaces.filter_map(address).filter(|ip| !is_of_link(ip)).take(ADDRESSES_MAX).collect()
}

fn running(engine: &Engine, server: &Server, data: &Path, listen: SocketAddr) -> Running {
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let host = match listen.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    };
    // A URL leaves out the port that its scheme implies.
    let (scheme, port) = (server.scheme(), listen.port());
    let is_implied = port == if scheme == "https" { 443 } else { 80 };
    let url = if is_implied { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") };
    let agents: BTreeMap<String, String> = engine
        .agents()
        .filter_map(|(name, _)| {
            let mut audiences = server.audiences(name).iter();
            let local = audiences
                .clone()
                .find(|audience| audience.starts_with(&url) && audience.ends_with('/'))
                .or_else(|| audiences.next())?;
            Some((name.to_string(), local.clone()))
        })
        .collect();
    let origins = engine.agents().flat_map(|(name, _)| server.audiences(name)).filter_map(|audience| origin(audience));
    let origins: std::collections::BTreeSet<String> = origins.collect();
    Running {
        pid,
        started: running::started(pid),
        data: data.to_owned(),
        folder: running::here().unwrap_or_default(),
        listen,
        url,
        agents,
        origins: origins.into_iter().collect(),
    }
}

/// A URL's scheme, host and port.
fn origin(url: &str) -> Option<String> {
    let after_scheme = url.find("://")? + 3;
    let end = url[after_scheme..].find('/').map_or(url.len(), |at| after_scheme + at);
    Some(url[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn an_agents_folder_is_no_link_and_its_owners_alone() {
        let data = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let name = |name| AgentName::parse(name).unwrap();
        let folder = agent_folder(data.path(), &name("files")).unwrap();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(agent_folder(data.path(), &name("files")).unwrap(), folder);
        symlink(elsewhere.path(), data.path().join("agents/linked")).unwrap();
        symlink(elsewhere.path().join("none"), data.path().join("agents/dangling")).unwrap();
        for planted in ["linked", "dangling"] {
            let failure = agent_folder(data.path(), &name(planted)).unwrap_err();
            assert!(format!("{failure:?}").contains("link") || planted == "dangling", "{planted}: {failure:?}");
        }
        assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0);
    }
}
