//! The agent: one MCP server as the engine sees it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::{Description, Fault, Outcome, Plan};
use bobbinet_engine::{Agent, Request, Run, watched};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    beside::Beside,
    call,
    config::{Launcher, McpConfig},
    resolve,
    supervise::Shared,
};

/// An MCP server as an agent.
#[derive(Debug)]
pub struct McpAgent {
    shared: Arc<Shared>,
    beside: Arc<Beside>,
    tracker: TaskTracker,
}

impl McpAgent {
    /// Starts the agent, and its server in the background: this does not wait for it. Must be called within a runtime.
    ///
    /// `folder` is the agent's own: what may be left running is written down there. What an earlier life has left
    /// running is ended first.
    pub fn start(config: McpConfig, launcher: Launcher, folder: PathBuf) -> Arc<Self> {
        let tracker = TaskTracker::new();
        let beside = Beside::start(&config, &launcher, &folder, &tracker);
        let shared = Arc::new(Shared::new(config, launcher, folder));
        tracker.spawn(keep(shared.clone(), tracker.clone()));
        tracker.close();
        Arc::new(Self { shared, beside, tracker })
    }

    /// Waits until the server can be called for the first time, and so its tools are known.
    ///
    /// # Errors
    /// What was wrong, if the time is up or the server dies too often. It is tried all the same from then on.
    pub async fn wait_ready(&self, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        self.shared.link_unless_resting(|| deadline).await.map(drop).map_err(|fault| fault.text)
    }
}

/// Lives for the agent. A life that fails inside is followed by another: nobody else starts the server.
pub(crate) async fn keep(shared: Arc<Shared>, tracker: TaskTracker) {
    while watched("MCP server", shared.clone().live(tracker.clone())).await.is_none() {
        tokio::time::sleep(shared.config.limits.restart_first()).await;
    }
}

#[async_trait]
impl Agent for McpAgent {
    fn describe(&self) -> Arc<Description> {
        self.shared.description()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        let catalog = self.shared.catalog();
        resolve::plan(&self.shared.config, catalog.as_deref(), request)
    }

    async fn ready_to_plan(&self) -> Result<(), Fault> {
        self.shared.tools_known().await.map_err(call::nothing_called)
    }

    fn max_concurrency(&self) -> usize {
        self.shared.config.max_concurrency.max(1)
    }

    fn ready(&self) -> Result<(), String> {
        self.shared.ready()
    }

    fn takes_calls(&self) -> bool {
        self.shared.takes_calls()
    }

    fn has_started(&self) -> bool {
        self.shared.was_up()
    }

    fn is_starting(&self) -> bool {
        self.shared.is_starting()
    }

    async fn started(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        // What was wrong is said by `ready`, and by every call.
        while self.shared.is_starting() && Instant::now() < deadline {
            if self.shared.link(|| deadline).await.is_err() {
                return;
            }
        }
    }

    async fn run(&self, run: Run) -> Outcome {
        call::carry_out(&self.shared, &self.beside, run).await
    }

    async fn shutdown(&self) {
        self.beside.stop();
        self.shared.stop();
        self.tracker.wait().await;
    }
}

/// An agent that is dropped takes its server with it, though nobody waits for that.
impl Drop for McpAgent {
    fn drop(&mut self) {
        self.beside.stop();
        self.shared.stop();
    }
}
