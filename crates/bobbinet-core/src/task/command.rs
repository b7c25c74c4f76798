//! What can be asked of a task, and the ways in which it is refused.

use std::sync::Arc;

use super::{Call, Claim, Deferred, Event, Generation, NewChild, Question, Refused, Said, Submitted};
use crate::{Artifact, Json, Message, RunnerId, Timestamp};

/// Something that somebody wants of a task.
#[derive(Clone, Debug)]
pub enum Command {
    /// A caller: begin.
    Submit(Submission),
    /// The engine, with a free call slot in hand: run it.
    Claim {
        /// The process that holds the slot.
        runner: RunnerId,
    },
    /// The engine, once its agent knows what can be called: this is what comes of the message that waited for that.
    Plan {
        /// What the agent's `prepare` made of it, and policy did not deny; or why the agent does not come to know: the task fails
        /// with that.
        plan: Result<Plan, Fault>,
        /// How much of the task was seen.
        seen: Generation,
        /// The process that holds a free call slot for it, if one does.
        slot_held_by: Option<RunnerId>,
    },
    /// Reconcile: the run that owns it is lost. Also of a task that waits for its caller, if its run works on meanwhile.
    TakeOver {
        /// The claim of that run.
        claim: Claim,
        /// Whether it may have made its call. It has not if the process that claimed the task was never told so.
        has_run: bool,
        /// The process that holds a free call slot for it, if one does.
        slot_held_by: Option<RunnerId>,
    },
    /// The run: so far I am.
    Progress {
        /// The claim of the run that says so: refused once another run owns the task.
        claim: Claim,
        /// The new status message, for a person to read.
        message: Option<Arc<Message>>,
        /// The same for programs, as a JSON object: MCP's `progress` and `total`, say.
        metadata: Option<Json>,
    },
    /// The run: this I made.
    AddArtifact {
        /// The claim of the run that says so: refused once another run owns the task.
        claim: Claim,
        /// The artifact, or parts to append.
        artifact: Arc<Artifact>,
        /// Whether its parts go to the end of the artifact of this id.
        append: bool,
        /// Whether the artifact is whole now.
        last_chunk: bool,
    },
    /// The run: I need an answer.
    Ask {
        /// The claim of the run that says so: refused once another run owns the task.
        claim: Claim,
        /// What the caller is asked.
        question: Arc<Question>,
    },
    /// The run: I need no answer any more.
    Withdraw {
        /// The claim of the run that says so: refused once another run owns the task.
        claim: Claim,
    },
    /// A caller: this is my answer.
    Reply {
        /// The caller's message, and the key under which it was said.
        said: Said,
        /// What the agent's `prepare` made of it.
        plan: Plan,
        /// What a deferred plan will be made of. `None` if the plan is known.
        deferred: Option<Arc<Deferred>>,
        /// How much of the task `prepare` saw: the answer was checked against the question that was open then.
        seen: Generation,
        /// Whether the run that asked is alive.
        is_live: bool,
        /// The process that holds a free call slot for it, if one does.
        slot_held_by: Option<RunnerId>,
    },
    /// The run: this came to me, and so I begin these tasks. All of it, or nothing; also while the task waits for its caller.
    Advance {
        /// The claim of the run that says so: refused once another run owns the task.
        claim: Claim,
        /// What came, as the agent writes it down: the next run reads all of them if this one is lost.
        records: Vec<Json>,
        /// The tasks that begin with it.
        children: Vec<NewChild>,
    },
    /// The run: so far I have come.
    Checkpoint {
        /// The claim of the run that says so: refused once another run owns the task.
        claim: Claim,
        /// Where the next run goes on if this one is lost, as the agent writes it down.
        checkpoint: Json,
    },
    /// The run: it is over.
    Finish {
        /// The claim of the run that says so: refused once another run owns the task.
        claim: Claim,
        /// What came of its call.
        outcome: Outcome,
    },
    /// The run, whose process is told to stop: the next process goes on with it.
    Release {
        /// The claim of the run that says so: refused once another run owns the task.
        claim: Claim,
    },
    /// A caller: stop.
    Cancel,
    /// Reconcile: its agent is not configured on this node any more.
    Unserve,
    /// The engine, as it opens: its agent is configured again.
    Serve,
    /// Reconcile: what it waits for, an answer or its agent, has not come in time.
    Expire {
        /// Since when it waits, as reconcile saw it: what it waits for since another time has a time of its own.
        since: Timestamp,
    },
}

/// A task to be.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its first event, but for the plan.
    pub submitted: Submitted,
    /// What the agent's `prepare` made of the message.
    pub plan: Plan,
    /// What a deferred plan will be made of. `None` if the plan is known.
    pub deferred: Option<Arc<Deferred>>,
    /// The process that holds a free call slot for it, if one does.
    pub slot_held_by: Option<RunnerId>,
}

/// What an agent makes of a message before anything is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// This is to be called.
    Call(Arc<Call>),
    /// Something is missing; ask for it.
    Ask(Arc<Question>),
    /// This answers the question of a call.
    Answer(Json),
    /// This cannot be done, and asking would not help.
    Reject(Fault),
    /// Nothing is known yet of what can be called: to be planned once it is.
    Defer,
    /// This answers the message, and nothing is to be called. A message that would have begun a task begins none: its caller gets this
    /// as a plain message, and nothing is kept. Where there has to be a task (a run's child, an answer to a question, a plan that is
    /// made later), it is completed with these words.
    Say(Arc<Message>),
}

/// Why something did not work, for the caller to read: in words, and as data for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A stable word for it: `timed-out`, `server-died`, `bad-arguments` ...
    pub code: &'static str,
    /// What was being done, what went wrong, and what to do next.
    pub text: String,
    /// Details, as a JSON object.
    pub data: Option<Json>,
}

impl Fault {
    /// A fault without details.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), data: None }
    }
}

/// How a run came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked.
    Completed {
        /// What it made, beside what was added before.
        artifacts: Vec<Arc<Artifact>>,
        /// The last status message, if there is anything to say.
        message: Option<Arc<Message>>,
    },
    /// The tool ran and said that it failed, in its own words: MCP's `isError`.
    ToolError {
        /// What it made nevertheless.
        artifacts: Vec<Arc<Artifact>>,
        /// What the tool said.
        message: Arc<Message>,
    },
    /// It surely did not happen.
    Failed(Fault),
    /// The tool refused the request as such: unknown, or bad arguments.
    Rejected(Fault),
    /// Nobody can know whether it happened: the server died, hung or sent garbage.
    Unknown {
        /// What went wrong.
        fault: Fault,
        /// Whether another attempt could help and there is time for one.
        again: bool,
    },
    /// The call was answered, with something that nobody can read: it is over, and whether it happened is not known.
    Unreadable(Fault),
    /// Its question was not answered in time; it was declined, and the call has returned. The question stays open.
    Declined,
    /// The same, but because others had to wait for it: it is asked anew, in words that say so.
    LetGo {
        /// The question, with those words.
        question: Arc<Question>,
    },
}

/// What a command comes to.
pub(super) type Decision = Result<Vec<Event>, Refused>;
