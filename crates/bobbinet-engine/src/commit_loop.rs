//! The commit loop, and all else that is alike for every kind of aggregate: the one place that writes (DESIGN section 3, invariant 2).
//!
//! Commands for one aggregate queue with it. Whoever finds nobody driving drives: it takes all that has queued up,
//! decides it in turn, keeps it in one commit, makes it known, and answers everybody. What came in meanwhile is the
//! next batch. Only another process, or a fault of the store, makes it load and decide again.
//!
//! A first commit may be withheld ([`Hooks::withholds`]): what has been decided waits for what is asked next, and goes out with that.

mod beginning;
mod decided;

use std::{
    collections::VecDeque,
    fmt::{self, Debug},
    sync::Arc,
};

use bobbinet_core::{Limits, StreamId, Timestamp};
use bobbinet_store::{Commit, CommitError, Loaded, Page, Record, Store, Version};
use tokio::sync::{Semaphore, oneshot};
use tracing::{debug, warn};

use crate::{
    Aggregate, EngineError, Env, PublicEvent, blob_links,
    blobs::TaskBlobs,
    cache::{Cache, Place},
    live::{Batch, Live, Queued},
    record::{self, RecordedEvent},
    unkept::{News, Unkept},
};

pub(crate) use beginning::Beginning;
use beginning::Beginnings;
pub(crate) use decided::Decided;

/// Every conflict means that somebody else got a step done, so a writer that loses this often is one of a great many.
const CONFLICTS_MAX: u32 = 32;

/// A read is repeated only when a commit has overtaken it, so one that is repeated this often is very slow.
const LOADS_MAX: u32 = 32;

/// How many followers read from the store at the same time: each may have read 64 MiB before it has seen that it is so much.
const COLD_READS_MAX: usize = 4;

/// How many records are read at a time of what another process has written.
const CATCH_UP_PAGE: usize = 64;

/// All aggregates of one kind: their cache, how they are read, and the loop that commits what is asked of them.
pub(crate) struct AggregateStreams<A: Aggregate> {
    pub(crate) store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    limits: Limits,
    pub(crate) cache: Cache<A>,
    /// Followers that read from the store at the same time.
    pub(crate) cold_reads: Semaphore,
    /// Whether other processes write to the store, so that memory may be behind it.
    is_shared: bool,
    /// Those that catch up with what another process has written.
    catching_up: Semaphore,
    /// What the URLs in its log lead to, if this node keeps such.
    blobs: Option<TaskBlobs>,
}

/// What a kind does around its commits.
pub(crate) trait Hooks<A: Aggregate>: Send + Sync {
    /// What a commit can lead to, beside itself: a task's run.
    type Next: Send;
    /// What is held while a commit is on its way.
    type OnItsWay<'a>: Send
    where
        Self: 'a;

    /// Adds to commands what only this process knows, as of now.
    fn prepare(&self, live: &Live<A>, batch: &mut VecDeque<Queued<A>>);

    /// Whether a commit that leads to this state waits for what follows from it. Only where nobody was told of it, nobody waits for it,
    /// and all that follows from it may be lost with it.
    fn withholds(&self, before: Option<&A>, after: &A, batch: &VecDeque<Queued<A>>) -> bool {
        let _ = (before, after, batch);
        false
    }

    /// A commit begins that leads to this state.
    fn begin(&self, after: &A) -> Self::OnItsWay<'_>;

    /// It is durable, and nobody has been told yet.
    fn kept(&self, live: &Live<A>, before: Option<&A>, after: &A, on_its_way: Self::OnItsWay<'_>);

    /// It is durable and known: what follows from it.
    fn next(
        &self,
        live: &Arc<Live<A>>,
        before: Option<&A>,
        after: &Arc<A>,
        batch: &mut VecDeque<Queued<A>>,
    ) -> Option<Self::Next>;

    /// What has come of an earlier commit of the same driver is begun apart.
    fn start(&self, next: Self::Next);

    /// What begins together with a command that holds this.
    fn beginnings(&self, held: &mut A::Held) -> Vec<Beginning<A>> {
        let _ = held;
        Vec::new()
    }

    /// One has begun together with a command to another, and nobody drives it yet.
    fn begun(&self, live: Arc<Live<A>>, next: Option<Self::Next>);

    /// A commit that leads to this state may have been kept or not.
    fn doubt(&self, live: &Live<A>, before: Option<&A>, after: &A);

    /// Nothing was kept of a batch.
    fn failed(&self, live: &Live<A>);

    /// Why nobody answers a command.
    fn unanswered(&self) -> EngineError;

    /// What whoever repeats a request is told, whose first time made this stream.
    fn repeated(&self, first: &StreamId) -> Option<EngineError>;
}

type Recent<A> = VecDeque<Arc<PublicEvent<A>>>;

impl<A: Aggregate> AggregateStreams<A> {
    pub(crate) fn new(store: Arc<dyn Store>, env: Arc<dyn Env>, limits: &Limits) -> Self {
        Self {
            is_shared: store.is_shared(),
            store,
            env,
            limits: limits.clone(),
            cache: Cache::new(limits),
            cold_reads: Semaphore::new(COLD_READS_MAX),
            catching_up: Semaphore::new(COLD_READS_MAX),
            blobs: None,
        }
    }

