//! How a message goes on with a task that waits for one.

use std::sync::Arc;

use bobbinet_core::{
    AgentName, Caller, Command, Fault, Generation, Plan, QuestionKind, Refused, RequestKey, Said, Task, TaskId,
};

use crate::{
    Engine, EngineError, Handle, PlannedReply, Reply, Request,
    engine_inner::EngineInner,
    planned::{Planned, deferred, question_id},
    task_live::LiveTask,
};

impl Engine {
    /// Asks a task's agent what it makes of a message to it. Nothing is kept yet.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] also for somebody else's task; [`EngineError::Refused`] if the task takes no message now.
    pub async fn plan_reply(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
        reply: Reply,
    ) -> Result<PlannedReply, EngineError> {
        let inner = &self.inner;
        let Reply { message, context, skill, idempotency } = reply;
        let (live, task) = inner.find(caller, agent, id).await?;
        if context.is_some_and(|context| context != task.context) {
            return Err(EngineError::ContextMismatch);
        }
        let said = Said { message: Arc::new(message), key: idempotency.map(request_key) };
        match task.check_new(&said) {
            Ok(()) => {}
            Err(Refused::Repeated { first }) => {
                return Ok(PlannedReply(Planned::Repeat(handle_after(inner, live, first))));
            }
            Err(refused) => return Err(refused.into()),
        }
        if inner.lifecycle.is_draining() && !task.state.is_terminal() {
            return Err(EngineError::Draining);
        }
        let plan = match inner.agents.get(task.agent.as_str()) {
            Some(registered) => registered.prepare(&Request {
                message: &said.message,
                skill: skill.as_ref(),
                task: Some(&task),
                question_id: question_id(id, task.version + 1),
            }),
            // What became of a call, its caller may say without the agent, and no plan is asked for then.
            None if asks_for_outcome(&task) => Plan::Reject(Fault::new("unknown-agent", "this node has no such agent")),
            None => return Err(EngineError::UnknownAgent),
        };
        let deferred = deferred(&plan, caller, skill, task.question.as_ref());
        Ok(PlannedReply(Planned::New { live, task, said, plan, deferred }))
    }

    /// Answers an interrupted task: [`Engine::plan_reply`] and [`Engine::reply_planned`] in one.
    ///
    /// # Errors
    /// What [`Engine::plan_reply`] or [`Engine::reply_planned`] fails with.
    pub async fn reply(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
        reply: Reply,
    ) -> Result<Handle, EngineError> {
        self.reply_planned(self.plan_reply(caller, agent, id, reply).await?).await
    }

    /// Answers an interrupted task as it was planned. Durable when this returns. No bound of the node refuses an answer. One that
    /// comes again counts once, and the repeat gets what the first one got.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if the task takes no message any more.
    pub async fn reply_planned(&self, planned: PlannedReply) -> Result<Handle, EngineError> {
        let inner = &self.inner;
        let (live, task, said, plan, deferred) = match planned.0 {
            Planned::New { live, task, said, plan, deferred } => (live, task, said, plan, deferred),
            Planned::Repeat(handle) => return Ok(handle),
        };
        let registered = inner.agents.get(task.agent.as_str());
        let permit = registered.filter(|_| task.is_parked()).and_then(|registered| match &plan {
            Plan::Call(call) => registered.try_take(inner, call),
            Plan::Ask(_) | Plan::Answer(_) | Plan::Reject(_) | Plan::Defer | Plan::Say(_) => {
                registered.try_take_for(inner, &task)
            }
        });
        let command = Command::Reply {
            said,
            plan,
            deferred,
            seen: task.generation,
            // Whether the run is alive is looked up again when the command is decided.
            is_live: false,
            slot_held_by: permit.is_some().then(|| inner.processes.own()),
        };
        match inner.command(&live, command, permit).await {
            Ok(_) => Ok(inner.handle(live, task.generation)),
            // The same was said twice at once.
            Err(EngineError::Refused(Refused::Repeated { first })) => Ok(handle_after(inner, live, first)),
            Err(error) => Err(error),
        }
    }
}

/// For one whose words stand in the log at `first`.
fn handle_after(inner: &EngineInner, live: Arc<LiveTask>, first: Generation) -> Handle {
    inner.handle(live, Generation(first.0 - 1))
}

/// Whether the task waits to hear what became of a call.
fn asks_for_outcome(task: &Task) -> bool {
    task.question.as_ref().is_some_and(|question| matches!(question.kind, QuestionKind::Outcome { .. }))
}

fn request_key((key, body_hash): (String, [u8; 32])) -> Arc<RequestKey> {
    Arc::new(RequestKey { key: key.into(), body_hash: hex::encode(body_hash).into() })
}
