//! One run of a flow: what came is decided, kept, and carried out, until the flow has ended.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use bobbinet_core::{Fault, Json, Outcome, Task, TaskId, cloud_event::hops_of};
use bobbinet_engine::{ChildError, EngineError, Handle, Run};
use bobbinet_events::Position;
use bobbinet_flow::{
    document::Definition,
    limits::Limits as RunLimits,
    run::{Blobs, Calling, Came, Effect, Error, Given, Id, Progress, Record, Standard, State, Surroundings, decide},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::{
    child,
    credentials_in_hand::{InHand, resolved},
    journal::{Entry, Journal, Progressed},
    listening::{HOPS_BYTES_MAX, Hearing, Listening, said_within},
    output,
    over::{Over, broken, ended},
    progress,
    question::{self, Asked, Said},
    shared::Shared,
    waiting::{For, Happened, Waiting},
};

/// How long a run that was taken over goes on before it says that it is well, if nothing comes: processes that die later died of
/// something else.
const WELL_AFTER: Duration = Duration::from_secs(5);

/// A run in progress.
pub(crate) struct Driver<'a> {
    shared: &'a Shared,
    run: Run,
    limits: RunLimits,
    definition: Arc<Definition>,
    progressed: Progressed,
    outputs: Outputs,
    waiting: Waiting,
    listening: Listening,
    /// How many flows the events have come through by which the run was begun.
    hops: u32,
    children: BTreeMap<Id, Handle>,
    /// What its calls authenticate with, while they are open.
    in_hand: BTreeMap<Id, InHand>,
    /// What came, and is to be decided; events with where they stand.
    came: Vec<(Came, Option<Position>)>,
    /// What was decided, and is not in the log yet.
    entries: Vec<Entry>,
    /// How many records are in the log.
    kept: usize,
    /// Whether the events of its last records were sent, and that is not kept.
    has_unsaid_events: bool,
    said: u32,
}

/// Outputs that are not in the run's own records, until those that name them are decided.
#[derive(Clone, Debug, Default)]
struct Outputs(BTreeMap<String, Arc<Value>>);

impl Blobs for Outputs {
    fn get(&self, name: &str) -> Option<Arc<Value>> {
        self.0.get(name).cloned()
    }
}

/// Carries out one run, from where an earlier one has left it.
pub(crate) async fn drive(shared: &Shared, run: Run, input: Value) -> Outcome {
    match Driver::go(shared, run, input).await {
        Over::Outcome(outcome) => outcome,
        Over::Lost => {
            Outcome::Unknown { fault: Fault::new("over", "the run is not this process's any more"), again: false }
        }
    }
}

impl<'a> Driver<'a> {
    async fn go(shared: &'a Shared, run: Run, input: Value) -> Over {
        let mut driver = match Self::begin(shared, run, input).await {
            Ok(driver) => driver,
            Err(over) => return over,
        };
        loop {
            if let Err(over) = driver.turn().await {
                return over;
            }
        }
    }