    /// The same, whose log names what is beside it.
    pub(crate) fn with_blobs(self, blobs: Option<TaskBlobs>) -> Self {
        Self { blobs, ..self }
    }

    /// An event as it was kept, with the URLs in it as they are now.
    pub(crate) fn decode(&self, record: &Record) -> Result<RecordedEvent<A::Event>, EngineError> {
        match &self.blobs {
            Some(blobs) => record::decode_as(record, |text| blob_links::at_present(blobs, text)),
            None => record::decode(record),
        }
    }

    /// An aggregate, from its whole log.
    pub(crate) fn fold(&self, id: &A::Id, loaded: &Loaded) -> Result<Arc<A>, EngineError> {
        fold_recorded(id, &self.decode_all(id, loaded)?)
    }

    fn decode_all(&self, id: &A::Id, loaded: &Loaded) -> Result<Vec<RecordedEvent<A::Event>>, EngineError> {
        if loaded.trimmed > Version::ZERO && !A::CAN_BE_TRIMMED {
            return Err(EngineError::Corrupt(format!("the beginning of {id} was trimmed away")));
        }
        loaded.records.iter().map(|record| self.decode(record)).collect()
    }

    /// Drops one from the store and from memory.
    pub(crate) async fn forget(&self, id: &A::Id) -> Result<(), EngineError> {
        let live = self.cache.get(id);
        self.cache.remove(id);
        self.store.forget(&A::stream(id)).await?;
        // Whoever still has it, or has brought it back to memory meanwhile, finds that it is gone.
        let brought_back = self.cache.get(id);
        self.cache.remove(id);
        live.into_iter().chain(brought_back).for_each(|live| live.doubt());
        Ok(())
    }

