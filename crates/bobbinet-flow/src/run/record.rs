//! What is kept of a run, and what a run wants done.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::Error;
use crate::document::HttpOutput;

/// Names a call, a wait for events or a timer of a run. No other of the same run ever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub u64);

/// One thing that came to a run, when, and a number by chance for whatever has to be random. A run's records are all there is to
/// keep of it: its state follows from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it came.
    pub at: Timestamp,
    /// By chance.
    pub chance: u64,
    /// What came.
    pub came: Came,
}

/// What can come to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "came", rename_all = "kebab-case")]
pub enum Came {
    /// It begins.
    Start {
        /// What it is called: unique, and part of the ids of its events.
        run: String,
        /// Its raw input.
        input: Json,
    },
    /// A call has ended well.
    Result {
        /// Which one.
        call: Id,
        /// What it gave.
        output: Given,
    },
    /// A call has failed, or a wait for events cannot go on.
    Failed {
        /// Which one.
        call: Id,
        /// Why.
        error: Error,
    },
    /// A timer is due.
    Fired {
        /// Which one.
        timer: Id,
    },
    /// An event was heard. Those that pass no filter need not be kept, but may be.
    Heard {
        /// By which wait.
        listen: Id,
        /// The event: CloudEvents 1.0 in JSON.
        event: Json,
    },
    /// A call asks something.
    Asked {
        /// Which one.
        call: Id,
        /// What, as the call's own protocol has it.
        question: Json,
    },
    /// The question that was asked last is answered.
    Answered {
        /// The answer.
        answer: Json,
    },
    /// Somebody ends it.
    Cancel,
}

/// An output: in the record, or elsewhere if it is large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Given {
    /// This.
    Inline(Arc<Json>),
    /// What is kept under this name.
    Blob(String),
}

/// What a run wants done. Effects are carried out after the record that they follow from is durable; after a crash
/// [`super::State::open`] gives those that are still wanted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Effect {
    /// Call this, and tell its end by [`Came::Result`] or [`Came::Failed`], and its questions by [`Came::Asked`].
    Call(Box<Calling>),
    /// The end of a call is no longer wanted.
    Cancel {
        /// Which one.
        call: Id,
    },
    /// Tell when it is this time.
    Timer {
        /// By which name.
        timer: Id,
        /// When.
        until: Timestamp,
    },
    /// A timer is no longer wanted.
    Drop {
        /// Which one.
        timer: Id,
    },
    /// Send an event.
    Emit {
        /// CloudEvents 1.0 in JSON.
        event: Arc<Json>,
    },
    /// Tell events from now on.
    Listen {
        /// By which name.
        listen: Id,
        /// The step.
        pointer: String,
        /// Attributes that are known beforehand, one set for each filter; no sets for every event. What fits none of them need not be
        /// told.
        filters: Vec<BTreeMap<String, Json>>,
    },
    /// Events are no longer wanted.
    Unlisten {
        /// By which name.
        listen: Id,
    },
    /// Ask whoever started the run. There is one question at a time.
    Ask {
        /// The call that asks.
        call: Id,
        /// Its step.
        pointer: String,
        /// What.
        question: Arc<Json>,
    },
    /// The question is no longer asked, as its call has ended.
    Unask {
        /// The call that asked.
        call: Id,
    },
    /// Give this answer to a call that asked.
    Answer {
        /// Which one.
        call: Id,
        /// The answer.
        answer: Arc<Json>,
    },
    /// Something for a person who watches.
    Progress(Progress),
    /// The run has ended well.
    Finish {
        /// What it gives.
        output: Arc<Json>,
    },
    /// The run has failed.
    Fail {
        /// Why.
        error: Error,
    },
    /// The run was cancelled.
    Canceled,
}

/// A call to make.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calling {
    /// Its name: with the run's, the idempotency key.
    pub call: Id,
    /// The step.
    pub pointer: String,
    /// The step's name.
    pub name: String,
    /// Which attempt of the step around it this is, from 1.
    pub attempt: u32,
    /// What is called.
    pub target: Target,
    /// With what.
    pub arguments: Arc<Json>,
    /// Whether nobody waits for its end: then neither its result nor its failure is told.
    pub is_detached: bool,
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "kebab-case")]
pub enum Target {
    /// A skill of an agent of the mesh; the arguments are the skill's.
    Skill {
        /// The agent.
        agent: String,
        /// The skill.
        skill: String,
    },
    /// An A2A agent by URL; the arguments are the method's parameters, in the shape of A2A 0.3.
    A2a {
        /// The JSON-RPC method of A2A 0.3.
        method: String,
        /// Where.
        uri: String,
        /// Whether that is the address of its card.
        is_card: bool,
        /// How to authenticate.
        authentication: Option<Json>,
    },
    /// A request to an MCP server; the arguments are its `parameters`, and `headers` or the words of `stdio`.
    Mcp {
        /// The request's method.
        method: String,
        /// Where the server is; nothing if it is started.
        uri: Option<String>,
        /// How to authenticate.
        authentication: Option<Json>,
        /// How long it may take, in milliseconds.
        timeout_ms: Option<u64>,
    },
    /// An HTTP request; the arguments are `headers`, `query` and `body`.
    Http {
        /// The method.
        method: String,
        /// Where.
        uri: String,
        /// How to authenticate.
        authentication: Option<Json>,
        /// What becomes of the answer.
        output: HttpOutput,
        /// Whether a redirection is an answer and no failure.
        redirect: bool,
    },
    /// Another flow; the arguments are its input.
    Workflow {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
}

/// What a person sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The step.
    pub pointer: String,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub news: News,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "news", rename_all = "kebab-case")]
pub enum News {
    /// It has begun.
    Entered,
    /// Its `if` did not hold.
    Skipped,
    /// It has ended well.
    Done,
    /// It has failed.
    Failed {
        /// Why.
        title: String,
    },
    /// It will be tried again.
    Retrying {
        /// Which attempt comes next.
        attempt: u32,
        /// When.
        at: Timestamp,
    },
    /// It wants to ask, and another asks.
    WaitsToAsk,
}
