//! What is known of the events that are kept, so that a repeat is found, and what is to make room.

use std::{collections::VecDeque, sync::Arc};

use bobbinet_core::{Limits, Timestamp};

/// Events that are copied when one more comes; all before them are shared with the state before.
const CHUNK: usize = 256;

/// What is to make room is a part of what there may be: one in so many, so that it is not done for each event.
const SLACK: usize = 16;

/// One event that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) version: u64,
    /// Of its source and id.
    pub(crate) key: u128,
    pub(crate) bytes: usize,
    pub(crate) at: Timestamp,
}

/// All of them, oldest first. Cloning shares all but the newest.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptEvents {
    chunks: VecDeque<Arc<Vec<Kept>>>,
    count: usize,
    bytes: usize,
}

impl KeptEvents {
    /// The version of the event with this key.
    pub(crate) fn find(&self, key: u128) -> Option<u64> {
        let mut newest_first = self.chunks.iter().rev().flat_map(|chunk| chunk.iter().rev());
        newest_first.find(|kept| kept.key == key).map(|kept| kept.version)
    }

    pub(crate) fn push(&mut self, kept: Kept) {
        self.count += 1;
        self.bytes += kept.bytes;
        match self.chunks.back_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => Arc::make_mut(chunk).push(kept),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(kept);
                self.chunks.push_back(Arc::new(chunk));
            }
        }
    }

    /// Drops all before this version.
    pub(crate) fn drop_before(&mut self, version: u64) {
        while let Some(chunk) = self.chunks.front_mut() {
            let gone = chunk.iter().take_while(|kept| kept.version < version).count();
            self.count -= gone;
            self.bytes -= chunk[..gone].iter().map(|kept| kept.bytes).sum::<usize>();
            if gone < chunk.len() {
                if gone > 0 {
                    Arc::make_mut(chunk).drain(..gone);
                }
                return;
            }
            self.chunks.pop_front();
        }
    }

    /// The version before which all are to be dropped for one more of these bytes, if any are.
    pub(crate) fn room_for(&self, bytes: usize, limits: &Limits) -> Option<u64> {
        let (count_max, bytes_max) = (limits.events_kept_max.max(1), limits.events_kept_bytes_max);
        let (mut count, mut total) = (self.count + 1, self.bytes + bytes);
        if count <= count_max && total <= bytes_max {
            return None;
        }
        let (count_goal, bytes_goal) = (count_max - count_max / SLACK, bytes_max - bytes_max / SLACK);
        let mut before = None;
        for kept in self.oldest_first() {
            if count <= count_goal && total <= bytes_goal {
                break;
            }
            count -= 1;
            total -= kept.bytes;
            before = Some(kept.version + 1);
        }
        before
    }

    /// The version before which all are too old at this time, if any are.
    pub(crate) fn aged(&self, now: Timestamp, limits: &Limits) -> Option<u64> {
        let is_old = |kept: &&Kept| kept.at.after(limits.events_kept()) <= now;
        self.oldest_first().take_while(is_old).last().map(|kept| kept.version + 1)
    }

    /// When the oldest ones are to make room: a while after the very oldest, so that many do at once.
    pub(crate) fn due(&self, limits: &Limits) -> Option<Timestamp> {
        let life = limits.events_kept();
        let oldest = self.oldest_first().next()?;
        Some(oldest.at.after(life).after(life / u32::try_from(SLACK).unwrap_or(1)))
    }

    fn oldest_first(&self) -> impl Iterator<Item = &Kept> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// About the bytes that it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Kept>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(count: usize, bytes: usize) -> Limits {
        Limits { events_kept_max: count, events_kept_bytes_max: bytes, events_kept_ms: 1_000, ..Limits::default() }
    }

    fn kept(count: u64) -> KeptEvents {
        let mut all = KeptEvents::default();
        for version in 1..=count {
            all.push(Kept { version, key: u128::from(version), bytes: 10, at: Timestamp::from_millis(version * 10) });
        }
        all
    }

    #[test]
    fn the_oldest_make_room_with_some_to_spare() {
        for (count, count_max, bytes_max, expected) in [
            (0, 10, 1_000, None),
            (9, 10, 1_000, None),
            (10, 10, 1_000, Some(2)),
            (32, 32, 10_000, Some(4)),
            (1_000, 1_000, 100_000, Some(64)),
            // By bytes: 320 + 10 are to become 300.
            (32, 1_000, 320, Some(4)),
            (3, 1, 10_000, Some(4)),
            (3, 0, 10_000, Some(4)),
        ] {
            let found = kept(count).room_for(10, &limits(count_max, bytes_max));
            assert_eq!(found, expected, "{count} {count_max} {bytes_max}");
        }
        assert_eq!(kept(3).room_for(2_000, &limits(10, 1_000)), Some(4), "one too large for all has all to itself");
    }

    #[test]
    fn what_is_old_goes_and_what_is_dropped_is_forgotten() {
        let mut all = kept(600);
        let limits = limits(10_000, 1 << 20);
        assert_eq!(all.due(&limits), Some(Timestamp::from_millis(10 + 1_000 + 62)));
        assert_eq!(all.aged(Timestamp::from_millis(1_009), &limits), None);
        assert_eq!(all.aged(Timestamp::from_millis(1_010), &limits), Some(2));
        assert_eq!(all.aged(Timestamp::from_millis(4_005), &limits), Some(301));
        let before = all.clone();
        all.drop_before(301);
        assert_eq!((all.count, all.bytes, all.find(300), all.find(301)), (300, 3_000, None, Some(301)));
        assert_eq!((before.count, before.find(300)), (600, Some(300)), "the state before is as it was");
        all.drop_before(1_000);
        assert_eq!((all.count, all.bytes, all.due(&limits)), (0, 0, None));
    }
}
