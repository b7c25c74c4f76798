//! A task that is kept ready in memory: its durable state, its newest events, and the commands that wait to be decided.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock, PoisonError, Weak, atomic::AtomicUsize},
};

use bobbinet_core::{Claim, Command, Generation, Json, Message, Task, TaskId};
use bobbinet_store::{Idempotency, Version};
use tokio::sync::oneshot;

use crate::{
    EngineError,
    accounts::{Account, Kind},
    follow::Told,
    slots::Permit,
    sync::{Mutex, MutexGuard, Notify},
};

/// How many of the newest public events are kept with a task; a follower that is further behind reads the store.
const RECENT_MAX: usize = 32;

/// What an entry weighs, its events, maps and counters and a small task included. Measured, roughly.
pub(crate) const ENTRY_BYTES: usize = 2 << 10;

/// One task in memory. Whoever holds it keeps it there.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: TaskId,
    state: Mutex<State>,
    /// Hints that the durable state has changed.
    pub(crate) changed: Notify,
    /// Hints that the task has ended, waits for its caller, or was not accepted.
    pub(crate) settled: Notify,
    /// The bytes that the cache counts it with.
    pub(crate) weight: AtomicUsize,
    /// Where it is counted, once it is.
    pub(crate) account: OnceLock<Arc<Account>>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// What is durable, and so what readers see. `None`: to be loaded.
    pub(crate) durable: Option<Arc<Task>>,
    /// The newest version that was ever known here: a reader never sees an older one after it.
    pub(crate) seen: u64,
    /// The newest public events, the last of them the durable state's generation.
    pub(crate) recent: VecDeque<Arc<Told>>,
    /// What waits to be decided.
    pub(crate) queue: VecDeque<Queued>,
    /// Whether somebody decides and commits the queue.
    pub(crate) is_driven: bool,
    /// The newest word of the run, not yet in a commit.
    pub(crate) report: Option<Report>,
    /// Whether a reporter sleeps until the next report is due.
    pub(crate) is_report_due: bool,
    /// The claim of the run that is alive in this process.
    pub(crate) live: Option<Claim>,
    /// Whether its first commit is still on its way.
    pub(crate) is_new: bool,
    /// What it was admitted as, until its first commit is decided.
    pub(crate) admitted: Option<Kind>,
    /// Why its submission was not kept.
    pub(crate) lost: Option<EngineError>,
    /// How many follow it.
    pub(crate) followers: usize,
    /// Large events that were read from the store for a follower who has not taken them yet: others get the same ones.
    lent: BTreeMap<Generation, (Version, Weak<Told>)>,
}

/// A command in its queue, with what it holds and who waits for it.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) command: Command,
    pub(crate) permit: Option<Permit>,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) answer: Option<oneshot::Sender<Result<Arc<Task>, EngineError>>>,
}

/// How far a run says it is.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) claim: Claim,
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) metadata: Option<Json>,
}

impl State {
    /// Puts a command at the end of the queue. Room for no more than one at first: most queues never have a second.
    pub(crate) fn enqueue(&mut self, queued: Queued) {
        if self.queue.is_empty() {
            self.queue.reserve_exact(1);
        }
        self.queue.push_back(queued);
    }
}

