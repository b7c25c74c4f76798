//! The commit loop: the one place that writes (DESIGN section 3, invariant 2).
//!
//! Commands for one task queue in its entry. Whoever finds nobody driving drives: it takes all that has queued up,
//! decides it in turn, keeps it in one commit, makes it known, and answers everybody. What came in meanwhile is the
//! next batch. Only another process, or a fault of the store, makes it load and decide again.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bobbinet_core::{Command, Event, Generation, State, StreamId, Task, TaskId, Timestamp, decide};
use bobbinet_store::{Commit, CommitError, Loaded, Step, Summary, Version};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::{
    EngineError, Told,
    accounts::Kind,
    engine::Inner,
    entry::{Entry, Queued, Report},
    record,
    runner::Launch,
    slots::Permit,
    watched::watched,
};

/// Every conflict means that somebody else got a step done, so a writer that loses this often is one of a great many.
const CONFLICTS_MAX: u32 = 32;

/// The shortest time between two commits that carry nothing but progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

type Recent = VecDeque<Arc<Told>>;

/// What a batch of commands came to.
struct Decided {
    task: Option<Task>,
    /// What has happened, each with its generation if the world is told.
    events: Vec<(Option<Generation>, Event)>,
    answers: Vec<Result<(), EngineError>>,
}

impl Inner {
    /// Starts a future that the engine owns. It ends with the engine.
    pub(crate) fn start<F>(self: &Arc<Self>, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(watched("engine", future));
    }

    /// Asks something of a task. Durable when this returns `Ok`, also if the future was dropped before.
    pub(crate) async fn command(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        command: Command,
        permit: Option<Permit>,
    ) -> Result<Arc<Task>, EngineError> {
        let (sender, receiver) = oneshot::channel();
        let queued = Queued { command, permit, idempotency: None, answer: Some(sender) };
        if entry.enqueue(queued) {
            self.start_driving(entry.clone());
        }
        receiver.await.unwrap_or_else(|_| Err(self.unanswered()))
    }

    /// Why nobody answers a command: the engine ends, or whoever drove the task has panicked.
    pub(crate) fn unanswered(&self) -> EngineError {
        if self.is_draining() || self.stop.is_cancelled() {
            return EngineError::Draining;
        }
        EngineError::Unavailable("this node failed inside; what was asked may or may not have been kept".to_owned())
    }

    /// The same for a run, which owns its future and can drive itself.
    pub(crate) async fn command_of_run(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        command: Command,
    ) -> Result<Arc<Task>, EngineError> {
        let (sender, receiver) = oneshot::channel();
        let queued = Queued { command, permit: None, idempotency: None, answer: Some(sender) };
        // What fails inside here must not take the run along, which knows what its call came to.
        if entry.enqueue(queued)
            && let Some(Some(launch)) = watched("commit", self.drive(entry)).await
        {
            self.start_run(launch);
        }
        receiver.await.unwrap_or_else(|_| Err(self.unanswered()))
    }

    /// Takes the newest word of a run. It goes out with the next commit, or with one of its own in a while.
    pub(crate) fn report(self: &Arc<Self>, entry: &Arc<Entry>, report: Report) {
        let is_first = {
            let mut state = entry.lock();
            state.report = Some(report);
            !std::mem::replace(&mut state.is_report_due, true)
        };
        if is_first {
            let (engine, entry) = (self.clone(), entry.clone());
            self.start(async move {
                tokio::select! {
                    biased;
                    () = engine.stop.cancelled() => return,
                    () = tokio::time::sleep(PROGRESS_EVERY) => {}
                }
                let is_driver = {
                    let mut state = entry.lock();
                    state.is_report_due = false;
                    state.report.is_some() && !std::mem::replace(&mut state.is_driven, true)
                };
                if is_driver && let Some(launch) = engine.drive(&entry).await {
                    engine.run(launch).await;
                }
            });
        }
    }

    pub(crate) fn start_driving(self: &Arc<Self>, entry: Arc<Entry>) {
        let engine = self.clone();
        self.start(async move {
            if let Some(launch) = engine.drive(&entry).await {
                drop(entry);
                engine.run(launch).await;
            }
        });
    }

    /// Decides and commits until the queue is empty. Gives the run that has come out of it, if one has.
    ///
    /// Its future must be owned by the engine: dropped in the middle, the task would take no more commands.
    pub(crate) async fn drive(self: &Arc<Self>, entry: &Arc<Entry>) -> Option<Launch> {
        let mut launch = None;
        let mut driving = Driving { engine: self, entry, is_over: false };
        loop {
            let Some(batch) = entry.take_batch(|| driving.is_over = true) else { return launch };
            if let Some(next) = self.commit(entry, batch).await
                && let Some(earlier) = launch.replace(next)
            {
                self.start_run(earlier);
            }
        }
    }

