//! How many tasks there are, of each owner, of each tenant and in all: what admission goes by.
//!
//! The numbers are taken from the store at the start, and move with each commit. After a commit whose fate is not known
//! they are taken again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bobbinet_core::{Limits, Principal, State, Tenant};
use bobbinet_store::Census;

use crate::EngineError;

/// Which quota a task counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuotaClass {
    /// It runs, or waits for a call slot.
    Open,
    /// It waits for its caller.
    Parked,
    /// It has ended, and is kept.
    Finished,
}

impl QuotaClass {
    const ALL: [Self; 3] = [Self::Open, Self::Parked, Self::Finished];

    /// `None` for what waits for an agent that is not configured: it takes no room from those that are.
    pub(crate) fn of(state: State, is_served: bool) -> Option<Self> {
        match state {
            State::Submitted | State::Working => is_served.then_some(Self::Open),
            State::InputRequired | State::AuthRequired => is_served.then_some(Self::Parked),
            State::Completed | State::Failed | State::Canceled | State::Rejected => Some(Self::Finished),
        }
    }
}

/// One number for each class.
#[derive(Debug, Default)]
struct QuotaCounts([AtomicUsize; 3]);

impl QuotaCounts {
    fn get(&self, class: QuotaClass) -> usize {
        self.0[class as usize].load(Ordering::Relaxed)
    }

    fn add(&self, class: QuotaClass) {
        self.0[class as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self, class: QuotaClass) {
        // Nothing to take away is no error: a recount may have come between.
        let less = |count: usize| count.checked_sub(1);
        let _ = self.0[class as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn set(&self, counts: [usize; 3]) {
        for (count, value) in self.0.iter().zip(counts) {
            count.store(value, Ordering::Relaxed);
        }
    }

    fn is_zero(&self) -> bool {
        QuotaClass::ALL.into_iter().all(|class| self.get(class) == 0)
    }
}

/// One owner's tasks, and those of its tenant.
#[derive(Debug)]
pub(crate) struct Account {
    own: QuotaCounts,
    tenant: Arc<QuotaCounts>,
}

#[derive(Debug, Default)]
struct OfTenant {
    counts: Arc<QuotaCounts>,
    owners: BTreeMap<Principal, Arc<Account>>,
}

/// All accounts. An owner who has no task has none, so that there are never more than tasks.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    all: QuotaCounts,
    tenants: Mutex<BTreeMap<Tenant, OfTenant>>,
    /// Whether the numbers may be wrong: a commit was kept or not, and nobody knows.
    is_doubtful: AtomicBool,
    /// Commits and submissions that are on their way, so that a count of the store may have missed or seen them.
    on_their_way: AtomicUsize,
    /// Goes up with each change, so that one that came during a count of the store is seen.
    changes: AtomicUsize,
    /// When they were taken from a shared store, in milliseconds of the time that passes.
    counted_at: AtomicU64,
}

/// While this lives, a commit is on its way.
pub(crate) struct OnItsWay<'a>(&'a Accounts);

impl Accounts {
    pub(crate) fn of(&self, tenant: &Tenant, owner: &Principal) -> Arc<Account> {
        let mut tenants = self.lock();
        if let Some(account) = tenants.get(tenant).and_then(|of| of.owners.get(owner)) {
            return account.clone();
        }
        let of = tenants.entry(tenant.clone()).or_default();
        let account = Arc::new(Account { own: QuotaCounts::default(), tenant: of.counts.clone() });
        of.owners.insert(owner.clone(), account.clone());
        account
    }

