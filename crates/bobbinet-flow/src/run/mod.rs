//! Running a flow: [`decide`] is all the logic of a run. Pure: time and chance come in with the record, and what has to be done goes out
//! as effects.
//!
//! A run's log is its records: what came to it, in order. Between two of them a flow only computes, and computing gives the same each
//! time, so nothing of it is kept; a step that calls nothing costs no record. The state follows from the records by the same function
//! that made it, and what is still wanted follows from the state ([`State::open`]).

mod calls;
mod error;
mod events;
mod frames;
mod listen_effect;
mod record;
mod retry;
mod scope;
mod state;
mod steps;
mod trigger;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bobbinet_core::Timestamp;
use serde_json::Value as Json;

pub use error::{Error, Standard};
pub use record::{Calling, Came, Effect, Given, Id, News, Progress, Record, Target};
pub use state::{End, State};
pub use trigger::Trigger;

use crate::{document::Definition, limits::Limits};
use state::{Doing, Frame, Names, Purpose, Work};

/// What a run sees of the world around it. None of it changes what a run does, or it is pinned as the definition is.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// What it may use.
    pub limits: &'a Limits,
    /// The values of its secrets, by name.
    pub secrets: &'a BTreeMap<String, Json>,
    /// `$runtime`: name, version, metadata.
    pub runtime: &'a Json,
    /// Where large outputs are kept.
    pub blobs: &'a dyn Blobs,
}

impl std::fmt::Debug for Surroundings<'_> {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("limits", self.limits).finish_non_exhaustive()
    }
}

/// Where large outputs are kept.
pub trait Blobs {
    /// What is kept under this name.
    fn get(&self, name: &str) -> Option<Arc<Json>>;
}

/// No blobs at all.
impl Blobs for () {
    fn get(&self, _: &str) -> Option<Arc<Json>> {
        None
    }
}

/// What follows from this record: where the run is then, and what it wants done.
///
/// A record that no longer matters (the result of a call that was cancelled, a timer that was dropped) changes nothing.
pub fn decide(
    definition: &Definition,
    state: State,
    record: &Record,
    around: &Surroundings<'_>,
) -> (State, Vec<Effect>) {
    let mut turn = Turn {
        definition,
        around,
        state,
        at: record.at,
        chance: record.chance,
        effects: Vec::new(),
        entered: 0,
        worked: 0,
    };
    if turn.state.end.is_none() {
        crate::expression::work_done();
        turn.take(&record.came);
        turn.work();
    }
    (turn.state, turn.effects)
}

/// Where a run is after these records.
pub fn replay<'r>(
    definition: &Definition,
    records: impl IntoIterator<Item = &'r Record>,
    around: &Surroundings<'_>,
) -> State {
    records.into_iter().fold(State::default(), |state, record| decide(definition, state, record, around).0)
}

/// One record being taken in.
struct Turn<'a> {
    definition: &'a Definition,
    around: &'a Surroundings<'a>,
    state: State,
    at: Timestamp,
    chance: u64,
    effects: Vec<Effect>,
    /// Steps entered in this turn.
    entered: u64,
    /// Work of expressions in this turn.
    worked: u64,
}

/// The run itself, among the frames.
const ROOT: Id = Id(0);

