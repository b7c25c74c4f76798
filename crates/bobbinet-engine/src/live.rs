//! An aggregate that is kept ready in memory: its durable state, its newest events, and the commands that wait to be decided.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
    pin::Pin,
    sync::{Arc, PoisonError, Weak, atomic::AtomicUsize},
};

use bobbinet_core::Generation;
use bobbinet_store::{Idempotency, Version};
use tokio::sync::{futures::Notified, oneshot};

use crate::{
    Aggregate, EngineError, PublicEvent,
    aggregate::LocalState,
    sync::{Mutex, MutexGuard, Notify},
    unkept::Unkept,
};

/// How many of the newest public events are kept with a task; a follower that is further behind reads the store.
const RECENT_MAX: usize = 32;

/// What one weighs, its events, maps and counters and a small state included. Measured for tasks, roughly.
pub(crate) const LIVE_BYTES: usize = 2 << 10;

/// One aggregate in memory. Whoever holds it keeps it there.
#[derive(Debug)]
pub(crate) struct Live<A: Aggregate> {
    pub(crate) id: A::Id,
    state: Mutex<LiveState<A>>,
    /// Hints that the durable state has changed.
    pub(crate) changed: Notify,
    /// Hints that it has come to rest, or was not accepted.
    pub(crate) settled: Notify,
    /// The bytes that the cache counts it with.
    pub(crate) weight: AtomicUsize,
}

/// What the lock of a [`Live`] guards.
#[derive(Debug)]
pub(crate) struct LiveState<A: Aggregate> {
    /// What is durable, and so what readers see. `None`: to be loaded.
    pub(crate) durable: Option<Arc<A>>,
    /// The newest version that was ever known here: a reader never sees an older one after it.
    pub(crate) seen: u64,
    /// The newest public events, the last of them the durable state's generation.
    pub(crate) recent: VecDeque<Arc<PublicEvent<A>>>,
    /// What waits to be decided.
    pub(crate) queue: VecDeque<Queued<A>>,
    /// Transactions that wait to decide: each gets its turn before the queue goes on.
    pub(crate) turns: VecDeque<Waiting<A>>,
    /// Whether somebody decides and commits the queue.
    pub(crate) is_driven: bool,
    /// Whether its first commit is still on its way, or withheld.
    pub(crate) is_new: bool,
    /// Its first commit, which waits for what follows from it. Nobody has been told of it: it goes out with whatever is asked next.
    withheld: Option<Box<Unkept<A>>>,
    /// Whether what is withheld is to go out, though nothing is asked.
    is_let_go: bool,
    /// Whether something was withheld, so that something may act on it of which the log knows nothing.
    has_begun: bool,
    /// How often it was doubted what is durable: what was read before is older than what may be in the store.
    doubts: u32,
    /// Why its first commit was not kept.
    pub(crate) lost: Option<EngineError>,
    /// How many follow it.
    pub(crate) followers: usize,
    /// Large events that were read from the store for a follower who has not taken them yet: others get the same ones.
    lent: BTreeMap<Generation, (Version, Weak<PublicEvent<A>>)>,
    /// What this process alone knows of it.
    pub(crate) local: A::Local,
}

impl<A: Aggregate> Default for LiveState<A> {
    fn default() -> Self {
        Self {
            durable: None,
            seen: 0,
            recent: VecDeque::new(),
            queue: VecDeque::new(),
            turns: VecDeque::new(),
            is_driven: false,
            is_new: false,
            withheld: None,
            is_let_go: false,
            has_begun: false,
            doubts: 0,
            lost: None,
            followers: 0,
            lent: BTreeMap::new(),
            local: A::Local::default(),
        }
    }
}

/// A transaction that waits for its turn.
#[derive(Debug)]
pub(crate) struct Waiting<A: Aggregate> {
    sender: oneshot::Sender<DecideTurn<A>>,
    driver: Arc<dyn Drive<A>>,
}

/// What is to be kept next.
#[derive(Debug)]
pub(crate) struct Batch<A: Aggregate> {
    /// What was decided before and has waited. It goes first.
    pub(crate) withheld: Option<Box<Unkept<A>>>,
    /// What is to be decided.
    pub(crate) commands: VecDeque<Queued<A>>,
}