    async fn commit(self: &Arc<Self>, entry: &Arc<Entry>, mut batch: VecDeque<Queued>) -> Option<Launch> {
        for _ in 0..CONFLICTS_MAX {
            let before = match self.state_of(entry).await {
                Ok(before) => before,
                Err(error) => {
                    self.fail(entry, batch, &error);
                    return None;
                }
            };
            if let Some(launch) = self.launch_doubted(entry, before.as_ref(), &mut batch) {
                answer(batch, &[Ok(())], before.as_ref());
                return Some(launch);
            }
            self.refresh(entry, &mut batch);
            let now = self.world.now();
            // Taken apart here, so that what is not needed does not lie in every future that waits for its commit.
            let Decided { task, events, answers } = self.decide(&entry.id, before.as_deref(), &batch, now);
            let Some(task) = task.map(Arc::new) else {
                answer(batch, &answers, before.as_ref());
                return None;
            };
            let expected = Version(before.as_ref().map_or(0, |task| task.version));
            let step = Step {
                stream: entry.id.stream(),
                expected,
                records: record::encode(now, events.iter().map(|(generation, event)| (*generation, event))),
                cells: Vec::new(),
                summary: Some(self.summary(&task)),
            };
            let idempotency = batch.iter_mut().find_map(|queued| queued.idempotency.clone());
            let is_intent = task.open_call().is_some();
            bobbinet_store::crash::point(if is_intent { "intent-before" } else { "outcome-before" });
            let on_its_way = self.accounts.commit_begins();
            let committed = self.store.commit(Commit { steps: vec![step], idempotency }).await;
            match committed {
                Ok(()) => {
                    bobbinet_store::crash::point(if is_intent { "intent-after" } else { "outcome-after" });
                    self.count(entry, before.as_deref(), &task);
                    drop(on_its_way);
                    self.doubts.settle(&entry.id);
                    entry.publish(task.clone(), told(now, events));
                    self.hot.weigh(entry, &task);
                    let launch = self.launch(entry, before.as_deref(), &task, &mut batch);
                    answer(batch, &answers, Some(&task));
                    return launch;
                }
                Err(CommitError::Conflict { actual, .. }) => {
                    debug!(task = %entry.id, ?expected, ?actual, "somebody else was first");
                    entry.doubt();
                }
                Err(CommitError::Duplicate { stream, body_hash }) => {
                    self.repeat(entry, batch, &stream, body_hash).await;
                    return None;
                }
                Err(full @ CommitError::Full { .. }) => {
                    self.fail(entry, batch, &full.into());
                    return None;
                }
                Err(error) => {
                    warn!(task = %entry.id, %error, "a commit failed");
                    self.doubt(entry, before.as_deref(), &task);
                    self.accounts.doubt();
                    entry.doubt();
                    self.fail(entry, batch, &error.into());
                    return None;
                }
            }
        }
        let error = EngineError::Unavailable(format!("task {} is written too often", entry.id));
        self.fail(entry, batch, &error);
        None
    }

    async fn state_of(&self, entry: &Arc<Entry>) -> Result<Option<Arc<Task>>, EngineError> {
        let is_new = {
            let state = entry.lock();
            if let Some(task) = &state.durable {
                return Ok(Some(task.clone()));
            }
            state.is_new
        };
        if is_new { Ok(None) } else { self.load(entry).await }
    }

    /// What only this process knows, as of now: whether the run that asked is alive to hear an answer.
    fn refresh(&self, entry: &Entry, batch: &mut VecDeque<Queued>) {
        for queued in batch {
            if let Command::Reply { is_live, .. } = &mut queued.command {
                let state = entry.lock();
                *is_live = state.live.is_some() && state.live == state.durable.as_ref().and_then(|task| task.claim);
            }
        }
    }

    fn decide(&self, id: &TaskId, before: Option<&Task>, batch: &VecDeque<Queued>, now: Timestamp) -> Decided {
        let mut decided = Decided { task: None, events: Vec::new(), answers: Vec::with_capacity(batch.len()) };
        for queued in batch {
            let state = decided.task.as_ref().or(before);
            match decide(id, state, queued.command.clone(), &self.limits) {
                Ok(events) => {
                    decided.events.reserve_exact(events.len());
                    for event in events {
                        decided.take(id, before, now, event);
                    }
                    decided.answers.push(Ok(()));
                }
                Err(refused) => decided.answers.push(Err(refused.into())),
            }
        }
        decided
    }

