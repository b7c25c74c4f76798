//! A sorted list of slots that knows how many come before: inserting, removing and counting are quick at any length.
//!
//! It is a row of sorted chunks, and keeps nothing but the slots' numbers: what they are sorted by is asked of the
//! caller, who says which slots come before a place. What a list is asked for, an exact number of matches, a `BTreeSet`
//! can only count.

use std::fmt;

/// The most slots of one chunk: short enough to be shifted in less time than a cache miss or two takes.
const CHUNK_MAX: usize = 256;

/// A chunk with fewer slots than this is joined to a neighbour that has room.
const CHUNK_MIN: usize = CHUNK_MAX / 4;

/// Slots in an order of the caller's, each with its rank.
#[derive(Default)]
pub(super) struct RankedList {
    chunks: Vec<Vec<u32>>,
    /// The last slot of each chunk, side by side, so that a search looks into one chunk only.
    lasts: Vec<u32>,
    /// The length of each chunk, side by side, so that counting reads little memory.
    lengths: Vec<u16>,
}

/// A place in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    chunk: usize,
    at: usize,
}

impl fmt::Debug for RankedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} chunks", self.chunks.len())
    }
}

impl RankedList {
    /// The list of slots that are sorted already.
    pub(super) fn from_sorted(slots: &[u32]) -> Self {
        let chunks: Vec<Vec<u32>> = slots.chunks(CHUNK_MAX).map(<[u32]>::to_vec).collect();
        Self {
            lasts: chunks.iter().map(|chunk| last(chunk)).collect(),
            lengths: chunks.iter().map(|chunk| chunk.len() as u16).collect(),
            chunks,
        }
    }

    /// Where the first slot is that does not come before the place that is looked for.
    pub(super) fn seek(&self, before: impl Fn(u32) -> bool) -> Position {
        let chunk = self.lasts.partition_point(|slot| before(*slot));
        let at = self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(|slot| before(*slot)));
        Position { chunk, at }
    }

    /// How many slots come before a place.
    pub(super) fn rank(&self, position: Position) -> usize {
        self.lengths[..position.chunk].iter().map(|length| usize::from(*length)).sum::<usize>() + position.at
    }

    pub(super) fn get(&self, position: Position) -> Option<u32> {
        self.chunks.get(position.chunk)?.get(position.at).copied()
    }

    /// The place after this one.
    pub(super) fn next(&self, position: Position) -> Position {
        let Position { chunk, at } = position;
        if at + 1 < self.chunks[chunk].len() {
            Position { chunk, at: at + 1 }
        } else {
            Position { chunk: chunk + 1, at: 0 }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.chunks.iter().flatten().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.lengths.iter().map(|length| usize::from(*length)).sum()
    }

    /// Takes a slot in after those that come before it.
    pub(super) fn insert(&mut self, slot: u32, before: impl Fn(u32) -> bool) {
        let Position { mut chunk, mut at } = self.seek(before);
        if chunk == self.chunks.len() {
            // After the last: at its end if there is room.
            match self.chunks.last() {
                Some(last) if last.len() < CHUNK_MAX => {
                    chunk -= 1;
                    at = last.len();
                }
                Some(_) | None => self.insert_chunk(chunk, vec![]),
            }
        } else if self.chunks[chunk].len() == CHUNK_MAX {
            // Split where the slot goes, not in the middle: new ones come next to the newest, and chunks stay full.
            // If it goes to the front, the first half is empty and becomes its own.
            let rest = self.chunks[chunk].split_off(at);
            self.insert_chunk(chunk + 1, rest);
            if at == 0 {
                self.chunks[chunk] = Vec::new();
            }
        }
        self.chunks[chunk].insert(at, slot);
        self.note(chunk);
    }

    /// Takes a slot out, and says whether it was there. `before` is what it was inserted by.
    pub(super) fn remove(&mut self, slot: u32, before: impl Fn(u32) -> bool) -> bool {
        let position = self.seek(before);
        if self.get(position) != Some(slot) {
            return false;
        }
        let Position { chunk, at } = position;
        self.chunks[chunk].remove(at);
        if self.chunks[chunk].is_empty() {
            self.remove_chunk(chunk);
            return true;
        }
        self.note(chunk);
        if self.chunks[chunk].len() < CHUNK_MIN {
            self.join(chunk);
        }
        true
    }

    /// Joins a short chunk to a neighbour if both have room in one.
    fn join(&mut self, chunk: usize) {
        let fits = |first: usize| {
            let both = self.lengths.get(first..first + 2);
            both.is_some_and(|both| both.iter().sum::<u16>() as usize <= CHUNK_MAX - CHUNK_MIN)
        };
        let first = if fits(chunk) {
            chunk
        } else if chunk > 0 && fits(chunk - 1) {
            chunk - 1
        } else {
            return;
        };
        let second = self.remove_chunk(first + 1);
        self.chunks[first].extend(second);
        self.note(first);
    }

    fn insert_chunk(&mut self, at: usize, chunk: Vec<u32>) {
        self.lasts.insert(at, chunk.last().copied().unwrap_or_default());
        self.lengths.insert(at, chunk.len() as u16);
        self.chunks.insert(at, chunk);
    }

    fn remove_chunk(&mut self, at: usize) -> Vec<u32> {
        self.lasts.remove(at);
        self.lengths.remove(at);
        self.chunks.remove(at)
    }

    /// Notes what has become of a chunk.
    fn note(&mut self, chunk: usize) {
        self.lasts[chunk] = last(&self.chunks[chunk]);
        self.lengths[chunk] = self.chunks[chunk].len() as u16;
    }
}

fn last(chunk: &[u32]) -> u32 {
    *chunk.last().expect("a chunk is never empty")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What a slot is sorted by in these tests: not its number.
    fn key(slot: u32) -> u32 {
        slot.reverse_bits()
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set_that_can_count(
            changes in proptest::collection::vec((any::<bool>(), 0u32..3000), 1..6000),
            asked in 0u32..3000,
        ) {
            let (mut ranked, mut model) = (RankedList::default(), BTreeSet::new());
            for (insert, slot) in changes {
                let before = |other| key(other) < key(slot);
                if !insert {
                    prop_assert_eq!(ranked.remove(slot, before), model.remove(&(key(slot), slot)));
                } else if model.insert((key(slot), slot)) {
                    ranked.insert(slot, before);
                }
            }
            let sorted: Vec<u32> = model.iter().map(|(_, slot)| *slot).collect();
            prop_assert_eq!(ranked.len(), sorted.len());
            for ranked in [&ranked, &RankedList::from_sorted(&sorted)] {
                prop_assert_eq!(&ranked.iter().collect::<Vec<_>>(), &sorted);
                let mut position = ranked.seek(|slot| key(slot) < key(asked));
                prop_assert_eq!(ranked.rank(position), model.range(..(key(asked), 0)).count());
                for (_, slot) in model.range((key(asked), 0)..) {
                    prop_assert_eq!(ranked.get(position), Some(*slot));
                    position = ranked.next(position);
                }
                prop_assert_eq!(ranked.get(position), None);
            }
        }
    }

    #[test]
    fn new_slots_at_one_place_leave_full_chunks() {
        let mut ranked = RankedList::default();
        for slot in (0..100_000u32).rev() {
            ranked.insert(slot, |other| other < slot);
        }
        assert!(ranked.chunks.len() < 2 * 100_000 / CHUNK_MAX, "{ranked:?}");
    }
}
