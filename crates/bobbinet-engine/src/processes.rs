//! Which process runs what: this one's name, and whether others are alive.
//!
//! On a store of this process alone every other runner is dead, and nothing is written. On one that is shared each runner has a
//! lease ([`crate::lease`]). A runner whose lease was ended by another is fenced off: it stops its calls, its claims are taken over,
//! and the process goes on under a new name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bobbinet_core::{Claim, Limits, Refused, RunnerId};
use bobbinet_store::{Store, Version};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    Aggregate, EngineError, Env,
    commit_loop::AggregateStreams,
    kinds::Aggregates,
    lease::{LEASE_LIFE, Lease, LeaseCommand, RENEW_EVERY},
    lifecycle::Lifecycle,
};

/// How often a lease is renewed before its log is cut.
const TRIM_EVERY: u64 = 64;

/// How soon a call looks again whether it may begin, while the lease is not renewed.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// This process as a runner, until it is fenced off.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) runner: RunnerId,
    /// Cancelled when others may take over what it runs.
    pub(crate) fenced: CancellationToken,
}

impl Term {
    fn new(runner: RunnerId) -> Self {
        Self { runner, fenced: CancellationToken::new() }
    }
}

/// This process and the others on the store: who may claim tasks, and whose claims have lapsed.
#[derive(Debug)]
pub(crate) struct Processes {
    term: Mutex<Term>,
    /// `None` where no other process writes to the store.
    leases: Option<Leases>,
}

/// The leases on a shared store: our own, and those of others as they were last seen.
#[derive(Debug)]
struct Leases {
    of: Aggregates<Lease>,
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    /// Until when this process's own lasts, by the time that passes.
    lasts_until: Mutex<Duration>,
    /// Other runners: the version that was seen last, and since when.
    watched: Mutex<BTreeMap<RunnerId, (u64, Duration)>>,
}

impl Leases {
    fn lifecycle(&self) -> &Lifecycle {
        &self.of.lifecycle
    }
}

