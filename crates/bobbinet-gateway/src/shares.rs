//! Of what there is, how much each caller has.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bobbinet_core::{Caller, Principal, Tenant};

use crate::Full;

/// Counts what callers have of something, and gives nobody more than a share.
#[derive(Debug)]
pub struct Shares {
    /// How much one caller may have.
    max: usize,
    /// The limit's name.
    limit: &'static str,
    taken: Mutex<BTreeMap<(Tenant, Principal), usize>>,
}

/// What a caller has taken, given back when dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    of: (Tenant, Principal),
    count: usize,
}

impl Shares {
    /// No caller gets more than `max`; who asks for more is told the limit's name.
    pub fn new(max: usize, limit: &'static str) -> Arc<Self> {
        Arc::new(Self { max, limit, taken: Mutex::default() })
    }

    /// How much one caller may have.
    pub fn max(&self) -> usize {
        self.max
    }

    /// So much for this caller.
    ///
    /// # Errors
    /// If that and what he has are more than his share.
    pub fn take(self: &Arc<Self>, caller: &Caller, count: usize) -> Result<Share, Full> {
        let of = (caller.tenant.clone(), caller.principal.clone());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let before = taken.get(&of).copied().unwrap_or_default();
        if before.saturating_add(count) > self.max {
            return Err(Full::Caller(self.limit));
        }
        taken.insert(of.clone(), before + count);
        Ok(Share { shares: self.clone(), of, count })
    }

    /// Whether nobody has anything.
    pub fn is_untouched(&self) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= self.count;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}
