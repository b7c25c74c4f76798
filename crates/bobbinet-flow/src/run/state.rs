//! Where a run is.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bobbinet_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    error::Error,
    record::{Calling, Effect, Id, Target},
};
use crate::document::TaskId;

/// The names that loops and catches give, with their values.
pub(super) type Names = Arc<BTreeMap<String, Arc<Json>>>;

/// Where a run is: what follows from its records. It can be kept as a snapshot, except where the definition reads secrets, which stand
/// in inputs then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(super) run: String,
    pub(super) started: Timestamp,
    pub(super) raw: Arc<Json>,
    pub(super) context: Arc<Json>,
    pub(super) frames: BTreeMap<Id, Frame>,
    pub(super) timers: BTreeMap<Id, Timer>,
    /// Calls that want to ask; the first does.
    pub(super) questions: VecDeque<(Id, Arc<Json>)>,
    pub(super) pending: VecDeque<Work>,
    pub(super) last: u64,
    pub(super) steps: u64,
    pub(super) work: u64,
    pub(super) end: Option<End>,
}

/// How a run has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Well, with this output.
    Finished(Arc<Json>),
    /// Not well.
    Failed(Error),
    /// By somebody's wish.
    Canceled,
}

/// One step that is being carried out, or the run itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Frame {
    pub(super) owner: Option<Id>,
    /// Nothing for the run itself.
    pub(super) task: Option<TaskId>,
    /// Which branch of the owner's it is.
    pub(super) slot: usize,
    pub(super) depth: usize,
    pub(super) raw: Arc<Json>,
    pub(super) input: Arc<Json>,
    pub(super) names: Names,
    pub(super) entered: Timestamp,
    pub(super) doing: Doing,
}

/// What it is at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Doing {
    /// Something that is over at once, or steps one after the other.
    Steps,
    /// A call.
    Calling { target: Target, arguments: Arc<Json>, attempt: u32 },
    /// A wait.
    Waiting,
    /// A loop.
    Looping { items: Arc<Vec<Json>>, round: usize },
    /// Branches at once.
    Forking { outputs: Vec<Option<Arc<Json>>>, next: usize, running: usize, failure: Option<Error> },
    /// What may fail.
    Trying { attempt: u32, began: Timestamp, phase: Phase },
    /// A wait for events.
    Listening(Box<Listening>),
}

/// Where a `try` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    Trying,
    Pausing,
    Catching,
}

/// What was heard so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Listening {
    /// Which filters of `all` have had their event.
    pub(super) found: Vec<bool>,
    /// Which filters of `until` have.
    pub(super) until: Vec<bool>,
    pub(super) correlations: BTreeMap<String, Json>,
    /// Events as they are read, in their order.
    pub(super) consumed: Vec<Json>,
    /// What `foreach` made of them.
    pub(super) results: Vec<Json>,
    /// How many `foreach` has begun.
    pub(super) begun: usize,
    pub(super) is_busy: bool,
    pub(super) is_over: bool,
}

/// A timer and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timer {
    pub(super) frame: Id,
    pub(super) until: Timestamp,
    pub(super) purpose: Purpose,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Purpose {
    /// The step is over.
    Wait,
    /// The step has taken too long.
    Timeout,
    /// The attempt has taken too long.
    AttemptTimeout,
    /// The next attempt is due.
    Retry,
    /// What was left for later.
    Continue,
}

/// Something to do next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Work {
    /// Enter a step.
    Enter { owner: Id, task: TaskId, slot: usize, input: Arc<Json>, names: Names },
    /// A step has given this.
    Leave { frame: Id, output: Arc<Json> },
    /// A step has failed.
    Fail { frame: Id, error: Error },
}

impl State {
    /// How it has ended, if it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The steps that it has entered.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The question that is asked, and the call that asks it.
    pub fn question(&self) -> Option<(Id, &Json)> {
        self.questions.front().map(|(call, question)| (*call, &**question))
    }

    /// What this call asks, asked or waiting to be.
    pub fn question_of(&self, call: Id) -> Option<&Json> {
        self.questions.iter().find(|(asks, _)| *asks == call).map(|(_, question)| &**question)
    }

    /// Whether this wait still wants events.
    pub fn is_listening(&self, listen: Id) -> bool {
        let doing = self.frames.get(&listen).map(|frame| &frame.doing);
        matches!(doing, Some(Doing::Listening(listening)) if !listening.is_over)
    }

    /// How far this wait is: another value once an event has changed something for it.
    pub fn heard(&self, listen: Id) -> Option<impl PartialEq + use<>> {
        let Doing::Listening(listening) = &self.frames.get(&listen)?.doing else { return None };
        let until = listening.until.iter().filter(|found| **found).count();
        Some((listening.consumed.len(), until, listening.correlations.len(), listening.is_over))
    }

    /// What is still wanted: the calls that have not ended, the timers, the waits for events and the question. After a restart all
    /// of them are carried out again; a call by its name goes on where it was.
    pub fn open(&self, definition: &crate::document::Definition) -> Vec<Effect> {
        if self.end.is_some() {
            return Vec::new();
        }
        let mut open = Vec::new();
        for (id, frame) in &self.frames {
            let Some(task) = frame.task.map(|task| definition.task(task)) else { continue };
            match &frame.doing {
                Doing::Calling { target, arguments, attempt } => open.push(Effect::Call(Box::new(Calling {
                    call: *id,
                    pointer: task.pointer.clone(),
                    name: task.name.clone(),
                    attempt: *attempt,
                    target: target.clone(),
                    arguments: arguments.clone(),
                    is_detached: false,
                }))),
                Doing::Listening(_) => open.extend(super::listen_effect::listen_effect(*id, task)),
                Doing::Steps
                | Doing::Waiting
                | Doing::Looping { .. }
                | Doing::Forking { .. }
                | Doing::Trying { .. } => {}
            }
        }
        let timers = self.timers.iter();
        open.extend(timers.map(|(timer, entry)| Effect::Timer { timer: *timer, until: entry.until }));
        if let Some((call, question)) = self.questions.front() {
            let pointer = self.pointer(definition, *call);
            open.push(Effect::Ask { call: *call, pointer, question: question.clone() });
        }
        open
    }

    /// The step of a frame.
    pub(super) fn pointer(&self, definition: &crate::document::Definition, frame: Id) -> String {
        let task = self.frames.get(&frame).and_then(|frame| frame.task);
        task.map(|task| definition.task(task).pointer.clone()).unwrap_or_default()
    }
}