impl Processes {
    /// This process as a runner, with a lease where the store is shared.
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        env: &Arc<dyn Env>,
        limits: &Limits,
        lifecycle: &Arc<Lifecycle>,
    ) -> Arc<Self> {
        let leases = store.is_shared().then(|| Leases {
            of: Aggregates {
                lifecycle: lifecycle.clone(),
                streams: Arc::new(AggregateStreams::new(store.clone(), env.clone(), limits)),
            },
            store: store.clone(),
            env: env.clone(),
            lasts_until: Mutex::default(),
            watched: Mutex::default(),
        });
        Arc::new(Self { term: Mutex::new(Term::new(RunnerId::new(env.uuid()))), leases })
    }

    /// This process, as it stands.
    pub(crate) fn own(&self) -> RunnerId {
        lock(&self.term).runner
    }

    pub(crate) fn is_own(&self, claim: Claim) -> bool {
        claim.runner == self.own()
    }

    /// Under which this claim was made; `None` if that is over.
    pub(crate) fn term_of(&self, claim: Claim) -> Option<Term> {
        let term = lock(&self.term);
        (term.runner == claim.runner && !term.fenced.is_cancelled()).then(|| term.clone())
    }

    /// Whether the owner of a claim of another process may be there to hear what its task is told.
    pub(crate) fn may_live(&self, claim: Claim) -> bool {
        let Some(leases) = &self.leases else { return false };
        let known = leases.of.streams.cache.get(&claim.runner).and_then(|lease| lease.durable());
        known.is_none_or(|lease| !lease.has_ended)
    }

    /// Whether this process may take tasks: its lease lasts.
    pub(crate) fn may_claim(&self) -> bool {
        self.leases.as_ref().is_none_or(|leases| leases.env.monotonic() < *lock(&leases.lasts_until))
    }

    /// Waits until a call may begin under this term. Whether it may at all.
    pub(crate) async fn may_begin(&self, term: &Term) -> bool {
        let Some(leases) = &self.leases else { return true };
        while !term.fenced.is_cancelled() && !self.may_claim() {
            tokio::select! {
                biased;
                () = leases.lifecycle().stopping() => return false,
                () = term.fenced.cancelled() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
        !term.fenced.is_cancelled()
    }

    /// Begins to be a runner: durable before anything is claimed.
    pub(crate) async fn begin_term(self: &Arc<Self>) -> Result<(), EngineError> {
        let Some(leases) = &self.leases else { return Ok(()) };
        self.say_alive(leases, self.own(), LeaseCommand::Begin).await?;
        leases.lifecycle().start(self.clone().keep_renewing());
        Ok(())
    }

    /// Others need not wait for this process.
    pub(crate) async fn end_term(self: &Arc<Self>) {
        let Some(leases) = &self.leases else { return };
        let end = LeaseCommand::End { seen: None };
        if let Err(error) = leases.of.say(&self.own(), end).await {
            debug!(%error, "the lease is left to run out");
        }
    }

    async fn keep_renewing(self: Arc<Self>) {
        let Some(leases) = &self.leases else { return };
        loop {
            tokio::select! {
                biased;
                () = leases.lifecycle().stopping() => return,
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
            let renewed = match self.say_alive(leases, self.own(), LeaseCommand::Renew).await {
                Err(EngineError::Refused(Refused::Ended | Refused::Absent)) => self.begin_anew(leases).await,
                renewed => renewed,
            };
            if let Err(error) = renewed {
                warn!(%error, "the lease of this process could not be renewed; trying again");
            }
        }
    }

    async fn say_alive(
        self: &Arc<Self>,
        leases: &Leases,
        runner: RunnerId,
        command: LeaseCommand,
    ) -> Result<(), EngineError> {
        let begun = leases.env.monotonic();
        let lease = leases.of.say(&runner, command).await?;
        *lock(&leases.lasts_until) = begun + LEASE_LIFE;
        let version = lease.version();
        if version.is_multiple_of(TRIM_EVERY)
            && let Err(error) = leases.store.trim(&runner.stream(), Version(version - 1)).await
        {
            debug!(%error, "the log of the lease is cut later");
        }
        Ok(())
    }

    /// Another process has taken this one for dead, as it was away for too long.
    async fn begin_anew(self: &Arc<Self>, leases: &Leases) -> Result<(), EngineError> {
        let before = lock(&self.term).clone();
        if !before.fenced.is_cancelled() {
            warn!(
                runner = %before.runner,
                "this process was away for longer than its lease, and others take over its tasks: their calls are stopped here"
            );
            before.fenced.cancel();
        }
        let term = Term::new(RunnerId::new(leases.env.uuid()));
        self.say_alive(leases, term.runner, LeaseCommand::Begin).await?;
        *lock(&self.term) = term;
        Ok(())
    }

    /// Whether another runner is dead, and so what it has claimed is anybody's. Where there are leases, one that was not renewed for
    /// long enough is ended first.
    pub(crate) async fn is_dead(self: &Arc<Self>, runner: RunnerId) -> Result<bool, EngineError> {
        let Some(leases) = &self.leases else { return Ok(true) };
        let lease = leases.of.get(&runner).await?;
        let Some(lease) = lease.filter(|lease| !lease.has_ended) else {
            lock(&leases.watched).remove(&runner);
            return Ok(true);
        };
        let seen = lease.version();
        let now = leases.env.monotonic();
        let since = {
            let mut watched = lock(&leases.watched);
            let known = watched.entry(runner).or_insert((seen, now));
            if known.0 != seen {
                *known = (seen, now);
            }
            known.1
        };
        if now.saturating_sub(since) < LEASE_LIFE {
            return Ok(false);
        }
        match leases.of.say(&runner, LeaseCommand::End { seen: Some(seen) }).await {
            Ok(_) => {
                info!(%runner, "a process has not renewed its lease, and is taken for dead");
                lock(&leases.watched).remove(&runner);
                Ok(true)
            }
            // It was renewed after all, or another was first to end it: the next look sees which.
            Err(EngineError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A lease that is due: of a runner that is gone, and that no task may name any more.
    pub(crate) async fn look_at_lease(self: &Arc<Self>, runner: RunnerId) -> Result<(), EngineError> {
        let Some(leases) = &self.leases else { return Ok(()) };
        let lease = leases.of.get(&runner).await?;
        // What was due when it was looked for may have been ended since, and is kept for a while then.
        if lease.as_ref().is_some_and(|lease| lease.is_kept_at(leases.env.now())) {
            return Ok(());
        }
        if lease.is_some_and(|lease| lease.has_ended) {
            leases.of.streams.cache.remove(&runner);
            leases.store.forget(&runner.stream()).await?;
        } else if runner != self.own() {
            self.is_dead(runner).await?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