    /// The run as its records have left it.
    async fn begin(shared: &'a Shared, run: Run, input: Value) -> Result<Self, Over> {
        let journal = Journal::read(run.records()).map_err(|why| broken(&why))?;
        let mut driver = Self {
            shared,
            limits: limits_of(shared, &run),
            definition: shared.definition.clone(),
            progressed: Progressed::default(),
            outputs: Outputs::default(),
            waiting: Waiting::default(),
            listening: Listening::new(&run),
            hops: hops_of_beginning(run.task()),
            children: BTreeMap::new(),
            in_hand: BTreeMap::new(),
            came: Vec::new(),
            entries: Vec::new(),
            kept: 0,
            has_unsaid_events: false,
            said: 0,
            run,
        };
        let Some(journal) = journal else {
            shared.keep_definition(&driver.run).await?;
            driver.comes(Came::Start { run: driver.run.task().id.to_string(), input });
            return Ok(driver);
        };
        driver.definition = shared.definition_of(&driver.run, journal.definition).await?;
        driver.kept = journal.records.len();
        let mut last = Vec::new();
        for (number, record) in journal.records.iter().enumerate() {
            driver.find_output(record).await?;
            let around = around(shared, &driver.limits, &driver.outputs);
            let effects = driver.progressed.fold(&driver.definition, record, &around);
            driver.outputs.0.clear();
            // What follows from the records of one commit may not have been carried out.
            if number + journal.last >= driver.kept {
                last.extend(effects);
            }
        }
        let checkpoint = driver.run.checkpointed().map(Json::to_value).unwrap_or_default();
        driver.listening.take_up(journal.heard, &checkpoint);
        // Events may be forgotten sooner than a run, and would be new again.
        if checkpoint.get("emitted").and_then(Value::as_u64).is_none_or(|emitted| emitted < driver.kept as u64) {
            driver.emit(&last).await?;
        }
        if let Some(end) = driver.progressed.state.end() {
            return Err(Over::Outcome(ended(end)));
        }
        debug!(task = %driver.run.task().id, records = driver.kept, "a flow goes on");
        driver.withdraw(&last).await?;
        let open = driver.progressed.state.open(&driver.definition);
        driver.carry_out(open).await?;
        Ok(driver)
    }