    pub(crate) fn summary(&self, task: &Task) -> Summary {
        let due = match task.state {
            // At once, whatever the clock says now or will say after a restart.
            State::Submitted if task.is_unserved => Some(task.status_at.after(self.limits.unserved_life())),
            State::Submitted | State::Working => Some(Timestamp::default()),
            State::InputRequired | State::AuthRequired => Some(task.status_at.after(self.limits.question_life())),
            State::Completed | State::Failed | State::Canceled | State::Rejected => {
                Some(task.status_at.after(self.limits.retention()))
            }
        };
        Summary {
            tenant: task.tenant.shared(),
            owner: task.owner.shared(),
            agent: task.agent.shared(),
            context: task.context.shared(),
            state: task.state.code(),
            status_at: task.status_at,
            due,
        }
    }

    /// Counts the task as what it is now.
    fn count(&self, entry: &Entry, before: Option<&Task>, after: &Task) {
        let account = entry.account.get_or_init(|| self.accounts.of(&after.tenant, &after.owner));
        let kind = |task: &Task| Kind::of(task.state, self.seats.contains_key(&task.agent));
        let Some(before) = before else {
            if let Some(admitted) = entry.lock().admitted.take() {
                self.accounts.settle(account, admitted, kind(after));
            }
            return;
        };
        self.accounts.change(account, kind(before), kind(after));
    }

    /// What follows from a commit: a task that waits for its run stands in line, a run that was claimed begins.
    fn launch(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        before: Option<&Task>,
        task: &Arc<Task>,
        batch: &mut VecDeque<Queued>,
    ) -> Option<Launch> {
        let permit = batch.iter_mut().find_map(|queued| queued.permit.take());
        match task.state {
            State::Submitted => {
                drop(permit);
                self.line_up(task.agent.as_str(), task.id);
                None
            }
            State::Working => {
                let claim = task.claim.filter(|claim| claim.runner == self.runner)?;
                // Only a claim that is new begins a run. One that was there before had its run, which may be over by
                // now: whether its call is made again is for `decide` to say.
                if before.and_then(|before| before.claim) == Some(claim) {
                    return None;
                }
                // A claim is decided only with a slot in hand, and the slot came with the command.
                let permit = permit?;
                entry.lock().live = Some(claim);
                Some(Launch { entry: entry.clone(), task: task.clone(), claim, permit })
            }
            State::InputRequired
            | State::AuthRequired
            | State::Completed
            | State::Failed
            | State::Canceled
            | State::Rejected => None,
        }
    }

    /// A commit may have been kept or not. If it claims the task, no run begins for that now: should the claim be in the
    /// log after all, its call has certainly not been made.
    fn doubt(&self, entry: &Entry, before: Option<&Task>, task: &Task) {
        let claim = task.claim.filter(|claim| claim.runner == self.runner);
        if let Some(claim) = claim.filter(|_| before.and_then(|before| before.claim) != claim) {
            self.doubts.note(entry.id, claim);
        }
    }

    /// A task is to be taken over whose claim was in doubt and turns out to be in the log: its run begins now. Nothing is
    /// lost, so nothing is asked, and nothing more is intended.
    fn launch_doubted(
        &self,
        entry: &Arc<Entry>,
        before: Option<&Arc<Task>>,
        batch: &mut VecDeque<Queued>,
    ) -> Option<Launch> {
        let [Queued { command: Command::TakeOver { slot: Some(_) }, permit, .. }] = batch.make_contiguous() else {
            return None;
        };
        let task = before.filter(|task| task.state == State::Working)?;
        let mut state = entry.lock();
        if state.live.is_some() {
            return None;
        }
        let claim = task.claim.filter(|claim| self.doubts.take(&entry.id, *claim))?;
        let permit = permit.take()?;
        state.live = Some(claim);
        drop(state);
        Some(Launch { entry: entry.clone(), task: task.clone(), claim, permit })
    }

    /// A request came again under its key: whoever waits gets the task that the first one made.
    async fn repeat(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        batch: VecDeque<Queued>,
        stream: &StreamId,
        body_hash: [u8; 32],
    ) {
        let is_same =
            batch.iter().filter_map(|queued| queued.idempotency.as_ref()).all(|key| key.body_hash == body_hash);
        let error = match stream.as_task() {
            Some(first) if is_same => EngineError::Repeated(first),
            Some(_) | None => EngineError::IdempotencyConflict,
        };
        self.fail(entry, batch, &error);
    }

