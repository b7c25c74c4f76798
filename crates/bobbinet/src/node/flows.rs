//! The flows of a node, as agents.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::AgentName;
use bobbinet_engine::Agent;
use bobbinet_flow::{document::Reach, limits::Limits};
use bobbinet_orchestrator::{CredentialsInHand, FlowAgent, FlowLimits, HttpAgent, Mesh, MessageFlowAgent};
use bobbinet_outbound::{Guard, Origin, OutboundLimits};
use reqwest::Url;

use crate::{
    config::{FlowConfig, Flows, HTTP_AGENT, PUBLIC_HTTP_AGENT},
    failure::{Code, Failure},
};

/// The agents that flows are, and those that make requests for them.
pub(super) fn agents(flows: Flows) -> Result<BTreeMap<AgentName, Arc<dyn Agent>>, Failure> {
    if flows.is_empty() {
        return Ok(BTreeMap::new());
    }
    // What stands in a file of the operator's is the operator's word.
    let literal =
        flows.files.values().flat_map(|flow| flow.definition.reaches()).filter_map(|(_, reach)| match reach {
            Reach::Http(uri) | Reach::A2a(uri) => uri,
            Reach::Skill { .. } | Reach::Workflow { .. } | Reach::Events => None,
        });
    let origins: Vec<Origin> = literal.filter_map(|uri| Origin::of(&Url::parse(uri).ok()?).ok()).collect();
    let guard = Guard::new(origins, OutboundLimits::default()).map_err(|error| Failure::of(Code::Internal, &error))?;
    let http = AgentName::parse(HTTP_AGENT).expect("a well-formed name");
    let credentials = Arc::new(CredentialsInHand::default());
    let mesh = Mesh::default().with_credentials(credentials.clone()).with_http(http.clone());
    let mesh = flows.files.iter().fold(mesh, |mesh, (name, flow)| mesh.with_flow(&flow.definition, name.clone()));
    let mesh = Arc::new(mesh);
    let http = (http, HttpAgent::new(guard, credentials.clone()) as Arc<dyn Agent>);
    let agent = |(name, FlowConfig { flow, definition, .. }): (AgentName, FlowConfig)| {
        let agent = FlowAgent::new(flow, definition, mesh.clone(), FlowLimits::default(), Limits::default());
        (name, agent as Arc<dyn Agent>)
    };
    let mut agents: BTreeMap<AgentName, Arc<dyn Agent>> = BTreeMap::from([http]);
    if let Some(name) = flows.of_messages {
        // What stands in a message is not the operator's word: nothing is reached from there but what anybody reaches.
        let guard = Guard::new([], OutboundLimits::default()).map_err(|error| Failure::of(Code::Internal, &error))?;
        let public = AgentName::parse(PUBLIC_HTTP_AGENT).expect("a well-formed name");
        let mesh = Arc::new(Mesh::clone(&mesh).with_http(public.clone()));
        agents.insert(public, HttpAgent::new(guard, credentials));
        agents.insert(name, MessageFlowAgent::new(mesh, FlowLimits::default()));
    }
    agents.extend(flows.files.into_iter().map(agent));
    Ok(agents)
}