    /// Counts one more task that is to be, if there is room for one.
    pub(crate) fn admit(&self, account: &Account, class: QuotaClass, limits: &Limits) -> Result<(), EngineError> {
        self.add(account, class);
        let full = QuotaClass::ALL.into_iter().find_map(|each| {
            // It is counted already, but not among the others.
            let own = usize::from(each == class);
            let bounds = bounds(limits, each);
            let counts = [account.own.get(each), account.tenant.get(each), self.all.get(each)];
            counts.into_iter().zip(bounds).find(|(count, (_, max))| count - own.min(*count) >= *max)
        });
        match full {
            Some((_, (what, max))) => {
                self.remove(account, class);
                Err(EngineError::Limit { what, max: max as u64 })
            }
            None => {
                self.on_their_way.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// What was admitted is decided: it counts as this from now on, or was not kept.
    pub(crate) fn finish_admission(&self, account: &Account, admitted: QuotaClass, kept: Option<QuotaClass>) {
        self.change(account, Some(admitted), kept);
        self.on_their_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// A task counts as something else from now on.
    pub(crate) fn change(&self, account: &Account, from: Option<QuotaClass>, to: Option<QuotaClass>) {
        if from == to {
            return;
        }
        if let Some(class) = from {
            self.remove(account, class);
        }
        if let Some(class) = to {
            self.add(account, class);
        }
    }

    /// A commit may have been kept or not.
    pub(crate) fn doubt(&self) {
        self.is_doubtful.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_doubtful(&self) -> bool {
        self.is_doubtful.load(Ordering::Relaxed)
    }

    /// Whether it is time to count again what others change too. Then it is not, for so long.
    pub(crate) fn is_time(&self, now: Duration, every: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let is_time = u128::from(now - self.counted_at.load(Ordering::Relaxed).min(now)) >= every.as_millis();
        if is_time {
            self.counted_at.store(now, Ordering::Relaxed);
        }
        is_time
    }

    pub(crate) fn commit_begins(&self) -> OnItsWay<'_> {
        self.on_their_way.fetch_add(1, Ordering::Relaxed);
        OnItsWay(self)
    }

    /// What a count of the store begins from.
    pub(crate) fn moment(&self) -> (usize, usize) {
        (self.on_their_way.load(Ordering::Relaxed), self.changes.load(Ordering::Relaxed))
    }

    /// Takes the numbers from the store, which was counted after `moment`. Where something was on its way meanwhile they
    /// are right to within that, and stay in doubt.
    pub(crate) fn recount(&self, census: &[Census], moment: (usize, usize), is_served: impl Fn(&str) -> bool) {
        let mut owners: BTreeMap<(&str, &str), [usize; 3]> = BTreeMap::new();
        for line in census {
            let state = State::ALL.into_iter().find(|state| state.code() == line.state);
            let Some(class) = state.and_then(|state| QuotaClass::of(state, is_served(&line.agent))) else { continue };
            owners.entry((&line.tenant, &line.owner)).or_default()[class as usize] += line.count;
        }
        let mut of_tenants: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        let mut all = [0; 3];
        for ((tenant, owner), counts) in &owners {
            let of_tenant = of_tenants.entry(tenant).or_default();
            for class in QuotaClass::ALL {
                of_tenant[class as usize] += counts[class as usize];
                all[class as usize] += counts[class as usize];
            }
            if let (Ok(tenant), Ok(owner)) = (Tenant::parse(tenant), Principal::parse(owner)) {
                self.of(&tenant, &owner);
            }
        }
        for (tenant, of) in &*self.lock() {
            of.counts.set(of_tenants.get(tenant.as_str()).copied().unwrap_or_default());
            for (owner, account) in &of.owners {
                account.own.set(owners.get(&(tenant.as_str(), owner.as_str())).copied().unwrap_or_default());
            }
        }
        self.all.set(all);
        let is_quiet = moment.0 == 0 && moment == self.moment();
        self.is_doubtful.store(!is_quiet, Ordering::Relaxed);
    }

    /// Forgets those who have nothing and are busy with nothing.
    pub(crate) fn prune(&self) {
        self.lock().retain(|_, of| {
            of.owners.retain(|_, account| Arc::strong_count(account) > 1 || !account.own.is_zero());
            !of.owners.is_empty()
        });
    }

    pub(crate) fn open(&self) -> usize {
        self.all.get(QuotaClass::Open)
    }

    fn add(&self, account: &Account, class: QuotaClass) {
        for counts in [&account.own, &*account.tenant, &self.all] {
            counts.add(class);
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self, account: &Account, class: QuotaClass) {
        for counts in [&account.own, &*account.tenant, &self.all] {
            counts.remove(class);
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Tenant, OfTenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.0.on_their_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bounds of a class: an owner's, a tenant's, the node's, each with its name.
fn bounds(limits: &Limits, class: QuotaClass) -> [(&'static str, usize); 3] {
    match class {
        QuotaClass::Open => [
            ("tasks_open_per_owner_max", limits.tasks_open_per_owner_max),
            ("tasks_open_per_tenant_max", limits.tasks_open_per_tenant_max),
            ("tasks_open_max", limits.tasks_open_max),
        ],
        QuotaClass::Parked => [
            ("tasks_parked_per_owner_max", limits.tasks_parked_per_owner_max),
            ("tasks_parked_per_tenant_max", limits.tasks_parked_per_tenant_max),
            ("tasks_parked_max", limits.tasks_parked_max),
        ],
        QuotaClass::Finished => [
            ("tasks_stored_per_owner_max", limits.tasks_stored_per_owner_max),
            ("tasks_stored_per_tenant_max", limits.tasks_stored_per_tenant_max),
            ("tasks_stored_max", limits.tasks_stored_max),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_task_has_no_account() {
        let accounts = Accounts::default();
        let tenant = Tenant::parse("tenant").unwrap();
        for number in 0..100 {
            let account = accounts.of(&tenant, &Principal::parse(&format!("p{number}")).unwrap());
            accounts.admit(&account, QuotaClass::Open, &Limits::default()).unwrap();
            accounts.finish_admission(&account, QuotaClass::Open, (number == 7).then_some(QuotaClass::Finished));
        }
        let busy = accounts.of(&tenant, &Principal::parse("busy").unwrap());
        accounts.prune();
        assert_eq!(accounts.lock()[&tenant].owners.len(), 2, "one has a task, one is about to");
        drop(busy);
        let seventh = accounts.of(&tenant, &Principal::parse("p7").unwrap());
        accounts.change(&seventh, Some(QuotaClass::Finished), None);
        drop(seventh);
        accounts.prune();
        assert!(accounts.lock().is_empty());
    }
}
