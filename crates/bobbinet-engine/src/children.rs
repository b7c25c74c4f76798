//! Tasks that a run begins: under the same rules as everybody's, in its own task's context, and found again by the run that goes on
//! with its work. They are in the log with what they follow from, by one commit.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{
    AgentName, Call, Caller, Command, Fault, Json, Message, Plan, Refused, SkillId, State, Task, TaskId, chain, task,
    task::Parent,
};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::{
    ChildError, EngineError, Handle, NewTask, Run, commit_loop::Beginning, engine_inner::EngineInner, lifecycle::Idle,
    run::LentFor,
};

/// How soon what the store could not do is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A task that a run wants to begin.
#[derive(Clone, Debug)]
pub struct NewChild {
    /// What the run calls it. Under the same name it begins one child, and finds it from then on.
    pub name: Arc<str>,
    /// Whose task it is to be.
    pub agent: AgentName,
    /// The message that the child begins with.
    pub message: Message,
    /// The skill that is meant, if that is known.
    pub skill: Option<SkillId>,
    /// How long it may take, from now on. In any case it ends by the deadline of the run's own task.
    pub time: Option<Duration>,
    /// How many tasks may be begun beneath it, as far as its parent's budget goes; if this does not say, a share of what is left of that,
    /// or none for an agent that begins none.
    pub budget: Option<u32>,
}

/// How far an attempt to advance has come.
struct Attempt {
    /// What is not in the log yet.
    records: Vec<Json>,
    /// How many records the log had before. The run alone writes them.
    before: Option<usize>,
}

impl Run {
    /// Begins a task of another agent, for whoever asked for this one, or finds the one that was begun under this name: by this
    /// run, or by one before it. Durable when this returns. A store that is away for a while is waited for.
    ///
    /// # Errors
    /// [`ChildError::Denied`] by policy; a [`EngineError::Limit`] of children, of the budget or of the node; or the run is over.
    pub async fn begin_child(&self, new: NewChild) -> Result<Handle, ChildError> {
        let begun = self.advance(Vec::new(), std::slice::from_ref(&new)).await?;
        begun.into_iter().next().unwrap_or(Err(ChildError::Over))
    }

    /// Keeps what came to the run, and begins the tasks that follow from it, or finds those that were begun under their names: all by
    /// one commit. Durable when this returns. A store that is away for a while is waited for. With records, one at a time.
    ///
    /// What cannot be begun, by policy or by a limit, has its error in the place of its handle, and the rest goes on.
    ///
    /// # Errors
    /// If nothing could be kept: the task has grown to its limit, or the run is over.
    pub async fn advance(
        &self,
        records: Vec<Json>,
        children: &[NewChild],
    ) -> Result<Vec<Result<Handle, ChildError>>, ChildError> {
        let mut attempt = Attempt { records, before: None };
        loop {
            match self.try_advance(&mut attempt, children).await {
                Err(ChildError::Engine(EngineError::Unavailable(why))) => {
                    debug!(task = %self.task.id, why, "a run could not advance yet");
                    self.unless_over(sleep(LOOK_AGAIN)).await?;
                }
                Err(ChildError::Engine(EngineError::Draining)) => {
                    // Whoever takes this run up goes on. Until it is told so, it is in nobody's way.
                    let _idle = Idle::begin(self.host.lifecycle());
                    self.canceled.cancelled().await;
                    return Err(ChildError::Over);
                }
                advanced => return advanced,
            }
        }
    }

    /// Waits until a child has ended, or asks something. Meanwhile this run has no call slot, its time stands still, and a node
    /// that stops does not wait for it.
    ///
    /// # Errors
    /// [`ChildError::Over`] if the run is over, and [`ChildError::Engine`] if the child is gone.
    pub async fn wait_for(&self, child: &Handle) -> Result<Arc<Task>, ChildError> {
        let rest = self.rest();
        let task = self.settled(child).await?;
        self.unless_over(rest.end()).await?;
        Ok(task)
    }

