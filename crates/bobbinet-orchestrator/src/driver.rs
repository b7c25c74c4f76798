//! One run of a flow: what came is decided, kept, and carried out, until the flow has ended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bobbinet_core::{Fault, Json, Outcome, Task, TaskId, cloud_event::hops_of};
use bobbinet_engine::{ChildError, EngineError, Handle, Run};
use bobbinet_events::Position;
use bobbinet_flow::{
    document::Definition,
    run::{
        Blobs, Calling, Came, Effect, End, Error, Given, Id, Progress, Record, Standard, State, Surroundings, decide,
    },
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::{
    child,
    credentials_in_hand::resolved,
    definition::DefinitionId,
    journal::{Entry, Journal, Progressed},
    listening::{Hearing, Listening, Unheard},
    output, progress,
    question::{Asked, answer_message},
    shared::Shared,
    waiting::{For, Happened, Waiting},
};

/// How long a run that was taken over goes on before it says that it is well, if nothing comes: processes that die later died of
/// something else.
const WELL_AFTER: Duration = Duration::from_secs(5);

/// How a run is over.
pub(crate) enum Over {
    /// This came of it.
    Outcome(Outcome),
    /// Another owns its task, or nobody: nothing that this one says counts.
    Lost,
}

/// A run in progress.
pub(crate) struct Driver<'a> {
    shared: &'a Shared,
    run: Run,
    definition: Arc<Definition>,
    progressed: Progressed,
    outputs: Outputs,
    waiting: Waiting,
    listening: Listening,
    /// How many flows the events have come through by which the run was begun.
    hops: u32,
    children: BTreeMap<Id, Handle>,
    /// What came, and is to be decided; events with where they stand.
    came: Vec<(Came, Option<Position>)>,
    /// What was decided, and is not in the log yet.
    entries: Vec<Entry>,
    said: u32,
}

/// Outputs that are not in the run's own records.
#[derive(Clone, Debug, Default)]
struct Outputs(BTreeMap<String, Arc<Value>>);

impl Blobs for Outputs {
    fn get(&self, name: &str) -> Option<Arc<Value>> {
        self.0.get(name).cloned()
    }
}

impl From<Unheard> for Over {
    fn from(unheard: Unheard) -> Self {
        match unheard {
            Unheard::Over(error) => error.into(),
            Unheard::Fault(fault) => Self::Outcome(Outcome::Failed(fault)),
        }
    }
}

