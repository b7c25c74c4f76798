//! What the engine does for its runs.

use std::sync::Arc;

use async_trait::async_trait;
use bobbinet_core::{AgentName, Call, Caller, Command, Fault, Generation, Limits, Task, TaskId};

use crate::{
    EngineError, Env, Handle, NewTask, PlannedTask,
    commit_loop::AggregateStreams,
    engine_inner::EngineInner,
    lifecycle::Lifecycle,
    run::{LentFor, RunHost},
    slots::Lent,
    task_live::{LiveTask, ProgressReport},
};

#[async_trait]
impl RunHost for Arc<EngineInner> {
    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn tasks(&self) -> &Arc<AggregateStreams<Task>> {
        &self.tasks
    }

    fn lifecycle(&self) -> &Arc<Lifecycle> {
        &self.lifecycle
    }

    fn env(&self) -> &dyn Env {
        &*self.env
    }

    fn report(&self, live: &Arc<LiveTask>, report: ProgressReport) {
        EngineInner::report(self, live, report);
    }

    async fn command(&self, live: &Arc<LiveTask>, command: Command) -> Result<Arc<Task>, EngineError> {
        EngineInner::command(self, live, command, None).await
    }

    fn lend(&self, agent: &AgentName, whom: LentFor) -> Option<Lent> {
        let slots = &self.agents.get(agent.as_str())?.slots;
        Some(match whom {
            LentFor::Anybody => slots.lend(self),
            LentFor::Children => slots.lend_to_children(self),
        })
    }

    fn plan(&self, id: TaskId, agent: &AgentName, new: NewTask) -> Result<PlannedTask, EngineError> {
        EngineInner::plan(self, id, agent, new)
    }

    fn allows_call(&self, caller: &Caller, agent: &AgentName, call: &Call) -> Result<(), Fault> {
        self.authorizer.allows_call(caller, agent, call)
    }

    fn submit(&self, caller: &Caller, planned: PlannedTask) -> Result<Handle, EngineError> {
        self.submit_planned(caller, planned)
    }

    fn handle(&self, live: Arc<LiveTask>) -> Handle {
        EngineInner::handle(self, live, Generation(0))
    }
}