/// A command in its queue, with what it holds and who waits for it.
#[derive(Debug)]
pub(crate) struct Queued<A: Aggregate> {
    pub(crate) command: A::Command,
    pub(crate) held: A::Held,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) answer: Option<oneshot::Sender<Result<Arc<A>, EngineError>>>,
}

impl<A: Aggregate> LiveState<A> {
    /// Puts a command at the end of the queue. Room for no more than one at first: most queues never have a second.
    pub(crate) fn enqueue(&mut self, queued: Queued<A>) {
        if self.queue.is_empty() {
            self.queue.reserve_exact(1);
        }
        self.queue.push_back(queued);
    }
}

impl<A: Aggregate> Live<A> {
    pub(crate) fn new(id: A::Id) -> Arc<Self> {
        Arc::new(Self {
            id,
            state: Mutex::default(),
            changed: Notify::new(),
            settled: Notify::new(),
            weight: AtomicUsize::new(LIVE_BYTES),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LiveState<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a command in its queue. Whether whoever did so is to drive it.
    pub(crate) fn enqueue(&self, queued: Queued<A>) -> bool {
        let mut state = self.lock();
        state.enqueue(queued);
        !std::mem::replace(&mut state.is_driven, true)
    }

    /// The right to decide, once nobody else has it. `None` if nobody will give it any more.
    pub(crate) async fn turn(self: &Arc<Self>, driver: Arc<dyn Drive<A>>) -> Option<DecideTurn<A>> {
        let waiting = {
            let mut state = self.lock();
            if std::mem::replace(&mut state.is_driven, true) {
                let (sender, receiver) = oneshot::channel();
                state.turns.push_back(Waiting { sender, driver: driver.clone() });
                Some(receiver)
            } else {
                None
            }
        };
        match waiting {
            Some(receiver) => receiver.await.ok(),
            None => Some(DecideTurn::new(self.clone(), driver)),
        }
    }

    /// Gives the right to decide to the transaction that has waited longest, if one does.
    pub(crate) fn hand_over(self: &Arc<Self>) -> bool {
        loop {
            let Some(Waiting { sender, driver }) = self.lock().turns.pop_front() else { return false };
            match sender.send(DecideTurn::new(self.clone(), driver)) {
                Ok(()) => return true,
                // It has been dropped, and we still have the right ourselves.
                Err(turn) => turn.forget(),
            }
        }
    }

    /// Whether transactions wait for their turn.
    pub(crate) fn has_turns(&self) -> bool {
        !self.lock().turns.is_empty()
    }

    /// What the one who drives is to decide next, what has not been queued first; nothing, if a transaction waits
    /// for its turn. `None` when nobody waits at all: nobody drives from then on, and `ends` is called before anybody else can.
    pub(crate) fn take_batch<T>(&self, ends: impl FnOnce() -> T) -> Option<Batch<A>> {
        let mut state = self.lock();
        let pending = state.local.take_pending_command();
        let is_let_go = std::mem::take(&mut state.is_let_go);
        if state.queue.is_empty() && pending.is_none() && state.turns.is_empty() && !is_let_go {
            state.is_driven = false;
            ends();
            return None;
        }
        let mut commands = std::mem::take(&mut state.queue);
        if let Some((command, held)) = pending {
            commands.push_front(Queued { command, held, idempotency: None, answer: None });
        }
        let withheld = if commands.is_empty() && !is_let_go { None } else { state.withheld.take() };
        Some(Batch { withheld, commands })
    }

    /// Keeps back what was decided, until something is asked of it or it is let go. For whoever drives it.
    pub(crate) fn withhold(&self, unkept: Unkept<A>) {
        let mut state = self.lock();
        state.has_begun = true;
        state.withheld = Some(Box::new(unkept));
    }

    /// Whether its first commit waits for what follows from it.
    pub(crate) fn is_withheld(&self) -> bool {
        self.lock().withheld.is_some()
    }

    /// Lets what is withheld go out. Whether whoever does so is to drive it.
    pub(crate) fn let_go(&self) -> bool {
        let mut state = self.lock();
        if state.withheld.is_none() {
            return false;
        }
        state.is_let_go = true;
        !std::mem::replace(&mut state.is_driven, true)
    }

    /// Whether its first commit is withheld or on its way, so that what has come of it is known here alone.
    pub(crate) fn is_on_its_way(&self) -> bool {
        let state = self.lock();
        state.is_new && state.lost.is_none() && state.durable.is_none()
    }

    /// Returns once its first commit is not on its way any more.
    pub(crate) async fn arrived(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.is_on_its_way() {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn durable(&self) -> Option<Arc<A>> {
        self.lock().durable.clone()
    }

    /// Makes a newer durable state known, with the public events that led to it.
    pub(crate) fn publish(&self, newer: Arc<A>, events: impl IntoIterator<Item = Arc<PublicEvent<A>>>) {
        // A reader who loaded it may have been faster, and has brought its events.
        let is_newer = |durable: Option<&Arc<A>>| durable.is_none_or(|known| known.version() < newer.version());
        self.publish_if(is_newer, newer.clone(), events);
        self.hint(newer.is_settled());
    }

    /// Makes known what another process has written after the state that was `known`, unless more is known by now. Whether it was.
    pub(crate) fn extend(
        &self,
        known: &Arc<A>,
        newer: Arc<A>,
        events: impl IntoIterator<Item = Arc<PublicEvent<A>>>,
    ) -> bool {
        let is_settled = newer.is_settled();
        let is_taken =
            self.publish_if(|durable| durable.is_some_and(|durable| Arc::ptr_eq(durable, known)), newer, events);
        self.hint(is_settled);
        is_taken
    }

    fn publish_if(
        &self,
        is_next: impl FnOnce(Option<&Arc<A>>) -> bool,
        newer: Arc<A>,
        events: impl IntoIterator<Item = Arc<PublicEvent<A>>>,
    ) -> bool {
        let mut state = self.lock();
        state.is_new = false;
        if !is_next(state.durable.as_ref()) {
            return false;
        }
        state.recent.extend(events);
        let surplus = state.recent.len().saturating_sub(RECENT_MAX);
        state.recent.drain(..surplus);
        state.lost = None;
        state.seen = newer.version();
        state.durable = Some(newer);
        true
    }

    fn hint(&self, is_settled: bool) {
        self.changed.notify_waiters();
        if is_settled {
            self.settled.notify_waiters();
        }
    }

    /// How often it was doubted what is durable: to be asked before the store is read.
    pub(crate) fn doubts(&self) -> u32 {
        self.lock().doubts
    }

    /// Takes a state that was read from the store after so many doubts, unless a newer one is known. Gives the newest, or `None` if
    /// this one may be older than what is in the store: it was overtaken on its way.
    pub(crate) fn adopt(&self, doubts: u32, read: Arc<A>, recent: VecDeque<Arc<PublicEvent<A>>>) -> Option<Arc<A>> {
        let mut state = self.lock();
        if let Some(known) = state.durable.as_ref().filter(|known| known.version() >= read.version()) {
            return Some(known.clone());
        }
        if read.version() < state.seen || doubts != state.doubts {
            return None;
        }
        state.lost = None;
        state.seen = read.version();
        state.durable = Some(read.clone());
        state.recent = recent;
        let surplus = state.recent.len().saturating_sub(RECENT_MAX);
        state.recent.drain(..surplus);
        drop(state);
        self.changed.notify_waiters();
        self.settled.notify_waiters();
        Some(read)
    }

    /// Forgets what is believed durable: the store knows better, and whoever waits looks there.
    pub(crate) fn doubt(&self) {
        {
            let mut state = self.lock();
            state.doubts = state.doubts.wrapping_add(1);
            state.durable = None;
            state.recent.clear();
        }
        self.changed.notify_waiters();
        self.settled.notify_waiters();
    }

    /// Whether somebody may act on it of whom the log knows nothing.
    pub(crate) fn has_begun(&self) -> bool {
        self.lock().has_begun
    }

    /// Its first commit was not kept, as far as is known.
    pub(crate) fn lose(&self, error: EngineError) {
        {
            let mut state = self.lock();
            state.lost = Some(error);
            state.withheld = None;
            // Whoever acts on it asks the log what has become of it.
            state.is_new &= !state.has_begun;
        }
        self.changed.notify_waiters();
        self.settled.notify_waiters();
    }

    /// What follows `generation`, as far as memory has it.
    pub(crate) fn after(&self, generation: Generation) -> After<A> {
        let state = self.lock();
        let Some(durable) = &state.durable else { return After::Unknown };
        if durable.generation() <= generation {
            return if durable.is_over() { After::Over } else { After::Wait };
        }
        let first = state.recent.front().map_or(Generation(u64::MAX), |event| event.generation);
        if first.0 > generation.0 + 1 {
            return After::Behind;
        }
        let index = usize::try_from(generation.0 + 1 - first.0).unwrap_or(usize::MAX);
        state.recent.get(index).cloned().map_or(After::Behind, After::Event)
    }

    /// The event that follows `generation` and where in the log it stands, if another reader holds it.
    pub(crate) fn lent_after(&self, generation: Generation) -> Option<(Version, Arc<PublicEvent<A>>)> {
        let state = self.lock();
        let (version, lent) = state.lent.get(&Generation(generation.0 + 1))?;
        Some((*version, lent.upgrade()?))
    }

    /// An event that was read from the store: this one, or the same one that another reader holds.
    pub(crate) fn lend(&self, version: Version, event: Arc<PublicEvent<A>>) -> Arc<PublicEvent<A>> {
        let mut state = self.lock();
        state.lent.retain(|_, (_, lent)| lent.strong_count() > 0);
        if let Some(known) = state.lent.get(&event.generation).and_then(|(_, lent)| lent.upgrade()) {
            return known;
        }
        state.lent.insert(event.generation, (version, Arc::downgrade(&event)));
        event
    }

    /// What follows `generation`. If nothing does yet, `changed` is in line for the hint that something may.
    pub(crate) fn look(&self, generation: Generation, changed: Pin<&mut Notified<'_>>) -> After<A> {
        match self.after(generation) {
            // Looked at again once it is in line, so that a change in between is not missed.
            After::Wait => {
                changed.enable();
                self.after(generation)
            }
            found @ (After::Event(_) | After::Over | After::Behind | After::Unknown) => found,
        }
    }

    /// Whether nobody but the cache has anything to do with it.
    pub(crate) fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }
}

/// Starts to decide what waits for an aggregate.
pub(crate) trait Drive<A: Aggregate>: Debug + Send + Sync {
    /// In a future that the engine owns. The caller has the right to decide, and gives it away.
    fn start_driving(&self, live: Arc<Live<A>>);
}

/// The right to decide about an aggregate. Dropped, it goes to whoever waits.
#[derive(Debug)]
pub(crate) struct DecideTurn<A: Aggregate> {
    pub(crate) live: Arc<Live<A>>,
    /// Decides what waits then; `None` once the right is somebody else's.
    driver: Option<Arc<dyn Drive<A>>>,
}

impl<A: Aggregate> DecideTurn<A> {
    pub(crate) fn new(live: Arc<Live<A>>, driver: Arc<dyn Drive<A>>) -> Self {
        Self { live, driver: Some(driver) }
    }

    /// Drops it without giving the right to anybody.
    pub(crate) fn forget(mut self) {
        self.driver = None;
    }
}

impl<A: Aggregate> Drop for DecideTurn<A> {
    fn drop(&mut self) {
        // Also if nothing seems to wait: a run's newest word may, and whoever drives finds out.
        if let Some(driver) = self.driver.take() {
            driver.start_driving(self.live.clone());
        }
    }
}

/// What a follower finds in memory after its cursor.
#[derive(Debug)]
pub(crate) enum After<A: Aggregate> {
    /// The next event.
    Event(Arc<PublicEvent<A>>),
    /// Nothing yet.
    Wait,
    /// Nothing any more.
    Over,
    /// More than memory has: read the store.
    Behind,
    /// Nothing is known: load it.
    Unknown,
}
