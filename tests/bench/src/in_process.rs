//! The wrap by itself: the engine and an agent around the MCP server in this process, with the log in memory. What a call costs here
//! beyond [`Direct`] is what the wrap costs, without HTTP and without a disk.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bobbinet_core::{AgentName, Caller, Json, Limits, Message, MessageId, Part, Principal, Role, State, Tenant};
use bobbinet_engine::{Agent, AllowAll, Engine, NewTask, Setup, SystemEnv};
use bobbinet_mcp::{Launcher, McpAgent, McpConfig};
use bobbinet_outbound::{Guard, OutboundLimits};
use bobbinet_store::MemoryStore;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    load::Shape,
    mcp::Direct,
    process::{self, Cores},
    sample::{Latencies, Sample},
    server::Place,
};

/// The argument with which this program stands between the agent and its server.
pub(crate) const SHIM: &str = "exec-mcp";

/// How long the server may take until it is ready.
const START_MAX: Duration = Duration::from_secs(30);

/// An engine with one agent.
pub(crate) struct InProcess {
    engine: Engine,
    agent: AgentName,
    _folder: TempDir,
}

impl InProcess {
    pub(crate) async fn start(place: &Place) -> Result<Self> {
        let folder = tempfile::tempdir_in(&place.folder).context("making a folder")?;
        let program = std::env::current_exe().context("finding this program")?;
        let mut config = McpConfig::new("bench", &program.display().to_string(), &["mcp-echo"]);
        config.trust_hints = true;
        let guard = Guard::new([], OutboundLimits::default())?.without_redirects()?;
        let launcher = Launcher::this_program(SHIM, Vec::new());
        Cores::pin(place.cores.server)?;
        let agent = McpAgent::start(config, launcher, &guard, folder.path().to_owned());
        let ready = agent.wait_ready(START_MAX).await;
        Cores::pin(place.cores.load)?;
        ready.map_err(|why| anyhow::anyhow!("the MCP server: {why}"))?;
        let name = AgentName::parse("bench").context("naming the agent")?;
        let setup = Setup {
            store: Arc::new(MemoryStore::new()),
            agents: BTreeMap::from([(name.clone(), agent as Arc<dyn Agent>)]),
            env: Arc::new(SystemEnv),
            limits: Limits::default(),
            authorizer: Arc::new(AllowAll),
        };
        let engine = Engine::open(setup).await.context("opening the engine")?;
        Ok(Self { engine, agent: name, _folder: folder })
    }

    /// Calls the tool, `shape.connections` calls at a time.
    pub(crate) async fn measure(&self, shape: Shape) -> Result<Sample> {
        let from = Instant::now() + shape.warm_up;
        let until = from + shape.window;
        let mut calls = JoinSet::new();
        for number in 0..shape.connections {
            calls.spawn(call_until(self.engine.clone(), self.agent.clone(), number, from, until));
        }
        let own = std::process::id();
        let usage = || (process::time_of_tree(own), process::time_of_one(own));
        tokio::time::sleep_until(from.into()).await;
        let before = usage();
        tokio::time::sleep_until(until.into()).await;
        let after = usage();
        let mut latencies = Latencies::default();
        while let Some(joined) = calls.join_next().await {
            latencies.extend(joined.context("a call panicked")??);
        }
        let right = latencies.len();
        let seconds = shape.window.as_secs_f64();
        let (all, own) = (after.0 - before.0, after.1 - before.1);
        Ok(Sample {
            per_second: right as f64 / seconds,
            server_micros: all.saturating_sub(own).as_secs_f64() * 1e6 / right.max(1) as f64,
            load_share: own.as_secs_f64() / seconds,
            latency: latencies.quantiles(),
            first_event: None,
            events_per_stream: None,
            errors: 0,
            first_error: None,
        })
    }

    /// Ends the agent and its server.
    pub(crate) async fn stop(self) {
        self.engine.shutdown(Duration::from_secs(5)).await;
    }
}

/// Direct calls and such through the engine by turns, a line for each.
pub(crate) async fn turns(place: &Place, shape: Shape, rounds: usize, alone: bool) -> Result<()> {
    for _ in 0..rounds {
        if !alone {
            let direct = Direct::start(place).await?;
            say("direct", &direct.measure(shape).await?);
            direct.stop().await?;
        }
        let wrap = InProcess::start(place).await?;
        say("wrapped", &wrap.measure(shape).await?);
        wrap.stop().await;
    }
    Ok(())
}

fn say(who: &str, sample: &Sample) {
    let p50 = sample.latency.map_or(f64::NAN, |latency| latency.p50);
    let own = sample.load_share * 1e6 / sample.per_second;
    println!(
        "{who:>8}: {:.0} a second, p50 {p50:.3} ms, {own:.0} us here, {:.0} us of the server",
        sample.per_second, sample.server_micros
    );
}

async fn call_until(
    engine: Engine,
    agent: AgentName,
    number: usize,
    from: Instant,
    until: Instant,
) -> Result<Latencies> {
    let caller = Caller::new(Principal::parse("bench")?, Tenant::parse("bench")?);
    let mut latencies = Latencies::default();
    let mut asked = 0_u64;
    loop {
        let start = Instant::now();
        if start >= until {
            return Ok(latencies);
        }
        asked += 1;
        let text = format!("say-{number:03}-{asked:010}-again");
        let call = Json::from(&json!({"skill": "echo", "arguments": {"text": text}}));
        let message =
            Message { role: Role::User, ..Message::from_agent(MessageId::parse(&text)?, vec![Part::data(call)]) };
        let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
        let planned = engine.plan(&agent, new)?;
        let task = engine.submit_for_outcome(&caller, planned)?.settled().await?;
        let said = task.artifacts.first().and_then(|artifact| artifact.parts.first()).and_then(Part::as_text);
        ensure!(
            task.state == State::Completed && said == Some(text.as_str()),
            "{:?}: the tool said {said:?}",
            task.state
        );
        let end = Instant::now();
        if (from..until).contains(&end) {
            latencies.add(end - start);
        }
    }
}