impl Turn<'_> {
    fn take(&mut self, came: &Came) {
        match came {
            Came::Start { run, input } => self.start(run, input),
            Came::Result { call, output } => {
                let output = match output {
                    Given::Inline(output) => Some(output.clone()),
                    Given::Blob(name) => self.around.blobs.get(name),
                };
                match output {
                    Some(output) => self.call_ended(*call, Ok(output)),
                    None => {
                        let error = Error::standard(Standard::Runtime, "what this step gave is no longer kept");
                        self.call_ended(*call, Err(error));
                    }
                }
            }
            Came::Failed { call, error } => self.call_ended(*call, Err(error.clone())),
            Came::Fired { timer } => self.fired(*timer),
            Came::Heard { listen, event } => self.heard(*listen, event),
            Came::Asked { call, question } => self.asked(*call, question),
            Came::Answered { answer } => self.answered(answer),
            Came::Cancel => {
                self.close();
                self.state.end = Some(End::Canceled);
                self.effects.push(Effect::Canceled);
            }
        }
    }

    fn start(&mut self, run: &str, input: &Json) {
        // A run begins once.
        if !self.state.run.is_empty() {
            return;
        }
        let raw = Arc::new(input.clone());
        self.state.run = run.to_owned();
        self.state.started = self.at;
        self.state.raw = raw.clone();
        let frame = Frame {
            owner: None,
            task: None,
            slot: 0,
            depth: 0,
            raw: raw.clone(),
            input: raw.clone(),
            names: Names::default(),
            entered: self.at,
            doing: Doing::Steps,
        };
        self.state.frames.insert(ROOT, frame);
        let input = match self.workflow_input(&raw) {
            Ok(input) => input,
            Err(error) => return self.fail_run(error),
        };
        // The specification's diagram has the transformed input as the first context, and its table says that a context is a map.
        self.state.context =
            if input.is_object() { input.clone() } else { Arc::new(Json::Object(serde_json::Map::new())) };
        if let Some(frame) = self.state.frames.get_mut(&ROOT) {
            frame.input = input.clone();
        }
        if let Some(span) = &self.definition.timeout
            && let Err(error) = self.set_timeout(ROOT, span, Purpose::Timeout)
        {
            return self.fail_run(error);
        }
        self.begin(ROOT, self.definition.main, input, Names::default());
    }

    /// Does what is to be done, until there is something to wait for or it is somebody else's turn.
    fn work(&mut self) {
        while self.state.end.is_none() {
            let limits = self.around.limits;
            let done = crate::expression::work_done();
            self.worked += done;
            self.state.work = self.state.work.saturating_add(done);
            if self.state.work > limits.run_work {
                let detail = "the expressions of this run have worked for too long";
                self.fail_run(Error::standard(Standard::Runtime, detail));
                break;
            }
            let is_turn_over = self.entered >= limits.steps_at_once || self.worked >= limits.work_at_once;
            if is_turn_over && !self.state.pending.is_empty() {
                let is_set = self.state.timers.values().any(|timer| timer.purpose == Purpose::Continue);
                if !is_set {
                    self.set_timer(ROOT, self.at, Purpose::Continue);
                }
                break;
            }
            let Some(work) = self.state.pending.pop_front() else { break };
            match work {
                Work::Enter { owner, task, slot, input, names } => self.enter(owner, task, slot, input, names),
                Work::Leave { frame, output } => self.leave(frame, output),
                Work::Fail { frame, error } => self.fail(frame, error),
            }
        }
    }

    /// Ends everything that is open, without telling any step.
    fn close(&mut self) {
        let frames: Vec<Id> = self.state.frames.keys().copied().collect();
        for frame in frames.into_iter().rev() {
            self.drop_frame(frame);
        }
        self.state.pending = VecDeque::new();
    }

    fn finish_run(&mut self, output: Arc<Json>) {
        match self.workflow_output(&output) {
            Ok(output) => {
                self.close();
                self.state.end = Some(End::Finished(output.clone()));
                self.effects.push(Effect::Finish { output });
            }
            Err(error) => self.fail_run(error),
        }
    }

    fn fail_run(&mut self, error: Error) {
        let error = error.at("/");
        self.close();
        self.state.end = Some(End::Failed(error.clone()));
        self.effects.push(Effect::Fail { error });
    }

    fn next_id(&mut self) -> Id {
        self.state.last += 1;
        Id(self.state.last)
    }

    fn progress(&mut self, task: &crate::document::Task, news: News) {
        let (pointer, name) = (task.pointer.clone(), task.name.clone());
        self.effects.push(Effect::Progress(Progress { pointer, name, news }));
    }
}
