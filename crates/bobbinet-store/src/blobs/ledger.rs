//! Who holds what and how much of the bounds is taken. Knows no place: it counts.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bobbinet_core::{StreamId, Timestamp};

use super::{BlobError, BlobHash, BlobLimits, BlobOwner, Holding};

#[derive(Debug)]
pub(super) struct Ledger {
    limits: BlobLimits,
    holdings: BTreeMap<(StreamId, BlobHash), Arc<Holding>>,
    /// How many streams hold each content.
    holders: BTreeMap<BlobHash, usize>,
    /// How many streams hold each content on each account, where it counts once.
    holders_of_owner: BTreeMap<(BlobOwner, BlobHash), usize>,
    /// Contents that are just being written or shared, and how often.
    pinned: BTreeMap<BlobHash, usize>,
    /// Bytes of each account, also those that are only being written.
    of_owner: BTreeMap<BlobOwner, u64>,
    of_tenant: BTreeMap<Arc<str>, u64>,
    /// Bytes of all contents, each counted once.
    kept: u64,
    /// Bytes that are being written.
    reserved: u64,
}

impl Ledger {
    pub(super) fn of(limits: BlobLimits, holdings: Vec<Holding>) -> Self {
        let mut ledger = Self {
            limits,
            holdings: BTreeMap::new(),
            holders: BTreeMap::new(),
            holders_of_owner: BTreeMap::new(),
            pinned: BTreeMap::new(),
            of_owner: BTreeMap::new(),
            of_tenant: BTreeMap::new(),
            kept: 0,
            reserved: 0,
        };
        holdings.into_iter().for_each(|holding| ledger.add(Arc::new(holding)));
        ledger
    }

    pub(super) fn limits(&self) -> &BlobLimits {
        &self.limits
    }

    pub(super) fn bytes(&self) -> u64 {
        self.kept
    }

    /// Takes room for so many more bytes, of a blob that has `known` already.
    pub(super) fn reserve(&mut self, owner: &BlobOwner, known: u64, more: u64) -> Result<(), BlobError> {
        let max = self.limits.blobs_bytes_max;
        if self.kept.saturating_add(self.reserved).saturating_add(more) > max {
            return Err(BlobError::Full { what: "blobs_bytes_max", max });
        }
        self.admit(owner, known, more)?;
        self.reserved += more;
        Ok(())
    }

    /// The same of a content that is there already, and takes no more room. How much of it is more on this account.
    pub(super) fn admit_shared(&mut self, owner: &BlobOwner, hash: BlobHash, length: u64) -> Result<u64, BlobError> {
        let more = if self.holders_of_owner.contains_key(&(owner.clone(), hash)) { 0 } else { length };
        self.admit(owner, 0, more).map(|()| more)
    }

    fn admit(&mut self, owner: &BlobOwner, known: u64, more: u64) -> Result<(), BlobError> {
        let limits = &self.limits;
        let full = |what, max| Err(BlobError::Full { what, max });
        if known.saturating_add(more) > limits.blob_bytes_max {
            return Err(BlobError::Large { max: limits.blob_bytes_max });
        }
        if known == 0 && self.holdings.len() >= limits.blobs_max {
            return full("blobs_max", limits.blobs_max as u64);
        }
        let after = |taken: Option<&u64>| taken.copied().unwrap_or_default().saturating_add(more);
        if after(self.of_owner.get(owner)) > limits.blobs_bytes_per_owner_max {
            return full("blobs_bytes_per_owner_max", limits.blobs_bytes_per_owner_max);
        }
        if after(self.of_tenant.get(&owner.tenant)) > limits.blobs_bytes_per_tenant_max {
            return full("blobs_bytes_per_tenant_max", limits.blobs_bytes_per_tenant_max);
        }
        self.charge(owner, more);
        Ok(())
    }

    /// Gives it back.
    pub(super) fn unreserve(&mut self, owner: &BlobOwner, bytes: u64) {
        self.reserved -= bytes;
        self.discharge(owner, bytes);
    }