impl Entry {
    pub(crate) fn new(id: TaskId) -> Arc<Self> {
        Arc::new(Self {
            id,
            state: Mutex::default(),
            changed: Notify::new(),
            settled: Notify::new(),
            weight: AtomicUsize::new(ENTRY_BYTES),
            account: OnceLock::new(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a command in its queue. Whether whoever did so is to drive it.
    pub(crate) fn enqueue(&self, queued: Queued) -> bool {
        let mut state = self.lock();
        state.enqueue(queued);
        !std::mem::replace(&mut state.is_driven, true)
    }

    /// What the one who drives is to decide next, the newest word of the run first. `None` when there is nothing: nobody
    /// drives from then on, and `ends` is called before anybody else can.
    pub(crate) fn take_batch<T>(&self, ends: impl FnOnce() -> T) -> Option<VecDeque<Queued>> {
        let mut state = self.lock();
        let report = state.report.take();
        if state.queue.is_empty() && report.is_none() {
            state.is_driven = false;
            ends();
            return None;
        }
        let mut batch = std::mem::take(&mut state.queue);
        if let Some(report) = report {
            batch.push_front(report.into());
        }
        Some(batch)
    }

    pub(crate) fn durable(&self) -> Option<Arc<Task>> {
        self.lock().durable.clone()
    }

    /// Makes a newer durable state known, with the public events that led to it.
    pub(crate) fn publish(&self, task: Arc<Task>, told: impl IntoIterator<Item = Arc<Told>>) {
        let is_settled = task.state.is_terminal() || task.state.is_interrupted();
        {
            let mut state = self.lock();
            state.is_new = false;
            // A reader who loaded it may have been faster, and has brought its events.
            if state.durable.as_ref().is_none_or(|known| known.version < task.version) {
                state.recent.extend(told);
                let surplus = state.recent.len().saturating_sub(RECENT_MAX);
                state.recent.drain(..surplus);
                state.seen = task.version;
                state.durable = Some(task);
            }
        }
        self.changed.notify_waiters();
        if is_settled {
            self.settled.notify_waiters();
        }
    }

    /// Takes a state that was read from the store, unless a newer one is known. Gives the newest, or `None` if this one
    /// is older than what was known before: it was overtaken on its way.
    pub(crate) fn adopt(&self, task: Arc<Task>, recent: VecDeque<Arc<Told>>) -> Option<Arc<Task>> {
        let mut state = self.lock();
        if let Some(known) = state.durable.as_ref().filter(|known| known.version >= task.version) {
            return Some(known.clone());
        }
        if task.version < state.seen {
            return None;
        }
        state.seen = task.version;
        state.durable = Some(task.clone());
        state.recent = recent;
        let surplus = state.recent.len().saturating_sub(RECENT_MAX);
        state.recent.drain(..surplus);
        drop(state);
        self.changed.notify_waiters();
        self.settled.notify_waiters();
        Some(task)
    }

    /// Forgets what is believed durable: the store knows better, and whoever waits looks there.
    pub(crate) fn doubt(&self) {
        {
            let mut state = self.lock();
            state.durable = None;
            state.recent.clear();
        }
        self.changed.notify_waiters();
        self.settled.notify_waiters();
    }

    /// The submission was not kept.
    pub(crate) fn lose(&self, error: EngineError) {
        self.lock().lost = Some(error);
        self.changed.notify_waiters();
        self.settled.notify_waiters();
    }

    /// What follows `generation`, as far as memory has it.
    pub(crate) fn after(&self, generation: Generation) -> After {
        let state = self.lock();
        let Some(task) = &state.durable else { return After::Unknown };
        if task.generation <= generation {
            return if task.state.is_terminal() { After::Over } else { After::Wait };
        }
        let first = state.recent.front().map_or(Generation(u64::MAX), |told| told.generation);
        if first.0 > generation.0 + 1 {
            return After::Behind;
        }
        let index = usize::try_from(generation.0 + 1 - first.0).unwrap_or(usize::MAX);
        state.recent.get(index).cloned().map_or(After::Behind, After::Told)
    }

    /// The event that follows `generation` and where in the log it stands, if another reader holds it.
    pub(crate) fn lent_after(&self, generation: Generation) -> Option<(Version, Arc<Told>)> {
        let state = self.lock();
        let (version, lent) = state.lent.get(&Generation(generation.0 + 1))?;
        Some((*version, lent.upgrade()?))
    }

    /// An event that was read from the store: this one, or the same one that another reader holds.
    pub(crate) fn lend(&self, version: Version, told: Arc<Told>) -> Arc<Told> {
        let mut state = self.lock();
        state.lent.retain(|_, (_, lent)| lent.strong_count() > 0);
        if let Some(known) = state.lent.get(&told.generation).and_then(|(_, lent)| lent.upgrade()) {
            return known;
        }
        state.lent.insert(told.generation, (version, Arc::downgrade(&told)));
        told
    }

    /// What follows `generation`; waits until there is something to say.
    pub(crate) async fn next(&self, generation: Generation) -> After {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            match self.after(generation) {
                After::Wait => {}
                found @ (After::Told(_) | After::Over | After::Behind | After::Unknown) => return found,
            }
            // The waiter is in line from here on, so a change between the look and the wait is not missed.
            changed.as_mut().enable();
            if matches!(self.after(generation), After::Wait) {
                changed.await;
            }
        }
    }

    /// Whether nobody but the cache has anything to do with it.
    pub(crate) fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }
}

/// What a follower finds.
#[derive(Debug)]
pub(crate) enum After {
    /// The next event.
    Told(Arc<Told>),
    /// Nothing yet.
    Wait,
    /// Nothing any more.
    Over,
    /// More than memory has: read the store.
    Behind,
    /// Nothing is known: load it.
    Unknown,
}
