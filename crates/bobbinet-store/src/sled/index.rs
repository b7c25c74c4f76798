//! What the store knows of every stream without asking the disk: where it is, where its bodies lie, how it is listed.
//!
//! The index holds only what is durable: the committer changes it after the sync, so whoever reads by it never sees
//! what a crash could take back. It is rebuilt from the heads when the store is opened.
//!
//! A stream has a *slot* ([`StreamSlots`]), and each way to find it is a list of slots that is sorted by what stands in them:
//! four bytes a stream. So a slot leaves a list before what stands in it changes, and comes back after that.

use bobbinet_core::{StreamId, Timestamp};

use super::{
    codec::{Change, Head},
    index_entry::{IndexEntry, Listed, StepAt},
    interner::{Interner, Name, ROOT},
    orders::{By, Order},
    ranked::RankedList,
    stream_slots::StreamSlots,
};
use crate::Summary;

/// All streams of a store.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: StreamSlots,
    pub(super) names: Interner,
    by_id: RankedList,
    /// One for each [`By`].
    orders: [RankedList; 4],
    due: RankedList,
    /// The number of the newest step that is durable.
    pub(super) last: u64,
    /// The number of the newest group that is durable.
    pub(super) group: u64,
}

impl Index {
    pub(super) fn get(&self, id: &StreamId) -> Option<&IndexEntry> {
        self.find(id).map(|slot| self.slots.get(slot))
    }

    fn find(&self, id: &StreamId) -> Option<u32> {
        let slot = self.by_id.get(self.by_id.seek(|slot| self.slots.get(slot).id < *id))?;
        (self.slots.get(slot).id == *id).then_some(slot)
    }

    pub(super) fn slot(&self, slot: u32) -> &IndexEntry {
        self.slots.get(slot)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All streams in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &IndexEntry> {
        self.by_id.iter().map(|slot| self.slots.get(slot))
    }

    pub(super) fn order(&self, by: By) -> Order<'_> {
        Order { by, slots: &self.slots, ranked: &self.orders[by as usize] }
    }