    fn fail(&self, entry: &Arc<Entry>, batch: VecDeque<Queued>, error: &EngineError) {
        let (is_lost, admitted) = {
            let mut state = entry.lock();
            (state.is_new, state.admitted.take())
        };
        if let Some((account, admitted)) = entry.account.get().zip(admitted) {
            self.accounts.settle(account, admitted, None);
        }
        if is_lost {
            self.hot.remove(&entry.id);
            entry.lose(error.clone());
        }
        for queued in batch {
            if let Some(waiting) = queued.answer {
                // Whoever does not wait any more has been dropped.
                let _ = waiting.send(Err(error.clone()));
            }
        }
    }
}

/// Whoever drives a task. Dropped in the middle, by a panic or with the engine, it leaves the task as one that nobody drives:
/// what waits is answered, and the next who asks loads what is durable.
struct Driving<'a> {
    engine: &'a Inner,
    entry: &'a Arc<Entry>,
    is_over: bool,
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let queue = {
            let mut state = self.entry.lock();
            state.is_driven = false;
            state.report = None;
            std::mem::take(&mut state.queue)
        };
        self.engine.fail(self.entry, queue, &self.engine.unanswered());
        self.entry.doubt();
    }
}

impl Decided {
    fn take(&mut self, id: &TaskId, before: Option<&Task>, now: Timestamp, event: Event) {
        match (&mut self.task, before) {
            (Some(task), _) => task.apply(now, &event),
            (None, Some(before)) => self.task.insert(before.clone()).apply(now, &event),
            (None, None) => self.task = Task::fold(*id, [(now, &event)]),
        }
        let task = self.task.as_ref().expect("a task that does not exist is decided to begin, and nothing else");
        let generation = event.is_public().then_some(task.generation);
        self.events.push((generation, event));
    }
}

/// The public ones of some events.
fn told(
    at: Timestamp,
    events: impl IntoIterator<Item = (Option<Generation>, Event)>,
) -> impl Iterator<Item = Arc<Told>> {
    let told =
        move |(generation, event): (Option<Generation>, _)| Some(Arc::new(Told { generation: generation?, at, event }));
    events.into_iter().filter_map(told)
}

fn answer(batch: VecDeque<Queued>, answers: &[Result<(), EngineError>], task: Option<&Arc<Task>>) {
    for (queued, outcome) in batch.into_iter().zip(answers) {
        let Some(waiting) = queued.answer else { continue };
        let answer = match (outcome, task) {
            (Ok(()), Some(task)) => Ok(task.clone()),
            (Err(error), _) => Err(error.clone()),
            (Ok(()), None) => Err(EngineError::NotFound),
        };
        // Whoever does not wait any more has been dropped.
        let _ = waiting.send(answer);
    }
}

impl From<Report> for Queued {
    fn from(report: Report) -> Self {
        let Report { claim, message, metadata } = report;
        let command = Command::Progress { claim, message, metadata };
        Self { command, permit: None, idempotency: None, answer: None }
    }
}

/// A task, from its whole log.
pub(crate) fn fold(id: TaskId, loaded: &Loaded) -> Result<Arc<Task>, EngineError> {
    fold_kept(id, &decode(id, loaded)?)
}

fn decode(id: TaskId, loaded: &Loaded) -> Result<Vec<record::Kept>, EngineError> {
    if loaded.trimmed > Version::ZERO {
        return Err(EngineError::Corrupt(format!("the beginning of task {id} was trimmed away")));
    }
    loaded.records.iter().map(record::decode).collect()
}

fn fold_kept(id: TaskId, kept: &[record::Kept]) -> Result<Arc<Task>, EngineError> {
    let task = Task::fold(id, kept.iter().map(|kept| (kept.at, &kept.event)));
    task.map(Arc::new).ok_or_else(|| EngineError::Corrupt(format!("the log of task {id} does not begin as one")))
}

impl Inner {
    /// A task and its newest public events, from the store.
    pub(crate) async fn read(&self, stream: &StreamId) -> Result<Option<(Arc<Task>, Recent)>, EngineError> {
        let Some(id) = stream.as_task() else { return Ok(None) };
        let Some(loaded) = self.store.load(stream).await? else { return Ok(None) };
        let kept = decode(id, &loaded)?;
        let task = fold_kept(id, &kept)?;
        let told = |kept: record::Kept| {
            let generation: Generation = kept.generation?;
            Some(Arc::new(Told { generation, at: kept.at, event: kept.event }))
        };
        Ok(Some((task, kept.into_iter().filter_map(told).collect())))
    }
}
