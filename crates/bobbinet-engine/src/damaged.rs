//! A task whose log cannot be read: what is still known of it, and how it ends.
//!
//! A disk's fault in one value makes one task unreadable. Its summary lies elsewhere, so it keeps its place in every list,
//! says what happened to it, and can be ended by those who could end it before.

use std::sync::Arc;

use bobbinet_core::{
    AgentName, ContextId, Event, Message, MessageId, Part, Principal, Refused, State, Task, TaskId, Tenant,
    task::Submitted,
};
use bobbinet_store::{Commit, CommitError, Step, Summary, Version};
use tracing::warn;

use crate::{EngineError, engine_inner::EngineInner, record};

/// What a damaged task says of itself. What is damaged where is in the node's log, not for callers.
const DAMAGED: &str = "What this node has kept of the task is damaged and cannot be read: this is its state, and nothing else \
                       of it is known. It can be canceled. Whoever runs the node finds more with `bobbinet store check`.";

/// What it says when it was ended all the same.
const CANCELED: &str = "Canceled. What this node had kept of the task is damaged and cannot be read, so it is not known \
                        whether its tool has acted.";

/// Every conflict is another step of the same task, and a damaged one takes hardly any.
const CONFLICTS_MAX: u32 = 8;

impl EngineInner {
    /// What is known of a task whose log cannot be read, or why that is.
    pub(crate) async fn view_damaged(&self, id: &TaskId, why: String) -> Result<Arc<Task>, EngineError> {
        warn!(task = %id, why, "a task cannot be read");
        let summary = self.store.summary(&id.stream()).await?;
        let task = summary.and_then(|(_, summary)| view(id, &summary, DAMAGED));
        task.map(Arc::new).ok_or(EngineError::Corrupt(why))
    }

    /// Cancels a task whose log cannot be read. Nobody can decide on what is not known, so nothing is decided but its end;
    /// who may do that has been asked before. A run that is alive has its task in memory, and never comes here.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if it has ended.
    pub(crate) async fn cancel_damaged(&self, id: &TaskId, why: String) -> Result<Arc<Task>, EngineError> {
        let mut expected = Version::ZERO;
        for _ in 0..CONFLICTS_MAX {
            let Some((_, summary)) = self.store.summary(&id.stream()).await? else { return Err(EngineError::NotFound) };
            let Some(task) = view(id, &summary, CANCELED) else { return Err(EngineError::Corrupt(why)) };
            if task.state.is_terminal() {
                return Err(Refused::Ended.into());
            }
            let now = self.env.now();
            let task = Task { state: State::Canceled, status_at: now, ..task };
            let ended = Event::Ended { state: task.state, message: task.status_message.clone(), metadata: None };
            let step = Step {
                stream: id.stream(),
                expected,
                records: record::encode(now, [(None, &ended)].into_iter()),
                cells: Vec::new(),
                summary: Some(crate::task_live::summary(&task, &self.limits)),
            };
            match self.store.commit(Commit::of(step)).await {
                Ok(()) => {
                    // What it was counted as is looked up in the store.
                    self.accounts.doubt();
                    self.tasks.cache.remove(id);
                    warn!(task = %id, why, "a task that cannot be read was canceled");
                    return Ok(Arc::new(task));
                }
                // The store alone knows how long the log is.
                Err(CommitError::Conflict { actual, .. }) => expected = actual,
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Unavailable(format!("task {id} is written too often")))
    }
}

/// A task that is only what its summary says. `None` if that is none of a task.
pub(crate) fn view(id: &TaskId, summary: &Summary, text: &str) -> Option<Task> {
    let Summary { tenant, owner, agent, context, state, status_at, due: _ } = summary;
    let message_id = MessageId::parse(&format!("{id}-damaged")).ok()?;
    let message = Arc::new(Message::from_agent(message_id, vec![Part::text(text)]));
    let submitted = Event::Submitted(Arc::new(Submitted {
        tenant: Tenant::parse(tenant).ok()?,
        owner: Principal::parse(owner).ok()?,
        agent: AgentName::parse(agent).ok()?,
        context: ContextId::parse(context).ok()?,
        message: message.clone(),
        planned_call: None,
        trace: None,
        parent: None,
        caller: None,
    }));
    let mut task = Task::fold(*id, [(*status_at, &submitted)])?;
    task.state = State::ALL.into_iter().find(|known| known.code() == *state)?;
    task.history.clear();
    task.status_message = Some(message);
    Some(task)
}
