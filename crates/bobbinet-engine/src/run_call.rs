//! One run: carries out the call of a claimed task, and brings its outcome into the log.

use std::{convert::Infallible, future::pending, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bobbinet_core::{CallId, Claim, Command, Fault, Outcome, State, Task};
use futures::{FutureExt, future::BoxFuture};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span, error, warn};

use crate::{
    CANCEL_GRACE, EngineError, Run, deadline::Deadline, engine_inner::EngineInner, lifecycle::Busy, processes::Term,
    run::next_attempt, slots::Permit, task_live::LiveTask,
};

/// How long the outcome of a call waits between two tries to keep it, at the most.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long the first commit of a task that nobody knows yet waits for the outcome of its call. Most calls that only read are over by
/// then. What takes longer has its two commits as ever, the first one so much later.
pub(crate) const HOLD_MAX: Duration = Duration::from_millis(20);

/// A run that is to begin: its claim is durable, or withheld and nobody else's, and it holds a call slot.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) live: Arc<LiveTask>,
    pub(crate) task: Arc<Task>,
    pub(crate) claim: Claim,
    pub(crate) permit: Permit,
}

/// While this lives, a claim has its run in this process: nobody takes the task over. A run that ends without a word leaves no task that
/// nobody knows.
struct RunGuard<'a> {
    engine: &'a Arc<EngineInner>,
    live: Arc<LiveTask>,
    claim: Claim,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        {
            let mut state = self.live.lock();
            if state.local.claim == Some(self.claim) {
                state.local.claim = None;
            }
        }
        self.engine.let_go(&self.live);
    }
}

/// By what right a run works on its task.
#[derive(Clone, Copy)]
struct Right<'a> {
    term: &'a Term,
    claim: Claim,
    permit: &'a Permit,
}

/// How the work of a run ended.
enum Over {
    /// The agent, or the limit that it ran into, says what came of the call.
    Outcome(Outcome),
    /// The engine stops, or is taken for dead: whoever finds the task takes it up.
    Stopped,
}

impl EngineInner {
    /// Begins a run that is nobody else's future. Boxed by name: a run can lead to a run, and the compiler asks where that ends.
    pub(crate) fn start_run(self: &Arc<Self>, launch: Launch) {
        let run: BoxFuture<'static, ()> = Box::pin(self.clone().run(launch));
        self.lifecycle.start(run);
    }

    /// Carries out the call, again if the log says so, until the task is no longer this run's.
    pub(crate) async fn run(self: Arc<Self>, launch: Launch) {
        let Launch { live, mut task, claim, permit } = launch;
        let left = task.deadline().map(|deadline| deadline.since(self.env.now()));
        let deadline = Deadline::after(self.limits.run_limit(), left);
        let _busy = Busy::begin(&self.lifecycle);
        let guard = RunGuard { engine: &self, live: live.clone(), claim };
        let term = self.processes.term_of(claim);
        // Its caller may be asked something meanwhile: the run works on.
        let mut first = task.open_call().map(|open| (open.call_id, open.attempt));
        while let Some((call_id, attempt)) = first.take().or_else(|| next_attempt(&task, claim)) {
            debug!(task = %task.id, agent = %task.agent, call = call_id.0, attempt, "call begins");
            let Some(term) = &term else { break };
            let right = Right { term, claim, permit: &permit };
            let outcome = match self.carry_out(&live, &task, right, (call_id, attempt), &deadline).await {
                Over::Outcome(outcome) => outcome,
                Over::Stopped => {
                    let released = self.command_of_run(&live, Command::Release { claim }).await;
                    if let Err(error) = released {
                        debug!(task = %task.id, %error, "left to be taken over");
                    }
                    break;
                }
            };
            match self.finish(&live, claim, outcome).await {
                Some(after) => task = after,
                None => break,
            }
        }
        drop(guard);
        drop(permit);
    }

