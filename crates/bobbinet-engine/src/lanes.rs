//! Lanes: which calls of one agent run one at a time, and the tasks that wait for that.
//!
//! A lane is kept from before a call's intent is in the log until its run is over. A task that waits for one is submitted and nothing
//! more: after a crash it waits again, and nobody has to be asked what became of its call.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bobbinet_core::TaskId;

/// What a call keeps for itself while it runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// All of its agent: no other call that has a lane runs beside it.
    Whole,
    /// What goes by this name: calls of other names run beside it.
    Part(Arc<str>),
}

/// The lanes of one agent: those that are kept, and who waits. Knows no lock.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// Each with how many keep it: more than one where a call that had lent its own goes on.
    held: BTreeMap<Lane, usize>,
    /// In the order they came.
    waiting: VecDeque<(TaskId, Lane)>,
}

impl Lanes {
    /// Whether a call that comes now may have this lane: nobody is in it, and nobody waits for it.
    pub(crate) fn is_free(&self, lane: &Lane) -> bool {
        !self.is_taken(lane) && !self.waiting.iter().any(|(_, earlier)| conflict(earlier, lane))
    }

    fn is_taken(&self, lane: &Lane) -> bool {
        match lane {
            Lane::Whole => !self.held.is_empty(),
            Lane::Part(_) => self.held.contains_key(&Lane::Whole) || self.held.contains_key(lane),
        }
    }

    pub(crate) fn hold(&mut self, lane: Lane) {
        *self.held.entry(lane).or_default() += 1;
    }

    pub(crate) fn release(&mut self, lane: &Lane) {
        if let Some(count) = self.held.get_mut(lane) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(lane);
            }
        }
    }

    /// Puts a task at the end of the queue.
    pub(crate) fn wait(&mut self, id: TaskId, lane: Lane) {
        self.waiting.push_back((id, lane));
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a task out of the queue, if it waits.
    pub(crate) fn leave(&mut self, id: &TaskId) {
        self.waiting.retain(|(waiting, _)| waiting != id);
    }

    /// The first whose lane is free, and no earlier one's in the queue. The lane is kept for it from now on.
    pub(crate) fn next(&mut self) -> Option<(TaskId, Lane)> {
        let mut passed = BTreeSet::new();
        let mut is_first = true;
        let position = self.waiting.iter().position(|(_, lane)| {
            let is_behind = match lane {
                Lane::Whole => !is_first,
                Lane::Part(_) => passed.contains(&Lane::Whole) || passed.contains(lane),
            };
            is_first = false;
            let is_turn = !is_behind && !self.is_taken(lane);
            if !is_turn {
                passed.insert(lane.clone());
            }
            is_turn
        })?;
        let (id, lane) = self.waiting.remove(position)?;
        self.hold(lane.clone());
        Some((id, lane))
    }
}

/// Whether calls of these two lanes cannot run at the same time.
fn conflict(one: &Lane, other: &Lane) -> bool {
    match (one, other) {
        (Lane::Whole, _) | (_, Lane::Whole) => true,
        (Lane::Part(one), Lane::Part(other)) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> TaskId {
        TaskId::new(Uuid::from_u128(number))
    }

    fn part(name: &str) -> Lane {
        Lane::Part(name.into())
    }

    #[test]
    fn one_part_keeps_no_other_waiting_and_the_whole_keeps_all() {
        let mut lanes = Lanes::default();
        lanes.hold(part("a"));
        assert_eq!([part("a"), part("b"), Lane::Whole].map(|lane| lanes.is_free(&lane)), [false, true, false]);
        lanes.hold(Lane::Whole);
        assert!(!lanes.is_free(&part("b")));
        lanes.release(&Lane::Whole);
        assert!(lanes.is_free(&part("b")));
    }

    #[test]
    fn each_goes_in_its_turn_and_overtakes_only_those_whose_way_it_is_not_in() {
        let mut lanes = Lanes::default();
        lanes.hold(part("a"));
        for (number, lane) in [part("a"), part("b"), Lane::Whole, part("c")].into_iter().enumerate() {
            lanes.wait(id(number as u128), lane);
        }
        assert_eq!(lanes.next(), Some((id(1), part("b"))));
        assert_eq!(lanes.next(), None, "the whole waits for both, and whoever came after it for the whole");
        lanes.release(&part("a"));
        assert_eq!(lanes.next(), Some((id(0), part("a"))));
        lanes.release(&part("a"));
        lanes.release(&part("b"));
        assert_eq!(lanes.next(), Some((id(2), Lane::Whole)));
        assert_eq!(lanes.next(), None);
        lanes.leave(&id(3));
        lanes.release(&Lane::Whole);
        assert_eq!((lanes.next(), lanes.held.len(), lanes.waiting()), (None, 0, 0));
    }

    #[test]
    fn a_lane_that_two_are_in_is_free_when_both_have_left() {
        let mut lanes = Lanes::default();
        lanes.hold(Lane::Whole);
        lanes.hold(Lane::Whole);
        lanes.release(&Lane::Whole);
        assert!(!lanes.is_free(&Lane::Whole));
        lanes.release(&Lane::Whole);
        assert!(lanes.is_free(&Lane::Whole));
    }
}
