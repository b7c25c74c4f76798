//! The calls of one session: each is admitted at once, or waits for its turn.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    profile::{CallProfile, ConcurrencyClass, WaitReason},
    queue::{Admission, CallQueue, WaitingCall},
};
use crate::{config::McpConfig, crash_history::CrashHistory};

/// The calls of one session, those that run and those that wait. Tools that may ask their caller exclude those of others.
#[derive(Debug)]
pub(crate) struct ExclusiveTools {
    /// Under which calls the server has died.
    pub(crate) crashes: CrashHistory,
    /// Tools that are known to ask: by the operator's word, or because they have.
    interactive: Mutex<BTreeSet<String>>,
    queue: Mutex<CallQueue>,
    pub(super) changed: Notify,
    /// How long a question is held open once a call of another owner has to wait for it.
    pub(super) hold: Duration,
    /// How long a call is [`ConcurrencyClass::CrashSuspect`].
    suspect_for: Duration,
}

impl ExclusiveTools {
    pub(crate) fn of(config: &McpConfig) -> Self {
        let limits = &config.limits;
        let suspect_for = Duration::from_millis(limits.deaths_within_ms);
        Self {
            crashes: CrashHistory::new(suspect_for),
            interactive: Mutex::new(config.interactive.iter().cloned().collect()),
            queue: Mutex::default(),
            changed: Notify::new(),
            hold: Duration::from_millis(limits.hold_for_others_ms),
            suspect_for,
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, CallQueue> {
        let mut queue = self.queue.lock().expect("nobody panics while looking who is in whose way");
        let now = Instant::now();
        for (call, since) in queue.calls() {
            if call.class == ConcurrencyClass::CrashSuspect && since + self.suspect_for <= now {
                call.class = if self.is_interactive(&call.tool) {
                    ConcurrencyClass::Interactive
                } else {
                    ConcurrencyClass::Unknown
                };
            }
        }
        queue
    }

    pub(super) fn interactive(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.interactive.lock().expect("nobody panics while holding a few names")
    }

    /// Whether this tool is known to ask.
    pub(crate) fn is_interactive(&self, tool: &str) -> bool {
        self.interactive().contains(tool)
    }

    pub(super) fn change(&self, mut queue: MutexGuard<'_, CallQueue>) {
        queue.note_who_blocks();
        drop(queue);
        self.changed.notify_waiters();
    }

    /// Admits a call if that can be done now.
    pub(crate) fn try_acquire(self: &Arc<Self>, call: &CallProfile) -> Result<CallPermit, WaitReason> {
        let call = self.reclassified(call);
        let mut queue = self.queue();
        match queue.admission(&call, None, self.hold) {
            Admission::Denied(why) => Err(why),
            Admission::Granted => {
                let ticket = queue.admit(call);
                self.change(queue);
                Ok(CallPermit { exclusive_tools: self.clone(), ticket })
            }
        }
    }

    /// Puts a call at the end of the queue.
    pub(crate) fn enqueue(self: &Arc<Self>, call: &CallProfile) -> QueuedCall {
        let call = self.reclassified(call);
        let mut queue = self.queue();
        let ticket = queue.ticket();
        queue.waiting.push(WaitingCall { ticket, call, since: Instant::now() });
        self.change(queue);
        QueuedCall { exclusive_tools: self.clone(), ticket }
    }

    /// The call, with what was learned of its tool while it waited.
    fn reclassified(&self, call: &CallProfile) -> CallProfile {
        let class = match call.class {
            ConcurrencyClass::ReadOnly | ConcurrencyClass::Unknown if self.is_interactive(&call.tool) => {
                ConcurrencyClass::Interactive
            }
            ConcurrencyClass::Silent
            | ConcurrencyClass::ReadOnly
            | ConcurrencyClass::Unknown
            | ConcurrencyClass::Interactive
            | ConcurrencyClass::CrashSuspect => call.class,
        };
        CallProfile { class, ..call.clone() }
    }

    /// Nobody waits for the call any more, but it may still ask.
    pub(crate) fn abandon(&self, ticket: u64, until: Instant) {
        let mut queue = self.queue();
        if let Some(running) = queue.running.get_mut(&ticket) {
            running.abandoned_until = Some(until);
            running.questions = 0;
        }
        self.change(queue);
    }

    /// A call that was abandoned is over after all.
    pub(crate) fn end_abandoned(&self, ticket: u64) {
        let mut queue = self.queue();
        queue.running.remove(&ticket);
        self.change(queue);
    }

    /// How many calls run or wait. Those that were given up are nobody's, whatever they may still ask.
    pub(crate) fn count(&self) -> usize {
        let queue = self.queue();
        let running = queue.running.values().filter(|running| running.abandoned_until.is_none());
        running.count() + queue.waiting.len()
    }

    /// Whether no call runs, and none waits.
    pub(crate) fn is_empty(&self) -> bool {
        let mut queue = self.queue();
        queue.drop_expired(Instant::now());
        queue.running.is_empty() && queue.waiting.is_empty()
    }
}

pub(super) async fn sleep_until_or_never(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A call's position in the queue. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct QueuedCall {
    exclusive_tools: Arc<ExclusiveTools>,
    ticket: u64,
}

impl QueuedCall {
    /// Returns when the call can run. `wait` hears why it waits, each time that this changes.
    pub(crate) async fn wait_turn(&self, mut wait: impl FnMut(String)) {
        let mut told = None;
        loop {
            let mut changed = std::pin::pin!(self.exclusive_tools.changed.notified());
            changed.as_mut().enable();
            let (why, look_again) = match self.look() {
                Ok(_) => return,
                Err(closed) => closed,
            };
            if told.replace(why) != Some(why) {
                wait(why.words(self.exclusive_tools.hold));
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until_or_never(look_again) => {}
            }
        }
    }

    /// Admits the call, if that can still be done.
    pub(crate) fn try_acquire(&self) -> Option<CallPermit> {
        let (mut queue, call) = self.look().ok()?;
        queue.waiting.retain(|waiting| waiting.ticket != self.ticket);
        let ticket = queue.admit(call);
        self.exclusive_tools.change(queue);
        Some(CallPermit { exclusive_tools: self.exclusive_tools.clone(), ticket })
    }

    /// Whether the call can run, or why not, and when to look again although nothing has changed.
    fn look(&self) -> Result<(MutexGuard<'_, CallQueue>, CallProfile), (WaitReason, Option<Instant>)> {
        let mut queue = self.exclusive_tools.queue();
        let position = queue.waiting.iter().position(|waiting| waiting.ticket == self.ticket);
        let position = position.expect("it is in the queue until it is admitted, and is not asked for after that");
        let call = self.exclusive_tools.reclassified(&queue.waiting[position].call);
        if call.class != queue.waiting[position].call.class {
            // It may be in need of other things now.
            queue.waiting[position].call = call.clone();
            queue.note_who_blocks();
            self.exclusive_tools.changed.notify_waiters();
        }
        match queue.admission(&call, Some(self.ticket), self.exclusive_tools.hold) {
            Admission::Granted => Ok((queue, call)),
            Admission::Denied(why) => Err((why, queue.next_lapse(self.exclusive_tools.suspect_for))),
        }
    }
}

impl Drop for QueuedCall {
    fn drop(&mut self) {
        let mut queue = self.exclusive_tools.queue();
        queue.waiting.retain(|waiting| waiting.ticket != self.ticket);
        self.exclusive_tools.change(queue);
    }
}

/// Leave to run, for as long as the call does. Dropped, it is over, unless it was abandoned before.
#[derive(Debug)]
pub(crate) struct CallPermit {
    exclusive_tools: Arc<ExclusiveTools>,
    pub(crate) ticket: u64,
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let mut queue = self.exclusive_tools.queue();
        let is_over = queue.running.get(&self.ticket).is_some_and(|running| running.abandoned_until.is_none());
        if is_over {
            queue.running.remove(&self.ticket);
        }
        self.exclusive_tools.change(queue);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::exclusive_tools::CallOwner;

    pub(in crate::exclusive_tools) fn exclusive_tools() -> Arc<ExclusiveTools> {
        Arc::new(ExclusiveTools::of(&McpConfig::new("a", "x", &[])))
    }

    pub(in crate::exclusive_tools) async fn enqueue(
        exclusive_tools: &Arc<ExclusiveTools>,
        call: &CallProfile,
        wait: impl FnMut(String),
    ) -> CallPermit {
        let queued = exclusive_tools.enqueue(call);
        queued.wait_turn(wait).await;
        queued.try_acquire().unwrap()
    }

    pub(in crate::exclusive_tools) fn call(owner: &str, class: ConcurrencyClass) -> CallProfile {
        CallProfile { owner: CallOwner::named(owner), tool: format!("{owner}-{class:?}"), class }
    }

    pub(in crate::exclusive_tools) fn acquire(
        exclusive_tools: &Arc<ExclusiveTools>,
        owner: &str,
        class: ConcurrencyClass,
    ) -> Result<CallPermit, WaitReason> {
        exclusive_tools.try_acquire(&call(owner, class))
    }

    #[test]
    fn who_is_let_in_beside_whom() {
        use ConcurrencyClass::{CrashSuspect, Interactive, ReadOnly, Silent, Unknown};
        let exclusive_tools = exclusive_tools();
        let check = |running: &str, expected: &[(&str, ConcurrencyClass, Option<WaitReason>)]| {
            for (owner, class, why) in expected {
                let entered = acquire(&exclusive_tools, owner, *class);
                assert_eq!(entered.err(), *why, "{owner} {class:?} beside {running}");
            }
        };
        let unknown = acquire(&exclusive_tools, "ann", Unknown).unwrap();
        check(
            "one of which nothing is known",
            &[
                ("bob", ReadOnly, None),
                ("bob", Unknown, None),
                ("bob", Silent, None),
                ("bob", Interactive, Some(WaitReason::Interactive)),
                ("ann", Interactive, Some(WaitReason::Interactive)),
                ("ann", CrashSuspect, Some(WaitReason::CrashSuspect)),
            ],
        );
        let question = exclusive_tools.attribute(&[unknown.ticket]).unwrap();
        check(
            "an open question",
            &[
                ("bob", ReadOnly, None),
                ("bob", Silent, None),
                ("bob", Unknown, Some(WaitReason::OpenQuestion)),
                ("bob", Interactive, Some(WaitReason::OpenQuestion)),
                ("ann", ReadOnly, None),
                ("ann", Unknown, None),
                ("ann", Interactive, None),
            ],
        );
        drop(question);
        check("one that has asked before", &[("bob", ReadOnly, Some(WaitReason::Interactive)), ("bob", Silent, None)]);
        exclusive_tools.abandon(unknown.ticket, Instant::now() + Duration::from_secs(60));
        drop(unknown);
        check(
            "one that was given up",
            &[
                ("bob", ReadOnly, None),
                ("bob", Unknown, None),
                ("bob", Interactive, Some(WaitReason::Abandoned)),
                ("ann", Interactive, None),
            ],
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_people_is_overtaken_and_whoever_waits_for_a_call_is_not() {
        let exclusive_tools = exclusive_tools();
        let asker = acquire(&exclusive_tools, "ann", ConcurrencyClass::Unknown).unwrap();
        let question = exclusive_tools.attribute(&[asker.ticket]).unwrap();
        let patient = call("bob", ConcurrencyClass::Interactive);
        let mut patient = std::pin::pin!(enqueue(&exclusive_tools, &patient, |_| {}));
        assert!(tokio::time::timeout(Duration::from_secs(1), patient.as_mut()).await.is_err());
        let read = acquire(&exclusive_tools, "eve", ConcurrencyClass::ReadOnly).unwrap();
        drop((question, asker));
        assert_eq!(
            acquire(&exclusive_tools, "eve", ConcurrencyClass::ReadOnly).unwrap_err(),
            WaitReason::Interactive,
            "it is the other's turn now"
        );
        drop(read);
        patient.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_killed_its_server_runs_alone_for_a_while_and_not_to_its_end() {
        let exclusive_tools = exclusive_tools();
        let long = acquire(&exclusive_tools, "ann", ConcurrencyClass::Unknown).unwrap();
        let (suspect, other) = (call("ann", ConcurrencyClass::CrashSuspect), call("bob", ConcurrencyClass::Unknown));
        let begun = Instant::now();
        // Nothing happens that would make them look: each waits for its time alone.
        let waiting = async {
            tokio::join!(enqueue(&exclusive_tools, &suspect, |_| {}), enqueue(&exclusive_tools, &other, |_| {}))
        };
        let minutes = Duration::from_secs(600);
        let permits = tokio::time::timeout(minutes, waiting).await.expect("in line, it is over");
        assert_eq!(begun.elapsed().as_secs(), exclusive_tools.suspect_for.as_secs());
        drop((long, permits));
        let running = acquire(&exclusive_tools, "ann", ConcurrencyClass::CrashSuspect).unwrap();
        assert_eq!(acquire(&exclusive_tools, "bob", ConcurrencyClass::ReadOnly).unwrap_err(), WaitReason::CrashSuspect);
        tokio::time::timeout(minutes, enqueue(&exclusive_tools, &other, |_| {})).await.expect("inside, it is over");
        drop(running);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_people_is_overtaken_for_no_longer_than_a_question_is_held() {
        let exclusive_tools = exclusive_tools();
        let asker = acquire(&exclusive_tools, "ann", ConcurrencyClass::Interactive).unwrap();
        let question = exclusive_tools.attribute(&[asker.ticket]).unwrap();
        let patient = call("bob", ConcurrencyClass::Interactive);
        let mut patient = std::pin::pin!(enqueue(&exclusive_tools, &patient, |_| {}));
        assert!(tokio::time::timeout(exclusive_tools.hold - Duration::from_secs(1), patient.as_mut()).await.is_err());
        let second = acquire(&exclusive_tools, "ann", ConcurrencyClass::Interactive).unwrap();
        let another = exclusive_tools.attribute(&[second.ticket]).unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), patient.as_mut()).await.is_err());
        drop((question, asker));
        assert_eq!(
            acquire(&exclusive_tools, "ann", ConcurrencyClass::Interactive).unwrap_err(),
            WaitReason::Interactive,
            "it is the other's turn after these"
        );
        drop((another, second));
        patient.await;
    }

    #[test]
    fn a_call_that_was_given_up_makes_nobody_busy() {
        let exclusive_tools = exclusive_tools();
        let [given_up, running] =
            ["ann", "bob"].map(|owner| acquire(&exclusive_tools, owner, ConcurrencyClass::Silent).unwrap());
        assert_eq!(exclusive_tools.count(), 2);
        exclusive_tools.abandon(given_up.ticket, Instant::now() + Duration::from_secs(60));
        assert_eq!(exclusive_tools.count(), 1);
        drop((given_up, running));
    }
}
