//! A sorted list that knows how many come before: inserting, removing and counting are quick at any length.
//!
//! It is a row of sorted chunks. What a list is asked for, an exact number of matches, a `BTreeSet` can only count.

use std::fmt;

/// The most entries of one chunk: short enough to be shifted in less time than a cache miss or two takes.
const CHUNK_MAX: usize = 256;

/// A chunk with fewer entries than this is joined to a neighbour that has room.
const CHUNK_MIN: usize = CHUNK_MAX / 4;

pub(super) struct Ranked<K> {
    chunks: Vec<Vec<K>>,
    /// The length of each chunk, side by side, so that counting reads little memory.
    lengths: Vec<u16>,
}

/// A place in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    chunk: usize,
    at: usize,
}

impl<K> Default for Ranked<K> {
    fn default() -> Self {
        Self { chunks: Vec::new(), lengths: Vec::new() }
    }
}

impl<K> fmt::Debug for Ranked<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} chunks", self.chunks.len())
    }
}

impl<K: Ord + Copy> Ranked<K> {
    /// Where the first entry is that is not less than `key`.
    pub(super) fn seek(&self, key: &K) -> Position {
        let chunk = self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| last < key));
        let at = self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(|entry| entry < key));
        Position { chunk, at }
    }

    /// How many entries come before a place.
    pub(super) fn rank(&self, position: Position) -> usize {
        self.lengths[..position.chunk].iter().map(|length| usize::from(*length)).sum::<usize>() + position.at
    }

    pub(super) fn get(&self, position: Position) -> Option<&K> {
        self.chunks.get(position.chunk)?.get(position.at)
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

    pub(super) fn insert(&mut self, key: K) {
        let Position { mut chunk, mut at } = self.seek(&key);
        if chunk == self.chunks.len() {
            // After the last: at its end if there is room.
            match self.chunks.last() {
                Some(last) if last.len() < CHUNK_MAX => {
                    chunk -= 1;
                    at = last.len();
                }
                Some(_) | None => {
                    self.chunks.push(Vec::new());
                    self.lengths.push(0);
                }
            }
        } else if self.chunks[chunk].len() == CHUNK_MAX {
            // Split where the entry goes, not in the middle: new entries come next to the newest, and chunks stay full.
            let rest = self.chunks[chunk].split_off(at);
            self.lengths[chunk] = at as u16;
            self.lengths.insert(chunk + 1, rest.len() as u16);
            self.chunks.insert(chunk + 1, rest);
            if at == CHUNK_MAX {
                unreachable!("an entry that is less than the chunk's last does not go to its end");
            }
            if at == 0 {
                // The first half is empty: it becomes the entry's own.
                self.chunks[chunk] = Vec::new();
            }
        }
        self.chunks[chunk].insert(at, key);
        self.lengths[chunk] += 1;
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        let position = self.seek(key);
        if self.get(position) != Some(key) {
            return false;
        }
        let Position { chunk, at } = position;
        self.chunks[chunk].remove(at);
        self.lengths[chunk] -= 1;
        if self.chunks[chunk].len() < CHUNK_MIN {
            self.join(chunk);
        }
        true
    }

    fn join(&mut self, chunk: usize) {
        if self.chunks[chunk].is_empty() {
            self.chunks.remove(chunk);
            self.lengths.remove(chunk);
            return;
        }
        let fits = |a: Option<&Vec<K>>, b: Option<&Vec<K>>| {
            a.zip(b).is_some_and(|(a, b)| a.len() + b.len() <= CHUNK_MAX - CHUNK_MIN)
        };
        let first = if fits(self.chunks.get(chunk), self.chunks.get(chunk + 1)) {
            chunk
        } else if chunk > 0 && fits(self.chunks.get(chunk - 1), self.chunks.get(chunk)) {
            chunk - 1
        } else {
            return;
        };
        let second = self.chunks.remove(first + 1);
        self.lengths[first] += self.lengths.remove(first + 1);
        self.chunks[first].extend(second);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_sorted_set_that_can_count(changes in proptest::collection::vec((any::<bool>(), 0u32..3000), 1..6000), asked in 0u32..3000) {
            let (mut ranked, mut model) = (Ranked::default(), BTreeSet::new());
            for (insert, key) in changes {
                if insert {
                    if model.insert(key) {
                        ranked.insert(key);
                    }
                } else {
                    prop_assert_eq!(ranked.remove(&key), model.remove(&key));
                }
            }
            let position = ranked.seek(&asked);
            prop_assert_eq!(ranked.rank(position), model.range(..asked).count());
            let mut position = position;
            for key in model.range(asked..) {
                prop_assert_eq!(ranked.get(position), Some(key));
                position = ranked.next(position);
            }
            prop_assert_eq!(ranked.get(position), None);
        }
    }

    #[test]
    fn new_entries_at_one_place_leave_full_chunks() {
        let mut ranked = Ranked::default();
        for key in (0..100_000u32).rev() {
            ranked.insert(key);
        }
        assert!(ranked.chunks.len() < 2 * 100_000 / CHUNK_MAX, "{ranked:?}");
    }
}