    /// The summary of a stream, its texts put back.
    pub(super) fn summary(&self, entry: &IndexEntry) -> Option<Summary> {
        let listed = entry.listed()?;
        let text = |name| self.names.text(name);
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
    pub(super) fn covers(&self, entry: &IndexEntry, tenant: Option<&str>, context: Option<&str>) -> bool {
        let listed = entry.listed();
        let is = |wanted: Option<&str>, name: fn(Listed) -> Name| match wanted {
            None => true,
            Some(wanted) => listed.is_some_and(|listed| self.names.is(name(listed), wanted)),
        };
        is(tenant, |listed| listed.tenant) && is(context, |listed| listed.context)
    }

    /// Takes a step in that has been committed.
    pub(super) fn apply(&mut self, head: &Head) {
        let slot = self.find(&head.stream);
        let slot = slot.unwrap_or_else(|| self.begin(&head.stream, head.born));
        self.slots.get_mut(slot).apply(head);
        let old = self.slots.get(slot).listed();
        let new = self.named(old, head.summary.as_deref());
        if old != new {
            self.take_off_lists(slot);
            self.slots.get_mut(slot).set_listed(new);
            self.put_on_lists(slot);
        }
    }

    /// Takes a step in that is read back, but leaves it to [`Index::sort`] to list the streams when all are there.
    pub(super) fn apply_unsorted(&mut self, head: &Head) {
        let slot = self.find(&head.stream);
        let slot = slot.unwrap_or_else(|| self.begin(&head.stream, head.born));
        self.slots.get_mut(slot).apply(head);
        let new = self.named(self.slots.get(slot).listed(), head.summary.as_deref());
        self.slots.get_mut(slot).set_listed(new);
    }

    /// Lists all streams.
    pub(super) fn sort(&mut self) {
        let slots = &self.slots;
        let listed: Vec<u32> = self.by_id.iter().filter(|slot| slots.get(*slot).listed().is_some()).collect();
        for by in By::ALL {
            let mut sorted = listed.clone();
            sorted.sort_unstable_by_key(|slot| by.listing(*slot, slots.get(*slot)));
            self.orders[by as usize] = RankedList::from_sorted(&sorted);
        }
        let mut due = listed;
        due.retain(|slot| slots.get(*slot).due().is_some());
        due.sort_unstable_by_key(|slot| slots.due(*slot));
        self.due = RankedList::from_sorted(&due);
    }

    /// Takes a stream out.
    pub(super) fn remove(&mut self, id: &StreamId) {
        let Some(slot) = self.find(id) else { return };
        self.take_off_lists(slot);
        self.named(self.slots.get(slot).listed(), None);
        let slots = &self.slots;
        let was_there = self.by_id.remove(slot, |slot| slots.get(slot).id < *id);
        assert!(was_there, "a stream that is found is there");
        self.slots.remove(slot);
    }

    /// The streams that are due at or before `before`, earliest first.
    pub(super) fn due(&self, before: Timestamp) -> impl Iterator<Item = &IndexEntry> {
        let is_due = move |entry: &&IndexEntry| entry.due().is_some_and(|due| due <= before.as_millis());
        self.due.iter().map(|slot| self.slots.get(slot)).take_while(is_due)
    }

    fn begin(&mut self, id: &StreamId, born: u64) -> u32 {
        let slot = self.slots.add(IndexEntry::new(id.clone(), born));
        let slots = &self.slots;
        self.by_id.insert(slot, |slot| slots.get(slot).id < *id);
        slot
    }

    /// A summary with its texts' names, of which most are those that the stream had before; those that it has no longer
    /// are let go.
    fn named(&mut self, old: Option<Listed>, summary: Option<&Summary>) -> Option<Listed> {
        let names = &mut self.names;
        let Some(Summary { tenant, owner, agent, context, state, status_at, due }) = summary else {
            if let Some(Listed { tenant, owner, agent, context, .. }) = old {
                for name in [owner, agent, context, tenant] {
                    names.leave(name);
                }
            }
            return None;
        };
        let tenant = names.change(ROOT, old.map(|old| old.tenant), tenant);
        Some(Listed {
            tenant,
            owner: names.change(tenant, old.map(|old| old.owner), owner),
            agent: names.change(tenant, old.map(|old| old.agent), agent),
            context: names.change(tenant, old.map(|old| old.context), context),
            state: *state,
            status_at: status_at.as_millis(),
            due: due.map(Timestamp::as_millis),
        })
    }

    fn put_on_lists(&mut self, slot: u32) {
        let slots = &self.slots;
        for by in By::ALL {
            if let Some(place) = by.listing(slot, slots.get(slot)) {
                let before = |slot| by.listing(slot, slots.get(slot)) < Some(place);
                self.orders[by as usize].insert(slot, before);
            }
        }
        if slots.get(slot).due().is_some() {
            let place = slots.due(slot);
            self.due.insert(slot, |slot| slots.due(slot) < place);
        }
    }

    fn take_off_lists(&mut self, slot: u32) {
        let slots = &self.slots;
        for by in By::ALL {
            if let Some(place) = by.listing(slot, slots.get(slot)) {
                let before = |slot| by.listing(slot, slots.get(slot)) < Some(place);
                let was_there = self.orders[by as usize].remove(slot, before);
                assert!(was_there, "what is listed is in all four orders");
            }
        }
        if slots.get(slot).due().is_some() {
            let place = slots.due(slot);
            let was_there = self.due.remove(slot, |slot| slots.due(slot) < place);
            assert!(was_there, "what is due is in the order of what is due");
        }
    }
}

impl IndexEntry {
    /// Takes a step in, all but its summary.
    fn apply(&mut self, head: &Head) {
        match head.change {
            // The step may be older than the trim that is already known when it is read back.
            Change::Grown { count, place } => self.steps.push(StepAt::new(head.version - count + 1, place)),
            Change::Trimmed => {}
        }
        self.version = head.version;
        self.cells |= head.cells;
        self.blobs |= head.blobs;
        if head.trimmed > self.trimmed {
            self.trimmed = head.trimmed;
            let all = self.steps.all().len();
            let kept = if self.trimmed == self.version { 0 } else { self.steps.after(self.trimmed).len() };
            self.steps.drop_first(all - kept);
        }
    }
}