    pub(super) fn add(&mut self, holding: Arc<Holding>) {
        self.remove(&holding.holder, holding.hash);
        let (owner, hash, length) = (holding.label.owner.clone(), holding.hash, holding.length);
        self.holdings.insert((holding.holder.clone(), hash), holding);
        if add_one(&mut self.holders, hash) {
            self.kept += length;
        }
        if add_one(&mut self.holders_of_owner, (owner.clone(), hash)) {
            self.charge(&owner, length);
        }
    }

    pub(super) fn remove(&mut self, holder: &StreamId, hash: BlobHash) {
        let Some(holding) = self.holdings.remove(&(holder.clone(), hash)) else { return };
        if take_one(&mut self.holders, hash) {
            self.kept -= holding.length;
        }
        let owner = &holding.label.owner;
        if take_one(&mut self.holders_of_owner, (owner.clone(), hash)) {
            self.discharge(owner, holding.length);
        }
    }

    pub(super) fn find(&self, holder: &StreamId, hash: BlobHash) -> Option<Arc<Holding>> {
        self.holdings.get(&(holder.clone(), hash)).cloned()
    }

    pub(super) fn held_by(&self, holder: &StreamId) -> Vec<Arc<Holding>> {
        let from = Bound::Included((holder.clone(), BlobHash([0; 32])));
        let held = self.holdings.range((from, Bound::Unbounded));
        held.map(|(_, holding)| holding).take_while(|holding| holding.holder == *holder).cloned().collect()
    }

    /// Each that holds something without an end, with the time of the newest.
    pub(super) fn holders(&self) -> Vec<(StreamId, Timestamp)> {
        let mut holders: BTreeMap<&StreamId, Timestamp> = BTreeMap::new();
        for holding in self.holdings.values().filter(|holding| holding.label.expires.is_none()) {
            let newest = holders.entry(&holding.holder).or_default();
            *newest = (*newest).max(holding.label.made);
        }
        holders.into_iter().map(|(holder, newest)| (holder.clone(), newest)).collect()
    }

    /// What ends by now.
    pub(super) fn over(&self, now: Timestamp) -> Vec<Arc<Holding>> {
        let is_over = |holding: &&Arc<Holding>| holding.label.expires.is_some_and(|expires| expires <= now);
        self.holdings.values().filter(is_over).cloned().collect()
    }

    /// Whether a content must stay.
    pub(super) fn is_wanted(&self, hash: BlobHash) -> bool {
        self.holders.contains_key(&hash) || self.pinned.contains_key(&hash)
    }

    pub(super) fn pin(&mut self, hash: BlobHash) {
        add_one(&mut self.pinned, hash);
    }

    pub(super) fn unpin(&mut self, hash: BlobHash) {
        take_one(&mut self.pinned, hash);
    }

    fn charge(&mut self, owner: &BlobOwner, bytes: u64) {
        *self.of_owner.entry(owner.clone()).or_default() += bytes;
        *self.of_tenant.entry(owner.tenant.clone()).or_default() += bytes;
    }

    /// Takes bytes from an account.
    pub(super) fn discharge(&mut self, owner: &BlobOwner, bytes: u64) {
        let mut left = |taken: &mut u64| {
            *taken -= bytes;
            *taken == 0
        };
        if self.of_owner.get_mut(owner).is_some_and(&mut left) {
            self.of_owner.remove(owner);
        }
        if self.of_tenant.get_mut(&owner.tenant).is_some_and(&mut left) {
            self.of_tenant.remove(&owner.tenant);
        }
    }
}

/// One more; whether it is the first.
fn add_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) -> bool {
    let count = counts.entry(key).or_default();
    *count += 1;
    *count == 1
}

/// One less; whether none is left.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) -> bool {
    let Some(count) = counts.get_mut(&key) else { return false };
    *count -= 1;
    let is_last = *count == 0;
    if is_last {
        counts.remove(&key);
    }
    is_last
}
