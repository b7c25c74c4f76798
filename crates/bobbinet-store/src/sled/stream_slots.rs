//! Where the index has its entries: a stream's number in here is its slot, which the sorted lists hold in its stead.

use super::index_entry::IndexEntry;

/// An entry for each stream, by its slot. A slot that has become free is used again.
#[derive(Debug, Default)]
pub(super) struct StreamSlots {
    entries: Vec<Option<IndexEntry>>,
    free: Vec<u32>,
}

impl StreamSlots {
    pub(super) fn get(&self, slot: u32) -> &IndexEntry {
        self.entries[slot as usize].as_ref().expect("a slot that is named is used")
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut IndexEntry {
        self.entries[slot as usize].as_mut().expect("a slot that is named is used")
    }

    pub(super) fn add(&mut self, entry: IndexEntry) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.entries[slot as usize] = Some(entry);
            return slot;
        }
        self.entries.push(Some(entry));
        u32::try_from(self.entries.len() - 1).expect("fewer streams than a disk can hold")
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.entries[slot as usize] = None;
        self.free.push(slot);
    }

    /// What a stream that is due is sorted by.
    pub(super) fn due(&self, slot: u32) -> (u64, u64, u32) {
        let entry = self.get(slot);
        (entry.due().expect("what is sorted by it is due"), entry.born, slot)
    }
}
