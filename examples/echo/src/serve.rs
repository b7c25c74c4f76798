//! A whole node around one agent of ours: store, keys, engine, server, until it is told to stop.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use bobbinet_auth::{Issuer, KEYS_FOLDER, KeyRing, Policy, Verifier, VerifierConfig, owner_token};
use bobbinet_core::{AgentName, Limits};
use bobbinet_engine::{Agent, Engine, Env, Setup, SystemEnv};
use bobbinet_gateway::{Gateway, GatewayLimits, GatewaySetup, PolicyAuthorizer};
use bobbinet_http::{HttpLimits, Mount, Server, ServerSetup, serve};
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
    /// Prints a token for the agent, good for some minutes.
    #[arg(long)]
    print_token: bool,
}

/// Serves the agent at the root of an address.
pub(crate) fn run(name: &str, agent: Arc<dyn Agent>) -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(node(&arguments, AgentName::parse(name)?, agent))
}

async fn node(arguments: &Arguments, name: AgentName, agent: Arc<dyn Agent>) -> anyhow::Result<()> {
    let env = Arc::new(SystemEnv);
    let keys = Arc::new(KeyRing::open_or_create(&arguments.data_dir.join(KEYS_FOLDER), env.now())?);
    let store = Arc::new(SledStore::open(SledOptions::new(arguments.data_dir.join("store")))?);
    let policy = Policy::owner_only();
    let setup = Setup {
        store,
        agents: [(name.clone(), agent)].into(),
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
