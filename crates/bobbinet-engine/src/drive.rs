//! What is special about the commits of tasks: who is counted, which run begins, and what is not known.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bobbinet_core::{Command, Effect, State, StreamId, Task};
use tokio::sync::oneshot;

use crate::{
    EngineError,
    accounts::{OnItsWay, QuotaClass},
    commit_loop::Beginning,
    commit_loop::Hooks,
    engine_inner::EngineInner,
    live::Queued,
    run_call::Launch,
    slots::Permit,
    task_live::{LiveTask, ProgressReport, TaskHeld},
    watched::watched,
};

/// The shortest time between two commits that carry nothing but progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

impl EngineInner {
    /// Asks something of a task. Durable when this returns `Ok`, also if the future was dropped before.
    pub(crate) async fn command(
        self: &Arc<Self>,
        live: &Arc<LiveTask>,
        command: Command,
        permit: Option<Permit>,
    ) -> Result<Arc<Task>, EngineError> {
        self.command_with(live, command, TaskHeld { permit, ..TaskHeld::default() }).await
    }

    /// The same, with all that the command brings with it.
    pub(crate) async fn command_with(
        self: &Arc<Self>,
        live: &Arc<LiveTask>,
        command: Command,
        held: TaskHeld,
    ) -> Result<Arc<Task>, EngineError> {
        let (sender, receiver) = oneshot::channel();
        let queued = Queued { command, held, idempotency: None, answer: Some(sender) };
        if live.enqueue(queued) {
            self.start_driving(live.clone());
        }
        receiver.await.unwrap_or_else(|_| Err(self.lifecycle.unanswered()))
    }

    /// The same for a run, which owns its future and can drive itself.
    pub(crate) async fn command_of_run(
        self: &Arc<Self>,
        live: &Arc<LiveTask>,
        command: Command,
    ) -> Result<Arc<Task>, EngineError> {
        let (sender, receiver) = oneshot::channel();
        let queued = Queued { command, held: TaskHeld::default(), idempotency: None, answer: Some(sender) };
        // What fails inside here must not take the run along, which knows what its call came to.
        if live.enqueue(queued)
            && let Some(Some(launch)) = watched("commit", self.drive(live)).await
        {
            self.start_run(launch);
        }
        receiver.await.unwrap_or_else(|_| Err(self.lifecycle.unanswered()))
    }

    /// Takes the newest word of a run. It goes out with the next commit, or with one of its own in a while.
    pub(crate) fn report(self: &Arc<Self>, live: &Arc<LiveTask>, report: ProgressReport) {
        let is_first = {
            let mut state = live.lock();
            state.local.report = Some(report);
            !std::mem::replace(&mut state.local.is_report_due, true)
        };
        if is_first {
            let (engine, live) = (self.clone(), live.clone());
            self.lifecycle.start(async move {
                tokio::select! {
                    biased;
                    () = engine.lifecycle.stopping() => return,
                    () = tokio::time::sleep(PROGRESS_EVERY) => {}
                }
                let is_driver = {
                    let mut state = live.lock();
                    state.local.is_report_due = false;
                    state.local.report.is_some() && !std::mem::replace(&mut state.is_driven, true)
                };
                if is_driver && let Some(launch) = engine.drive(&live).await {
                    engine.run(launch).await;
                }
            });
        }
        // A run that tells how far it is does not end soon.
        self.let_go(live);
    }

    /// Lets the task's first commit go out, if it waits for an outcome.
    pub(crate) fn let_go(self: &Arc<Self>, live: &Arc<LiveTask>) {
        if live.let_go() {
            self.start_driving(live.clone());
        }
    }

    pub(crate) fn start_driving(self: &Arc<Self>, live: Arc<LiveTask>) {
        let engine = self.clone();
        self.lifecycle.start(async move {
            if let Some(launch) = engine.drive(&live).await {
                drop(live);
                engine.run(launch).await;
            }
        });
    }

    /// Decides and commits what waits for a task. Gives the run that has come out of it, if one has.
    async fn drive(self: &Arc<Self>, live: &Arc<LiveTask>) -> Option<Launch> {
        self.tasks.drive(live, self).await
    }

    /// Counts the task as what it is now.
    fn count(&self, live: &LiveTask, before: Option<&Task>, after: &Task) {
        let (account, admitted) = {
            let mut state = live.lock();
            let account = state.local.account.get_or_insert_with(|| self.accounts.of(&after.tenant, &after.owner));
            (account.clone(), state.local.admitted.take())
        };
        let class = |task: &Task| QuotaClass::of(task.state, self.agents.has(task.agent.as_str()));
        match (before, admitted) {
            (Some(before), _) => self.accounts.change(&account, class(before), class(after)),
            (None, Some(admitted)) => self.accounts.finish_admission(&account, admitted, class(after)),
            (None, None) => {}
        }
    }
}

impl Hooks<Task> for Arc<EngineInner> {
    type Next = Launch;
    type OnItsWay<'a> = OnItsWay<'a>;

