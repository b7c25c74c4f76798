//! What this process alone knows of a task that is in memory, and what its commands hold.

use std::sync::Arc;

use bobbinet_core::{Claim, Command, Json, Limits, Message, State, Task, Timestamp};
use bobbinet_store::Summary;

use crate::{
    accounts::{Account, Kind},
    aggregate::LiveState,
    live::Live,
    slots::Permit,
};

/// A task in memory.
pub(crate) type LiveTask = Live<Task>;

/// The call slot that a command brings with it, if it does.
#[derive(Debug, Default)]
pub struct TaskHeld(pub(crate) Option<Permit>);

/// What this process alone knows of a task.
#[derive(Debug, Default)]
pub struct TaskLive {
    /// The newest word of the run, not yet in a commit.
    pub(crate) report: Option<Report>,
    /// Whether a reporter sleeps until the next report is due.
    pub(crate) is_report_due: bool,
    /// The claim of the run that is alive in this process.
    pub(crate) claim: Option<Claim>,
    /// What it was admitted as, until its first commit is decided.
    pub(crate) admitted: Option<Kind>,
    /// Where it is counted, once it is.
    pub(crate) account: Option<Arc<Account>>,
}

/// How far a run says it is.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) claim: Claim,
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) metadata: Option<Json>,
}

impl LiveState<Task> for TaskLive {
    fn take_word(&mut self) -> Option<(Command, TaskHeld)> {
        let Report { claim, message, metadata } = self.report.take()?;
        Some((Command::Progress { claim, message, metadata }, TaskHeld::default()))
    }
}

/// What the store lists and wakes a task by.
pub(crate) fn summary(task: &Task, limits: &Limits) -> Summary {
    let due = match task.state {
        // At once, whatever the clock says now or will say after a restart.
        State::Submitted if task.is_unserved => Some(task.status_at.after(limits.unserved_life())),
        State::Submitted | State::Working => Some(Timestamp::default()),
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
