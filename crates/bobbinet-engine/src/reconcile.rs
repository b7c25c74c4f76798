//! Recovery is the normal path run again: a look at what is due, at the start and every second (DESIGN section 3,
//! invariant 4). There is no other recovery code.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Call, Claim, Command, Principal, State, Task, TaskId, Tenant};
use bobbinet_store::Summary;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::{
    EngineError,
    accounts::QuotaClass,
    engine_inner::EngineInner,
    slots::{Permit, SlotOwner},
    task_live::{LiveTask, WaitsFor, works_while_parked},
    watched::watched,
};

/// How often the engine looks for what is due.
const EVERY: Duration = Duration::from_secs(1);

/// How long after its start a node leaves a call alone that a process died of already, by how many did: the first time it may
/// have been anything's doing. `bobbinet_core::limits::TAKEOVERS_MAX` ends it.
const TAKEOVER_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(8)];

/// How often it looks for blobs that nobody needs.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How often the tasks on a shared store are counted anew.
const COUNT_EVERY: Duration = Duration::from_secs(30);

/// How many finished tasks one look drops, so that it stays short.
const FORGET_MAX: usize = 1_024;

/// How many tasks one look tells that their time is up, or that their agent is gone.
const ACTS_MAX: usize = 1_024;

/// How soon a task is told again what the store could not keep.
const INSIST_INTERVAL: Duration = Duration::from_millis(500);

/// What one look has done, so that it stays short.
#[derive(Debug, Default)]
struct Looked {
    acts: usize,
    forgotten: usize,
}

/// A claim whose run is lost.
#[derive(Clone, Copy, Debug)]
struct Lost {
    claim: Claim,
    /// Whether it may have made its call.
    has_run: bool,
}

impl Looked {
    fn act(&mut self, act: impl FnOnce()) {
        if self.acts < ACTS_MAX {
            self.acts += 1;
            act();
        }
    }
}