    /// The one of this id, if it exists: as new as the store when it was asked.
    pub(crate) async fn find(&self, id: &A::Id) -> Result<Option<Arc<Live<A>>>, EngineError> {
        let arriving = match self.cache.find(id) {
            Place::Here(live) => {
                let is_unborn = live.lock().is_new;
                let is_there = !is_unborn && (!self.is_shared || self.catch_up(&live).await?);
                return Ok(is_there.then_some(live));
            }
            Place::Arriving(arriving) => arriving,
        };
        if self.load(&arriving.live).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.cache.insert(arriving.live.clone())))
    }

    /// The same where the store has told of it: then one whose first commit is on its way from here is waited for, as it is kept, and
    /// known to others.
    pub(crate) async fn find_kept(&self, id: &A::Id) -> Result<Option<Arc<Live<A>>>, EngineError> {
        if let Some(live) = self.cache.get(id) {
            live.arrived().await;
        }
        self.find(id).await
    }

    /// The place in memory of one that may not exist: then each look at it asks the store, as others may begin it too.
    pub(crate) async fn place(&self, id: &A::Id) -> Result<Arc<Live<A>>, EngineError> {
        loop {
            match self.cache.find(id) {
                Place::Here(live) => {
                    if !self.is_shared || self.catch_up(&live).await? {
                        return Ok(live);
                    }
                }
                Place::Arriving(arriving) => {
                    self.load(&arriving.live).await?;
                    return Ok(self.cache.insert(arriving.live.clone()));
                }
            }
        }
    }

    /// Reads one from the store into its place in memory.
    pub(crate) async fn load(&self, live: &Arc<Live<A>>) -> Result<Option<Arc<A>>, EngineError> {
        for _ in 0..LOADS_MAX {
            let doubts = live.doubts();
            let Some((state, recent)) = self.read(&live.id).await? else { return Ok(None) };
            self.cache.weigh(live, &state);
            if let Some(known) = live.adopt(doubts, state, recent) {
                return Ok(Some(known));
            }
        }
        Err(EngineError::Unavailable(format!("{} changes faster than it can be read", live.id)))
    }

    /// One as it stands at this version of its stream, at least, which the store has told.
    pub(crate) async fn at_least(&self, live: &Arc<Live<A>>, version: Version) -> Result<Option<Arc<A>>, EngineError> {
        loop {
            match live.durable() {
                Some(known) if known.version() >= version.0 => return Ok(Some(known)),
                // Only another process can have brought it there.
                Some(known) => self.read_on(live, known).await?,
                None => return self.load(live).await,
            }
        }
    }

    /// Waits for a hint that one has changed: ours, or on a store with other writers also the store's.
    pub(crate) async fn wait(&self, live: &Arc<Live<A>>, hinted: impl Future<Output = ()>) -> Result<(), EngineError> {
        if !self.is_shared {
            hinted.await;
            return Ok(());
        }
        let changed = live.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let Some(known) = live.durable() else {
            // Whoever waits loads it, unless its first commit is on its way: then the store may have it already, and what has come of
            // that is known here alone.
            if live.is_on_its_way() {
                tokio::select! {
                    biased;
                    () = hinted => {}
                    () = changed => {}
                }
            }
            return Ok(());
        };
        let stream = A::stream(&live.id);
        tokio::select! {
            biased;
            () = hinted => Ok(()),
            () = self.store.changed(&stream, Version(known.version())) => self.catch_up(live).await.map(drop),
        }
    }

    /// Takes in what other processes have written. Whether it is there.
    async fn catch_up(&self, live: &Arc<Live<A>>) -> Result<bool, EngineError> {
        if live.durable().is_none() {
            // Whoever wants it loads the newest.
            return Ok(true);
        }
        // Of many who were woken by the same change, the first ones read it.
        let _turn = self.catching_up.acquire().await;
        match self.store.summary(&A::stream(&live.id)).await? {
            Some((version, _)) => self.at_least(live, version).await.map(|state| state.is_some()),
            None => {
                self.cache.remove(&live.id);
                live.doubt();
                Ok(false)
            }
        }
    }

    /// Reads what follows the state that is known.
    async fn read_on(&self, live: &Live<A>, known: Arc<A>) -> Result<(), EngineError> {
        let page = self.store.read(&A::stream(&live.id), Version(known.version()), CATCH_UP_PAGE).await?;
        let records = match page {
            Page::Records(records) if !records.is_empty() => records,
            // It was trimmed that far, or is gone.
            Page::Records(_) | Page::Trimmed { .. } => {
                live.doubt();
                return Ok(());
            }
        };
        let mut newer = A::clone(&known);
        let mut events = Vec::new();
        for record in &records {
            let kept = self.decode(record)?;
            newer.apply(kept.at, &kept.event);
            events.extend(PublicEvent::of(kept));
        }
        let newer = Arc::new(newer);
        if live.extend(&known, newer.clone(), events) {
            self.cache.weigh(live, &newer);
        }
        Ok(())
    }

    /// One and its newest public events, from the store.
    pub(crate) async fn read(&self, id: &A::Id) -> Result<Option<(Arc<A>, Recent<A>)>, EngineError> {
        let Some(loaded) = self.store.load(&A::stream(id)).await? else { return Ok(None) };
        let kept = self.decode_all(id, &loaded)?;
        let state = fold_recorded(id, &kept)?;
        Ok(Some((state, kept.into_iter().filter_map(PublicEvent::of).collect())))
    }

    /// Decides and commits until the queue is empty. Gives what has come out of it, if anything has.
    ///
    /// Its future must be owned by the engine: dropped in the middle, the aggregate would take no more commands.
    pub(crate) async fn drive<H: Hooks<A>>(&self, live: &Arc<Live<A>>, hooks: &H) -> Option<H::Next> {
        let mut next = None;
        let mut driving = Driving { streams: self, live, hooks, is_over: false };
        loop {
            if live.has_turns() && live.hand_over() {
                driving.is_over = true;
                return next;
            }
            let Some(batch) = live.take_batch(|| driving.is_over = true) else { return next };
            if batch.commands.is_empty() && batch.withheld.is_none() {
                // A transaction has come to wait since the look for one.
                continue;
            }
            if let Some(newer) = self.commit(live, hooks, batch).await
                && let Some(earlier) = next.replace(newer)
            {
                hooks.start(earlier);
            }
        }
    }

    async fn commit<H: Hooks<A>>(&self, live: &Arc<Live<A>>, hooks: &H, batch: Batch<A>) -> Option<H::Next> {
        let Batch { mut withheld, commands: mut batch } = batch;
        let mut beginnings = Beginnings::of(self, hooks, &mut batch);
        for _ in 0..CONFLICTS_MAX {
            let durable = match self.state_of(live).await {
                Ok(durable) => durable,
                Err(error) => {
                    beginnings.fail(&error);
                    self.fail(live, hooks, batch, &error);
                    return None;
                }
            };
            // What is asked of one that is withheld is decided on that. A conflict, which nobody can cause who does not know of it, would
            // leave what is asked to be decided on what the store has.
            let before = withheld.as_ref().map(|withheld| withheld.news.state.clone()).or_else(|| durable.clone());
            hooks.prepare(live, &mut batch);
            let now = self.env.now();
            // Taken apart here, so that what is not needed does not lie in every future that waits for its commit.
            let commands = batch.iter().map(|queued| &queued.command);
            let decided = self.decide(&live.id, before.as_deref(), commands, now);
            let (unkept, answers) = decided.unkept(&live.id, before.as_deref(), now, &self.limits);
            let unkept = match withheld.take() {
                Some(withheld) => Some(withheld.then(unkept)),
                None => unkept,
            };
            let Some(unkept) = unkept else {
                hooks.failed(live);
                answer(batch, &answers, before.as_ref());
                return None;
            };
            if hooks.withholds(durable.as_deref(), &unkept.news.state, &batch)
                && let Some(next) = hooks.next(live, None, &unkept.news.state, &mut batch)
            {
                live.withhold(unkept);
                return Some(next);
            }
            let Unkept { step, news: News { state: after, events } } = unkept;
            let idempotency = batch.iter_mut().find_map(|queued| queued.idempotency.clone());
            let on_its_way = hooks.begin(&after);
            let mut steps = vec![step];
            let together = beginnings.join(&mut steps, &answers, now);
            let committed = self.store.commit(Commit { steps, idempotency }).await;
            match committed {
                Ok(()) => {
                    beginnings.begin(together);
                    hooks.kept(live, durable.as_deref(), &after, on_its_way);
                    live.publish(after.clone(), events);
                    self.cache.weigh(live, &after);
                    let next = hooks.next(live, before.as_deref(), &after, &mut batch);
                    answer(batch, &answers, Some(&after));
                    return next;
                }
                Err(CommitError::Conflict { actual, .. }) => {
                    debug!(id = %live.id, ?actual, "somebody else was first");
                    if actual > Version::ZERO {
                        live.lock().is_new = false;
                    }
                    live.doubt();
                }
                Err(CommitError::Duplicate { stream, body_hash }) => {
                    self.repeat(live, hooks, batch, &stream, body_hash);
                    return None;
                }
                Err(full @ CommitError::Full { .. }) => {
                    let error = full.into();
                    beginnings.fail(&error);
                    self.fail(live, hooks, batch, &error);
                    return None;
                }
                Err(error) => {
                    warn!(id = %live.id, %error, "a commit failed");
                    hooks.doubt(live, durable.as_deref(), &after);
                    live.doubt();
                    let error = error.into();
                    beginnings.doubt(together, &error);
                    self.fail(live, hooks, batch, &error);
                    return None;
                }
            }
        }
        let error = EngineError::Unavailable(format!("{} is written too often", live.id));
        self.fail(live, hooks, batch, &error);
        None
    }

    /// The limits that `decide` goes by.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) async fn state_of(&self, live: &Arc<Live<A>>) -> Result<Option<Arc<A>>, EngineError> {
        let is_new = {
            let state = live.lock();
            if let Some(durable) = &state.durable {
                return Ok(Some(durable.clone()));
            }
            state.is_new
        };
        if is_new { Ok(None) } else { self.load(live).await }
    }

    pub(crate) fn decide<'a>(
        &self,
        id: &A::Id,
        before: Option<&A>,
        commands: impl ExactSizeIterator<Item = &'a A::Command>,
        now: Timestamp,
    ) -> Decided<A> {
        let mut decided = Decided { state: None, events: Vec::new(), answers: Vec::with_capacity(commands.len()) };
        for command in commands {
            let state = decided.state.as_ref().or(before);
            match A::decide(id, state, command.clone(), &self.limits) {
                Ok(events) => {
                    decided.events.reserve_exact(events.len());
                    for event in events {
                        decided.take(id, before, now, event);
                    }
                    decided.answers.push(Ok(()));
                }
                Err(refused) => decided.answers.push(Err(refused)),
            }
        }
        decided
    }

    /// A request came again under its key: whoever waits gets what the first one made.
    fn repeat<H: Hooks<A>>(
        &self,
        live: &Arc<Live<A>>,
        hooks: &H,
        batch: VecDeque<Queued<A>>,
        stream: &StreamId,
        body_hash: [u8; 32],
    ) {
        let is_same =
            batch.iter().filter_map(|queued| queued.idempotency.as_ref()).all(|key| key.body_hash == body_hash);
        let first = hooks.repeated(stream).filter(|_| is_same);
        self.fail(live, hooks, batch, &first.unwrap_or(EngineError::IdempotencyConflict));
    }

    fn fail<H: Hooks<A>>(&self, live: &Arc<Live<A>>, hooks: &H, batch: VecDeque<Queued<A>>, error: &EngineError) {
        let is_lost = live.lock().is_new;
        hooks.failed(live);
        if is_lost {
            // Where something acts on it already, whoever finds it in the log after all must find that too. Removed first, so that
            // whoever hears that it is lost finds nothing but the log.
            if !live.has_begun() {
                self.cache.remove(&live.id);
            }
            live.lose(error.clone());
        }
        for queued in batch {
            if let Some(waiting) = queued.answer {
                // Whoever does not wait any more has been dropped.
                let _ = waiting.send(Err(error.clone()));
            }
        }
    }
}