    /// Brings what an earlier step has given, if it is too large for the records.
    async fn find_output(&mut self, record: &Record) -> Result<(), Over> {
        let Came::Result { call, output: Given::Blob(name) } = &record.came else { return Ok(()) };
        let Some(id) = TaskId::parse(name) else { return Ok(()) };
        match self.run.child_of_id(&id).await {
            Ok(handle) => {
                let task = self.run.unless_over(handle.accepted()).await?.map_err(ChildError::from)?;
                self.outputs.0.insert(name.clone(), Arc::new(output::of_task(&task)));
                Ok(())
            }
            // Without it the run would take another way than it took.
            Err(ChildError::Engine(EngineError::NotFound)) => {
                Err(broken(&format!("what call {} has given, in task {id}, is not kept any more", call.0)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Stops what an earlier run has decided to stop, and may not have got to.
    async fn withdraw(&mut self, last: &[Effect]) -> Result<(), Over> {
        let own = self.run.current().await?;
        for effect in last {
            let Effect::Cancel { call } = effect else { continue };
            let Some(child) = own.children.iter().find(|child| child::is_of_call(&child.name, *call)) else { continue };
            if let Ok(handle) = self.run.child_of_id(&child.task).await {
                self.run.cancel_child(&handle);
            }
        }
        if self.progressed.state.question().is_none() && own.question.is_some() {
            question::withdraw(&self.run).await?;
        }
        Ok(())
    }

    /// Decides what came, keeps it, carries out what follows, and waits for what comes next.
    async fn turn(&mut self) -> Result<(), Over> {
        while !self.came.is_empty() {
            let effects = self.decide().await;
            self.carry_out(effects).await?;
        }
        // All that was heard is kept by now.
        if let Some(heard) = self.listening.far_enough(&self.run) {
            self.checkpoint(&heard).await;
        }
        for (listen, hearing) in self.listening.resume(&self.run) {
            self.waiting.events(listen, hearing);
        }
        if self.waiting.is_empty() {
            return Err(broken("the flow waits for nothing, and has not ended"));
        }
        self.wait().await
    }

    async fn decide(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (came, position) in mem::take(&mut self.came) {
            // What nobody waits for any more need not be kept.
            if let Came::Heard { listen, .. } = &came
                && !self.progressed.state.is_listening(*listen)
            {
                continue;
            }
            let record = Record { at: self.run.now(), chance: fastrand::u64(..), came };
            let listen = if let Came::Heard { listen, .. } = &record.came { Some(*listen) } else { None };
            let heard = listen.and_then(|listen| self.progressed.state.heard(listen));
            if listen.is_none() {
                self.progressed.note(&record);
            }
            let state = mem::take(&mut self.progressed.state);
            let (state, more, record) = match self.shared.is_of_message {
                true => self.decide_apart(state, record).await,
                false => {
                    let (state, more) =
                        decide(&self.definition, state, &record, &around(self.shared, &self.limits, &self.outputs));
                    (state, more, record)
                }
            };
            self.progressed.state = state;
            if let Some(listen) = listen {
                // Somebody else's event, as a filter that is computed says: it changes nothing, and need not be kept.
                if more.is_empty() && self.progressed.state.heard(listen) == heard {
                    continue;
                }
                self.progressed.note(&record);
            }
            if let Came::Result { output: Given::Blob(name), .. } = &record.came {
                self.outputs.0.remove(name);
            }
            effects.extend(more);
            let definition = matches!(record.came, Came::Start { .. }).then(|| self.shared.id.to_string());
            let joined = !self.entries.is_empty();
            self.entries.push(Entry { definition, joined, position, listens: Vec::new(), record });
        }
        effects
    }

    /// The same on another thread, and of one such flow at a time, so that nobody else waits for what somebody's flow computes.
    async fn decide_apart(&mut self, state: State, record: Record) -> (State, Vec<Effect>, Record) {
        static TURN: Semaphore = Semaphore::const_new(1);
        let turn = TURN.acquire().await;
        let (definition, outputs, limits) = (self.definition.clone(), self.outputs.clone(), self.limits);
        let (secrets, runtime) = (self.shared.secrets.clone(), self.shared.runtime.clone());
        let decided = tokio::task::spawn_blocking(move || {
            // Dropped with the thread's work, and not with the run's, which may be over before.
            let _turn = turn;
            let around = Surroundings { limits: &limits, secrets: &secrets, runtime: &runtime, blobs: &outputs };
            let (state, effects) = decide(&definition, state, &record, &around);
            (state, effects, record)
        });
        decided.await.expect("deciding does not panic, and is not aborted")
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), Over> {
        let (calls, effects) = sort(effects);
        self.tell(&effects);
        if let Some(end) = self.progressed.state.end() {
            let outcome = ended(end);
            // Nobody waits for the others.
            let detached: Vec<Calling> = calls.into_iter().filter(|call| call.is_detached).collect();
            if !detached.is_empty() || effects.iter().any(|effect| matches!(effect, Effect::Emit { .. })) {
                // What is sent must follow from what is kept.
                self.call(detached).await?;
                self.emit(&effects).await?;
            }
            self.cancel(&effects);
            return Err(Over::Outcome(outcome));
        }
        let listens = listens(&effects);
        let may_listen = if listens.is_empty() { Ok(()) } else { self.run.may_listen() };
        if may_listen.is_ok() {
            self.listening.begin(&self.run, &listens).await?;
        }
        self.call(calls).await?;
        self.emit(&effects).await?;
        for effect in effects {
            match effect {
                Effect::Cancel { call } => self.cancel_call(call),
                Effect::Timer { timer, until } => self.waiting.timer(&self.run, timer, until),
                Effect::Drop { timer } => self.waiting.forget(For::Timer(timer)),
                Effect::Ask { call, pointer, question } => self.ask(call, &pointer, &question).await?,
                Effect::Unask { call } => {
                    self.waiting.forget(For::Answer(call));
                    question::withdraw(&self.run).await?;
                }
                Effect::Answer { call, answer } => self.answer(call, &answer).await?,
                Effect::Listen { listen, filters, .. } => match &may_listen {
                    Ok(()) => self.listening.open(listen, filters),
                    Err(denied) => {
                        let error = Error::standard(Standard::Authorization, denied.text.clone());
                        self.comes(Came::Failed { call: listen, error });
                    }
                },
                Effect::Unlisten { listen } => {
                    self.listening.close(listen);
                    self.waiting.forget(For::Events(listen));
                }
                Effect::Emit { .. }
                | Effect::Call(_)
                | Effect::Progress(_)
                | Effect::Finish { .. }
                | Effect::Fail { .. }
                | Effect::Canceled => {}
            }
        }
        Ok(())
    }

    fn comes(&mut self, came: Came) {
        self.came.push((came, None));
    }

    /// Sends the events of steps, in their order. A wait that begins after one has not heard it.
    async fn emit(&mut self, effects: &[Effect]) -> Result<(), Over> {
        let mut sent = None;
        for effect in effects {
            match effect {
                Effect::Emit { event } => {
                    let hops = self.hops.max(self.progressed.hops);
                    sent = Some(self.listening.publish(&self.run, event, hops).await?);
                    self.has_unsaid_events = true;
                }
                Effect::Listen { listen, .. } => {
                    if let Some(sent) = sent {
                        self.listening.begin_after(*listen, sent);
                    }
                }
                Effect::Call(_)
                | Effect::Cancel { .. }
                | Effect::Timer { .. }
                | Effect::Drop { .. }
                | Effect::Unlisten { .. }
                | Effect::Ask { .. }
                | Effect::Unask { .. }
                | Effect::Answer { .. }
                | Effect::Progress(_)
                | Effect::Finish { .. }
                | Effect::Fail { .. }
                | Effect::Canceled => {}
            }
        }
        Ok(())
    }

    /// Begins what is to be called, by the commit that keeps what it follows from.
    async fn call(&mut self, calls: Vec<Calling>) -> Result<(), Over> {
        let hops = self.hops.max(self.progressed.hops);
        if let Some(entry) = self.entries.last_mut() {
            entry.listens = self.listening.unsaid();
        }
        let mut begun = Vec::with_capacity(calls.len());
        let mut children = Vec::with_capacity(calls.len());
        for call in calls {
            match child::new_child(&self.run, &self.shared.mesh, &call, hops) {
                Ok(child) => {
                    if let Some(how) = child::authentication(&call) {
                        let how = resolved(how, &self.definition.json, &self.shared.secrets);
                        let in_hand = self.shared.mesh.credentials().give(self.run.task().id, call.call, &how);
                        self.in_hand.insert(call.call, in_hand);
                    }
                    children.push(child);
                    begun.push(call);
                }
                Err(error) => self.failed(&call, error),
            }
        }
        let records = mem::take(&mut self.entries).iter().map(Entry::json).collect::<Vec<_>>();
        if records.is_empty() && children.is_empty() {
            return Ok(());
        }
        if !records.is_empty() {
            self.kept += records.len();
            self.has_unsaid_events = false;
        }
        let handles = self.run.advance(records, &children).await?;
        for (call, handle) in begun.into_iter().zip(handles) {
            match handle {
                Ok(handle) if !call.is_detached => {
                    self.children.insert(call.call, handle.clone());
                    self.waiting.child(&self.run, call.call, handle);
                }
                Ok(_) => {}
                Err(ChildError::Over) => return Err(Over::Lost),
                Err(error) => self.failed(&call, child::error_of_beginning(&error)),
            }
        }
        Ok(())
    }

    fn failed(&mut self, call: &Calling, error: Error) {
        self.in_hand.remove(&call.call);
        if call.is_detached {
            warn!(task = %self.run.task().id, step = call.pointer, ?error, "a call that nobody waits for could not be begun");
        } else {
            self.comes(Came::Failed { call: call.call, error });
        }
    }

    /// The news of this turn go out with its commit.
    fn tell(&mut self, effects: &[Effect]) {
        let news =
            effects.iter().filter_map(|effect| if let Effect::Progress(one) = effect { Some(one) } else { None });
        let news: Vec<Progress> = news.cloned().collect();
        if news.is_empty() {
            return;
        }
        self.said += 1;
        let id = self.run.message_id(&format!("step-{}", self.said));
        let (message, metadata) = progress::message(id, &news, self.shared.limits.progress_text_max);
        self.run.progress(Some(message), Some(metadata));
    }

    fn cancel(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Cancel { call } = effect {
                self.cancel_call(*call);
            }
        }
    }

    fn cancel_call(&mut self, call: Id) {
        self.waiting.forget(For::Child(call));
        self.in_hand.remove(&call);
        if let Some(child) = self.children.remove(&call) {
            self.run.cancel_child(&child);
        }
    }

    /// Asks the flow's caller what a child asks.
    async fn ask(&mut self, call: Id, pointer: &str, question: &Value) -> Result<(), Over> {
        let Some(asked) = Asked::read(question) else { return Err(broken("a question cannot be read")) };
        let id = question::put(&self.run, call, pointer, &asked).await?;
        self.waiting.answer(&self.run, call, id);
        Ok(())
    }

    /// Gives a child its answer.
    async fn answer(&mut self, call: Id, answer: &Value) -> Result<(), Over> {
        let Some(child) = self.children.get(&call).cloned() else { return Ok(()) };
        let asked = self.progressed.answers.get(&call).and_then(|(question, _)| Asked::read(question));
        let Some(asked) = asked else { return Ok(()) };
        match question::say(&self.run, call, &child, &asked, answer).await? {
            Said::Heard(handle) => self.waiting.child(&self.run, call, handle),
            Said::Moved => {}
            Said::Denied(fault) => {
                // Nobody may answer it, so it is not to go on asking.
                self.cancel_call(call);
                self.comes(Came::Failed { call, error: Error::standard(Standard::Authorization, fault.text) });
            }
        }
        Ok(())
    }

    /// Waits until something has happened, and takes all that has.
    async fn wait(&mut self) -> Result<(), Over> {
        let happened = match self.waiting.now() {
            Some(happened) => happened,
            None => {
                let rest = self.run.rest();
                let run = self.run.clone();
                let say_by = self.say_within();
                let mut next = None;
                if let Some(within) = say_by {
                    match tokio::time::timeout(within, run.unless_over(self.waiting.next())).await {
                        Ok(happened) => next = Some(happened?),
                        Err(_elapsed) => self.say_well().await,
                    }
                }
                let next = match next {
                    Some(next) => next,
                    None => run.unless_over(self.waiting.next()).await?,
                };
                run.unless_over(rest.end()).await?;
                let Some(happened) = next else { return Err(broken("the flow waits for nothing")) };
                happened
            }
        };
        self.take(happened).await?;
        while let Some(happened) = self.waiting.now() {
            self.take(happened).await?;
        }
        Ok(())
    }

    /// When the run is to say how it is, if nothing comes before: that this process has not died of it, or that its events are sent.
    fn say_within(&self) -> Option<Duration> {
        let is_taken_over = self.run.attempt() > 1 && self.said == 0;
        let events = self.has_unsaid_events.then(|| said_within(self.run.limits()));
        is_taken_over.then_some(WELL_AFTER).into_iter().chain(events).min()
    }

    async fn say_well(&mut self) {
        self.said += 1;
        let heard = self.listening.noted();
        self.checkpoint(&heard).await;
    }

    /// Keeps how far waits for events have heard, and of how many records the events are sent, where no record says so.
    async fn checkpoint(&mut self, heard: &Value) {
        let checkpoint = json!({ "attempt": self.run.attempt(), "heard": heard, "emitted": self.kept });
        match self.run.checkpoint(Json::from(&checkpoint)).await {
            Ok(()) => {
                self.has_unsaid_events = false;
                self.listening.is_said();
            }
            Err(error) => debug!(task = %self.run.task().id, %error, "a run could not say how far it is"),
        }
    }

    async fn take(&mut self, happened: Happened) -> Result<(), Over> {
        match happened {
            Happened::Fired(timer) => self.comes(Came::Fired { timer }),
            Happened::Answered(call, answer) => {
                let answer = answer?;
                if self.progressed.state.question().is_some_and(|(asks, _)| asks == call) {
                    self.comes(Came::Answered { answer });
                }
            }
            Happened::Heard(listen, hearing) => self.heard(listen, hearing),
            Happened::Child(call, Ok(task)) => self.child_settled(call, &task).await?,
            Happened::Child(_, Err(ChildError::Over)) => return Err(Over::Lost),
            Happened::Child(call, Err(error)) => {
                self.in_hand.remove(&call);
                self.comes(Came::Failed { call, error: child::error_of_beginning(&error) });
            }
        }
        Ok(())
    }

    /// A wait has heard events, or hears no more.
    fn heard(&mut self, listen: Id, hearing: Hearing) {
        let came = |(position, event)| (Came::Heard { listen, event }, Some(position));
        self.came.extend(hearing.events.into_iter().map(came));
        match hearing.end {
            Ok((cursor, listener)) => self.listening.pause(listen, cursor, listener),
            Err(error) => {
                self.listening.close(listen);
                self.comes(Came::Failed { call: listen, error: Error::standard(Standard::Runtime, error.to_string()) });
            }
        }
    }

    /// A child has ended, or asks.
    async fn child_settled(&mut self, call: Id, task: &Arc<Task>) -> Result<(), Over> {
        let came = child::came(call, task, &self.shared.limits);
        match &came {
            Came::Asked { question, .. } => {
                if let Some(handle) = self.children.get(&call) {
                    // Somebody else may answer it, or cancel it.
                    self.waiting.child(&self.run, call, handle.after(task.generation));
                }
                if self.progressed.state.question_of(call).is_some_and(|known| Asked::is_same(known, question)) {
                    return Ok(());
                }
                let said = self.progressed.answers.get(&call).filter(|(asked, _)| Asked::is_same(asked, question));
                if let Some((_, answer)) = said.cloned() {
                    // An earlier run has recorded the answer, and could not give it.
                    return self.answer(call, &answer).await;
                }
            }
            Came::Result { .. } | Came::Failed { .. } => {
                if let Came::Result { output: Given::Blob(name), .. } = &came {
                    self.outputs.0.insert(name.clone(), Arc::new(output::of_task(task)));
                }
                self.in_hand.remove(&call);
                self.children.remove(&call);
            }
            Came::Start { .. } | Came::Fired { .. } | Came::Heard { .. } | Came::Answered { .. } | Came::Cancel => {}
        }
        self.comes(came);
        Ok(())
    }
}

/// How many flows the events have come through by which this task was begun, as whoever begins it says.
fn hops_of_beginning(task: &Task) -> u32 {
    let metadata = task.history.first().and_then(|message| message.metadata.as_ref());
    metadata.map(|metadata| hops_of(&metadata.to_value())).unwrap_or_default()
}

/// The bounds of a run. What its steps send must be an event that this node takes, with how many flows it came through.
fn limits_of(shared: &Shared, run: &Run) -> RunLimits {
    let event_bytes = run.limits().event_bytes_max.saturating_sub(HOPS_BYTES_MAX).min(shared.run_limits.event_bytes);
    RunLimits { event_bytes, ..shared.run_limits }
}

fn around<'a>(shared: &'a Shared, limits: &'a RunLimits, outputs: &'a Outputs) -> Surroundings<'a> {
    Surroundings { limits, secrets: &shared.secrets, runtime: &shared.runtime, blobs: outputs }
}

/// The waits for events that begin.
fn listens(effects: &[Effect]) -> Vec<Id> {
    let listen = |effect: &Effect| if let Effect::Listen { listen, .. } = effect { Some(*listen) } else { None };
    effects.iter().filter_map(listen).collect()
}

/// The calls, but for those that are canceled at once, and everything else.
fn sort(effects: Vec<Effect>) -> (Vec<Calling>, Vec<Effect>) {
    let canceled: Vec<Id> = effects
        .iter()
        .filter_map(|effect| if let Effect::Cancel { call } = effect { Some(*call) } else { None })
        .collect();
    let mut calls = Vec::new();
    let mut others = Vec::with_capacity(effects.len());
    for effect in effects {
        match effect {
            Effect::Call(call) => {
                if !canceled.contains(&call.call) {
                    calls.push(*call);
                }
            }
            other @ (Effect::Cancel { .. }
            | Effect::Timer { .. }
            | Effect::Drop { .. }
            | Effect::Emit { .. }
            | Effect::Listen { .. }
            | Effect::Unlisten { .. }
            | Effect::Ask { .. }
            | Effect::Unask { .. }
            | Effect::Answer { .. }
            | Effect::Progress(_)
            | Effect::Finish { .. }
            | Effect::Fail { .. }
            | Effect::Canceled) => others.push(other),
        }
    }
    (calls, others)
}
