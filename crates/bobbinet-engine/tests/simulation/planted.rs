//! Planted faults: worlds that break a promise, to see that they are found out.

use bobbinet_store::{Commit, Loaded, Version};

use crate::{
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
}

const PLANTS: [Plant; 13] = [
    Plant::LosesCommits,
    Plant::AcksBeforeDurable,
    Plant::KeepsTwice,
    Plant::SwapsRecords,
    Plant::TearsCommits,
    Plant::ReadsOldState,
    Plant::ForgetsKeys,
    Plant::IgnoresVersions,
    Plant::ListsEverybody,
    Plant::NothingIsDue,
    Plant::CallsTwice,
    Plant::OneSlotTooMany,
    Plant::SkipsAnEvent,
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
const WORLDS: u64 = 40;

#[test]
fn a_world_that_breaks_a_promise_is_found_out() {
    catch_panics();
    for plant in PLANTS {
        let found = (0..WORLDS).find_map(|seed| live(seed, plant, false).violations.into_iter().next());
        println!("{plant:?}: {found:?}");
        assert!(found.is_some(), "{plant:?} is not found in {WORLDS} worlds");
    }
}
