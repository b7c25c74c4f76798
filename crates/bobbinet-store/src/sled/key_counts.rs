//! How many idempotency keys are remembered, in all and of each scope.

use std::collections::BTreeMap;

use super::keys;
use crate::{CommitError, IDEMPOTENCY_SCOPE_SHARE};

/// The counts. Only the committer changes them.
#[derive(Debug)]
pub(super) struct KeyCounts {
    max: usize,
    all: usize,
    /// By what their keys in the tree begin with.
    scopes: BTreeMap<Vec<u8>, usize>,
}

impl KeyCounts {
    /// None, where none will be added.
    pub(super) fn none() -> Self {
        Self { max: 0, all: 0, scopes: BTreeMap::new() }
    }

    /// Counts those in the tree.
    pub(super) fn of(tree: &::sled::Db, max: usize) -> Result<Self, ::sled::Error> {
        let mut counts = Self { max, all: 0, scopes: BTreeMap::new() };
        for key in tree.scan_prefix(keys::IDEMPOTENCY).keys() {
            counts.add(&key?);
        }
        Ok(counts)
    }

    /// Whether there is room for one more under this key of the tree.
    pub(super) fn check_room(&self, key: &[u8]) -> Result<(), CommitError> {
        let share = self.max / IDEMPOTENCY_SCOPE_SHARE;
        if self.all >= self.max {
            return Err(CommitError::Full { what: "idempotency_keys_max", max: self.max });
        }
        if self.scopes.get(keys::idempotency_scope(key)).is_some_and(|count| *count >= share) {
            return Err(CommitError::Full { what: "idempotency_keys_per_scope_max", max: share });
        }
        Ok(())
    }

    pub(super) fn add(&mut self, key: &[u8]) {
        self.all += 1;
        match self.scopes.get_mut(keys::idempotency_scope(key)) {
            Some(count) => *count += 1,
            None => drop(self.scopes.insert(keys::idempotency_scope(key).to_vec(), 1)),
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        let scope = keys::idempotency_scope(key);
        let Some(count) = self.scopes.get_mut(scope) else { return };
        self.all -= 1;
        *count -= 1;
        if *count == 0 {
            self.scopes.remove(scope);
        }
    }
}
