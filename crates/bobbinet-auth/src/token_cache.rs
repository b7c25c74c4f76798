//! Tokens that were verified before: one check of a signature costs more than the rest of a request.
//!
//! Only tokens with a good signature come in here, so nobody fills it with junk. An entry lives until its token's `exp`,
//! never longer, and only as long as the set of keys stays the one it was verified with. A full cache gives up the soonest to
//! end, not the least used: so what has ended is swept for nothing, and a crate's LRU cache would do neither.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bobbinet_core::Timestamp;

/// Bytes of a token worth keeping; a longer one, and ours are a fifth of it, is verified each time.
/// It bounds the memory of a full cache of the default size to 8 MiB.
pub(crate) const CACHED_LENGTH_MAX: usize = 2 << 10;

/// A bounded table from a token to what was found in it.
#[derive(Debug)]
pub(crate) struct TokenCache<V> {
    entries_max: usize,
    entries: Mutex<CachedTokens<V>>,
}

#[derive(Debug)]
struct CachedTokens<V> {
    generation: u64,
    by_key: BTreeMap<u128, CachedToken<V>>,
    /// The soonest to end first: it is the first to go.
    by_end: BTreeSet<(Timestamp, u128)>,
}

struct CachedToken<V> {
    token: Box<str>,
    end: Timestamp,
    value: Arc<V>,
}

/// Without the token, which would let in whoever reads it.
impl<V> std::fmt::Debug for CachedToken<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedToken").field("end", &self.end).finish_non_exhaustive()
    }
}

impl<V> TokenCache<V> {
    pub(crate) fn new(entries_max: usize) -> Self {
        let entries = CachedTokens { generation: 0, by_key: BTreeMap::new(), by_end: BTreeSet::new() };
        Self { entries_max, entries: Mutex::new(entries) }
    }

    /// What was found in exactly this token under this generation of keys, if it has not ended.
    pub(crate) fn get(&self, token: &str, generation: u64, now: Timestamp) -> Option<Arc<V>> {
        let mut entries = self.lock();
        entries.move_to(generation);
        let entry = entries.by_key.get(&key(token)?)?;
        let is_found = entries.generation == generation && *entry.token == *token && now < entry.end;
        is_found.then(|| entry.value.clone())
    }

    /// Keeps what was found in this token under this generation of keys until `end`.
    pub(crate) fn insert(&self, token: &str, generation: u64, now: Timestamp, end: Timestamp, value: Arc<V>) {
        let mut entries = self.lock();
        entries.move_to(generation);
        let is_worth_it =
            entries.generation == generation && now < end && token.len() <= CACHED_LENGTH_MAX && self.entries_max > 0;
        let Some(key) = key(token).filter(|_| is_worth_it) else { return };
        entries.remove(key);
        entries.make_room(self.entries_max, now);
        entries.by_end.insert((end, key));
        entries.by_key.insert(key, CachedToken { token: token.into(), end, value });
    }

    fn lock(&self) -> MutexGuard<'_, CachedTokens<V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> CachedTokens<V> {
    /// Forgets what older keys have verified. An older generation changes nothing: it belongs to a reader that was
    /// overtaken.
    fn move_to(&mut self, generation: u64) {
        if generation > self.generation {
            self.generation = generation;
            self.by_key.clear();
            self.by_end.clear();
        }
    }

    fn make_room(&mut self, entries_max: usize, now: Timestamp) {
        while let Some((end, key)) = self.by_end.first().copied() {
            let is_full = self.by_key.len() >= entries_max;
            if !is_full && now < end {
                return;
            }
            self.remove(key);
        }
    }

    fn remove(&mut self, key: u128) {
        if let Some(entry) = self.by_key.remove(&key) {
            self.by_end.remove(&(entry.end, key));
        }
    }
}

