//! Policy, as the engine asks it about what is planned after a request is over.

use std::collections::BTreeMap;

use bobbinet_auth::{Action, Policy};
use bobbinet_core::{AgentName, Call, Caller, Fault, Json};
use bobbinet_engine::Authorizer;

/// Asks the rules that the gateway asks. A call that they deny is never made: its task is rejected, as `denied`.
#[derive(Clone, Debug)]
pub struct PolicyAuthorizer(Policy);

impl PolicyAuthorizer {
    /// One that asks this policy. It must be the gateway's.
    pub fn new(policy: Policy) -> Self {
        Self(policy)
    }
}

impl PolicyAuthorizer {
    fn ask(&self, caller: &Caller, action: Action<'_>) -> Result<(), Fault> {
        let Err(denied) = self.0.allows(caller, action) else { return Ok(()) };
        let data = Json::of(&BTreeMap::from([("rule", denied.rule)]));
        Err(Fault { data: Some(data), ..Fault::new("denied", denied.to_string()) })
    }
}

impl Authorizer for PolicyAuthorizer {
    fn allows_call(&self, caller: &Caller, agent: &AgentName, call: &Call) -> Result<(), Fault> {
        self.ask(caller, Action::Call(agent, call))
    }

    fn may_allow_call(&self, caller: &Caller, agent: &AgentName, call: &Call) -> Result<(), Fault> {
        self.ask(caller, Action::Plan(agent, call))
    }

    fn allows_publish(&self, caller: &Caller, event: &Json) -> Result<(), Fault> {
        self.ask(caller, Action::Publish(event))
    }

    fn allows_get(&self, caller: &Caller, agent: &AgentName) -> Result<(), Fault> {
        self.ask(caller, Action::Get(agent))
    }

    fn allows_listen(&self, caller: &Caller) -> Result<(), Fault> {
        self.ask(caller, Action::Listen)
    }
}
