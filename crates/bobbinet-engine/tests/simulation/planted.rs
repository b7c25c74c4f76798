//! Planted faults: worlds that break a promise, to see that they are found out.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bobbinet_core::{State, Timestamp};
use bobbinet_store::{Commit, Loaded, Record, Summary, Version};
use tokio::time::Duration;

use crate::{
    checker::Promise,
    scene::Scene,
    world::{catch_panics, live},
};

/// What is wrong with a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// Nothing.
    Nothing,
    /// The store acknowledges a commit and drops it.
    LosesCommits,
    /// The store acknowledges a commit and keeps it later, if its process lives.
    AcksBeforeDurable,
    /// A task that is one commit is acknowledged before that is kept.
    AnswersBeforeCommit,
    /// The store keeps a record twice.
    KeepsTwice,
    /// The store keeps two records in the wrong order.
    SwapsRecords,
    /// The store keeps a part of a commit.
    TearsCommits,
    /// The store gives an older state.
    ReadsOldState,
    /// The store does not know keys.
    ForgetsKeys,
    /// The store does not compare versions, and a process does not die.
    IgnoresVersions,
    /// The store lists other people's tasks.
    ListsEverybody,
    /// Nothing is ever due, so nothing is ever taken up.
    NothingIsDue,
    /// The tool does it twice.
    CallsTwice,
    /// The agent has a slot more than it says.
    OneSlotTooMany,
    /// An event does not arrive.
    SkipsAnEvent,
    /// The tasks of an agent are found at another.
    MixesAgents,
    /// An agent that is back is not told what waited for it.
    NoWelcome,
    /// What waits for an agent that is gone ends before its time.
    GivesUpEarly,
    /// What has ended is dropped before its time.
    ForgetsEarly,
    /// What has ended is never dropped.
    ForgetsNothing,
    /// What time has passed is taken from a clock that is set.
    ClockLeaps,
    /// An answer that is said again counts as another.
    AnswersAnew,
    /// Who has no answer asks for the same change of a counter again.
    ChangesAgain,
    /// The store keeps the first part of a transaction alone.
    TearsTransactions,
    /// The time that passes does so too fast.
    TimeRaces,
    /// No time passes, so no lease is ever over.
    TimeStands,
}

/// Each with the promise that it is there to break. What spoils the store breaks many, whichever is the first.
const PLANTS: [(Plant, Option<Promise>); 25] = [
    (Plant::LosesCommits, None),
    (Plant::AcksBeforeDurable, None),
    (Plant::AnswersBeforeCommit, Some(Promise::Durable)),
    (Plant::KeepsTwice, None),
    (Plant::SwapsRecords, None),
    (Plant::TearsCommits, None),
    (Plant::ReadsOldState, None),
    (Plant::ForgetsKeys, Some(Promise::OneForKey)),
    (Plant::IgnoresVersions, None),
    (Plant::ListsEverybody, Some(Promise::Private)),
    (Plant::NothingIsDue, Some(Promise::Progress)),
    (Plant::CallsTwice, Some(Promise::NotDoubled)),
    (Plant::OneSlotTooMany, Some(Promise::RunsBounded)),
    (Plant::SkipsAnEvent, Some(Promise::Gapless)),
    (Plant::MixesAgents, Some(Promise::Private)),
    (Plant::NoWelcome, Some(Promise::Progress)),
    (Plant::GivesUpEarly, Some(Promise::Waits)),
    (Plant::ForgetsEarly, Some(Promise::Kept)),
    (Plant::ForgetsNothing, Some(Promise::Kept)),
    (Plant::ClockLeaps, Some(Promise::Kept)),
    (Plant::AnswersAnew, Some(Promise::Once)),
    (Plant::ChangesAgain, Some(Promise::Counted)),
    (Plant::TearsTransactions, Some(Promise::Whole)),
    (Plant::TimeRaces, Some(Promise::Leased)),
    (Plant::TimeStands, Some(Promise::Progress)),
];

impl Plant {
    /// What becomes of a commit on its way to the disk.
    pub(crate) fn spoil(self, scene: &Scene, commit: &mut Commit) {
        let records = &mut commit.steps[0].records;
        if self == Self::KeepsTwice && scene.happens(5) {
            records.extend(records.last().cloned());
        }
        if self == Self::SwapsRecords && scene.happens(10) {
            records.reverse();
        }
        if self == Self::TearsCommits && scene.happens(20) {
            records.truncate(records.len().div_ceil(2));
        }
        if self == Self::ForgetsKeys {
            commit.idempotency = None;
        }
        if self == Self::TearsTransactions && scene.happens(50) {
            commit.steps.truncate(1);
        }
    }

    /// Whether a commit is acknowledged before it is kept.
    pub(crate) fn is_hasty(self, scene: &Scene, commit: &Commit) -> bool {
        let says = |record: Option<&Record>, what: &str| {
            record.is_some_and(|record| String::from_utf8_lossy(&record.body).contains(what))
        };
        let records = &commit.steps[0].records;
        let is_whole = || {
            says(records.first(), "Submitted")
                && records.iter().any(|record| says(Some(record), "Intended"))
                && says(records.last(), "Ended")
        };
        (self == Self::AcksBeforeDurable && scene.happens(10)) || (self == Self::AnswersBeforeCommit && is_whole())
    }

    /// Until when it is asked what is due.
    pub(crate) fn hasten(self, before: Timestamp) -> Timestamp {
        let is_hasty = matches!(self, Self::GivesUpEarly | Self::ForgetsEarly);
        if is_hasty { before.after(Duration::from_secs(60 * 24 * 60 * 60)) } else { before }
    }

    /// Whether something is said to be due.
    pub(crate) fn lets_through(self, summary: &Summary, before: Timestamp) -> bool {
        let is_over = State::ALL.into_iter().any(|state| state.is_terminal() && state.code() == summary.state);
        let is_due = summary.due.is_some_and(|due| due <= before);
        let is_waiting = summary.state == State::Submitted.code();
        let is_hidden = self == Self::NothingIsDue || (self == Self::ForgetsNothing && is_over);
        let is_early = (self == Self::ForgetsEarly && is_over) || (self == Self::GivesUpEarly && is_waiting);
        !is_hidden && (is_due || is_early)
    }

    /// What becomes of a state on its way from the disk.
    pub(crate) fn age(self, scene: &Scene, loaded: &mut Option<Loaded>) {
        if let (Self::ReadsOldState, true, Some(loaded)) = (self, scene.happens(20), loaded) {
            let some = loaded.records.len().div_ceil(2);
            loaded.records.truncate(some);
            loaded.version = Version(some as u64);
        }
    }
}

/// How many worlds a planted fault may hide in.
const WORLDS: u64 = 150;

#[test]
fn a_world_that_breaks_a_promise_is_found_out() {
    catch_panics();
    let (next, hidden) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((plant, promise)) = PLANTS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = (0..WORLDS).find(|seed| {
                        let violations = live(*seed, *plant, false).violations;
                        violations.iter().any(|found| promise.is_none_or(|promise| found.promise == promise))
                    });
                    println!("{plant:?} breaks {promise:?} in world {found:?}");
                    if found.is_none() {
                        hidden.lock().unwrap().push((plant, promise));
                    }
                }
            });
        }
    });
    let hidden = hidden.into_inner().unwrap();
    assert!(hidden.is_empty(), "not found in {WORLDS} worlds: {hidden:?}");
}