impl EngineInner {
    pub(crate) async fn keep_reconciling(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.lifecycle.stopping() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            // One look that fails inside is not the last: nobody else looks.
            if let Some(Err(error)) = watched("reconcile", self.reconcile()).await {
                warn!(%error, "could not look what is due; trying again");
            }
        }
    }

    /// Lets go of blobs that nobody needs any more, every minute.
    pub(crate) async fn keep_sweeping(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.lifecycle.stopping() => return,
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
            let Some(blobs) = &self.blobs else { return };
            let swept = blobs.sweep(&*self.store, self.clock.now(&*self.env));
            if let Some(Err(error)) = watched("sweep", swept).await {
                warn!(%error, "could not let go of blobs; trying again");
            }
        }
    }

    /// Looks at what is due: runs what waits, takes over what has lost its process, ends what waited too long, forgets what
    /// was kept long enough.
    pub(crate) async fn reconcile(self: &Arc<Self>) -> Result<(), EngineError> {
        self.keep_accounts().await?;
        let now = self.clock.now(&*self.env);
        let mut looked = Looked::default();
        // What is open is due at once, and stands before all that is over.
        let limit = self.accounts.open().max(self.limits.tasks_open_max) + FORGET_MAX;
        for (stream, summary) in self.store.due(now, limit).await? {
            if self.lifecycle.is_stopping() {
                return Ok(());
            }
            let Some(id) = stream.as_task() else {
                match stream.as_runner() {
                    Some(runner) => match self.processes.look_at_lease(runner).await {
                        // One lease that cannot be read keeps no task waiting but those of its process.
                        Err(EngineError::Corrupt(why)) => warn!(%runner, why, "a lease cannot be read"),
                        looked => looked?,
                    },
                    None => self.kinds.wake(&stream, &summary),
                }
                continue;
            };
            let Some(state) = State::ALL.into_iter().find(|state| state.code() == summary.state) else { continue };
            match state {
                // Its summary is all that the line needs: what waits for hours is not read every second.
                State::Submitted if self.agents.has(&summary.agent) => self.wait_in_line(id, &summary),
                State::Submitted => looked.act(|| self.without_agent(id, &summary)),
                State::InputRequired | State::AuthRequired if !works_while_parked(&summary) => {
                    looked.act(|| self.expire(id, &summary));
                }
                State::Working | State::InputRequired | State::AuthRequired => match self.take_up(&id).await {
                    // One task that cannot be read keeps nobody else waiting. Whoever asks for it is told why.
                    Err(EngineError::Corrupt(why)) => self.damage.log_once(id, &why, "a task cannot be taken up"),
                    taken_up => taken_up?,
                },
                State::Completed | State::Failed | State::Canceled | State::Rejected => {
                    if looked.forgotten < FORGET_MAX {
                        match self.forget(&id, &summary).await {
                            Err(EngineError::Corrupt(why)) => {
                                self.damage.log_once(id, &why, "a task cannot be forgotten")
                            }
                            forgotten => forgotten?,
                        }
                        looked.forgotten += 1;
                    }
                }
            }
        }
        if looked.forgotten > 0 {
            info!(forgotten = looked.forgotten, "dropped tasks that were kept long enough");
        }
        Ok(())
    }

    /// Counts the tasks again if a commit is in doubt, and forgets who has none.
    async fn keep_accounts(self: &Arc<Self>) -> Result<(), EngineError> {
        // What other processes have begun and ended is known only to the store.
        let is_stale = self.store.is_shared() && self.accounts.is_time(self.env.monotonic(), COUNT_EVERY);
        if self.accounts.is_doubtful() || is_stale {
            let moment = self.accounts.moment();
            let census = self.store.census().await?;
            self.accounts.recount(&census, moment, |agent| self.agents.has(agent));
            if is_stale {
                self.welcome_back(&census).await?;
            }
        }
        self.accounts.prune();
        Ok(())
    }

    async fn forget(&self, id: &TaskId, summary: &Summary) -> Result<(), EngineError> {
        if let Err(error) = self.tasks.forget(id).await {
            self.accounts.doubt();
            return Err(error);
        }
        if let (Ok(tenant), Ok(owner)) = (Tenant::parse(&summary.tenant), Principal::parse(&summary.owner)) {
            self.accounts.change(&self.accounts.of(&tenant, &owner), Some(QuotaClass::Finished), None);
        }
        Ok(())
    }

    /// A submitted task of an agent that is there. It waits for the agent only if that was gone, and nobody has said since that
    /// it is back.
    fn wait_in_line(self: &Arc<Self>, id: TaskId, summary: &Summary) {
        match WaitsFor::of(summary) {
            WaitsFor::Slot => self.line_up(&summary.agent, id, None),
            WaitsFor::Plan => self.plan_later(&summary.agent, id),
            WaitsFor::Agent => self.send_command(id, Command::Serve),
        }
    }

    /// What a task waits for has not come in time.
    pub(crate) fn expire(self: &Arc<Self>, id: TaskId, summary: &Summary) {
        self.send_command(id, Command::Expire { since: summary.status_at });
    }

    /// Says something to a task, for which nobody waits: what was not kept is said again at the next look.
    pub(crate) fn send_command(self: &Arc<Self>, id: TaskId, command: Command) {
        let engine = self.clone();
        self.lifecycle.start(async move {
            if let Err(error) = engine.say_to(&id, command).await {
                warn!(task = %id, %error, "could not say to a task what it is due to hear; trying again");
            }
        });
    }

    /// Says something to a task, for which nobody waits and which no look would say again: over and over while the store cannot answer or
    /// keep anything, until this node takes no more work. What is not kept by then, or fails otherwise, is not said; a child that was to
    /// be canceled is then found by [`Self::cancel_orphan`], if it has a run. Each call has a loop of its own: what each look says anyway
    /// is for [`Self::send_command`].
    pub(crate) fn insist(self: &Arc<Self>, id: TaskId, command: Command) {
        let engine = self.clone();
        self.lifecycle.start(async move {
            while let Err(error) = engine.say_to(&id, command.clone()).await {
                let is_away = matches!(error, EngineError::Unavailable(_)) && !engine.lifecycle.is_draining();
                warn!(task = %id, %error, is_tried_again = is_away, "could not say something to a task");
                if !is_away {
                    return;
                }
                sleep(INSIST_INTERVAL).await;
            }
        });
    }

    async fn say_to(self: &Arc<Self>, id: &TaskId, command: Command) -> Result<(), EngineError> {
        let Some(live) = self.tasks.find(id).await? else { return Ok(()) };
        match self.command(&live, command, None).await {
            // It has moved on meanwhile.
            Ok(_) | Err(EngineError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Looks whether a working task has lost its run. Those whose run is alive are in memory.
    async fn take_up(self: &Arc<Self>, id: &TaskId) -> Result<(), EngineError> {
        if self.lifecycle.is_draining() {
            return Ok(());
        }
        let Some(live) = self.tasks.find(id).await? else { return Ok(()) };
        // What is in memory may be older than what the store says: it was read while a commit was on its way whose fate was not
        // known.
        let has_run = |task: &Task| task.state == State::Working || task.works_while_parked();
        let task = match live.durable().filter(|task| has_run(task)) {
            Some(task) => task,
            None => match self.tasks.load(&live).await? {
                Some(task) => task,
                None => return Ok(()),
            },
        };
        if task.is_parked() && self.is_answer_overdue(&task) {
            self.send_command(task.id, Command::Expire { since: task.status_at });
        } else if let Some(claim) = task.claim.filter(|_| has_run(&task))
            && let Some(lost) = self.lost(&live, claim).await?
            && !self.cancel_orphan(&task).await?
        {
            self.take_over(live, &task, lost);
        }
        Ok(())
    }

    /// Whether nobody has answered a task that works on meanwhile for as long as an answer may take.
    fn is_answer_overdue(&self, task: &Task) -> bool {
        let life = task.status_at.after(self.limits.question_life());
        let end = task.deadline().map_or(life, |deadline| life.min(deadline));
        end <= self.clock.now(&*self.env)
    }

    /// Whether a call that its processes died of is left alone for a while yet: others get theirs done in the meantime, and
    /// what ails the node may pass.
    fn is_spaced(&self, task: &Task) -> bool {
        let takeovers = task.open_call().or(task.calls.last()).map_or(0, |call| call.takeovers);
        let pause = TAKEOVER_PAUSES.get(takeovers as usize).copied().unwrap_or_default();
        self.clock.up_for(&*self.env) < pause
    }

    /// Whether the run of a claim is lost, and how.
    async fn lost(self: &Arc<Self>, live: &LiveTask, claim: Claim) -> Result<Option<Lost>, EngineError> {
        if !self.processes.is_own(claim) {
            return Ok(self.processes.is_dead(claim.runner).await?.then_some(Lost { claim, has_run: true }));
        }
        let is_busy = {
            let state = live.lock();
            state.local.claim.is_some() || state.is_driven
        };
        Ok((!is_busy).then(|| Lost { claim, has_run: !self.uncertain.has(&live.id, claim) }))
    }

    /// Takes over a working task whose run is lost.
    fn take_over(self: &Arc<Self>, live: Arc<LiveTask>, task: &Task, lost: Lost) {
        if self.is_spaced(task) {
            return;
        }
        let Lost { claim, has_run } = lost;
        let permit = self.agents.get(task.agent.as_str()).and_then(|registered| registered.try_take_for(self, task));
        let slot_held_by = permit.is_some().then(|| self.processes.own());
        info!(task = %task.id, agent = %task.agent, "taking over from a process that is gone");
        let engine = self.clone();
        self.lifecycle.start(async move {
            match engine.command(&live, Command::TakeOver { claim, has_run, slot_held_by }, permit).await {
                // Another process was first, or the run has had its last word after all.
                Ok(_) | Err(EngineError::Refused(_)) => {}
                Err(error) => warn!(task = %live.id, %error, "could not take a task over; trying again"),
            }
        });
    }

    /// Puts a submitted task in line for a call slot, or in the queue for its lane; runs the first of the line if one is free. Where it
    /// is not known what the task calls, its lane is seen to when it has a slot.
    pub(crate) fn line_up(self: &Arc<Self>, agent: &str, id: TaskId, call: Option<&Call>) {
        let Some(registered) = self.agents.get(agent) else { return };
        if self.lifecycle.is_draining() {
            return;
        }
        let lane = call.and_then(|call| registered.agent.lane(call));
        if let Some((first, permit)) = registered.slots.line_up(self, id, lane) {
            self.clone().claim(first, permit);
        }
    }

    /// A task whose turn it is, unless it is to wait: for its lane, or for the next look.
    async fn claimable(
        self: &Arc<Self>,
        id: &TaskId,
        permit: Permit,
    ) -> Result<Option<(Arc<LiveTask>, Permit)>, EngineError> {
        let Some(live) = self.tasks.find(id).await? else { return Ok(None) };
        let Some(task) = live.durable() else { return Ok(Some((live, permit))) };
        if self.is_spaced(&task) || self.cancel_orphan(&task).await? {
            return Ok(None);
        }
        let registered = self.agents.get(task.agent.as_str());
        let lane = registered.zip(task.planned_call.as_deref()).and_then(|(known, call)| known.agent.lane(call));
        Ok(permit.in_lane(*id, lane).map(|permit| (live, permit)))
    }

    /// A task that was to wait for its turn does not any more.
    pub(crate) fn leave_line(self: &Arc<Self>, agent: &str, id: &TaskId) {
        if let Some(registered) = self.agents.get(agent) {
            registered.slots.leave(self, id);
        }
    }
}

impl SlotOwner for EngineInner {
    fn is_draining(&self) -> bool {
        self.lifecycle.is_draining()
    }

    fn may_claim(&self) -> bool {
        self.processes.may_claim()
    }

    /// Claims a task that has waited, now that there is a slot for it.
    fn claim(self: Arc<Self>, id: TaskId, permit: Permit) {
        let engine = self.clone();
        self.lifecycle.start(async move {
            match engine.claimable(&id, permit).await {
                Ok(Some((live, permit))) => {
                    let command = Command::Claim { runner: engine.processes.own() };
                    if let Err(error) = engine.command(&live, command, Some(permit)).await {
                        tracing::debug!(task = %id, %error, "not claimed");
                        // See `take_up`. The next look finds what is read now.
                        let _ = engine.tasks.load(&live).await;
                    }
                }
                Ok(None) => {}
                Err(error) => warn!(task = %id, %error, "could not load a task that waits; trying again"),
            }
        });
    }
}
