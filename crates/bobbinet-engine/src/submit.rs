//! How a message becomes a task.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bobbinet_core::{
    AgentName, Caller, Command, ContextId, Generation, Plan, Submission, Task, TaskId, task::Submitted,
};
use bobbinet_store::Idempotency;

use crate::{
    EngineError, Handle, NewTask, PlannedTask, Request,
    accounts::QuotaClass,
    commit_loop::{Beginning, Hooks},
    engine_inner::EngineInner,
    live::{Live, Queued},
    planned::{deferred, question_id},
    task_live::{LiveTask, TaskHeld},
};

/// How long an idempotency key is remembered.
const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 60 * 60);

impl EngineInner {
    /// Asks an agent what it makes of a message that is to begin a task of this id. Nothing is kept.
    pub(crate) fn plan(&self, id: TaskId, agent: &AgentName, new: NewTask) -> Result<PlannedTask, EngineError> {
        let registered = self.agents.get(agent.as_str()).ok_or(EngineError::UnknownAgent)?;
        if self.lifecycle.is_draining() {
            return Err(EngineError::Draining);
        }
        let plan = registered.prepare(&Request {
            message: &new.message,
            skill: new.skill.as_ref(),
            task: None,
            question_id: question_id(&id, 1),
        });
        Ok(PlannedTask { id, agent: agent.clone(), new, plan, parent: None })
    }

    /// Makes a task of a message as it was planned. Returns at once; the handle tells when it is durable and when it has settled.
    ///
    /// # Errors
    /// If the node takes no more.
    pub(crate) fn submit_planned(
        self: &Arc<Self>,
        caller: &Caller,
        planned: PlannedTask,
    ) -> Result<Handle, EngineError> {
        Ok(self.begin_alone(self.beginning(caller, planned)?))
    }

    /// The same for whoever is told of nothing but what it comes to, and knows the task by nothing else.
    ///
    /// # Errors
    /// If the node takes no more.
    pub(crate) fn submit_for_outcome(
        self: &Arc<Self>,
        caller: &Caller,
        planned: PlannedTask,
    ) -> Result<Handle, EngineError> {
        let begins_tasks = self.agents.get(planned.agent.as_str()).is_some_and(|agent| agent.agent.begins_tasks());
        let is_child = planned.parent.is_some();
        let mut beginning = self.beginning(caller, planned)?;
        let is_for_outcome = beginning.queued.idempotency.is_none() && !is_child && !begins_tasks;
        beginning.queued.held.is_for_outcome = is_for_outcome;
        Ok(self.begin_alone(beginning))
    }

    fn begin_alone(self: &Arc<Self>, Beginning { live, queued }: Beginning<Task>) -> Handle {
        live.lock().enqueue(queued);
        let placed = self.tasks.cache.insert(live.clone());
        if Arc::ptr_eq(&placed, &live) {
            self.start_driving(live);
        } else {
            // Somebody else begins it. What was to be is not counted.
            self.failed(&live);
        }
        self.handle(placed, Generation(0))
    }

    /// The beginning of a task, admitted, with a call slot if one is free. Whoever has it drives it.
    ///
    /// # Errors
    /// If the node takes no more.
    pub(crate) fn beginning(
        self: &Arc<Self>,
        caller: &Caller,
        planned: PlannedTask,
    ) -> Result<Beginning<Task>, EngineError> {
        let PlannedTask { id, agent, new, plan, parent } = planned;
        let registered = self.agents.get(agent.as_str()).ok_or(EngineError::UnknownAgent)?;
        let now = self.env.now();
        let class = match &plan {
            Plan::Call(_) | Plan::Defer => QuotaClass::Open,
            Plan::Ask(_) => QuotaClass::Parked,
            Plan::Answer(_) | Plan::Reject(_) | Plan::Say(_) => QuotaClass::Finished,
        };
        let account = self.accounts.of(&caller.tenant, &caller.principal);
        self.accounts.admit(&account, class, &self.limits)?;
        let permit = match &plan {
            Plan::Call(call) => registered.take_or_wait(self, id, call).inspect_err(|_| {
                self.accounts.finish_admission(&account, class, None);
            })?,
            Plan::Ask(_) | Plan::Answer(_) | Plan::Reject(_) | Plan::Defer | Plan::Say(_) => None,
        };
        let deferred = deferred(&plan, caller, new.skill, None);
        let idempotency = new.idempotency.map(|(key, body_hash)| Idempotency {
            scope: format!("{}\n{}\n{agent}", caller.tenant, caller.principal),
            key,
            body_hash,
            expires: now.after(IDEMPOTENCY_TTL),
            now,
        });
        let is_asked_about =
            registered.agent.begins_tasks() || self.blobs.as_ref().is_some_and(|blobs| blobs.is_named_in(&new.message));
        let submitted = Submitted {
            tenant: caller.tenant.clone(),
            owner: caller.principal.clone(),
            agent,
            context: new.context.unwrap_or_else(|| new_context(&self.env.uuid())),
            message: Arc::new(new.message),
            planned_call: None,
            trace: new.trace,
            parent,
            caller: is_asked_about.then(|| Arc::new(caller.clone())),
        };
        let slot_held_by = permit.is_some().then(|| self.processes.own());
        let command = Command::Submit(Submission { submitted, plan, deferred, slot_held_by });
        let live: Arc<LiveTask> = Live::new(id);
        {
            let mut state = live.lock();
            state.is_new = true;
            state.local.account = Some(account);
            state.local.admitted = Some(class);
            state.is_driven = true;
        }
        let held = TaskHeld { permit, ..TaskHeld::default() };
        Ok(Beginning { live, queued: Queued { command, held, idempotency, answer: None } })
    }

    /// For whoever waits for what comes of a message, of which nothing stood in the log at `since`.
    pub(crate) fn handle(&self, live: Arc<LiveTask>, since: Generation) -> Handle {
        Handle { tasks: self.tasks.clone(), live, since, first: OnceLock::new() }
    }
}

/// A context that nobody has named yet.
pub(crate) fn new_context(uuid: &uuid::Uuid) -> ContextId {
    let mut buffer = uuid::Uuid::encode_buffer();
    ContextId::parse(uuid.as_hyphenated().encode_lower(&mut buffer)).expect("a UUID is short and printable")
}
