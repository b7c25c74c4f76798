//! What the store knows of every stream without asking the disk: where it is, where its bodies lie, how it is listed.
//!
//! The index holds only what is durable: the committer changes it after the sync, so whoever reads by it never sees
//! what a crash could take back. It is rebuilt from the heads when the store is opened.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::{StreamId, Timestamp};

use super::{
    codec::{Change, Head, Place},
    names::{Name, Names, ROOT},
    ranked::Ranked,
};
use crate::Summary;

/// Up to here a stream's steps grow one by one; beyond, as a vector does.
const STEPS_FEW: usize = 8;

/// All streams of a store.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_id: BTreeMap<StreamId, u32>,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    pub(super) names: Names,
    pub(super) lists: Lists,
    due: BTreeSet<(u64, u64, u32)>,
    /// The number of the newest step that is durable.
    pub(super) last: u64,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: StreamId,
    pub(super) born: u64,
    pub(super) version: u32,
    pub(super) trimmed: u32,
    pub(super) cells: bool,
    pub(super) blobs: bool,
    pub(super) steps: Steps,
    listed: Option<Listed>,
}

/// A summary whose texts are kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) tenant: Name,
    pub(super) owner: Name,
    pub(super) agent: Name,
    pub(super) context: Name,
    pub(super) state: u8,
    status_at: u64,
    due: Option<u64>,
}

/// Where a step's records lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepAt {
    /// The version of its first record.
    pub(super) first: u32,
    pub(super) place: Place,
}

/// The steps of a stream that are not trimmed away, in order. Most streams are tasks of two or three.
#[derive(Debug)]
pub(super) struct Steps(Vec<StepAt>);

/// The four orders in which streams are listed: by tenant, by agent, by owner and agent, by context, owner and agent;
/// within each by state, and within that newest first.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) all: Ranked<Listing>,
    pub(super) by_agent: Ranked<Listing>,
    pub(super) by_owner: Ranked<Listing>,
    pub(super) by_context: Ranked<Listing>,
}

/// A stream's place in one of the orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listing {
    /// What the order is by; unused ones are zero.
    pub(super) names: [Name; 3],
    /// The state, and the time of the status counted down.
    pub(super) when: When,
    /// The number of the first step, counted down.
    pub(super) born: u64,
    pub(super) slot: u32,
}

/// A state in the upper eight bits, a time counted down in the others: of two in one state the newer one is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct When(u64);

impl When {
    const TIME: u64 = u64::MAX >> 8;

    pub(super) fn new(state: u8, status_at: u64) -> Self {
        Self(u64::from(state) << 56 | (Self::TIME - status_at.min(Self::TIME)))
    }

    /// A state at an [`When::age`].
    pub(super) fn of_age(state: u8, age: u64) -> Self {
        Self(u64::from(state) << 56 | age)
    }

    /// Before all of a state.
    pub(super) fn first(state: u8) -> Self {
        Self(u64::from(state) << 56)
    }

    pub(super) fn state(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// The time alone, counted down.
    pub(super) fn age(self) -> u64 {
        self.0 & Self::TIME
    }
}

impl Steps {
    /// The steps that hold records after `version`.
    pub(super) fn after(&self, version: u32) -> &[StepAt] {
        // The last step that begins at or before the first wanted record holds it.
        let begun = self.0.partition_point(|step| step.first <= version.saturating_add(1));
        &self.0[begun.saturating_sub(1)..]
    }

    pub(super) fn all(&self) -> &[StepAt] {
        &self.0
    }
}

impl Index {
    pub(super) fn get(&self, id: &StreamId) -> Option<&Entry> {
        self.slots[*self.by_id.get(id)? as usize].as_ref()
    }

    pub(super) fn slot(&self, slot: u32) -> &Entry {
        self.slots[slot as usize].as_ref().expect("what is listed is there")
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.by_id.values().map(|slot| self.slot(*slot))
    }

    /// The summary of a stream, its texts put back.
    pub(super) fn summary(&self, entry: &Entry) -> Option<Summary> {
        let listed = entry.listed.as_ref()?;
        let text = |name| self.names.text(name).to_owned();
        Some(Summary {
            tenant: text(listed.tenant),
            owner: text(listed.owner),
            agent: text(listed.agent),
            context: text(listed.context),
            state: listed.state,
            status_at: Timestamp::from_millis(listed.status_at),
            due: listed.due.map(Timestamp::from_millis),
        })
    }

    /// Whether a stream's tenant and context are these. `None` is any.
    pub(super) fn covers(&self, entry: &Entry, tenant: Option<&str>, context: Option<&str>) -> bool {
        let is = |wanted: Option<&str>, name: fn(&Listed) -> Name| match wanted {
            None => true,
            Some(wanted) => entry.listed.as_ref().is_some_and(|listed| self.names.text(name(listed)) == wanted),
        };
        is(tenant, |listed| listed.tenant) && is(context, |listed| listed.context)
    }

    /// Takes a step in that has been committed.
    pub(super) fn apply(&mut self, head: &Head) {
        let slot = self.apply_unlisted(head);
        self.list(slot, head.summary.as_deref());
    }

