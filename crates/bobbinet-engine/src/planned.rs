//! Messages, and what their agents make of them before anything is kept.

use std::{fmt::Write as _, sync::Arc};

use bobbinet_core::{
    AgentName, Caller, ContextId, Deferred, Message, MessageId, Plan, Question, Said, SkillId, Task, TaskId,
    task::Parent,
};

use crate::{Handle, task_live::LiveTask};

/// A message that is to become a task.
#[derive(Debug)]
pub struct NewTask {
    /// The message, as the caller sent it.
    pub message: Message,
    /// The context that it belongs to; a new one if not said.
    pub context: Option<ContextId>,
    /// The skill that the caller's URL named, if it did.
    pub skill: Option<SkillId>,
    /// The trace it belongs to: a W3C `traceparent`.
    pub trace: Option<Arc<str>>,
    /// A key that makes a repetition of this request find the same task, and SHA-256 of what was asked.
    pub idempotency: Option<(String, [u8; 32])>,
}

/// A message that answers an interrupted task.
#[derive(Debug)]
pub struct Reply {
    /// The message, as the caller sent it.
    pub message: Message,
    /// The context that the caller believes the task to be in, if it says so.
    pub context: Option<ContextId>,
    /// The skill that the caller's URL named, if it did.
    pub skill: Option<SkillId>,
    /// A key that makes a repetition of this request count once, and SHA-256 of what was asked. Where there is none, the
    /// message's id does that within the task.
    pub idempotency: Option<(String, [u8; 32])>,
}

/// A message that is to begin a task, and what its agent makes of it.
#[derive(Debug)]
pub struct PlannedTask {
    pub(crate) id: TaskId,
    pub(crate) agent: AgentName,
    pub(crate) new: NewTask,
    pub(crate) plan: Plan,
    /// Whose child it is to be, if a run begins it.
    pub(crate) parent: Option<Arc<Parent>>,
}

impl PlannedTask {
    /// What the agent makes of it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The id that the task is to have.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The context that the message names, if it names one.
    pub fn context(&self) -> Option<&ContextId> {
        self.new.context.as_ref()
    }
}

/// A message to a task, and what its agent makes of it.
#[derive(Debug)]
pub struct PlannedReply(pub(crate) Planned);

/// Whether a message counts, and with what.
#[derive(Debug)]
pub(crate) enum Planned {
    /// It was not there before: what it is to change, and how.
    New { live: Arc<LiveTask>, task: Arc<Task>, said: Said, plan: Plan, deferred: Option<Arc<Deferred>> },
    /// It has come before: where to follow what the first one led to.
    Repeat(Handle),
}

impl PlannedReply {
    /// What the agent makes of it; `None` if it has come before, and counts no second time.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.0 {
            Planned::New { plan, .. } => Some(plan),
            Planned::Repeat(_) => None,
        }
    }
}

/// What a plan that is not known yet will be made of, beside the message.
pub(crate) fn deferred(
    plan: &Plan,
    caller: &Caller,
    skill: Option<SkillId>,
    question: Option<&Arc<Question>>,
) -> Option<Arc<Deferred>> {
    match plan {
        Plan::Defer => Some(Arc::new(Deferred { caller: caller.clone(), skill, question: question.cloned() })),
        Plan::Call(_) | Plan::Ask(_) | Plan::Answer(_) | Plan::Reject(_) | Plan::Say(_) => None,
    }
}

/// The id of a question's message: the task's, and where in the log the question will stand, roughly.
pub(crate) fn question_id(id: &TaskId, version: u64) -> MessageId {
    let mut text = String::with_capacity(64);
    write!(text, "{id}-q{version}").expect("a String takes all that is written to it");
    MessageId::parse(&text).expect("a UUID and a number are short and printable")
}