impl<A: Aggregate> Debug for AggregateStreams<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AggregateStreams").finish_non_exhaustive()
    }
}

/// Whoever drives an aggregate. Dropped in the middle, by a panic or with the engine, it leaves it as one that nobody drives:
/// what waits is answered, and the next who asks loads what is durable.
struct Driving<'a, A: Aggregate, H: Hooks<A>> {
    streams: &'a AggregateStreams<A>,
    live: &'a Arc<Live<A>>,
    hooks: &'a H,
    is_over: bool,
}

impl<A: Aggregate, H: Hooks<A>> Drop for Driving<'_, A, H> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut queue = {
            let mut state = self.live.lock();
            state.is_driven = false;
            // Dropped, not said: who said it goes on, or is gone too.
            drop(crate::aggregate::LocalState::<A>::take_pending_command(&mut state.local));
            state.turns.clear();
            std::mem::take(&mut state.queue)
        };
        // What was to begin with it does not.
        drop(Beginnings::of(self.streams, self.hooks, &mut queue));
        self.streams.fail(self.live, self.hooks, queue, &self.hooks.unanswered());
        self.live.doubt();
    }
}

fn answer<A: Aggregate>(batch: VecDeque<Queued<A>>, answers: &[Result<(), EngineError>], state: Option<&Arc<A>>) {
    for (queued, outcome) in batch.into_iter().zip(answers) {
        let Some(waiting): Option<oneshot::Sender<_>> = queued.answer else { continue };
        let answer = match (outcome, state) {
            (Ok(()), Some(state)) => Ok(state.clone()),
            (Err(error), _) => Err(error.clone()),
            (Ok(()), None) => Err(EngineError::NotFound),
        };
        // Whoever does not wait any more has been dropped.
        let _ = waiting.send(answer);
    }
}

fn fold_recorded<A: Aggregate>(id: &A::Id, kept: &[RecordedEvent<A::Event>]) -> Result<Arc<A>, EngineError> {
    let mut log = kept.iter();
    let mut state = log.next().and_then(|first| A::begin(id, first.at, &first.event));
    if let Some(state) = &mut state {
        log.for_each(|kept| state.apply(kept.at, &kept.event));
    }
    state.map(Arc::new).ok_or_else(|| EngineError::Corrupt(format!("the log of {id} does not begin as one")))
}
