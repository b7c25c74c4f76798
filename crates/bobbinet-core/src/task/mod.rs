//! The task: A2A's unit of work, as a log of what happened to it.

mod apply;
mod child;
mod command;
mod decide;
mod deferred;
mod event;
mod question;
mod refused;
mod said;
mod state;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AgentName, Artifact, Caller, ContextId, Effect, Json, Message, Principal, RunnerId, SkillId, TaskId, Tenant,
    Timestamp,
};

pub use child::{Child, NewChild, Parent};
pub use command::{Command, Fault, Outcome, Plan, Submission};
pub use decide::decide;
pub use deferred::Deferred;
pub use event::{CallOutcome, Event, Submitted};
pub use question::{Question, QuestionKind};
pub use refused::Refused;
pub use said::{Counted, RequestKey, Said};
pub use state::State;

/// How many of a task's events the world has been told. Gapless from 1; internal records have none of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// Which call of a task: 1 for its first. A call that is made again keeps its id, and so its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u32);

/// Who owns a run: a process, and a count of the task's claims. A later epoch fences an earlier one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The process that runs the task.
    pub runner: RunnerId,
    /// Goes up by one with each claim.
    pub epoch: u32,
}

/// What is to be called, decided by the agent's `prepare` before anything is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The skill, where the agent has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<SkillId>,
    /// Its checked arguments; an agent that reads the message itself has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Json>,
    /// JSON pointers (RFC 6901) to the arguments that came as text and were made what the skill's schema wants, without loss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub converted: Vec<String>,
    /// What running it twice means.
    pub effect: Effect,
}

/// A call that was intended, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// Counts the calls of the task, from 1.
    pub call_id: CallId,
    /// The skill that is called, where the agent has several.
    pub skill: Option<SkillId>,
    /// Its effect class at the time.
    pub effect: Effect,
    /// How often it was made.
    pub attempt: u32,
    /// How many of those in the run that owns it now: what `ATTEMPTS_MAX` bounds. Processes that die do not count.
    pub tries: u32,
    /// How often in a row it was taken over from a process that died: what `TAKEOVERS_MAX` bounds. An answer of the
    /// caller begins the count anew, since the call got as far as to be answered.
    pub takeovers: u32,
    /// What is known of its outcome; `None` while it is open.
    pub outcome: Option<CallOutcome>,
}

/// A task as it stands after some prefix of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// What it is known by; also its stream's name.
    pub id: TaskId,
    /// How many records its log has.
    pub version: u64,
    /// How many of them the world has been told.
    pub generation: Generation,
    /// The tenant that its owner belongs to.
    pub tenant: Tenant,
    /// Who submitted it.
    pub owner: Principal,
    /// The agent that carries it out.
    pub agent: AgentName,
    /// The conversation that it belongs to: A2A's `contextId`.
    pub context: ContextId,
    /// How far it is: A2A's task state.
    pub state: State,
    /// When its status last changed.
    pub status_at: Timestamp,
    /// What was said when it came to stand there.
    pub status_message: Option<Arc<Message>>,
    /// What else the last status said: a JSON object.
    pub status_metadata: Option<Json>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// All messages of both sides, oldest first.
    pub history: Vec<Arc<Message>>,
    /// All it has made, in the order of appearance.
    pub artifacts: Vec<Arc<Artifact>>,
    /// What is to be called, once planned.
    pub planned_call: Option<Arc<Call>>,
    /// What its newest message waits to be planned with, while it does: nothing is known yet of what can be called.
    pub deferred: Option<Arc<Deferred>>,
    /// Who runs it, while somebody does.
    pub claim: Option<Claim>,
    /// How often it was claimed.
    pub epoch: u32,
    /// All calls, oldest first.
    pub calls: Vec<CallRecord>,
    /// Whether it waits for an agent that is not configured.
    pub is_unserved: bool,
    /// What it waits for, while it does.
    pub question: Option<Arc<Question>>,
    /// The generation of the newest question.
    pub asked: Generation,
    /// Answers to questions of calls that may run again, so that the repetition need not ask again.
    pub answers: Vec<(Arc<Question>, Json)>,
    /// The answers that it has been given, so that one that comes again is known. As many as `history_max` at the most.
    pub counted: Vec<Counted>,
    /// The trace that it began in: a W3C `traceparent`.
    pub trace: Option<Arc<str>>,
    /// Whose child it is, if a run began it.
    pub parent: Option<Arc<Parent>>,
    /// Who asked, where policy is asked later too: its agent begins tasks itself, or its message names what another task refers to.
    pub caller: Option<Arc<Caller>>,
    /// The tasks that its run has begun, oldest first.
    pub children: Vec<Child>,
    /// How far its run has come, in the agent's own words.
    pub checkpoint: Option<Json>,
    /// What came to its run, in the agent's own words, oldest first.
    pub records: Vec<Json>,
    /// Bytes of messages, artifacts and records, roughly: what `task_bytes_max` bounds.
    pub bytes: usize,
}

impl Task {
    /// The call whose intent has no outcome yet.
    pub fn open_call(&self) -> Option<&CallRecord> {
        self.calls.last().filter(|record| record.outcome.is_none())
    }

    /// Whether a run that takes over can go on where the lost one was, so that no effect is made twice: whoever keeps that says so.
    pub fn is_resumable(&self) -> bool {
        self.checkpoint.is_some() || !self.records.is_empty()
    }

    /// Whether it has a run that works on though it waits for its caller.
    pub fn works_while_parked(&self) -> bool {
        let is_of_run = self.question.as_ref().is_some_and(|question| match question.kind {
            QuestionKind::Input | QuestionKind::Elicitation | QuestionKind::Authorization => true,
            // The run is over: it is asked what became of it.
            QuestionKind::Outcome { .. } => false,
        });
        is_of_run && self.claim.is_some() && self.open_call().is_some() && self.is_resumable()
    }

    /// Whether the task waits for its caller.
    pub fn is_parked(&self) -> bool {
        self.state.is_interrupted()
    }
}