    async fn carry_out(
        self: &Arc<Self>,
        live: &Arc<LiveTask>,
        task: &Arc<Task>,
        Right { term, claim, permit }: Right<'_>,
        (call_id, attempt): (CallId, u32),
        deadline: &Arc<Deadline>,
    ) -> Over {
        if !self.processes.may_claim() {
            // It may have to wait for long before it begins.
            self.let_go(live);
        }
        if self.lifecycle.is_stopping() || !self.processes.may_begin(term).await {
            return Over::Stopped;
        }
        let Some(registered) = self.agents.get(task.agent.as_str()) else {
            let fault = Fault::new("unknown-agent", format!("this node has no agent {} any more", task.agent));
            return Over::Outcome(Outcome::Failed(fault));
        };
        if task.deadline().is_some_and(|deadline| deadline <= self.env.now()) {
            let fault =
                Fault::new("deadline-exceeded", "its deadline had passed before it could begin. Nothing was called");
            return Over::Outcome(Outcome::Failed(fault));
        }
        let canceled = CancellationToken::new();
        let run = Run {
            host: Arc::new(self.clone()),
            live: live.clone(),
            task: task.clone(),
            claim,
            call_id,
            attempt,
            lane: permit.lane().cloned(),
            deadline: deadline.clone(),
            canceled: canceled.clone(),
            has_taken_answer: Arc::default(),
        };
        bobbinet_store::failpoint::point("call-before");
        // In the trace that the task began in, also when another process takes it up.
        let span =
            debug_span!("call", task = %task.id, agent = %task.agent, attempt, traceparent = task.trace.as_deref());
        let work = AssertUnwindSafe(registered.agent.run(run)).catch_unwind().instrument(span);
        tokio::pin!(work);
        // The work first: most of it is done without waiting, and then there is no need to watch for anything else.
        let outcome = tokio::select! {
            biased;
            outcome = &mut work => Some(outcome),
            () = self.lifecycle.stopping() => return Over::Stopped,
            () = term.fenced.cancelled() => return Over::Stopped,
            () = self.is_taken_away(live, claim) => None,
            () = deadline.passed() => {
                let limit = self.limits.run_limit();
                let text = match task.deadline() {
                    Some(deadline) if deadline <= self.env.now() => "the run did not come to its end by its deadline".to_owned(),
                    Some(_) | None => format!("the run did not come to its end within {limit:?}"),
                };
                return Over::Outcome(Outcome::Unknown { fault: Fault::new("timed-out", text), again: false });
            }
            never = self.end_hold(live) => match never {},
        };
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => {
                canceled.cancel();
                tokio::select! {
                    biased;
                    outcome = &mut work => outcome,
                    () = self.lifecycle.stopping() => return Over::Stopped,
                    // What another has taken over, nobody waits for: this process itself may be the next to run it.
                    () = term.fenced.cancelled() => return Over::Stopped,
                    () = tokio::time::sleep(CANCEL_GRACE) => {
                        let fault = Fault::new("canceled", "the call did not say what became of it");
                        Ok(Outcome::Unknown { fault, again: false })
                    }
                }
            }
        };
        bobbinet_store::failpoint::point("call-after");
        Over::Outcome(outcome.unwrap_or_else(|_| {
            error!(task = %task.id, agent = %task.agent, "the agent panicked");
            Outcome::Unknown { fault: Fault::new("agent-panicked", "the agent failed inside"), again: false }
        }))
    }

    /// Lets the task's first commit go out once it has waited long enough for the outcome.
    async fn end_hold(self: &Arc<Self>, live: &Arc<LiveTask>) -> Infallible {
        if live.is_withheld() {
            tokio::time::sleep(HOLD_MAX).await;
            self.let_go(live);
        }
        pending().await
    }

    /// Keeps the outcome. The store may be away for a while; an outcome that is known must not be lost for that.
    async fn finish(self: &Arc<Self>, live: &Arc<LiveTask>, claim: Claim, outcome: Outcome) -> Option<Arc<Task>> {
        let mut pause = Duration::from_millis(10);
        loop {
            let command = Command::Finish { claim, outcome: outcome.clone() };
            match self.command_of_run(live, command).await {
                Ok(task) => return Some(task),
                Err(EngineError::Unavailable(why)) => {
                    warn!(task = %live.id, why, "an outcome could not be kept yet");
                    tokio::select! {
                        biased;
                        () = self.lifecycle.stopping() => return None,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(RETRY_MAX);
                }
                Err(error) => {
                    debug!(task = %live.id, %error, "an outcome came too late");
                    return None;
                }
            }
        }
    }

    /// Returns when the log says that the task is no longer this run's: it has ended, or another has claimed it.
    async fn is_taken_away(&self, live: &Arc<LiveTask>, claim: Claim) {
        loop {
            let changed = live.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let task = match live.durable() {
                Some(task) => task,
                // Nobody else can know of it.
                None if live.is_on_its_way() => {
                    changed.await;
                    continue;
                }
                // After a commit whose fate is not known, which may have been a cancel.
                None => match self.tasks.load(live).await {
                    Ok(Some(task)) => task,
                    Ok(None) => return,
                    Err(error) => {
                        debug!(task = %live.id, %error, "a run cannot see whether it was canceled; trying again");
                        tokio::time::sleep(RETRY_MAX).await;
                        continue;
                    }
                },
            };
            let is_ours = match task.state {
                State::Working | State::InputRequired | State::AuthRequired => task.claim == Some(claim),
                State::Submitted | State::Completed | State::Failed | State::Canceled | State::Rejected => false,
            };
            if !is_ours {
                return;
            }
            if let Err(error) = self.tasks.wait(live, changed).await {
                debug!(task = %live.id, %error, "a run cannot see whether it was canceled; trying again");
                tokio::time::sleep(RETRY_MAX).await;
            }
        }
    }
}
