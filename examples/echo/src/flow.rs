//! A flow that calls the agent, as an agent.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Context;
use bobbinet_core::AgentName;
use bobbinet_orchestrator::{Flow, FlowAgent, FlowLimits, Mesh};

pub(crate) fn read(path: &Path) -> anyhow::Result<(AgentName, Arc<FlowAgent>)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let flow = Flow { file: path.display().to_string(), text: text.into(), secrets: BTreeMap::new() };
    let limits = bobbinet_flow::limits::Limits::default();
    let definition = FlowAgent::read(&flow, &limits).map_err(|fault| {
        let findings: Vec<String> = fault.findings.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", findings.join("\n"))
    })?;
    let name = AgentName::parse(&definition.name)?;
    Ok((name, FlowAgent::new(flow, definition, Arc::new(Mesh::default()), FlowLimits::default(), limits)))
}
