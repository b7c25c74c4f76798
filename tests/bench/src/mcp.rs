//! One tool that says what was said, as an MCP server over stdio; and its call without Bobbinet in between.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rmcp::{
    RoleClient, ServerHandler, ServiceExt,
    handler::server::wrapper::Parameters,
    model::{CallToolRequestParams, CallToolResult, ContentBlock},
    service::{Peer, RunningService},
    tool, tool_handler, tool_router,
};
use serde::Deserialize;
use serde_json::json;
use tokio::{process::Child, task::JoinSet};

use crate::{
    load::Shape,
    process::{self, Cores},
    sample::{Latencies, Sample},
    server::{Place, tied_to_us},
};

/// The server.
#[derive(Clone, Debug)]
struct Echo;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct Said {
    /// What to say.
    text: String,
}

#[tool_router]
impl Echo {
    #[tool(description = "Says what was said.", annotations(read_only_hint = true, idempotent_hint = true))]
    async fn echo(&self, Parameters(said): Parameters<Said>) -> CallToolResult {
        CallToolResult::success(vec![ContentBlock::text(said.text)])
    }
}

#[tool_handler]
impl ServerHandler for Echo {}

/// Serves it until standard input ends.
pub(crate) async fn serve() -> Result<()> {
    let running = Echo.serve(rmcp::transport::stdio()).await.context("serving MCP")?;
    running.waiting().await.context("serving MCP")?;
    Ok(())
}

/// A session with the server, as any MCP host would have it.
#[derive(Debug)]
pub(crate) struct Direct {
    session: RunningService<RoleClient, ()>,
    child: Child,
    pid: u32,
}

impl Direct {
    pub(crate) async fn start(place: &Place) -> Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = tied_to_us(&program);
        command.arg("mcp-echo").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        Cores::pin(place.cores.server)?;
        let child = command.spawn().context("starting the MCP server");
        Cores::pin(place.cores.load)?;
        let mut child = child?;
        let pid = child.id().context("the MCP server ended at once")?;
        let pipes = child.stdout.take().zip(child.stdin.take()).expect("its pipes were asked for");
        let session = ().serve(pipes).await.context("beginning an MCP session")?;
        Ok(Self { session, child, pid })
    }

    /// Calls the tool, `shape.connections` calls at a time.
    pub(crate) async fn measure(&self, shape: Shape) -> Result<Sample> {
        let from = Instant::now() + shape.warm_up;
        let until = from + shape.window;
        let mut calls = JoinSet::new();
        for number in 0..shape.connections {
            calls.spawn(call_until(self.session.peer().clone(), number, from, until));
        }
        let usage = || (process::time_of_one(self.pid), process::time_of_one(std::process::id()));
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
        Ok(Sample {
            per_second: right as f64 / seconds,
            server_micros: (after.0 - before.0).as_secs_f64() * 1e6 / right.max(1) as f64,
            load_share: (after.1 - before.1).as_secs_f64() / seconds,
            latency: latencies.quantiles(),
            first_event: None,
            events_per_stream: None,
            errors: 0,
            first_error: None,
        })
    }

    /// Ends the session and its server.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.session.cancel().await.context("ending an MCP session")?;
        tokio::time::timeout(Duration::from_secs(5), self.child.wait())
            .await
            .context("waiting for the MCP server")??;
        Ok(())
    }
}

async fn call_until(peer: Peer<RoleClient>, number: usize, from: Instant, until: Instant) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    let mut asked = 0_u64;
    loop {
        let start = Instant::now();
        if start >= until {
            return Ok(latencies);
        }
        asked += 1;
        let text = format!("say-{number:03}-{asked:010}-again");
        let mut arguments = serde_json::Map::new();
        arguments.insert("text".to_owned(), json!(text));
        let params = CallToolRequestParams::new("echo").with_arguments(arguments);
        let result = peer.call_tool(params).await.context("calling the tool")?;
        let said = result.content.first().and_then(ContentBlock::as_text).map(|said| said.text.as_str());
        ensure!(said == Some(text.as_str()), "the tool said {said:?}");
        let end = Instant::now();
        if (from..until).contains(&end) {
            latencies.add(end - start);
        }
    }
}
