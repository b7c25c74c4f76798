//! Messages that came before their agent knew what can be called. Their tasks wait, submitted and in no line for a call slot, and are
//! planned once it knows.

use std::sync::Arc;

use bobbinet_core::{Command, Deferred, Fault, Plan, Task, TaskId};
use futures::{StreamExt, stream};
use tracing::{debug, warn};

use crate::{
    EngineError, Request, agents::RegisteredAgent, engine_inner::EngineInner, plan_queue::Attendance,
    planned::question_id,
};

/// How many are planned at a time: so many commits share a sync of the disk.
const AT_A_TIME: usize = 64;

impl EngineInner {
    /// Has a task planned once its agent knows what can be called.
    pub(crate) fn plan_later(self: &Arc<Self>, agent: &str, id: TaskId) {
        let Some(registered) = self.agents.get(agent) else { return };
        if self.lifecycle.is_draining() || !registered.waiting.add(id) {
            return;
        }
        let (engine, agent) = (self.clone(), agent.to_owned());
        self.lifecycle.start(async move { engine.plan_waiting(&agent).await });
    }

    /// Waits for the agent, and plans all that wait, or ends those that it has kept waiting for too long.
    async fn plan_waiting(self: &Arc<Self>, agent: &str) {
        let Some(registered) = self.agents.get(agent) else { return };
        let mut attendance = Attendance::begin(&registered.waiting);
        while !attendance.is_over() {
            let count = registered.waiting.count();
            let known = tokio::select! {
                biased;
                () = self.lifecycle.stopping() => return,
                known = registered.agent.ready_to_plan() => known,
            };
            // Those that came while the agent was waited for have not waited as long, and are not ended for it.
            let waiting = registered.waiting.take(if known.is_ok() { usize::MAX } else { count });
            let planned = stream::iter(waiting).for_each_concurrent(AT_A_TIME, |id| {
                let known = known.clone();
                async move {
                    if !self.lifecycle.is_draining() {
                        self.plan_or_log(registered, id, known).await;
                    }
                    registered.waiting.done(&id);
                }
            });
            planned.await;
        }
    }

    async fn plan_or_log(self: &Arc<Self>, registered: &RegisteredAgent, id: TaskId, known: Result<(), Fault>) {
        match self.plan_deferred(registered, &id, known).await {
            Ok(()) => {}
            // It has moved on meanwhile, or the next start goes on with it.
            Err(error @ (EngineError::Refused(_) | EngineError::Draining)) => debug!(task = %id, %error, "not planned"),
            Err(EngineError::Corrupt(why)) => self.damage.log_once(id, &why, "a task cannot be planned"),
            Err(error) => warn!(task = %id, %error, "could not plan a task that waits for it; trying again"),
        }
    }

    /// Plans one that waits, asks policy, and keeps what comes of it.
    async fn plan_deferred(
        self: &Arc<Self>,
        registered: &RegisteredAgent,
        id: &TaskId,
        known: Result<(), Fault>,
    ) -> Result<(), EngineError> {
        let Some(live) = self.tasks.find(id).await? else { return Ok(()) };
        // As in `take_up`: memory may be older than what the store says.
        let task = match live.durable().filter(|task| task.deferred.is_some()) {
            Some(task) => task,
            None => match self.tasks.load(&live).await? {
                Some(task) => task,
                None => return Ok(()),
            },
        };
        let Some(deferred) = &task.deferred else { return Ok(()) };
        let plan = known.map(|()| self.permitted_plan(registered, &task, deferred));
        let permit = match &plan {
            // The agent does not know after all: the next look asks again.
            Ok(Plan::Defer) => return Ok(()),
            Ok(Plan::Call(call)) => registered.try_take(self, call),
            Ok(Plan::Ask(_) | Plan::Answer(_) | Plan::Reject(_) | Plan::Say(_)) | Err(_) => None,
        };
        let slot_held_by = permit.is_some().then(|| self.processes.own());
        let command = Command::Plan { plan, seen: task.generation, slot_held_by };
        self.command(&live, command, permit).await.map(drop)
    }

    /// What the agent makes of a task's newest message, unless policy denies what would be called.
    fn permitted_plan(&self, registered: &RegisteredAgent, task: &Task, deferred: &Deferred) -> Plan {
        let Some(message) = task.history.last() else { return Plan::Defer };
        let before = before_answer(task, deferred);
        let plan = registered.prepare(&Request {
            message,
            skill: deferred.skill.as_ref(),
            task: before.as_ref(),
            question_id: question_id(&task.id, task.version + 1),
        });
        let Plan::Call(call) = &plan else { return plan };
        match self.authorizer.allows_call(&deferred.caller, &task.agent, call) {
            Ok(()) => plan,
            Err(fault) => Plan::Reject(fault),
        }
    }
}

/// The task as an answer to its question found it. `None` if its newest message is its first.
fn before_answer(task: &Task, deferred: &Deferred) -> Option<Task> {
    let question = deferred.question.clone()?;
    let mut before = task.clone();
    before.history.pop();
    before.state = question.kind.state();
    before.status_message = Some(question.message.clone());
    before.question = Some(question);
    Some(before)
}
