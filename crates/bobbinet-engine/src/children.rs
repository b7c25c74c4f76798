//! Tasks that a run begins: under the same rules as everybody's, in its own task's context, and found again by the run that goes on
//! with its work.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{
    AgentName, Caller, Command, Fault, Json, Message, Plan, Refused, SkillId, State, Task, TaskId, chain,
    task::{Child, Parent},
};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::{EngineError, Handle, NewTask, Run, engine_inner::EngineInner, lifecycle::Idle, run::LentFor};

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
    /// How many tasks may be begun beneath it, as far as its parent's budget goes; half of what is left of that, if this does not say.
    pub budget: Option<u32>,
}

/// Why a run has no child, or hears nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// The run is over: its task has ended, another run owns it, or the node stops. The call must end.
    #[error("the task is not this run's any more")]
    Over,
    /// Policy does not allow what was to be called.
    #[error("not allowed: {}", .0.text)]
    Denied(Fault),
    /// It cannot be begun, or is gone.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Run {
    /// Begins a task of another agent, for whoever asked for this one, or finds the one that was begun under this name: by this
    /// run, or by one before it. Durable when this returns. A store that is away for a while is waited for.
    ///
    /// # Errors
    /// [`ChildError::Denied`] by policy; a [`EngineError::Limit`] of children, of the budget or of the node; or the run is over.
    pub async fn begin_child(&self, new: NewChild) -> Result<Handle, ChildError> {
        loop {
            match self.try_begin_child(&new).await {
                Err(ChildError::Engine(EngineError::Unavailable(why))) => {
                    debug!(task = %self.task.id, child = &*new.name, why, "a child could not be begun yet");
                    self.unless_over(sleep(LOOK_AGAIN)).await?;
                }
                Err(ChildError::Engine(EngineError::Draining)) => {
                    // Whoever takes this run up goes on. Until it is told so, it is in nobody's way.
                    let _idle = Idle::begin(self.host.lifecycle());
                    self.canceled.cancelled().await;
                    return Err(ChildError::Over);
                }
                begun => return begun,
            }
        }
    }

    /// Waits until a child has ended, or asks something. Meanwhile this run has no call slot, its time stands still, and a node
    /// that stops does not wait for it.
    ///
    /// # Errors
    /// [`ChildError::Over`] if the run is over, and [`ChildError::Engine`] if the child is gone.
    pub async fn wait_for(&self, child: &Handle) -> Result<Arc<Task>, ChildError> {
        let _hold = self.deadline.hold();
        let _idle = Idle::begin(self.host.lifecycle());
        let lent = self.host.lend(&self.task.agent, LentFor::Children);
        let task = loop {
            match self.unless_over(child.settled()).await? {
                Ok(task) => break task,
                Err(EngineError::Unavailable(why)) => {
                    debug!(task = %self.task.id, child = %child.id(), why, "a child cannot be seen; looking again");
                    self.unless_over(sleep(LOOK_AGAIN)).await?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        if let Some(lent) = lent {
            self.unless_over(lent.take_back()).await?;
        }
        Ok(task)
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

    async fn unless_over<T>(&self, what: impl Future<Output = T>) -> Result<T, ChildError> {
        tokio::select! {
            biased;
            () = self.canceled.cancelled() => Err(ChildError::Over),
            done = what => Ok(done),
        }
    }

    async fn try_begin_child(&self, new: &NewChild) -> Result<Handle, ChildError> {
        let own = self.own_task().await?;
        let known = own.child(&new.name).cloned();
        if let Some(child) = &known
            && let Some(live) = self.host.tasks().find(&child.task).await?
        {
            return Ok(self.host.handle(live));
        }
        let id = known.as_ref().map_or_else(|| TaskId::new(self.host.env().uuid()), |child| child.task);
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
        let caller = caller_of(&own);
        if let Plan::Call(call) = planned.plan() {
            self.host.allows_call(&caller, &new.agent, call).map_err(ChildError::Denied)?;
        }
        let child = match known {
            Some(child) => child,
            None => self.spawn(new, id).await?,
        };
        let by = new.time.map(|time| self.host.env().now().after(time));
        let deadline = [by, own.deadline()].into_iter().flatten().min();
        let parent = Parent { task: own.id, deadline, budget: child.budget };
        planned.parent = Some(Arc::new(parent));
        let handle = self.host.submit(&caller, planned)?;
        handle.accepted().await?;
        Ok(handle)
    }

    /// The run's task as it stands, if it is still the run's.
    async fn own_task(&self) -> Result<Arc<Task>, ChildError> {
        let task = match self.live.durable() {
            Some(task) => task,
            None => self.host.tasks().load(&self.live).await?.ok_or(ChildError::Over)?,
        };
        if task.state.is_terminal() || task.claim != Some(self.claim) { Err(ChildError::Over) } else { Ok(task) }
    }

    /// Brings into the log that the child is about to be.
    async fn spawn(&self, new: &NewChild, task: TaskId) -> Result<Child, ChildError> {
        let command = Command::Spawn { claim: self.claim, name: new.name.clone(), task, budget: new.budget };
        match self.host.command(&self.live, command).await {
            Ok(own) => own.child(&new.name).cloned().ok_or(ChildError::Over),
            Err(EngineError::Refused(Refused::Limit { what, max })) => Err(EngineError::Limit { what, max }.into()),
            // Another future of this run was faster: found with the next look.
            Err(EngineError::Refused(Refused::Present)) => {
                Err(EngineError::Unavailable("the child is being begun".to_owned()).into())
            }
            Err(EngineError::Refused(_)) => Err(ChildError::Over),
            Err(error) => Err(error.into()),
        }
    }
}

/// For whom a run begins tasks: whoever asked for its own.
fn caller_of(task: &Task) -> Caller {
    task.caller.as_deref().cloned().unwrap_or_else(|| Caller::new(task.owner.clone(), task.tenant.clone()))
}

impl EngineInner {
    /// Nobody waits for the children of a task that did not complete. Said again with what becomes of its call: a child whose first
    /// commit was on its way before is found then.
    pub(crate) fn cancel_children(self: &Arc<Self>, task: &Task) {
        for child in &task.children {
            self.send_command(child.task, Command::Cancel);
        }
    }

    /// Cancels a child that is to be run whose parent did not complete: its process died before it could say so. Whether it was so.
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
