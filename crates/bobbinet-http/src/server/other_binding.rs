//! What another binding of A2A on the same port needs of the server: the same callers, permits, bounds, words and headers.

use std::sync::Arc;

use axum::body::Body;
use bobbinet_auth::Rejected;
use bobbinet_core::{AgentName, Caller, Description, SkillId, operation::SendParams};
use bobbinet_engine::EngineError;
use bobbinet_gateway::{Full, Gateway, GatewayError, Resume};
use bobbinet_wire::{Error, interface::CardForm, v1_0::card::CardContext};
use bytes::Bytes;
use http::{Extensions, HeaderMap, Uri, header};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{a2a_server::Server, auth, body, call, fault, receive, stream};
pub use super::{body::BodyFault, unsent::Room};

/// Where all agents are one MCP server, below the node's URL, if that is spoken.
pub const MCP_PATH: &str = "/mcp";

impl Server {
    /// Does what callers ask for.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Told when the server is to stop.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The agent that a request's `tenant` names, also one that is only known by the tasks that it has left; where it names none, the only
    /// one there is.
    pub fn agent_of_tenant(&self, tenant: &str) -> Option<&AgentName> {
        if !tenant.is_empty() {
            return self.known(tenant).map(|mounted| &mounted.name);
        }
        let mut agents = self.agents.values();
        match (agents.next(), agents.next()) {
            (Some(only), None) => Some(&only.name),
            (_, _) => None,
        }
    }

    /// Who calls, if his token is for any agent of the node: asked before the body is read that says for which.
    ///
    /// # Errors
    /// For the log alone.
    pub async fn caller_of_any(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<Arc<Caller>, Rejected> {
        auth::caller_at(self, &self.agents_audiences, headers, extensions).await
    }

    /// Who calls, if his token is for one of these URLs.
    ///
    /// # Errors
    /// For the log alone.
    pub async fn caller_at(
        &self,
        audiences: &[String],
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Arc<Caller>, Rejected> {
        auth::caller_at(self, audiences, headers, extensions).await
    }

    /// Whether a page that a browser has loaded from the origin that the request names may call: without one it is no page's. Pages of the
    /// node's own origins may, and those that the configuration names. (Else a page that has made its own name lead to this machine could.)
    pub fn is_page_allowed(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(text) = origin.to_str() else { return false };
        let is_allowed =
            |allowed: &http::HeaderValue| allowed == "*" || allowed.as_bytes().eq_ignore_ascii_case(text.as_bytes());
        // A public URL may have a path, which no origin has.
        let is_own = |own: &String| {
            let begin = own.get(..text.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(text));
            begin && own[text.len()..].bytes().next().is_none_or(|next| next == b'/')
        };
        self.cors.iter().any(is_allowed) || text.contains("://") && self.origins.iter().any(is_own)
    }

    /// Work beside the connections: [`super::serve`] returns when it has ended, for which it has as long as requests in flight.
    pub fn work(&self) -> &TaskTracker {
        &self.work
    }

    /// Who calls this agent.
    ///
    /// # Errors
    /// For the log alone.
    pub async fn caller_of(
        &self,
        agent: &AgentName,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Arc<Caller>, Rejected> {
        let audiences = self.known(agent.as_str()).map_or(&[][..], |mounted| &mounted.audiences);
        auth::caller_at(self, audiences, headers, extensions).await
    }

    /// The whole body of a request.
    ///
    /// # Errors
    /// Which bound it meets.
    pub async fn read_body(&self, body: &mut Body) -> Result<Bytes, BodyFault> {
        body::read(body, &self.limits).await
    }

    /// Room for an answer of so many bytes among those that are not taken yet; `None` if it needs none.
    ///
    /// # Errors
    /// If there is none.
    pub async fn room_for(&self, caller: &Caller, bytes: usize) -> Result<Option<Room>, Error> {
        if bytes <= call::LARGE {
            return Ok(None);
        }
        self.unsent.room(caller, bytes).await.map(Some).map_err(|full| self.fault_of_full(full))
    }

    /// What the caller reads.
    pub fn fault_of(&self, error: GatewayError) -> Error {
        fault::of_gateway(error, &self.limits)
    }

    /// The same where a stream is read.
    pub fn fault_of_engine(&self, error: EngineError) -> Error {
        fault::of_engine(error, &self.limits)
    }

    /// The same where a limit is reached.
    pub fn fault_of_full(&self, full: Full) -> Error {
        fault::of_full(full, &self.limits)
    }

    /// The same where there is no body.
    pub fn fault_of_body(&self, reason: BodyFault) -> Error {
        fault::of_body(reason, &self.limits)
    }

    /// Echoes the extensions that the caller asked for and that are spoken here: by the node, or by the agent, if one was found.
    pub fn name_extensions(&self, agent: Option<&AgentName>, request: &HeaderMap, response: &mut HeaderMap) {
        receive::name_extensions(self, agent, request, response);
    }

    /// What a card of this agent says beside what the agent says of itself, to whoever has sent this request; nothing of an agent that is
    /// only known by its tasks.
    pub fn with_card_context<R>(
        &self,
        agent: &AgentName,
        description: &Description,
        (uri, headers, extensions): (&Uri, &HeaderMap, &Extensions),
        write: impl FnOnce(CardContext<'_>) -> R,
    ) -> Option<R> {
        let mounted = self.agents.get(agent.as_str())?;
        let origin = self.origin_of(headers, uri, extensions);
        Some(self.told(agent).with_context(description, &origin, CardForm::Hybrid, &mounted.base, write))
    }
}

/// The trace that the caller is in.
pub fn trace(headers: &HeaderMap) -> Option<Arc<str>> {
    receive::traceparent(headers).map(Arc::from)
}

/// The key that drops repeats of a send.
///
/// # Errors
/// If it is none.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    receive::idempotency_key(headers)
}

/// Where a reader left off that comes back.
pub fn cursor(headers: &HeaderMap) -> Option<Resume> {
    stream::cursor(headers)
}

/// The extensions that the caller says it speaks.
pub fn extensions(headers: &HeaderMap) -> Vec<&str> {
    receive::extensions(headers).collect()
}

/// The skill that a request's own metadata names under our extension.
pub fn skill_of(params: &SendParams) -> Option<SkillId> {
    call::skill_of(params)
}
