//! A whole node around one agent of ours: store, keys, engine, server, until it is told to stop.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use bobbinet_auth::{Issuer, KEYS_FOLDER, KeyRing, Policy, Verifier, VerifierConfig, owner_token};
use bobbinet_core::{AgentName, Limits};
use bobbinet_engine::{Agent, Engine, Env, Setup, SystemEnv};
use bobbinet_gateway::{Gateway, GatewayLimits, GatewaySetup, PolicyAuthorizer};
use bobbinet_http::{HttpLimits, Mount, Server, ServerSetup, serve};
use bobbinet_orchestrator::{Flow, FlowAgent, FlowLimits, Mesh};
use bobbinet_store::{SledOptions, SledStore};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long calls in flight may take once the node is told to stop.
const GRACE: Duration = Duration::from_secs(25);

#[derive(Parser)]
struct Arguments {
    /// Where to listen. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    /// Where tasks and keys are kept.
    #[arg(long, default_value = "echo-data")]
    data_dir: PathBuf,
    /// A flow over the agent, which is served in its place.
    #[arg(long)]
    flow: Option<PathBuf>,
    /// Prints a token for the agent, good for some minutes.
    #[arg(long)]
    print_token: bool,
}

/// Serves the agent at the root of an address, or a flow over it.
pub(crate) fn run(name: &str, agent: Arc<dyn Agent>) -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let name = AgentName::parse(name)?;
    let mut agents = BTreeMap::from([(name.clone(), agent)]);
    let served = match &arguments.flow {
        None => name,
        Some(path) => {
            let (name, flow) = flow(path)?;
            agents.insert(name.clone(), flow);
            name
        }
    };
    runtime.block_on(node(&arguments, served, agents))
}

/// The agent that a flow is.
fn flow(path: &Path) -> anyhow::Result<(AgentName, Arc<dyn Agent>)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let flow = Flow { file: path.display().to_string(), text: text.into(), secrets: BTreeMap::new() };
    let limits = bobbinet_flow::limits::Limits::default();
    let definition = FlowAgent::read(&flow, &limits).map_err(|fault| {
        let findings: Vec<String> = fault.findings.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", findings.join("\n"))
    })?;
    let name = AgentName::parse(&definition.name)?;
    let agent = FlowAgent::new(flow, definition, Arc::new(Mesh::default()), FlowLimits::default(), limits);
    Ok((name, agent))
}

async fn node(
    arguments: &Arguments,
    name: AgentName,
    agents: BTreeMap<AgentName, Arc<dyn Agent>>,
) -> anyhow::Result<()> {
    let env = Arc::new(SystemEnv);
    let keys = Arc::new(KeyRing::open_or_create(&arguments.data_dir.join(KEYS_FOLDER), env.now())?);
    let store = Arc::new(SledStore::open(SledOptions::new(arguments.data_dir.join("store")))?);
    let policy = Policy::owner_only();
    let setup = Setup {
        store,
        agents,
        env: env.clone(),
        limits: Limits::default(),
        authorizer: Arc::new(PolicyAuthorizer::new(policy.clone())),
    };
    let engine = Engine::open(setup).await?;
    let listener = tokio::net::TcpListener::bind(arguments.listen).await.context("binding the address")?;
    let stop = CancellationToken::new();
    let limits = HttpLimits::default();
    let gateway = Gateway::new(GatewaySetup {
        engine: engine.clone(),
        policy,
        limits: GatewayLimits::default(),
        wait_max: None,
        drain: limits.drain(),
        stop: stop.clone(),
    });
    let server = Server::new(ServerSetup {
        gateway,
        keys: keys.clone(),
        verifier: Verifier::new(VerifierConfig::default(), vec![Issuer::node(keys)]),
        mount: Mount::Root(name.clone()),
        listen: listener.local_addr()?,
        addresses: Vec::new(),
        public_url: None,
        proxies: Vec::new(),
        cors: Vec::new(),
        limits,
        is_version_required: true,
        grpc: Some(bobbinet_grpc::routes),
        stop: stop.clone(),
    })?;
    let url = server.audiences(&name)[0].clone();
    println!("listening on {url}");
    if arguments.print_token {
        println!("token {}", owner_token(&arguments.data_dir, &url, env.now())?);
    }
    let until_told = async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! { _ = terminated.recv() => {}, interrupted = tokio::signal::ctrl_c() => interrupted? }
        engine.drain();
        engine.shutdown(GRACE).await;
        stop.cancel();
        anyhow::Ok(())
    };
    let ((), told) = tokio::join!(serve(listener, server), until_told);
    told
}
