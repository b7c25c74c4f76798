//! What the engine does for its runs.

use std::sync::Arc;

use async_trait::async_trait;
use bobbinet_core::{AgentName, Call, Caller, Command, Fault, Generation, Limits, Task, TaskId};

use crate::{
    EngineError, Handle, NewTask, PlannedTask, World,
    inner::Inner,
    lifecycle::Lifecycle,
    run::{LentFor, RunHost},
    slots::Lent,
    streams::Streams,
    task_live::{LiveTask, Report},
};

#[async_trait]
impl RunHost for Arc<Inner> {
    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn tasks(&self) -> &Arc<Streams<Task>> {
        &self.tasks
    }

    fn lifecycle(&self) -> &Arc<Lifecycle> {
        &self.lifecycle
    }

    fn world(&self) -> &dyn World {
        &*self.world
    }

    fn report(&self, live: &Arc<LiveTask>, report: Report) {
        Inner::report(self, live, report);
    }

    async fn command(&self, live: &Arc<LiveTask>, command: Command) -> Result<Arc<Task>, EngineError> {
        Inner::command(self, live, command, None).await
    }

    fn lend(&self, agent: &AgentName, whom: LentFor) -> Option<Lent> {
        let slots = &self.agents.get(agent.as_str())?.slots;
        Some(match whom {
            LentFor::Anybody => slots.lend(self),
            LentFor::Children => slots.lend_to_children(self),
        })
    }

    fn plan(&self, id: TaskId, agent: &AgentName, new: NewTask) -> Result<PlannedTask, EngineError> {
        Inner::plan(self, id, agent, new)
    }

    fn allows_call(&self, caller: &Caller, agent: &AgentName, call: &Call) -> Result<(), Fault> {
        self.authorizer.allows_call(caller, agent, call)
    }

    fn submit(&self, caller: &Caller, planned: PlannedTask) -> Result<Handle, EngineError> {
        self.submit_planned(caller, planned)
    }

    fn handle(&self, live: Arc<LiveTask>) -> Handle {
        Inner::handle(self, live, Generation(0))
    }
}