impl From<ChildError> for Over {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Over => Self::Lost,
            ChildError::Denied(fault) => Self::Outcome(Outcome::Failed(fault)),
            ChildError::Engine(error @ EngineError::Limit { .. }) => {
                let text = format!("the flow has grown to a limit: {error}");
                Self::Outcome(Outcome::Failed(Fault::new("flow-too-large", text)))
            }
            ChildError::Engine(error) => {
                Self::Outcome(Outcome::Failed(Fault::new("flow-broken", format!("the flow cannot go on: {error}"))))
            }
        }
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
            definition: shared.definition.clone(),
            progressed: Progressed::default(),
            outputs: Outputs::default(),
            waiting: Waiting::default(),
            listening: Listening::new(&run),
            hops: hops_of_beginning(run.task()),
            children: BTreeMap::new(),
            came: Vec::new(),
            entries: Vec::new(),
            said: 0,
            run,
        };
        let Some(journal) = journal else {
            shared.keep_definition(&driver.run).await?;
            driver.comes(Came::Start { run: driver.run.task().id.to_string(), input });
            return Ok(driver);
        };
        driver.definition = shared.definition_of(&driver.run, journal.definition).await?;
        driver.find_outputs(&journal.records).await?;
        let (progressed, last) = Progressed::of(&driver.definition, &journal, &around(shared, &driver.outputs));
        driver.progressed = progressed;
        driver.listening.take_up(journal.heard, driver.run.checkpointed().map(Json::to_value).as_ref());
        driver.emit(&last).await?;
        if let Some(end) = driver.progressed.state.end() {
            return Err(Over::Outcome(ended(end)));
        }
        debug!(task = %driver.run.task().id, records = journal.records.len(), "a flow goes on");
        let open = driver.progressed.state.open(&driver.definition);
        driver.carry_out(open).await?;
        Ok(driver)
    }

    /// Brings what earlier steps have given and is too large for the records.
    async fn find_outputs(&mut self, records: &[Record]) -> Result<(), Over> {
        for record in records {
            let Came::Result { output: Given::Blob(name), .. } = &record.came else { continue };
            let Some(id) = TaskId::parse(name) else { continue };
            match self.run.child_of_id(&id).await {
                Ok(handle) => {
                    let task = self.run.unless_over(handle.accepted()).await?.map_err(ChildError::from)?;
                    self.outputs.0.insert(name.clone(), Arc::new(output::of_task(&task)));
                }
                // The step fails with that, as its output is gone.
                Err(ChildError::Engine(EngineError::NotFound)) => {}
                Err(error) => return Err(error.into()),
            }
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
        for (came, position) in std::mem::take(&mut self.came) {
            // What nobody waits for any more need not be kept.
            if let Came::Heard { listen, .. } = &came
                && !self.progressed.state.is_listening(*listen)
            {
                continue;
            }
            let record = Record { at: self.run.now(), chance: fastrand::u64(..), came };
            self.progressed.note(&record);
            let state = std::mem::take(&mut self.progressed.state);
            let (state, more, record) = match self.shared.is_of_message {
                true => self.decide_apart(state, record).await,
                false => {
                    let (state, more) = decide(&self.definition, state, &record, &around(self.shared, &self.outputs));
                    (state, more, record)
                }
            };
            self.progressed.state = state;
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
        let _turn = TURN.acquire().await;
        let (definition, outputs, limits) = (self.definition.clone(), self.outputs.clone(), self.shared.run_limits);
        let (secrets, runtime) = (self.shared.secrets.clone(), self.shared.runtime.clone());
        let decided = tokio::task::spawn_blocking(move || {
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
            if effects.iter().any(|effect| matches!(effect, Effect::Emit { .. })) {
                // What is sent must follow from what is kept.
                self.call(Vec::new()).await?;
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
                Effect::Unask { call } => self.unask(call).await,
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
                        self.shared.mesh.credentials().give(self.run.task().id, call.call, &how);
                    }
                    children.push(child);
                    begun.push(call);
                }
                Err(error) => self.failed(&call, error),
            }
        }
        let records = std::mem::take(&mut self.entries).iter().map(Entry::json).collect::<Vec<_>>();
        if records.is_empty() && children.is_empty() {
            return Ok(());
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
        if let Some(child) = self.children.remove(&call) {
            self.run.cancel_child(&child);
        }
    }

    /// Asks the flow's caller what a child asks, unless that is asked already.
    async fn ask(&mut self, call: Id, pointer: &str, question: &Value) -> Result<(), Over> {
        let Some(asked) = Asked::read(question) else { return Err(broken("a question cannot be read")) };
        let flow = self.run.task().id;
        let id = asked.question_id(&flow, call);
        loop {
            let own = self.run.current().await?;
            let is_open = own.question.as_ref().is_some_and(|open| open.message.id == id);
            if is_open || own.answers.iter().any(|(asked, _)| asked.message.id == id) {
                break;
            }
            if own.question.is_some() {
                // Of a call that asks something else by now.
                self.unask(call).await;
                continue;
            }
            match self.run.put_question(Arc::new(asked.question(&flow, call, pointer))).await {
                Ok(()) => break,
                Err(EngineError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(EngineError::Refused(_) | EngineError::Draining) => {
                    self.run.current().await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(ChildError::from(error).into()),
            }
        }
        self.waiting.answer(&self.run, call, id);
        Ok(())
    }

    async fn unask(&mut self, call: Id) {
        self.waiting.forget(For::Answer(call));
        if let Err(error) = self.run.withdraw_question().await {
            debug!(task = %self.run.task().id, %error, "there is no question to withdraw");
        }
    }

    /// Gives a child its answer.
    async fn answer(&mut self, call: Id, answer: &Value) -> Result<(), Over> {
        let Some(child) = self.children.get(&call).cloned() else { return Ok(()) };
        let Some(asked) = self.progressed.answers.get(&call).and_then(|(question, _)| Asked::read(question)) else {
            return Ok(());
        };
        let id = asked.answer_id(&self.run.task().id, call);
        loop {
            let message = answer_message(id.clone(), answer);
            match self.run.unless_over(self.run.answer_child(&child, message)).await? {
                Ok(handle) => {
                    self.waiting.child(&self.run, call, handle);
                    return Ok(());
                }
                Err(ChildError::Engine(EngineError::Unavailable(_) | EngineError::Draining)) => {
                    self.run.unless_over(tokio::time::sleep(Duration::from_millis(100))).await?;
                }
                // It has moved on by itself, or somebody else has answered it: what it comes to is waited for all the same.
                Err(ChildError::Engine(EngineError::Refused(refused))) => {
                    debug!(child = %child.id(), %refused, "a child takes no answer");
                    return Ok(());
                }
                Err(ChildError::Denied(fault)) => {
                    let error = Error::standard(Standard::Authorization, fault.text);
                    self.comes(Came::Failed { call, error });
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until something has happened, and takes all that has.
    async fn wait(&mut self) -> Result<(), Over> {
        let happened = match self.waiting.now() {
            Some(happened) => happened,
            None => {
                let rest = self.run.rest();
                let run = self.run.clone();
                let is_taken_over = run.attempt() > 1 && self.said == 0;
                let mut happened = None;
                let mut is_known = false;
                if is_taken_over {
                    let soon = tokio::time::timeout(WELL_AFTER, run.unless_over(self.waiting.next())).await;
                    match soon {
                        Ok(next) => (happened, is_known) = (next?, true),
                        Err(_elapsed) => self.say_well().await,
                    }
                }
                if !is_known {
                    happened = run.unless_over(self.waiting.next()).await?;
                }
                run.unless_over(rest.end()).await?;
                let Some(happened) = happened else { return Err(broken("the flow waits for nothing")) };
                happened
            }
        };
        self.take(happened).await?;
        while let Some(happened) = self.waiting.now() {
            self.take(happened).await?;
        }
        Ok(())
    }

    /// Says that this process has not died of the flow.
    async fn say_well(&mut self) {
        self.said += 1;
        let heard = self.listening.noted();
        self.checkpoint(&heard).await;
    }

    /// Keeps how far waits for events have heard, where no record says so.
    async fn checkpoint(&mut self, heard: &Value) {
        let checkpoint = Json::from(&json!({ "attempt": self.run.attempt(), "heard": heard }));
        match self.run.checkpoint(checkpoint).await {
            Ok(()) => self.listening.is_said(),
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
            Came::Result { output: Given::Blob(name), .. } => {
                self.outputs.0.insert(name.clone(), Arc::new(output::of_task(task)));
                self.children.remove(&call);
            }
            Came::Result { .. } | Came::Failed { .. } => {
                self.shared.mesh.credentials().take_back(self.run.task().id, call);
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

fn around<'a>(shared: &'a Shared, outputs: &'a Outputs) -> Surroundings<'a> {
    Surroundings { limits: &shared.run_limits, secrets: &shared.secrets, runtime: &shared.runtime, blobs: outputs }
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

fn ended(end: &End) -> Outcome {
    match end {
        End::Finished(output) => Outcome::Completed { artifacts: vec![output::artifact(output)], message: None },
        End::Failed(error) => Outcome::Failed(failure(error)),
        End::Canceled => Outcome::Failed(Fault::new("canceled", "the flow was canceled")),
    }
}

/// A flow's error, as the fault of its task.
fn failure(error: &Error) -> Fault {
    let what = error.detail.as_deref().or(error.title.as_deref()).unwrap_or(&error.kind);
    let text = match &error.instance {
        Some(step) => format!("step {step} failed: {what}"),
        None => format!("the flow failed: {what}"),
    };
    Fault { data: Some(Json::from(&json!({ "error": error.json() }))), ..Fault::new("flow-failed", text) }
}

pub(crate) fn broken(why: &str) -> Over {
    Over::Outcome(Outcome::Failed(Fault::new("flow-broken", format!("the flow cannot go on: {why}"))))
}

impl Shared {
    /// Keeps the definition that a run begins with, once.
    async fn keep_definition(&self, run: &Run) -> Result<(), Over> {
        self.kept.get_or_try_init(|| self.keep(run)).await.map(drop)
    }

    async fn keep(&self, run: &Run) -> Result<(), Over> {
        use crate::definition::{Keep, KeptDefinition};
        let definitions = run.aggregates::<KeptDefinition>();
        loop {
            match definitions.command(&self.id, Keep { text: self.text.to_string() }).await {
                Ok(_) | Err(EngineError::Refused(_)) => return Ok(()),
                Err(EngineError::Unavailable(_) | EngineError::Draining) => {
                    run.unless_over(tokio::time::sleep(Duration::from_millis(100))).await?;
                }
                Err(error) => return Err(ChildError::from(error).into()),
            }
        }
    }

    /// The definition that a run began with.
    async fn definition_of(&self, run: &Run, id: DefinitionId) -> Result<Arc<Definition>, Over> {
        use crate::definition::KeptDefinition;
        if id == self.id {
            return Ok(self.definition.clone());
        }
        if let Some(known) = self.earlier(id) {
            return Ok(known);
        }
        let definitions = run.aggregates::<KeptDefinition>();
        let kept = loop {
            match definitions.get(&id).await {
                Ok(kept) => break kept,
                Err(EngineError::Unavailable(_)) => {
                    run.unless_over(tokio::time::sleep(Duration::from_millis(100))).await?;
                }
                Err(error) => return Err(ChildError::from(error).into()),
            }
        };
        let kept = kept.ok_or_else(|| broken("the definition that it began with is gone"))?;
        let reading = Definition::read(&self.definition.file, &kept.text, &self.run_limits);
        let definition = reading.definition.map(Arc::new).ok_or_else(|| {
            let why = reading.findings.first().map(|finding| finding.message.clone()).unwrap_or_default();
            broken(&format!("this version does not run the definition that it began with: {why}"))
        })?;
        self.remember(id, definition.clone());
        Ok(definition)
    }
}
