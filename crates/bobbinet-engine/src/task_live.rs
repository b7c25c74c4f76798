//! What this process alone knows of a task that is in memory, and what its commands hold.

use std::sync::Arc;

use bobbinet_core::{Claim, Command, Json, Limits, Message, State, Task, Timestamp};
use bobbinet_store::Summary;

use crate::{
    accounts::{Account, QuotaClass},
    aggregate::LocalState,
    commit_loop::Beginning,
    live::Live,
    slots::Permit,
};

/// When a task is due that waits for a call slot or has a run: at once, whatever the clock says now or will say after a restart.
const AT_ONCE: Timestamp = Timestamp::from_millis(0);

/// The same of one that waits to be planned, so that its summary tells that.
const AT_ONCE_TO_BE_PLANNED: Timestamp = Timestamp::from_millis(1);

/// A task in memory.
pub(crate) type LiveTask = Live<Task>;

/// What a command brings with it.
#[derive(Debug, Default)]
pub struct TaskHeld {
    /// A call slot, if it does.
    pub(crate) permit: Option<Permit>,
    /// The tasks that begin with it.
    pub(crate) children: Vec<Beginning<Task>>,
    /// Whether whoever says it is told of nothing but what it comes to.
    pub(crate) is_for_outcome: bool,
}

/// What this process alone knows of a task.
#[derive(Debug, Default)]
pub struct TaskLocal {
    /// The newest word of the run, not yet in a commit.
    pub(crate) report: Option<ProgressReport>,
    /// Whether a reporter sleeps until the next report is due.
    pub(crate) is_report_due: bool,
    /// The claim of the run that is alive in this process.
    pub(crate) claim: Option<Claim>,
    /// What it was admitted as, until its first commit is decided.
    pub(crate) admitted: Option<QuotaClass>,
    /// Where it is counted, once it is.
    pub(crate) account: Option<Arc<Account>>,
}

/// How far a run says it is.
#[derive(Debug)]
pub(crate) struct ProgressReport {
    pub(crate) claim: Claim,
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) metadata: Option<Json>,
}

impl LocalState<Task> for TaskLocal {
    fn take_pending_command(&mut self) -> Option<(Command, TaskHeld)> {
        let ProgressReport { claim, message, metadata } = self.report.take()?;
        Some((Command::Progress { claim, message, metadata }, TaskHeld::default()))
    }
}

/// What a submitted task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// A call slot.
    Slot,
    /// To be planned: its agent does not know yet what can be called.
    Plan,
    /// Its agent, which is not configured, or was not when it was told so.
    Agent,
}

impl WaitsFor {
    /// What a submitted task of this summary waits for.
    pub(crate) fn of(summary: &Summary) -> Self {
        match summary.due {
            Some(AT_ONCE) => Self::Slot,
            Some(AT_ONCE_TO_BE_PLANNED) => Self::Plan,
            Some(_) | None => Self::Agent,
        }
    }
}

/// Whether a task of this summary, which waits for its caller, has a run that works on.
pub(crate) fn works_while_parked(summary: &Summary) -> bool {
    summary.due == Some(AT_ONCE)
}

/// What the store lists and wakes a task by.
pub(crate) fn summary(task: &Task, limits: &Limits) -> Summary {
    let due = match task.state {
        State::Submitted if task.is_unserved => Some(task.status_at.after(limits.unserved_life())),
        State::Submitted if task.deferred.is_some() => Some(AT_ONCE_TO_BE_PLANNED),
        State::Submitted | State::Working => Some(AT_ONCE),
        State::InputRequired | State::AuthRequired if task.works_while_parked() => Some(AT_ONCE),
        State::InputRequired | State::AuthRequired => {
            let life = task.status_at.after(limits.question_life());
            Some(task.deadline().map_or(life, |deadline| life.min(deadline)))
        }
        State::Completed | State::Failed | State::Canceled | State::Rejected => {
            Some(task.status_at.after(limits.retention()))
        }
    };
    Summary {
        tenant: task.tenant.shared(),
        owner: task.owner.shared(),
        agent: task.agent.shared(),
        context: task.context.shared(),
        state: task.state.code(),
        status_at: task.status_at,
        due,
    }
}
