//! What the engine does for its runs.

use std::sync::Arc;

use async_trait::async_trait;
use bobbinet_core::{AgentName, Caller, Command, Generation, Limits, Message, Plan, Task, TaskId};

use crate::{
    Authorizer, ChildError, Engine, EngineError, Env, Handle, NewTask, PlannedTask, Reply,
    blobs::TaskBlobs,
    commit_loop::{AggregateStreams, Beginning, Hooks},
    engine_inner::EngineInner,
    kinds::Kinds,
    lifecycle::Lifecycle,
    run::{LentFor, RunHost},
    slots::Lent,
    task_live::{LiveTask, ProgressReport, TaskHeld},
};

impl EngineInner {
    async fn agent_of(&self, child: &Handle) -> Result<AgentName, EngineError> {
        Ok(child.accepted().await?.agent.clone())
    }
}

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

    fn blobs(&self) -> Option<&TaskBlobs> {
        self.blobs.as_ref()
    }

    fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    fn report(&self, live: &Arc<LiveTask>, report: ProgressReport) {
        EngineInner::report(self, live, report);
    }

    fn let_go(&self, live: &Arc<LiveTask>) {
        EngineInner::let_go(self, live);
    }

    async fn command(&self, live: &Arc<LiveTask>, command: Command) -> Result<Arc<Task>, EngineError> {
        EngineInner::command(self, live, command, None).await
    }

    fn lend(&self, agent: &AgentName, whom: LentFor) -> Option<Lent> {
        let slots = &self.agents.get(agent.as_str())?.slots;
        Some(match whom {
            LentFor::Anybody(lane) => slots.lend(self, lane),
            LentFor::Children => slots.lend_to_all(self, None),
            LentFor::Equals(lane) => slots.lend_to_all(self, lane),
        })
    }

    fn plan(&self, id: TaskId, agent: &AgentName, new: NewTask) -> Result<PlannedTask, EngineError> {
        EngineInner::plan(self, id, agent, new)
    }

    fn authorizer(&self) -> &dyn Authorizer {
        &*self.authorizer
    }

    fn begins_tasks(&self, agent: &AgentName) -> bool {
        self.agents.get(agent.as_str()).is_some_and(|registered| registered.agent.begins_tasks())
    }

    fn is_internal(&self, agent: &AgentName) -> bool {
        self.agents.get(agent.as_str()).is_some_and(|registered| registered.agent.is_internal())
    }

    fn beginning(&self, caller: &Caller, planned: PlannedTask) -> Result<Beginning<Task>, EngineError> {
        EngineInner::beginning(self, caller, planned)
    }

    async fn begin_with(
        &self,
        live: &Arc<LiveTask>,
        command: Command,
        children: Vec<Beginning<Task>>,
    ) -> Result<Arc<Task>, EngineError> {
        for child in &children {
            // Its id is new, so nobody else has a place for it.
            let _ = self.tasks.cache.insert(child.live.clone());
        }
        self.command_with(live, command, TaskHeld { children, ..TaskHeld::default() }).await
    }

    fn give_up(&self, children: Vec<Beginning<Task>>) {
        children.iter().for_each(|child| self.failed(&child.live));
    }

    async fn in_context(&self, task: &Task, max: usize) -> Result<Vec<Arc<Task>>, EngineError> {
        EngineInner::in_context(self, task, max).await
    }

    async fn reply(&self, caller: &Caller, child: &Handle, answer: Message) -> Result<Handle, ChildError> {
        let engine = Engine { inner: self.clone() };
        let agent = self.agent_of(child).await?;
        let reply = Reply { message: answer, context: None, skill: None, idempotency: None };
        let planned = engine.plan_reply(caller, &agent, &child.id(), reply).await?;
        if let Some(Plan::Call(call)) = planned.plan() {
            self.authorizer.allows_call(caller, &agent, call).map_err(ChildError::Denied)?;
        }
        Ok(engine.reply_planned(planned).await?)
    }

    fn cancel(&self, child: TaskId) {
        self.insist(child, Command::Cancel);
    }

    fn handle(&self, live: Arc<LiveTask>) -> Handle {
        EngineInner::handle(self, live, Generation(0))
    }
}
