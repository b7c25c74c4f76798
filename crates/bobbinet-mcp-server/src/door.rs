//! What all requests of this door have in common.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{AgentName, Caller, Json, Timestamp};
use bobbinet_gateway::{AdmissionPermit, START_WAIT_MAX, Shares};
use bobbinet_http::{
    Server,
    server::other_binding::{MCP_PATH, Room},
};
use http::StatusCode;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    limits::McpServerLimits,
    names::Naming,
    rpc::{self, RpcError},
    sessions::Sessions,
    tools,
};

/// The door.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) server: Arc<Server>,
    pub(crate) sessions: Sessions,
    /// The URLs that a token for this door may name.
    pub(crate) audiences: Vec<String>,
    pub(crate) limits: McpServerLimits,
    /// Since when it is open.
    opened: Instant,
    /// How tools and prompts are called.
    pub(crate) naming: Naming,
    /// Room for streams that listen for changes.
    pub(crate) listeners: Arc<Semaphore>,
    /// How much of it each caller has.
    pub(crate) listeners_of: Arc<Shares>,
    /// Turns of those who read what a link leads to.
    pub(crate) linked_reads: Semaphore,
}

/// A message on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) message: Json,
    /// The status that it has alone.
    pub(crate) status: StatusCode,
    /// Whether it is the answer to a request.
    pub(crate) is_answer: bool,
    /// Of what is large.
    pub(crate) room: Option<Room>,
}

impl Outgoing {
    /// What is no answer.
    pub(crate) fn plain(message: Json) -> Self {
        Self { message, status: StatusCode::OK, is_answer: false, room: None }
    }

    pub(crate) fn result(id: &Json, result: &Json, room: Option<Room>) -> Self {
        Self { message: rpc::response(id, result), status: StatusCode::OK, is_answer: true, room }
    }

    pub(crate) fn error(id: &Json, error: &RpcError) -> Self {
        Self { message: error.to_json(Some(id)), status: error.status(), is_answer: true, room: None }
    }
}

impl Door {
    pub(crate) fn new(server: Arc<Server>, limits: McpServerLimits, naming: Naming) -> Arc<Self> {
        let audiences = server.audiences_at(MCP_PATH);
        let listeners = Arc::new(Semaphore::new(limits.listeners_max));
        let listeners_of = Shares::new(limits.listeners_per_caller_max, "listeners_per_caller_max");
        let linked_reads = Semaphore::new(limits.linked_reads_max);
        let seal = server.sealing_key().inspect_err(|error| {
            tracing::warn!(%error, "MCP sessions end with this process");
        });
        let sessions = Sessions::new(&limits, seal.ok());
        let opened = Instant::now();
        Arc::new(Self { sessions, audiences, limits, opened, naming, listeners, listeners_of, linked_reads, server })
    }

    /// How long a list may wait for agents that were never seen: for as long after the start as the limit says, all lists together. Who is
    /// later than that is told of as not there yet, and of the change when he comes.
    pub(crate) fn list_patience(&self) -> Duration {
        self.limits.start_wait.saturating_sub(self.opened.elapsed())
    }

    /// The same for what is looked for, and is rarely there of all agents.
    pub(crate) async fn await_started_shortly(&self) {
        tools::await_started(self.server.gateway(), self.list_patience().min(START_WAIT_MAX)).await;
    }

    /// Whether this agent is an MCP server of this node, whose requests are put in the words of MCP by the node itself.
    pub(crate) fn is_of_mcp(&self, agent: &AgentName) -> bool {
        self.server.gateway().agent(agent).is_some_and(|agent| agent.asks_in_mcp())
    }

    /// Whether servers are among the agents of this node that say something for a log.
    pub(crate) fn has_logs(&self) -> bool {
        let gateway = self.server.gateway();
        gateway.agents().filter_map(|name| gateway.agent(name)).any(|agent| agent.call_log().is_some())
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.server.gateway().now()
    }

    /// Leave for one more thing that this caller asks for.
    pub(crate) fn admit(&self, caller: &Caller) -> Result<AdmissionPermit, RpcError> {
        self.server.gateway().admit(caller).map_err(|full| RpcError::inside(&self.server.fault_of_full(full)))
    }

    /// The answer with this result, if there is room for it.
    pub(crate) async fn answer(&self, caller: &Caller, id: &Json, result: &Json) -> Outgoing {
        match self.server.room_for(caller, result.as_str().len()).await {
            Ok(room) => Outgoing::result(id, result, room),
            Err(error) => Outgoing::error(id, &RpcError::inside(&error)),
        }
    }
}
