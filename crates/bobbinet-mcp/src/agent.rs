//! The agent: one MCP server as the engine sees it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::{Call, Description, Fault, Json, Outcome, Plan};
use bobbinet_engine::{Agent, CallLog, Lane, Offers, Request, Run};
use bobbinet_outbound::Guard;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    argument_completion, call, call_attempt,
    config::{McpConfig, ServerAddress},
    login::{self, LoginStep},
    pinned_tools::PinnedTools,
    plan_message,
    pool::{SessionKey, SessionPool},
    server_profile::ServerProfile,
    supervised_session::SupervisedSession,
    tool_question,
    transport::{
        Transport,
        http::HttpTransport,
        stdio::{Launcher, StdioTransport},
    },
    write_lanes,
};

/// How long a reader of its description waits, at the most, for a server that could not be started and is started again.
const FAILED_WAIT: Duration = Duration::from_secs(3);

/// An MCP server as an agent.
#[derive(Debug)]
pub struct McpAgent {
    config: Arc<McpConfig>,
    /// What is known of its server, whichever session it was learned in.
    profile: Arc<ServerProfile>,
    /// What its server said of its tools when they were first seen.
    pins: Arc<PinnedTools>,
    sessions: Arc<SessionPool>,
    tracker: TaskTracker,
}

impl McpAgent {
    /// Starts the agent, and its server in the background: this does not wait for it. Must be called within a runtime.
    ///
    /// A server that is a command is started by `launcher`, one that is a URL is reached as `guard` permits, which must follow no redirect: most would make a call a GET. `folder` is the agent's own: what
    /// may be left running is written down there. What an earlier life has left running is ended first.
    pub fn start(config: McpConfig, launcher: Launcher, guard: &Guard, folder: PathBuf) -> Arc<Self> {
        let tracker = TaskTracker::new();
        let transport = |server: &ServerAddress| -> Arc<dyn Transport> {
            match server.clone() {
                ServerAddress::Command(server) => {
                    Arc::new(StdioTransport::new(&config, server, launcher.clone(), tracker.clone()))
                }
                ServerAddress::Url(server) => {
                    Arc::new(HttpTransport::new(&config, server, guard.clone(), tracker.clone()))
                }
            }
        };
        let transports = std::iter::once(&config.server).chain(&config.replicas).map(transport).collect();
        Self::over(Arc::new(config), transports, folder, tracker)
    }

    /// The same over transports that there are.
    pub(crate) fn over(
        config: Arc<McpConfig>,
        transports: Vec<Arc<dyn Transport>>,
        folder: PathBuf,
        tracker: TaskTracker,
    ) -> Arc<Self> {
        let pins = Arc::new(PinnedTools::read(config.clone(), &folder));
        let profile = Arc::new(ServerProfile::remembered(config.clone(), folder.clone(), pins.clone()));
        let sessions = SessionPool::new(config.clone(), profile.clone(), transports, folder, tracker.clone());
        sessions.replicas();
        tracker.close();
        Arc::new(Self { config, profile, pins, sessions, tracker })
    }

    /// The session whose state is the agent's.
    pub(crate) fn shared(&self) -> Arc<SupervisedSession> {
        self.sessions.session(SessionKey::Shared)
    }

    /// Its sessions.
    pub(crate) fn sessions(&self) -> &Arc<SessionPool> {
        &self.sessions
    }

    /// What is remembered of its tools.
    pub(crate) fn pins(&self) -> &PinnedTools {
        &self.pins
    }

    /// Waits until the server can be called for the first time, and so its tools are known.
    ///
    /// # Errors
    /// What was wrong, if the time is up or the server dies too often. It is tried all the same from then on.
    pub async fn wait_ready(&self, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        self.shared().client_unless_resting(|| deadline).await.map(drop).map_err(|fault| fault.text)
    }
}

#[async_trait]
impl Agent for McpAgent {
    fn describe(&self) -> Arc<Description> {
        self.profile.description()
    }

    fn offers(&self) -> Arc<Offers> {
        self.profile.shown()
    }

    async fn complete(&self, params: &Json) -> Result<Json, Fault> {
        argument_completion::complete(self.shared(), params).await
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        if let Some(plan) = tool_question::plan(&self.config.name, &self.pins, request) {
            return plan;
        }
        let catalog = self.profile.catalog();
        let plan = |request: &Request<'_>| plan_message::plan(&self.config, catalog.as_deref(), request);
        match login::look(request, catalog.is_some(), self.shared().login().as_ref()) {
            None => plan(request),
            Some(LoginStep::Plan(plan)) => plan,
            Some(LoginStep::GoOn(message)) => {
                plan(&Request { message, skill: request.skill, task: None, question_id: request.question_id.clone() })
            }
        }
    }

    async fn ready_to_plan(&self) -> Result<(), Fault> {
        self.sessions.tools_known().await.map_err(call_attempt::nothing_called)
    }

    fn lane(&self, call: &Call) -> Option<Lane> {
        if tool_question::is_answer(call) {
            return None;
        }
        write_lanes::lane_of(&self.config, self.profile.catalog().as_deref(), call)
    }

    fn lane_queue_max(&self) -> usize {
        self.config.limits.lane_queue_max
    }

    fn begins_tasks(&self) -> bool {
        self.config.sampling.is_some() || self.config.fallback.is_some()
    }

    fn call_log(&self) -> Option<&Arc<CallLog>> {
        Some(&self.config.call_log)
    }

    fn asks_in_mcp(&self) -> bool {
        true
    }

    fn max_concurrency(&self) -> usize {
        self.config.max_concurrency.max(1)
    }

    fn ready(&self) -> Result<(), String> {
        self.sessions.ready()
    }

    fn takes_calls(&self) -> bool {
        // Where there is somebody to be called instead, nobody waits.
        self.config.fallback.is_some() || self.sessions.takes_calls()
    }

    fn has_started(&self) -> bool {
        self.sessions.was_up()
    }

    fn is_starting(&self) -> bool {
        self.shared().is_starting()
    }

    async fn started(&self, patience: Duration) {
        let begun = Instant::now();
        let shared = self.shared();
        // Nobody's list waits long for a server that has failed to start and may do so again.
        let deadline = || begun + if shared.has_failed_to_start() { patience.min(FAILED_WAIT) } else { patience };
        // What was wrong is said by `ready`, and by every call.
        while shared.is_starting() && Instant::now() < deadline() {
            if shared.client_unless_resting(deadline).await.is_err() {
                return;
            }
        }
    }

    async fn run(&self, run: Run) -> Outcome {
        if tool_question::is_answer(run.call()) {
            return tool_question::carry_out(&self.pins, &run).await;
        }
        call::carry_out(&self.sessions, run).await
    }

    async fn shutdown(&self) {
        self.sessions.stop();
        self.tracker.wait().await;
        self.config.logins.settle().await;
    }
}

/// An agent that is dropped takes its server with it, though nobody waits for that.
impl Drop for McpAgent {
    fn drop(&mut self) {
        self.sessions.stop();
    }
}
