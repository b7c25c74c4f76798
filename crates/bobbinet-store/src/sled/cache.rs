//! Keeps sled's memory near the size that it was given.
//!
//! sled keeps account of its nodes in 256 parts, and looks whether a part is too large only when it has been accessed
//! 64 times. A node of ours is full after about twenty accesses and then left alone, so that in each part three or four
//! of them were in memory at a time: twice of what was meant. Here the accesses are made up for: each finds its
//! key in memory, and a key has the steps of several commits.

/// How often a key is looked at again once it was written, or read in a scan that meets each key once.
const TIMES: usize = 8;

/// Makes sled look more often whether it has too much in memory.
pub(super) fn settle(tree: &::sled::Db, key: &[u8]) {
    for _ in 0..TIMES {
        // Whoever needs what is there will see the error.
        let _ = tree.get(key);
    }
}