    /// Takes a step in that is read back, but leaves it to [`Index::list`] to list the stream when all are there.
    pub(super) fn apply_unlisted(&mut self, head: &Head) -> u32 {
        let slot = match self.by_id.get(&head.stream) {
            Some(slot) => *slot,
            None => self.begin(&head.stream, head.born),
        };
        let entry = self.slots[slot as usize].as_mut().expect("a slot that is named is used");
        match head.change {
            Change::Grown { count, place } => {
                // The step may be older than the trim that is already known when it is read back. Room for no more than that
                // while there are few: most streams have two or three steps, and there are a great many streams.
                if entry.steps.0.len() < STEPS_FEW {
                    entry.steps.0.reserve_exact(1);
                }
                entry.steps.0.push(StepAt { first: head.version - count + 1, place });
            }
            Change::Trimmed => {}
        }
        entry.version = head.version;
        entry.cells |= head.cells;
        entry.blobs |= head.blobs;
        if head.trimmed > entry.trimmed {
            entry.trimmed = head.trimmed;
            let kept = if entry.trimmed == entry.version {
                entry.steps.0.len()
            } else {
                entry.steps.0.len() - entry.steps.after(entry.trimmed).len()
            };
            entry.steps.0.drain(..kept);
        }
        slot
    }

    /// Takes a stream out.
    pub(super) fn remove(&mut self, id: &StreamId) {
        if let Some(slot) = self.by_id.remove(id) {
            self.list(slot, None);
            self.slots[slot as usize] = None;
            self.free.push(slot);
        }
    }

    /// The streams that are due at or before `before`, earliest first.
    pub(super) fn due(&self, before: Timestamp) -> impl Iterator<Item = &Entry> {
        let end = (before.as_millis(), u64::MAX, u32::MAX);
        self.due.range(..=end).map(|(_, _, slot)| self.slot(*slot))
    }

    fn begin(&mut self, id: &StreamId, born: u64) -> u32 {
        let entry = Entry {
            id: id.clone(),
            born,
            version: 0,
            trimmed: 0,
            cells: false,
            blobs: false,
            steps: Steps(Vec::new()),
            listed: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.slots.push(Some(entry));
                u32::try_from(self.slots.len() - 1).expect("fewer streams than a disk can hold")
            }
        };
        self.by_id.insert(id.clone(), slot);
        slot
    }

    /// Lists a stream by its new summary instead of its old one.
    pub(super) fn list(&mut self, slot: u32, summary: Option<&Summary>) {
        let entry = self.slots[slot as usize].as_mut().expect("a slot that is named is used");
        let born = entry.born;
        let old = entry.listed.take();
        let new = match (&old, summary) {
            (None, None) => None,
            (Some(old), None) => {
                for name in [old.tenant, old.owner, old.agent, old.context] {
                    self.names.leave(name);
                }
                None
            }
            (old, Some(summary)) => Some(named(&mut self.names, old.as_ref(), summary)),
        };
        entry.listed = new;
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.lists.remove(&old, born, slot);
            if let Some(due) = old.due {
                self.due.remove(&(due, born, slot));
            }
        }
        if let Some(new) = new {
            self.lists.insert(&new, born, slot);
            if let Some(due) = new.due {
                self.due.insert((due, born, slot));
            }
        }
    }
}

/// A summary with its texts' names, of which most are those that the stream had before.
fn named(names: &mut Names, old: Option<&Listed>, summary: &Summary) -> Listed {
    let Summary { tenant, owner, agent, context, state, status_at, due } = summary;
    let tenant = names.change(ROOT, old.map(|old| old.tenant), tenant);
    Listed {
        tenant,
        owner: names.change(tenant, old.map(|old| old.owner), owner),
        agent: names.change(tenant, old.map(|old| old.agent), agent),
        context: names.change(tenant, old.map(|old| old.context), context),
        state: *state,
        status_at: status_at.as_millis(),
        due: due.map(Timestamp::as_millis),
    }
}

impl Lists {
    fn insert(&mut self, listed: &Listed, born: u64, slot: u32) {
        let [all, by_agent, by_owner, by_context] = places(listed, born, slot);
        self.all.insert(all);
        self.by_agent.insert(by_agent);
        self.by_owner.insert(by_owner);
        self.by_context.insert(by_context);
    }

    fn remove(&mut self, listed: &Listed, born: u64, slot: u32) {
        let [all, by_agent, by_owner, by_context] = places(listed, born, slot);
        let removed = [
            self.all.remove(&all),
            self.by_agent.remove(&by_agent),
            self.by_owner.remove(&by_owner),
            self.by_context.remove(&by_context),
        ];
        assert_eq!(removed, [true; 4], "what is listed is in all four orders");
    }
}

fn places(listed: &Listed, born: u64, slot: u32) -> [Listing; 4] {
    let Listed { tenant, owner, agent, context, state, status_at, due: _ } = *listed;
    let zero = Name::default();
    let place = |names| Listing { names, when: When::new(state, status_at), born: !born, slot };
    [
        place([tenant, zero, zero]),
        place([agent, zero, zero]),
        place([owner, agent, zero]),
        place([context, owner, agent]),
    ]
}
