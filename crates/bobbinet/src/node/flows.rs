//! The flows of a node, as agents.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use async_trait::async_trait;
use bobbinet_core::{AgentName, TaskId};
use bobbinet_engine::{Agent, SystemEnv};
use bobbinet_flow::{document::Reach, limits::Limits, run::Id};
use bobbinet_mcp::{Launcher, McpCallAgent, ServerCredentials};
use bobbinet_orchestrator::{CredentialsInHand, FlowAgent, FlowLimits, HttpAgent, Mesh, MessageFlowAgent};
use bobbinet_outbound::{Guard, Origin, OutboundLimits};
use bobbinet_peer::{A2aAgent, CallCredentials, PeerLimits};
use reqwest::Url;
use serde_json::Value;

use crate::{
    config::{
        A2A_AGENT, FlowConfig, Flows, HTTP_AGENT, MCP_AGENT, PUBLIC_A2A_AGENT, PUBLIC_HTTP_AGENT, PUBLIC_MCP_AGENT,
    },
    failure::{Code, Failure},
};

/// Knows how steps of flows authenticate.
struct InHand(Arc<CredentialsInHand>);

#[async_trait]
impl CallCredentials for InHand {
    async fn of(&self, flow: TaskId, call: u64) -> Option<Arc<Value>> {
        self.0.of(flow, Id(call)).await
    }
}

#[async_trait]
impl ServerCredentials for InHand {
    async fn of(&self, flow: TaskId, call: u64) -> Option<Arc<Value>> {
        self.0.of(flow, Id(call)).await
    }
}

/// The agents that flows are, and those that make requests for them. `node` is what this one is called in the paths of calls.
pub(super) fn agents(
    flows: Flows,
    node: &str,
    env: &Arc<SystemEnv>,
    launcher: &Launcher,
    folder: &Path,
) -> Result<BTreeMap<AgentName, Arc<dyn Agent>>, Failure> {
    if flows.is_empty() {
        return Ok(BTreeMap::new());
    }
    // What stands in a file of the operator's is the operator's word.
    let literal =
        flows.files.values().flat_map(|flow| flow.definition.reaches()).filter_map(|(_, reach)| match reach {
            Reach::Http(uri) | Reach::A2a(uri) | Reach::Mcp(uri) => uri,
            Reach::Skill { .. } | Reach::Workflow { .. } | Reach::Events | Reach::Command => None,
        });
    let origins: Vec<Origin> = literal.filter_map(|uri| Origin::of(&Url::parse(uri).ok()?).ok()).collect();
    let guard = Guard::new(origins, OutboundLimits::default()).map_err(|error| Failure::of(Code::Internal, &error))?;
    let http = AgentName::parse(HTTP_AGENT).expect("a well-formed name");
    let credentials = Arc::new(CredentialsInHand::default());
    let by_url = |name: &str, guard: &Guard| {
        let name = AgentName::parse(name).expect("a well-formed name");
        let credentials = Arc::new(InHand(credentials.clone()));
        let limits = PeerLimits::default();
        let agent = A2aAgent::new(name.clone(), node.to_owned(), guard.clone(), credentials, env.clone(), limits);
        (name, agent as Arc<dyn Agent>)
    };
    let mcp = |name: &str, guard: &Guard, launcher: Option<&Launcher>| {
        let guard = guard.clone().without_redirects().map_err(|error| Failure::of(Code::Internal, &error))?;
        let folder = folder.join(name);
        let agent = McpCallAgent::new(guard, launcher.cloned(), Arc::new(InHand(credentials.clone())), folder);
        Ok::<_, Failure>((AgentName::parse(name).expect("a well-formed name"), agent as Arc<dyn Agent>))
    };
    let mcp_by_file = mcp(MCP_AGENT, &guard, Some(launcher))?;
    let a2a = by_url(A2A_AGENT, &guard);
    let mesh = Mesh::default().with_credentials(credentials.clone()).with_http(http.clone()).with_a2a(a2a.0.clone());
    let mesh = mesh.with_mcp(mcp_by_file.0.clone());
    let mesh = flows.files.iter().fold(mesh, |mesh, (name, flow)| mesh.with_flow(&flow.definition, name.clone()));
    let starting = Arc::new(mesh.clone().with_commands());
    let mesh = Arc::new(mesh);
    let http = (http, HttpAgent::new(guard, credentials.clone()) as Arc<dyn Agent>);
    let agent = |(name, FlowConfig { flow, definition, has_commands, .. }): (AgentName, FlowConfig)| {
        let mesh = if has_commands { &starting } else { &mesh };
        let agent = FlowAgent::new(flow, definition, mesh.clone(), FlowLimits::default(), Limits::default());
        (name, agent as Arc<dyn Agent>)
    };
    let mut agents: BTreeMap<AgentName, Arc<dyn Agent>> = BTreeMap::from([http, a2a, mcp_by_file]);
    if let Some(name) = flows.of_messages {
        // What stands in a message is not the operator's word: nothing is reached from there but what anybody reaches.
        let guard = Guard::new([], OutboundLimits::default()).map_err(|error| Failure::of(Code::Internal, &error))?;
        let public = AgentName::parse(PUBLIC_HTTP_AGENT).expect("a well-formed name");
        let a2a = by_url(PUBLIC_A2A_AGENT, &guard);
        let mcp = mcp(PUBLIC_MCP_AGENT, &guard, None)?;
        let mesh = Mesh::clone(&mesh).with_http(public.clone()).with_a2a(a2a.0.clone()).with_mcp(mcp.0.clone());
        let mesh = Arc::new(mesh);
        agents.extend([a2a, mcp]);
        agents.insert(public, HttpAgent::new(guard, credentials.clone()));
        agents.insert(name, MessageFlowAgent::new(mesh, FlowLimits::default()));
    }
    agents.extend(flows.files.into_iter().map(agent));
    Ok(agents)
}
