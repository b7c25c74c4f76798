//! Several aggregates changed by one commit, whole or not at all.
//!
//! Whoever drives an aggregate decides about it. A transaction takes its turn at each of its aggregates, in the order of their streams
//! so that two never wait for each other, decides them all, keeps one commit, and gives each turn back.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use bobbinet_core::{StreamId, Timestamp};
use bobbinet_store::{Commit, CommitError, Step, Store};
use tokio::sync::oneshot;
use tracing::warn;

use crate::{
    Aggregate, Engine, EngineError, Env,
    kinds::Aggregates,
    live::{DecideTurn, Live},
    unkept::{News, Unkept},
};

/// Every conflict means that somebody else got a step done.
const CONFLICTS_MAX: u32 = 32;

/// Commands to several aggregates, each to another one, that are all kept or none.
#[derive(Debug, Default)]
pub struct Transaction {
    parts: Vec<Box<dyn Part>>,
}

/// What a transaction does to one aggregate.
#[async_trait]
trait Part: Debug + Send {
    fn stream(&self) -> StreamId;

    /// Waits until nobody else decides about it.
    async fn begin(&mut self) -> Result<(), EngineError>;

    /// What is to be kept, as it stands now.
    async fn decide(&mut self, now: Timestamp) -> Result<Option<Step>, EngineError>;

    /// It is durable.
    fn publish(&mut self);

    /// What was believed durable may be wrong.
    fn doubt(&mut self);
}

#[derive(Debug)]
struct Change<A: Aggregate> {
    aggregates: Aggregates<A>,
    id: A::Id,
    command: A::Command,
    turn: Option<DecideTurn<A>>,
    /// What is made known of it once it is kept.
    news: Option<News<A>>,
}

impl Transaction {
    /// Adds a command to an aggregate that is not in it yet.
    #[must_use]
    pub fn with<A: Aggregate>(mut self, of: &Aggregates<A>, id: A::Id, command: A::Command) -> Self {
        let change = Change { aggregates: of.clone(), id, command, turn: None, news: None };
        self.parts.push(Box::new(change));
        self
    }
}

impl Engine {
    /// Does all of it, or nothing. Durable when this returns.
    ///
    /// # Errors
    /// The first refusal, or why it was not kept. [`EngineError::Unavailable`] may mean that it was kept after all.
    pub async fn transact(&self, transaction: Transaction) -> Result<(), EngineError> {
        if self.inner.lifecycle.is_draining() {
            return Err(EngineError::Draining);
        }
        let mut parts = transaction.parts;
        parts.sort_by_key(|part| part.stream());
        if parts.windows(2).any(|pair| pair[0].stream() == pair[1].stream()) {
            return Err(EngineError::Unavailable("a transaction has an aggregate twice".to_owned()));
        }
        // What has begun is gone on with, also if nobody waits for it any more.
        let (sender, receiver) = oneshot::channel();
        let engine = self.inner.clone();
        self.inner.lifecycle.start(async move {
            // Whoever does not wait any more has been dropped.
            let _ = sender.send(commit(&*engine.store, &*engine.env, &mut parts).await);
        });
        receiver.await.unwrap_or_else(|_| Err(self.inner.lifecycle.unanswered()))
    }
}

async fn commit(store: &dyn Store, env: &dyn Env, parts: &mut [Box<dyn Part>]) -> Result<(), EngineError> {
    for part in &mut *parts {
        part.begin().await?;
    }
    for _ in 0..CONFLICTS_MAX {
        let now = env.now();
        let mut steps = Vec::with_capacity(parts.len());
        for part in &mut *parts {
            steps.extend(part.decide(now).await?);
        }
        if steps.is_empty() {
            return Ok(());
        }
        match store.commit(Commit { steps, idempotency: None }).await {
            Ok(()) => {
                parts.iter_mut().for_each(|part| part.publish());
                return Ok(());
            }
            Err(CommitError::Conflict { .. }) => parts.iter_mut().for_each(|part| part.doubt()),
            Err(error) => {
                warn!(%error, "a transaction failed");
                parts.iter_mut().for_each(|part| part.doubt());
                return Err(error.into());
            }
        }
    }
    Err(EngineError::Unavailable("what a transaction changes is written too often".to_owned()))
}

impl<A: Aggregate> Change<A> {
    fn live(&self) -> &Arc<Live<A>> {
        &self.turn.as_ref().expect("a turn is taken before anything else").live
    }
}

#[async_trait]
impl<A: Aggregate> Part for Change<A> {
    fn stream(&self) -> StreamId {
        A::stream(&self.id)
    }

    async fn begin(&mut self) -> Result<(), EngineError> {
        let live = self.aggregates.live(&self.id).await?;
        self.turn = Some(self.aggregates.turn(&live).await?);
        Ok(())
    }

    async fn decide(&mut self, now: Timestamp) -> Result<Option<Step>, EngineError> {
        let live = self.live().clone();
        let streams = &self.aggregates.streams;
        let before = streams.state_of(&live).await?;
        let decided = streams.decide(&self.id, before.as_deref(), [&self.command].into_iter(), now);
        let (unkept, mut answers) = decided.unkept(&self.id, before.as_deref(), now, streams.limits());
        answers.pop().unwrap_or(Ok(()))?;
        let (step, news) = unkept.map(|Unkept { step, news }| (step, news)).unzip();
        self.news = news;
        Ok(step)
    }

    fn publish(&mut self) {
        if let Some(News { state, events }) = self.news.take() {
            self.live().publish(state.clone(), events);
            self.aggregates.streams.cache.weigh(self.live(), &state);
        }
    }

    fn doubt(&mut self) {
        self.live().doubt();
    }
}
