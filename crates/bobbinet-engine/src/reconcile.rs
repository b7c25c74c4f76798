//! Recovery is the normal path run again: a look at what is due, at the start and every second (DESIGN section 3,
//! invariant 4). There is no other recovery code.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use bobbinet_core::{Command, State, Task, TaskId};
use bobbinet_store::Query;
use tracing::{error, info, warn};

use crate::{EngineError, engine::Inner, entry::Entry, slots::Permit};

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);

/// How many finished tasks one look drops, so that it stays short.
const FORGET_MAX: usize = 1_024;

impl Inner {
    pub(crate) async fn keep_reconciling(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.reconcile().await {
                warn!(%error, "could not look what is due; trying again");
            }
        }
    }

    /// Looks at what is due: runs what waits, takes over what has lost its process, forgets what was kept long enough.
    pub(crate) async fn reconcile(self: &Arc<Self>) -> Result<(), EngineError> {
        let now = self.world.now();
        let mut forgotten = 0;
        let due = self.store.due(now, self.limits.tasks_open_max + FORGET_MAX).await?;
        let is_open = |state| [State::Submitted, State::Working].iter().any(|open| open.code() == state);
        self.open.store(due.iter().filter(|(_, summary)| is_open(summary.state)).count(), Ordering::Relaxed);
        for (stream, summary) in due {
            let Some(id) = stream.as_task() else { continue };
            if summary.state == State::Submitted.code() {
                // Its summary is all that the line needs: what waits for hours is not read every second.
                self.line_up(&summary.agent, id);
            } else if summary.state == State::Working.code() {
                match self.take_up(&id).await {
                    // One task that cannot be read keeps nobody else waiting. Whoever asks for it is told why.
                    Err(EngineError::Corrupt(why)) => error!(task = %id, why, "a task cannot be taken up"),
                    taken_up => taken_up?,
                }
            } else if forgotten < FORGET_MAX {
                self.hot.remove(&id);
                self.store.forget(&stream).await?;
                forgotten += 1;
            }
        }
        if forgotten > 0 {
            info!(forgotten, "dropped tasks that were kept long enough");
        }
        self.count_stored().await
    }

    /// Looks whether a working task has lost its run. Those whose run is alive are in memory.
    async fn take_up(self: &Arc<Self>, id: &TaskId) -> Result<(), EngineError> {
        if self.is_draining() {
            return Ok(());
        }
        let Some(entry) = self.entry(id).await? else { return Ok(()) };
        let task = match entry.durable() {
            Some(task) => task,
            None => match self.load(&entry).await? {
                Some(task) => task,
                None => return Ok(()),
            },
        };
        if task.state == State::Working {
            self.take_over(entry, &task);
        }
        Ok(())
    }

    /// Takes over a working task whose run is not alive. The store is this process's alone, so every other is dead.
    fn take_over(self: &Arc<Self>, entry: Arc<Entry>, task: &Task) {
        let is_busy = {
            let state = entry.lock();
            state.live.is_some() || state.is_driven
        };
        if is_busy {
            return;
        }
        let permit = self.seats.get(&task.agent).and_then(|seat| seat.slots.try_take(self));
        let slot = permit.is_some().then_some(self.runner);
        info!(task = %task.id, agent = %task.agent, "taking over from a process that is gone");
        let engine = self.clone();
        self.start(async move {
            if let Err(error) = engine.command(&entry, Command::TakeOver { slot }, permit).await {
                warn!(task = %entry.id, %error, "could not take a task over; trying again");
            }
        });
    }

    /// Puts a submitted task in line for a call slot; runs the first of the line if one is free.
    pub(crate) fn line_up(self: &Arc<Self>, agent: &str, id: TaskId) {
        let Some(seat) = self.seats.get(agent) else { return };
        if self.is_draining() {
            return;
        }
        if let Some((first, permit)) = seat.slots.line_up(self, id) {
            self.claim(first, permit);
        }
    }

    /// Claims a task that has waited, now that there is a slot for it.
    pub(crate) fn claim(self: &Arc<Self>, id: TaskId, permit: Permit) {
        let engine = self.clone();
        self.start(async move {
            match engine.entry(&id).await {
                Ok(Some(entry)) => {
                    let command = Command::Claim { runner: engine.runner };
                    if let Err(error) = engine.command(&entry, command, Some(permit)).await {
                        tracing::debug!(task = %id, %error, "not claimed");
                    }
                }
                Ok(None) => {}
                Err(error) => warn!(task = %id, %error, "could not load a task that waits; trying again"),
            }
        });
    }

    async fn count_stored(&self) -> Result<(), EngineError> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut stored = 0;
        for tenant in tenants {
            let query = Query { tenant: tenant.as_str().to_owned(), ..Query::default() };
            stored += self.store.list(&query).await?.total;
        }
        self.stored.store(stored, Ordering::Relaxed);
        Ok(())
    }
}
