//! The flows that run by themselves, each under the principal that the configuration names.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_auth::{NODE_ISSUER, Policy};
use bobbinet_core::{AgentName, Caller};
use bobbinet_engine::{Authorizer, Engine};
use bobbinet_gateway::PolicyAuthorizer;
use bobbinet_orchestrator::{ScheduledFlow, Scheduler};

use crate::config::{CallersConfig, FlowConfig};

/// Those that are to run. `issuer` is what the node calls itself in its tokens.
pub(super) fn of(
    flows: &BTreeMap<AgentName, FlowConfig>,
    callers: &CallersConfig,
    issuer: Option<&str>,
) -> Vec<ScheduledFlow> {
    let scheduled = flows.iter().filter_map(|(agent, flow)| {
        flow.definition.schedule.as_ref()?;
        // One that does not say as whom is a finding, or the only flow of a command, which runs it itself.
        let named = callers.principals.get(flow.runs_as.as_ref()?)?;
        // As with a token that the node has made for him.
        let caller = Caller {
            issuer: Some(issuer.unwrap_or(NODE_ISSUER).into()),
            ..Caller::new(named.principal.clone(), named.tenant.clone())
        };
        Some(ScheduledFlow { agent: agent.clone(), definition: flow.definition.clone(), caller })
    });
    scheduled.collect()
}

/// Begins to keep their times.
pub(super) async fn start(engine: &Engine, policy: &Policy, flows: Vec<ScheduledFlow>) -> Scheduler {
    let authorizer: Arc<dyn Authorizer> = Arc::new(PolicyAuthorizer::new(policy.clone()));
    Scheduler::start(engine, &authorizer, flows).await
}
