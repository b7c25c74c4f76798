//! Kinds of aggregates other than tasks: registered once, then asked like tasks are.

use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use bobbinet_core::{Generation, Limits, StreamId, Timestamp};
use bobbinet_store::{Query, Store, Summary, Version};
use tokio::sync::oneshot;
use tracing::warn;

use crate::{
    Aggregate, EngineError, Env, Follower,
    commit_loop::{AggregateStreams, Hooks},
    lifecycle::Lifecycle,
    live::{DecideTurn, Drive, Live, Queued},
};

/// How many are listed at a time.
const LIST_PAGE: usize = 1_000;

/// The aggregates of one kind, on one engine. Cheap to clone.
#[derive(Debug)]
pub struct Aggregates<A: Aggregate> {
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) streams: Arc<AggregateStreams<A>>,
}

impl<A: Aggregate> Clone for Aggregates<A> {
    fn clone(&self) -> Self {
        Self { lifecycle: self.lifecycle.clone(), streams: self.streams.clone() }
    }
}

/// The kinds that an engine knows, beside tasks.
#[derive(Debug)]
pub(crate) struct Kinds {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    limits: Limits,
    lifecycle: Arc<Lifecycle>,
    known: Mutex<BTreeMap<TypeId, Arc<dyn ErasedKind>>>,
}

/// A kind, whatever its type.
trait ErasedKind: Debug + Send + Sync {
    /// Its aggregates, to be told apart by their type again.
    fn aggregates(&self) -> &dyn Any;

    /// Tells a stream of this kind that it is due. Whether it is of this kind.
    fn wake(&self, stream: &StreamId, summary: &Summary) -> bool;
}

impl<A: Aggregate> ErasedKind for Aggregates<A> {
    fn aggregates(&self) -> &dyn Any {
        self
    }

    fn wake(&self, stream: &StreamId, summary: &Summary) -> bool {
        let Some(id) = A::id_of(stream) else { return false };
        if A::IS_DROPPED_WHEN_DUE {
            let (aggregates, due) = (self.clone(), summary.due);
            self.lifecycle.start(async move {
                if let Err(error) = aggregates.drop_due(&id, due).await {
                    warn!(%id, %error, "could not drop what is over; trying again");
                }
            });
            return true;
        }
        if let Some(command) = A::when_due(summary) {
            let aggregates = self.clone();
            self.lifecycle.start(async move {
                match aggregates.command(&id, command).await {
                    // It has moved on meanwhile.
                    Ok(_) | Err(EngineError::Refused(_) | EngineError::Draining) => {}
                    Err(error) => warn!(%id, %error, "could not say what is due; trying again"),
                }
            });
        }
        true
    }
}

impl Kinds {
    pub(crate) fn new(store: &Arc<dyn Store>, env: &Arc<dyn Env>, limits: &Limits, lifecycle: &Arc<Lifecycle>) -> Self {
        Self {
            store: store.clone(),
            env: env.clone(),
            limits: limits.clone(),
            lifecycle: lifecycle.clone(),
            known: Mutex::default(),
        }
    }

    /// The aggregates of a kind. Registers it the first time.
    pub(crate) fn of<A: Aggregate>(&self) -> Aggregates<A> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = known.entry(TypeId::of::<A>()).or_insert_with(|| Arc::new(self.begin::<A>()));
        let aggregates = kind.aggregates().downcast_ref::<Aggregates<A>>();
        aggregates.expect("each kind is filed under its type").clone()
    }

    /// Tells a stream that is no task's that it is due.
    pub(crate) fn wake(&self, stream: &StreamId, summary: &Summary) {
        let known: Vec<_> = self.known.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        // One of a kind that nobody has registered sleeps on.
        let _ = known.iter().any(|kind| kind.wake(stream, summary));
    }

    fn begin<A: Aggregate>(&self) -> Aggregates<A> {
        let streams = Arc::new(AggregateStreams::new(self.store.clone(), self.env.clone(), &self.limits));
        Aggregates { lifecycle: self.lifecycle.clone(), streams }
    }
}

impl<A: Aggregate> Aggregates<A> {
    /// Asks something of one, which begins with that if it does not exist. Durable when this returns `Ok`, also if the future was
    /// dropped before.
    ///
    /// # Errors
    /// If it is refused, or not kept.
    pub async fn command(&self, id: &A::Id, command: A::Command) -> Result<Arc<A>, EngineError> {
        if self.lifecycle.is_draining() {
            return Err(EngineError::Draining);
        }
        let live = self.live(id).await?;
        let (sender, receiver) = oneshot::channel();
        let queued = Queued { command, held: A::Held::default(), idempotency: None, answer: Some(sender) };
        if live.enqueue(queued) {
            self.start_driving(live);
        }
        receiver.await.unwrap_or_else(|_| Err(self.lifecycle.unanswered()))
    }

