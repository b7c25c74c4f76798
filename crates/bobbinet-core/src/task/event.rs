//! What can have happened to a task. This is what the log keeps; its names are on disk.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Call, CallId, Child, Claim, Deferred, Parent, Question, RequestKey, State};
use crate::{AgentName, Artifact, Caller, ContextId, Json, Message, Principal, Tenant};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A caller's message became a task. Always the first.
    Submitted(Arc<Submitted>),
    /// A process took the run.
    Started {
        /// Which process, and a count of the task's claims.
        claim: Claim,
    },
    /// The call stands before us: durable before it is made.
    Intended {
        /// Counts the calls of the task.
        #[serde(rename = "call")]
        call_id: CallId,
        /// Counts how often this call is made, from 1.
        attempt: u32,
    },
    /// The run said how far it is.
    Progressed {
        /// The new status message, for a person to read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Arc<Message>>,
        /// The same for programs: a JSON object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<Json>,
    },
    /// The run made an artifact, or more of one.
    #[serde(rename = "Added")]
    ArtifactAdded {
        /// The artifact, or the parts to append to the one of this id.
        artifact: Arc<Artifact>,
        /// Whether its parts go to the end of the artifact of this id.
        #[serde(default, skip_serializing_if = "is_false")]
        append: bool,
        /// Whether this artifact is whole now.
        #[serde(default, skip_serializing_if = "is_false")]
        last_chunk: bool,
    },
    /// The task waits for its caller.
    Asked {
        /// What the caller is asked.
        question: Arc<Question>,
    },
    /// The caller answered.
    Replied {
        /// The caller's message.
        message: Arc<Message>,
        /// The answer to a call's question, checked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Json>,
        /// Whether a run was alive to hear it: then the task works on; else it waits for a run.
        #[serde(default, skip_serializing_if = "is_false")]
        resumed: bool,
        /// The key under which it was said, if its caller chose one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Arc<RequestKey>>,
    },
    /// The run needs no answer any more: the question is not asked any longer.
    Withdrawn,
    /// A process took the run of a task that waits for its caller.
    Reclaimed {
        /// Which process, and a count of the task's claims.
        claim: Claim,
        /// Which call it goes on with.
        #[serde(rename = "call")]
        call_id: CallId,
        /// Counts how often this call is made, from 1.
        attempt: u32,
    },
    /// Nothing is known yet of what can be called: the newest message waits to be planned.
    Deferred(Arc<Deferred>),
    /// What is to be called is known now.
    Planned {
        /// What the agent's `prepare` made of the newest message.
        call: Arc<Call>,
    },
    /// The run of a task that waits for its caller was stopped in good order, with its process: the next one goes on, and nothing is counted
    /// against the call.
    Stopped,
    /// What is known of a call's outcome.
    Settled {
        /// Counts the calls of the task.
        #[serde(rename = "call")]
        call_id: CallId,
        /// How it ended, or that nobody knows.
        #[serde(rename = "settlement")]
        outcome: CallOutcome,
    },
    /// The run begins a task of its own: durable before that task is.
    Spawned(Child),
    /// Something that came to the run, which the next one is told again, if it is lost.
    Recorded {
        /// What came, as the agent wrote it down.
        record: Json,
    },
    /// The run said how far it has come: where the next one goes on, if it is lost.
    Checkpointed {
        /// Where the next run goes on, as the agent wrote it down.
        checkpoint: Json,
    },
    /// Back to submitted: the run was given up, or its agent is served again.
    #[serde(rename = "Released")]
    Requeued,
    /// Its agent is not configured on the node any more: it waits for it to come back.
    Unserved {
        /// Says so to the caller.
        message: Arc<Message>,
    },
    /// The end. Nothing public follows.
    Ended {
        /// One of the terminal states.
        state: State,
        /// The last status message: what there is to say of the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Arc<Message>>,
        /// The same for programs: a JSON object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<Json>,
    },
}

/// The first event of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The tenant that its owner belongs to.
    pub tenant: Tenant,
    /// Who submitted it.
    pub owner: Principal,
    /// The agent that is to carry it out.
    pub agent: AgentName,
    /// The conversation that it belongs to: A2A's `contextId`.
    pub context: ContextId,
    /// The caller's message that began it.
    pub message: Arc<Message>,
    /// What is to be called, if that is clear already.
    #[serde(rename = "plan", default, skip_serializing_if = "Option::is_none")]
    pub planned_call: Option<Arc<Call>>,
    /// The trace it began in: a W3C `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<str>>,
    /// Whose child it is, if a run began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Arc<Parent>>,
    /// Who asked, where the agent begins tasks itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Arc<Caller>>,
}

/// What is known of a call's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallOutcome {
    /// The tool answered, and the answer is in the log.
    Done,
    /// The tool, or what stands before it, said no.
    Failed,
    /// Nobody knows; the task's end or a question says so.
    Unknown,
    /// The run that was to make it never began.
    NotMade,
    /// Its question was declined for want of an answer in time, and then it returned.
    Declined,
    /// The caller says that it happened.
    SaidToHaveHappened,
    /// The caller says that it failed.
    SaidToHaveFailed,
    /// It did what was asked, but the task had ended before.
    Late,
}

impl Event {
    /// Whether the world is told: whether it has a generation of its own.
    pub fn is_public(&self) -> bool {
        match self {
            Self::Submitted(_)
            | Self::Started { .. }
            | Self::Progressed { .. }
            | Self::ArtifactAdded { .. }
            | Self::Asked { .. }
            | Self::Replied { .. }
            | Self::Withdrawn
            | Self::Requeued
            | Self::Unserved { .. }
            | Self::Ended { .. } => true,
            Self::Intended { .. }
            | Self::Deferred(_)
            | Self::Planned { .. }
            | Self::Settled { .. }
            | Self::Reclaimed { .. }
            | Self::Stopped
            | Self::Spawned(_)
            | Self::Recorded { .. }
            | Self::Checkpointed { .. } => false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