    /// Returns when a child has ended, or asks something. A store that is away for a while is waited for. Not a rest: see
    /// [`Run::rest`].
    ///
    /// # Errors
    /// [`ChildError::Over`] if the run is over, and [`ChildError::Engine`] if the child is gone.
    pub async fn settled(&self, child: &Handle) -> Result<Arc<Task>, ChildError> {
        loop {
            match self.unless_over(child.settled()).await? {
                Ok(task) => return Ok(task),
                Err(EngineError::Unavailable(why)) => {
                    debug!(task = %self.task.id, child = %child.id(), why, "a child cannot be seen; looking again");
                    self.unless_over(sleep(LOOK_AGAIN)).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The task at the root of the tree that this run's task is in: itself, unless a run has begun it.
    ///
    /// # Errors
    /// If one on the way cannot be read. One that is gone is left out: its child is the root then.
    pub async fn root(&self) -> Result<TaskId, ChildError> {
        let mut root = self.task.clone();
        while let Some(parent) = root.parent.clone() {
            let Some(live) = self.host.tasks().find(&parent.task).await? else { break };
            let known = match live.durable() {
                Some(known) => Some(known),
                None => self.host.tasks().load(&live).await?,
            };
            let Some(known) = known else { break };
            root = known;
        }
        Ok(root.id)
    }

    /// The child of this id.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if it is no child of this run's task, or is gone.
    pub async fn child_of_id(&self, id: &TaskId) -> Result<Handle, ChildError> {
        let own = self.current().await?;
        if own.children.iter().all(|child| child.task != *id) {
            return Err(EngineError::NotFound.into());
        }
        self.handle_of(id).await
    }

    /// Another task of whoever asked for this one: as it stands, and for whoever waits for it ([`Run::settled`]).
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if it is gone, or somebody else's.
    pub async fn other_task(&self, id: &TaskId) -> Result<(Handle, Arc<Task>), ChildError> {
        let handle = self.handle_of(id).await?;
        let task = handle.accepted().await?;
        let is_own = task.tenant == self.task.tenant && task.owner == self.task.owner;
        if is_own { Ok((handle, task)) } else { Err(EngineError::NotFound.into()) }
    }

    /// Whether policy may allow whoever asked for this task to have this called by a child, of which not all arguments are known yet.
    ///
    /// # Errors
    /// Why surely not.
    pub fn may_call(&self, agent: &AgentName, call: &Call) -> Result<(), Fault> {
        self.host.authorizer().may_allow_call(&caller_of(&self.task), agent, call)
    }

    /// Whether an agent is for the node's own runs alone, so that nobody may name it.
    pub fn is_internal(&self, agent: &AgentName) -> bool {
        self.host.is_internal(agent)
    }

    /// Says something to a child that asks, for whoever asked for this task. Durable when this returns; what is said twice counts once.
    ///
    /// # Errors
    /// If the child takes no message now, or is gone.
    pub async fn answer_child(&self, child: &Handle, answer: Message) -> Result<Handle, ChildError> {
        let own = self.own_task().await?;
        self.host.reply(&caller_of(&own), child, answer).await
    }

    /// Asks a child to end. It need not have when this returns.
    pub fn cancel_child(&self, child: &Handle) {
        self.host.cancel(child.id());
    }

    /// The run's task as it stands now, if it is still the run's.
    ///
    /// # Errors
    /// [`ChildError::Over`] if it is not.
    pub async fn current(&self) -> Result<Arc<Task>, ChildError> {
        loop {
            match self.own_task().await {
                Err(ChildError::Engine(EngineError::Unavailable(_))) => self.unless_over(sleep(LOOK_AGAIN)).await?,
                own => return own,
            }
        }
    }

    /// Keeps how far the run has come, for the run that goes on with its work if this one is lost. Durable when this returns.
    ///
    /// # Errors
    /// If the task has ended or grown to its limit: then the call should stop.
    pub async fn checkpoint(&self, checkpoint: Json) -> Result<(), EngineError> {
        let command = Command::Checkpoint { claim: self.claim, checkpoint };
        self.host.command(&self.live, command).await.map(drop)
    }

    /// How far earlier runs of this task had come when this one began.
    pub fn checkpointed(&self) -> Option<&Json> {
        self.task.checkpoint.as_ref()
    }

    /// What came to earlier runs of this task, oldest first.
    pub fn records(&self) -> &[Json] {
        &self.task.records
    }

    /// Whether policy allows whoever asked for this task to publish this event.
    ///
    /// # Errors
    /// Why not.
    pub fn may_publish(&self, event: &Json) -> Result<(), Fault> {
        self.host.authorizer().allows_publish(&caller_of(&self.task), event)
    }

    /// Whether policy allows whoever asked for this task to hear the events of its tenant.
    ///
    /// # Errors
    /// Why not.
    pub fn may_listen(&self) -> Result<(), Fault> {
        self.host.authorizer().allows_listen(&caller_of(&self.task))
    }

    /// From now on, and until it is dropped or ended, the run only waits: it has no call slot, its time stands still, and a node that
    /// stops does not wait for it.
    pub fn rest(&self) -> Rest {
        Rest {
            lent: self.host.lend(&self.task.agent, LentFor::Children),
            _hold: self.deadline.hold(),
            _idle: Idle::begin(self.host.lifecycle()),
        }
    }

    /// Does this, unless the run is over first.
    ///
    /// # Errors
    /// [`ChildError::Over`] if it is.
    pub async fn unless_over<T>(&self, what: impl Future<Output = T>) -> Result<T, ChildError> {
        tokio::select! {
            biased;
            () = self.canceled.cancelled() => Err(ChildError::Over),
            done = what => Ok(done),
        }
    }

    async fn try_advance(
        &self,
        attempt: &mut Attempt,
        new: &[NewChild],
    ) -> Result<Vec<Result<Handle, ChildError>>, ChildError> {
        let own = self.own_task().await?;
        if own.records.len() > *attempt.before.get_or_insert(own.records.len()) {
            // It was kept after all.
            attempt.records = Vec::new();
        }
        let mut handles = Vec::with_capacity(new.len());
        let mut children = Vec::new();
        let mut beginnings = Vec::new();
        let mut left = own.budget_left(self.host.limits());
        for new in new {
            if let Some(known) = own.child(&new.name) {
                handles.push(self.handle_of(&known.task).await);
                continue;
            }
            let begun = self.plan_child(&own, new, left).map(|(child, beginning)| {
                left = left.saturating_sub(child.budget + 1);
                let handle = self.host.handle(beginning.live.clone());
                children.push(child);
                beginnings.push(beginning);
                handle
            });
            match begun {
                Err(ChildError::Engine(error @ (EngineError::Draining | EngineError::Unavailable(_)))) => {
                    self.host.give_up(beginnings);
                    return Err(error.into());
                }
                begun => handles.push(begun),
            }
        }
        if !attempt.records.is_empty() || !children.is_empty() {
            let command = Command::Advance { claim: self.claim, records: attempt.records.clone(), children };
            match self.host.begin_with(&self.live, command, beginnings).await {
                Ok(_) => {}
                Err(EngineError::Refused(Refused::Limit { what, max })) => {
                    return Err(EngineError::Limit { what, max }.into());
                }
                // Another future of this run was faster: found with the next look.
                Err(EngineError::Refused(Refused::Present)) => {
                    return Err(EngineError::Unavailable("a child is being begun".to_owned()).into());
                }
                Err(EngineError::Refused(_)) => return Err(ChildError::Over),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(handles)
    }

    /// What a new child begins with.
    fn plan_child(
        &self,
        own: &Task,
        new: &NewChild,
        left: u32,
    ) -> Result<(task::NewChild, Beginning<Task>), ChildError> {
        let limits = self.host.limits();
        let asked = new.budget.or((!self.host.begins_tasks(&new.agent)).then_some(0));
        let Some(budget) = Task::child_budget(left, asked) else {
            let (what, max) = ("descendants_max", u64::from(limits.descendants_max));
            return Err(EngineError::Limit { what, max }.into());
        };
        let id = TaskId::new(self.host.env().uuid());
        let mut message = new.message.clone();
        if let Some(first) = own.history.first() {
            chain::hand_down(first, &mut message);
        }
        let asked = NewTask {
            message,
            context: Some(own.context.clone()),
            skill: new.skill.clone(),
            trace: own.trace.clone(),
            idempotency: None,
        };
        let mut planned = self.host.plan(id, &new.agent, asked)?;
        let caller = caller_of(own);
        if let Plan::Call(call) = planned.plan() {
            self.host.authorizer().allows_call(&caller, &new.agent, call).map_err(ChildError::Denied)?;
        }
        let by = new.time.map(|time| self.host.env().now().after(time));
        let deadline = [by, own.deadline()].into_iter().flatten().min();
        planned.parent = Some(Arc::new(Parent { task: own.id, deadline, budget }));
        let beginning = self.host.beginning(&caller, planned)?;
        Ok((task::NewChild { name: new.name.clone(), task: id, budget }, beginning))
    }

    /// For whoever waits for a child that was begun. One that is not there any more was kept for as long as finished tasks are, and is
    /// not begun anew.
    async fn handle_of(&self, child: &TaskId) -> Result<Handle, ChildError> {
        let live = self.host.tasks().find(child).await?.ok_or(EngineError::NotFound)?;
        Ok(self.host.handle(live))
    }

    /// The run's task as it stands, if it is still the run's.
    async fn own_task(&self) -> Result<Arc<Task>, ChildError> {
        let task = match self.live.durable() {
            Some(task) => task,
            None if self.live.is_on_its_way() => {
                self.host.let_go(&self.live);
                self.host.handle(self.live.clone()).accepted().await?
            }
            None => self.host.tasks().load(&self.live).await?.ok_or(ChildError::Over)?,
        };
        if task.state.is_terminal() || task.claim != Some(self.claim) { Err(ChildError::Over) } else { Ok(task) }
    }
}

/// A run rests. Dropped, its slot is taken back, though there be none free.
#[derive(Debug)]
pub struct Rest {
    lent: Option<crate::slots::Lent>,
    _hold: crate::deadline::Hold,
    _idle: Idle,
}

impl Rest {
    /// Goes on with the work once there is a free slot.
    pub async fn end(self) {
        if let Some(lent) = self.lent {
            lent.take_back().await;
        }
    }
}

/// For whom a run begins tasks: whoever asked for its own.
fn caller_of(task: &Task) -> Caller {
    task.caller.as_deref().cloned().unwrap_or_else(|| Caller::new(task.owner.clone(), task.tenant.clone()))
}

impl EngineInner {
    /// Nobody waits for the children of a task that did not complete.
    pub(crate) fn cancel_children(self: &Arc<Self>, task: &Task) {
        for child in &task.children {
            self.insist(child.task, Command::Cancel);
        }
    }

    /// Cancels a child that is to be run whose parent did not complete: its process died before it could say so. Whether it was so. What
    /// is not kept of that, the next look says again.
    pub(crate) async fn cancel_orphan(self: &Arc<Self>, task: &Task) -> Result<bool, EngineError> {
        let Some(parent) = &task.parent else { return Ok(false) };
        let Some((_, summary)) = self.store.summary(&parent.task.stream()).await? else { return Ok(false) };
        let has_failed = [State::Failed, State::Canceled, State::Rejected].map(State::code).contains(&summary.state);
        if has_failed {
            warn!(task = %task.id, parent = %parent.task, "a child was left by its parent, and is canceled");
            self.send_command(task.id, Command::Cancel);
        }
        Ok(has_failed)
    }
}
