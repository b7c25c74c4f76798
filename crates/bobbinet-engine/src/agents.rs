//! The agents of a node, by name, each with its call slots and what waits to be planned.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use bobbinet_core::{AgentName, Call, Fault, Plan, Task, TaskId};

use crate::{
    Agent, EngineError, Request,
    plan_queue::PlanQueue,
    slots::{Callee, Permit, SlotOwner, Slots},
};

/// All agents that are configured.
#[derive(Debug)]
pub(crate) struct Agents(BTreeMap<AgentName, RegisteredAgent>);

/// An agent, and what the engine keeps for it.
pub(crate) struct RegisteredAgent {
    pub(crate) agent: Arc<dyn Agent>,
    pub(crate) slots: Arc<Slots>,
    /// Tasks that it cannot plan yet.
    pub(crate) waiting: PlanQueue,
}

impl Agents {
    pub(crate) fn new(agents: BTreeMap<AgentName, Arc<dyn Agent>>) -> Self {
        let registered = |(name, agent): (AgentName, Arc<dyn Agent>)| {
            let slots = Slots::new(Arc::new(Called(agent.clone())), agent.max_concurrency().max(1));
            (name, RegisteredAgent { agent, slots, waiting: PlanQueue::default() })
        };
        Self(agents.into_iter().map(registered).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&RegisteredAgent> {
        self.0.get(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AgentName, &RegisteredAgent)> {
        self.0.iter()
    }
}

impl RegisteredAgent {
    /// What the agent makes of a message. One over which it panics is refused, and told of in the log: nothing that a caller
    /// says ends a request without an answer.
    pub(crate) fn prepare(&self, request: &Request<'_>) -> Plan {
        panic::catch_unwind(AssertUnwindSafe(|| self.agent.prepare(request))).unwrap_or_else(|_| {
            tracing::error!(message = %request.message.id, "the agent panicked over a message");
            Plan::Reject(Fault::new("agent-panicked", "the agent failed inside when it read the message"))
        })
    }
}

impl RegisteredAgent {
    /// A slot for this call and its lane, if both are free.
    pub(crate) fn try_take(&self, owner: &Arc<impl SlotOwner>, call: &Call) -> Option<Permit> {
        self.slots.try_take(owner, self.agent.lane(call))
    }

    /// The same for the call of a task that is planned, if it is.
    pub(crate) fn try_take_for(&self, owner: &Arc<impl SlotOwner>, task: &Task) -> Option<Permit> {
        let lane = task.planned_call.as_deref().and_then(|call| self.agent.lane(call));
        self.slots.try_take(owner, lane)
    }

    /// The same for the call of a new task. If its lane is not free, the task stands in the queue from now on.
    ///
    /// # Errors
    /// If too many wait there.
    pub(crate) fn take_or_wait(
        &self,
        owner: &Arc<impl SlotOwner>,
        id: TaskId,
        call: &Call,
    ) -> Result<Option<Permit>, EngineError> {
        let Some(lane) = self.agent.lane(call) else { return Ok(self.slots.try_take(owner, None)) };
        match self.slots.try_take(owner, Some(lane.clone())) {
            Some(permit) => Ok(Some(permit)),
            None => self.slots.wait_in_lane(id, lane, self.agent.lane_queue_max()).map(|()| None),
        }
    }
}

impl fmt::Debug for RegisteredAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredAgent").field("agent", &self.agent).finish_non_exhaustive()
    }
}

/// An agent as the callee of its slots.
#[derive(Debug)]
struct Called(Arc<dyn Agent>);

impl Callee for Called {
    fn takes_calls(&self) -> bool {
        self.0.takes_calls()
    }
}
