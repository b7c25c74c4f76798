//! Which calls run and which wait, and who blocks whom. Knows no lock and wakes nobody.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::profile::{CallProfile, ConcurrencyClass, WaitReason};

/// Who waits and who runs.
#[derive(Debug, Default)]
pub(super) struct CallQueue {
    pub(super) next: u64,
    /// Those that wait, in the order they came.
    pub(super) waiting: Vec<WaitingCall>,
    pub(super) running: BTreeMap<u64, RunningCall>,
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct WaitingCall {
    pub(super) ticket: u64,
    pub(super) call: CallProfile,
    pub(super) since: Instant,
}

/// A call that was admitted.
#[derive(Debug)]
pub(super) struct RunningCall {
    pub(super) call: CallProfile,
    pub(super) since: Instant,
    /// Its questions that wait for their answers.
    pub(super) questions: usize,
    /// It has its answer, and waits until it may go on.
    pub(super) is_resuming: bool,
    /// Since when a call of somebody else waits for its questions.
    pub(super) blocking_since: Option<Instant>,
    /// Until when it may still ask although nobody waits for it any more.
    pub(super) abandoned_until: Option<Instant>,
}

impl RunningCall {
    pub(super) fn waits_for_answer(&self) -> bool {
        self.questions > 0 && !self.is_resuming
    }
}

/// Whether a call can run now.
pub(super) enum Admission {
    Granted,
    Denied(WaitReason),
}

impl CallQueue {
    pub(super) fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn admit(&mut self, call: CallProfile) -> u64 {
        let ticket = self.ticket();
        let running = RunningCall {
            call,
            since: Instant::now(),
            questions: 0,
            is_resuming: false,
            blocking_since: None,
            abandoned_until: None,
        };
        self.running.insert(ticket, running);
        ticket
    }

    pub(super) fn drop_expired(&mut self, now: Instant) {
        self.running.retain(|_, running| running.abandoned_until.is_none_or(|until| until > now));
    }

    /// All calls, and since when they are where they are.
    pub(super) fn calls(&mut self) -> impl Iterator<Item = (&mut CallProfile, Instant)> {
        let waiting = self.waiting.iter_mut().map(|waiting| (&mut waiting.call, waiting.since));
        waiting.chain(self.running.values_mut().map(|running| (&mut running.call, running.since)))
    }

    /// When the next call may be admitted although nothing has changed, if time does that.
    pub(super) fn next_lapse(&mut self, suspect_for: Duration) -> Option<Instant> {
        let abandoned = self.running.values().filter_map(|running| running.abandoned_until).min();
        let suspect = self.calls().filter(|(call, _)| call.class == ConcurrencyClass::CrashSuspect);
        let suspect = suspect.map(|(_, since)| since + suspect_for).min();
        abandoned.into_iter().chain(suspect).min()
    }

    /// Whether the call can run: none that runs blocks it, and it is not the turn of one before it in the queue.
    pub(super) fn admission(&mut self, call: &CallProfile, position: Option<u64>, hold: Duration) -> Admission {
        let now = Instant::now();
        self.drop_expired(now);
        if let Some(why) = self.running.values().find_map(|running| blocks(running, call)) {
            return Admission::Denied(why);
        }
        for WaitingCall { ticket, call: earlier, since } in &self.waiting {
            if position == Some(*ticket) {
                break;
            }
            let Some(why) = conflict(earlier, call) else { continue };
            // Whoever waits for people, or for what nobody knows the end of, is overtaken, but not for ever: each call that
            // overtakes may ask a question of its own.
            let waits_for_people = self.running.values().any(|running| {
                let is_slow = running.waits_for_answer() || running.abandoned_until.is_some();
                is_slow && blocks(running, earlier).is_some()
            });
            if !waits_for_people || *since + hold <= now {
                return Admission::Denied(why);
            }
        }
        Admission::Granted
    }

    pub(super) fn note_who_blocks(&mut self) {
        let now = Instant::now();
        for running in self.running.values_mut() {
            let is_blocking = running.waits_for_answer()
                && self.waiting.iter().any(|WaitingCall { call, .. }| {
                    call.owner != running.call.owner && blocks(running, call) == Some(WaitReason::OpenQuestion)
                });
            running.blocking_since = is_blocking.then(|| running.blocking_since.unwrap_or(now));
        }
    }
}

/// Whether a running call keeps another one waiting.
pub(super) fn blocks(running: &RunningCall, call: &CallProfile) -> Option<WaitReason> {
    let is_others = running.call.owner != call.owner;
    if running.abandoned_until.is_some() {
        let may_be_mistaken = is_others && running.call.class != ConcurrencyClass::Silent;
        return (may_be_mistaken && call.class == ConcurrencyClass::Interactive).then_some(WaitReason::Abandoned);
    }
    if running.waits_for_answer() {
        let is_let_by = match call.class {
            ConcurrencyClass::Silent | ConcurrencyClass::ReadOnly => true,
            ConcurrencyClass::Unknown | ConcurrencyClass::Interactive | ConcurrencyClass::CrashSuspect => false,
        };
        return (is_others && !is_let_by).then_some(WaitReason::OpenQuestion);
    }
    conflict(&running.call, call)
}

/// Whether two calls cannot run at the same time.
fn conflict(one: &CallProfile, other: &CallProfile) -> Option<WaitReason> {
    let is = |class| one.class == class || other.class == class;
    if is(ConcurrencyClass::CrashSuspect) {
        return Some(WaitReason::CrashSuspect);
    }
    (is(ConcurrencyClass::Interactive) && !is(ConcurrencyClass::Silent)).then_some(WaitReason::Interactive)
}