/// Where a token is filed: under sixteen characters from the midst of its signature, which are as good as random without
/// any hashing. A clash costs one of the two its place, for the whole token is compared.
fn key(token: &str) -> Option<u128> {
    let start = token.len().checked_sub(64)?;
    let bytes = token.as_bytes().get(start..start + 16)?;
    Some(u128::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text as long as a signature that differs where a signature does.
    fn token(number: usize) -> String {
        format!("{number:016}{}", "x".repeat(48))
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn filled(entries_max: usize, count: usize) -> TokenCache<usize> {
        let cache = TokenCache::new(entries_max);
        for number in 0..count {
            cache.insert(&token(number), 1, at(0), at(1_000 + number as u64), Arc::new(number));
        }
        cache
    }

    fn kept(cache: &TokenCache<usize>, count: usize, generation: u64, now: u64) -> Vec<usize> {
        (0..count).filter_map(|number| cache.get(&token(number), generation, at(now)).map(|found| *found)).collect()
    }

    fn sizes(cache: &TokenCache<usize>) -> (usize, usize) {
        let entries = cache.lock();
        (entries.by_key.len(), entries.by_end.len())
    }

    #[test]
    fn a_full_cache_gives_up_the_soonest_to_end() {
        for (count, expected) in [(2, vec![0, 1]), (3, vec![0, 1, 2]), (4, vec![1, 2, 3])] {
            let cache = filled(3, count);
            assert_eq!(kept(&cache, count, 1, 0), expected);
            assert_eq!(sizes(&cache), (expected.len(), expected.len()));
        }
        assert_eq!(sizes(&filled(0, 4)), (0, 0));
        assert_eq!(sizes(&filled(4_096, 10_000)), (4_096, 4_096));
    }

    #[test]
    fn an_entry_ends_when_its_token_does_and_is_swept_by_the_next() {
        let cache = filled(10, 3);
        assert_eq!(kept(&cache, 3, 1, 1_000), [1, 2]);
        cache.insert(&token(7), 1, at(1_001), at(2_000), Arc::new(7));
        assert_eq!(sizes(&cache), (2, 2));
        cache.insert(&token(8), 1, at(2_000), at(2_000), Arc::new(8));
        assert_eq!(kept(&cache, 9, 1, 0), [2, 7], "one that has ended is not kept at all");
    }

    #[test]
    fn a_new_generation_of_keys_forgets_everything_and_an_old_one_gets_nothing() {
        let cache = filled(10, 3);
        assert_eq!(kept(&cache, 3, 2, 0), [0; 0]);
        cache.insert(&token(0), 1, at(0), at(1_000), Arc::new(0));
        assert_eq!(sizes(&cache), (0, 0), "verified with keys that have changed since");
        cache.insert(&token(0), 2, at(0), at(1_000), Arc::new(0));
        assert_eq!(kept(&cache, 1, 1, 0), [0; 0]);
        assert_eq!(kept(&cache, 1, 2, 0), [0]);
    }

    #[test]
    fn the_whole_token_is_compared_and_a_clash_takes_the_place() {
        let cache = filled(10, 1);
        let other = format!("other{}", token(0));
        assert_eq!(cache.get(&other, 1, at(0)), None);
        cache.insert(&other, 1, at(0), at(5_000), Arc::new(9));
        assert_eq!(cache.get(&other, 1, at(0)).as_deref(), Some(&9));
        assert_eq!(kept(&cache, 1, 1, 0), [0; 0]);
        assert_eq!(sizes(&cache), (1, 1));
    }

    #[test]
    fn what_is_too_long_or_too_short_is_not_kept() {
        for (length, expected) in [(63, 0), (64, 1), (CACHED_LENGTH_MAX, 1), (CACHED_LENGTH_MAX + 1, 0)] {
            let cache = TokenCache::new(10);
            cache.insert(&"x".repeat(length), 1, at(0), at(1), Arc::new(0));
            assert_eq!(sizes(&cache), (expected, expected), "{length}");
        }
    }
}