    /// The same for a future that the engine owns, which decides itself; also while the engine stops.
    pub(crate) async fn say(&self, id: &A::Id, command: A::Command) -> Result<Arc<A>, EngineError> {
        let live = self.live(id).await?;
        let (sender, receiver) = oneshot::channel();
        let queued = Queued { command, held: A::Held::default(), idempotency: None, answer: Some(sender) };
        if live.enqueue(queued) {
            self.streams.drive(&live, self).await;
        }
        receiver.await.unwrap_or_else(|_| Err(self.lifecycle.unanswered()))
    }

    /// One as it stands.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn get(&self, id: &A::Id) -> Result<Option<Arc<A>>, EngineError> {
        let Some(live) = self.streams.find(id).await? else { return Ok(None) };
        match live.durable() {
            Some(state) => Ok(Some(state)),
            None => self.streams.load(&live).await,
        }
    }

    /// All that are in this state by their summaries, of all tenants, newest first.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn in_state(&self, state: u8) -> Result<Vec<(A::Id, Summary)>, EngineError> {
        let store = &self.streams.store;
        let census = store.census().await?;
        let tenants: BTreeSet<_> =
            census.into_iter().filter(|line| line.state == state).map(|line| line.tenant).collect();
        let mut found = Vec::new();
        for tenant in tenants {
            let mut query =
                Query { tenant: tenant.to_string(), state: Some(state), page_size: LIST_PAGE, ..Query::default() };
            loop {
                let listing = store.list(&query).await?;
                query.page_token = listing.next();
                let entries = listing.entries.into_iter();
                found.extend(entries.filter_map(|(stream, _, summary)| Some((A::id_of(&stream)?, summary))));
                if query.page_token.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Drops one with all that belongs to it. Nobody may be about to ask something of it.
    ///
    /// # Errors
    /// If the store does not drop it.
    pub async fn forget(&self, id: &A::Id) -> Result<(), EngineError> {
        self.streams.forget(id).await
    }

    /// Drops one that was seen to be due then, unless it has moved on. Nobody decides about it meanwhile.
    async fn drop_due(&self, id: &A::Id, due: Option<Timestamp>) -> Result<(), EngineError> {
        let live = self.live(id).await?;
        let _turn = self.turn(&live).await?;
        let state = self.streams.state_of(&live).await?;
        let is_due = state.is_some_and(|state| state.summary(self.streams.limits()).due == due);
        if is_due { self.streams.forget(id).await } else { Ok(()) }
    }

    /// What happens to one after this event.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if it does not exist.
    pub async fn follow(&self, id: &A::Id, after: Generation) -> Result<Follower<A>, EngineError> {
        let live = self.streams.find(id).await?.ok_or(EngineError::NotFound)?;
        Ok(Follower::after(&self.streams, &live, after))
    }

    /// Its place in memory, whether it exists or not.
    pub(crate) async fn live(&self, id: &A::Id) -> Result<Arc<Live<A>>, EngineError> {
        self.streams.place(id).await
    }

    /// Waits until nobody else decides about it.
    pub(crate) async fn turn(&self, live: &Arc<Live<A>>) -> Result<DecideTurn<A>, EngineError> {
        let turn = live.turn(Arc::new(self.clone()));
        turn.await.ok_or_else(|| self.lifecycle.unanswered())
    }
}

impl<A: Aggregate> Drive<A> for Aggregates<A> {
    fn start_driving(&self, live: Arc<Live<A>>) {
        let aggregates = self.clone();
        self.lifecycle.start(async move {
            aggregates.streams.drive(&live, &aggregates).await;
        });
    }
}

/// Nothing follows from a commit but what its followers are told, and that what is not needed any more is dropped.
impl<A: Aggregate> Hooks<A> for Aggregates<A> {
    type Next = ();
    type OnItsWay<'a> = ();

    fn prepare(&self, _: &Live<A>, _: &mut VecDeque<Queued<A>>) {}

    fn begin(&self, _: &A) {}

    fn kept(&self, live: &Live<A>, before: Option<&A>, after: &A, (): ()) {
        let dispensable = after.dispensable();
        if A::CAN_BE_TRIMMED && dispensable > before.map_or(0, A::dispensable) {
            let (store, stream, id) = (self.streams.store.clone(), A::stream(&live.id), live.id);
            self.lifecycle.start(async move {
                // What is not trimmed now is with the next.
                if let Err(error) = store.trim(&stream, Version(dispensable)).await {
                    warn!(%id, %error, "could not be trimmed");
                }
            });
        }
    }

    fn next(&self, _: &Arc<Live<A>>, _: Option<&A>, _: &Arc<A>, _: &mut VecDeque<Queued<A>>) -> Option<()> {
        None
    }

    fn start(&self, (): ()) {}

    fn begun(&self, live: Arc<Live<A>>, _: Option<()>) {
        self.start_driving(live);
    }

    fn doubt(&self, _: &Live<A>, _: Option<&A>, _: &A) {}

    fn failed(&self, _: &Live<A>) {}

    fn unanswered(&self) -> EngineError {
        self.lifecycle.unanswered()
    }

    fn repeated(&self, _: &StreamId) -> Option<EngineError> {
        None
    }
}