    fn prepare(&self, live: &LiveTask, batch: &mut VecDeque<Queued<Task>>) {
        for queued in batch {
            if let Command::Reply { is_live, .. } = &mut queued.command {
                // Whether the run that asked is alive to hear an answer.
                let state = live.lock();
                let claim = state.durable.as_ref().and_then(|task| task.claim);
                let is_here = state.local.claim.is_some() && state.local.claim == claim;
                let is_there = |claim| !self.processes.is_own(claim) && self.processes.may_live(claim);
                *is_live = is_here || claim.is_some_and(is_there);
            }
        }
    }

    /// A call that only reads may be made again, and whoever waits for nothing but its outcome was promised nothing before: what leads to
    /// such a call is kept with what it comes to. Unless the store keeps nothing now: then nothing is called, and who waits is told so.
    fn withholds(&self, before: Option<&Task>, after: &Task, batch: &VecDeque<Queued<Task>>) -> bool {
        let is_read = |task: &Task| task.planned_call.as_ref().is_some_and(|call| call.effect == Effect::ReadOnly);
        before.is_none()
            && batch.len() == 1
            && batch.iter().all(|queued| queued.held.is_for_outcome)
            && after.state == State::Working
            && is_read(after)
            && !self.lifecycle.is_draining()
            && self.store.health().is_ok()
    }

    fn begin(&self, after: &Task) -> OnItsWay<'_> {
        bobbinet_store::failpoint::point(if after.open_call().is_some() { "intent-before" } else { "outcome-before" });
        self.accounts.commit_begins()
    }

    fn kept(&self, live: &LiveTask, before: Option<&Task>, after: &Task, on_its_way: OnItsWay<'_>) {
        bobbinet_store::failpoint::point(if after.open_call().is_some() { "intent-after" } else { "outcome-after" });
        self.count(live, before, after);
        drop(on_its_way);
        self.uncertain.clear(&live.id);
    }

    /// A task that waits for its run stands in line, a run that was claimed begins.
    fn next(
        &self,
        live: &Arc<LiveTask>,
        before: Option<&Task>,
        after: &Arc<Task>,
        batch: &mut VecDeque<Queued<Task>>,
    ) -> Option<Launch> {
        let permit = batch.iter_mut().find_map(|queued| queued.held.permit.take());
        if after.state != State::Submitted && before.is_some_and(|before| before.state == State::Submitted) {
            self.leave_line(after.agent.as_str(), &after.id);
        }
        match after.state {
            State::Submitted => {
                drop(permit);
                match after.deferred {
                    None => self.line_up(after.agent.as_str(), after.id, after.planned_call.as_deref()),
                    Some(_) => self.plan_later(after.agent.as_str(), after.id),
                }
                None
            }
            State::Working | State::InputRequired | State::AuthRequired => {
                let claim = after.claim.filter(|claim| self.processes.is_own(*claim))?;
                // Only a claim that is new begins a run. One that was there before had its run, which may be over by
                // now: whether its call is made again is for `decide` to say.
                if before.and_then(|before| before.claim) == Some(claim) {
                    return None;
                }
                // A claim is decided only with a slot in hand, and the slot came with the command.
                let permit = permit?;
                live.lock().local.claim = Some(claim);
                Some(Launch { live: live.clone(), task: after.clone(), claim, permit })
            }
            State::Failed | State::Canceled | State::Rejected => {
                self.cancel_children(after);
                None
            }
            State::Completed => None,
        }
    }

    fn start(&self, launch: Launch) {
        self.start_run(launch);
    }

    fn beginnings(&self, held: &mut TaskHeld) -> Vec<Beginning<Task>> {
        std::mem::take(&mut held.children)
    }

    fn begun(&self, live: Arc<LiveTask>, launch: Option<Launch>) {
        let engine = self.clone();
        self.lifecycle.start(async move {
            // Whatever was said to it since its commit. That it is driven, it was from its making.
            if let Some(later) = engine.drive(&live).await {
                engine.start_run(later);
            }
            drop(live);
            if let Some(launch) = launch {
                engine.run(launch).await;
            }
        });
    }

    /// If it claims the task, no run begins for that now: should the claim be in the log after all, its call has certainly not been
    /// made. Unless it was withheld, and has its run already.
    fn doubt(&self, live: &LiveTask, before: Option<&Task>, after: &Task) {
        self.accounts.doubt();
        let of_run = live.lock().local.claim;
        let claim = after.claim.filter(|claim| self.processes.is_own(*claim) && of_run != Some(*claim));
        if let Some(claim) = claim.filter(|_| before.and_then(|before| before.claim) != claim) {
            self.uncertain.note(live.id, claim);
        }
    }

    fn failed(&self, live: &LiveTask) {
        // Whatever it has stood in line for before its first commit. What is in the log comes back to the line from there.
        for (_, registered) in self.agents.iter() {
            registered.slots.leave(self, &live.id);
        }
        let (account, admitted) = {
            let mut state = live.lock();
            (state.local.account.clone(), state.local.admitted.take())
        };
        if let Some((account, admitted)) = account.zip(admitted) {
            self.accounts.finish_admission(&account, admitted, None);
        }
    }

    fn unanswered(&self) -> EngineError {
        self.lifecycle.unanswered()
    }

    fn repeated(&self, first: &StreamId) -> Option<EngineError> {
        first.as_task().map(EngineError::Repeated)
    }
}
