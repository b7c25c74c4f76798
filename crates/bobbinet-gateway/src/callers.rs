//! How much each caller may have at work, and how often one may ask: so that one who asks without end leaves room for others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bobbinet_core::{Caller, Principal, Tenant};
use tokio::time::Instant;

use crate::{Full, GatewayLimits};

/// Requests of a second may come all at once.
const WINDOW: Duration = Duration::from_secs(1);

/// Callers are looked through for those who are gone when there are this many more than after the last time.
const SWEPT_AFTER: usize = 1_024;

/// What one caller may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerLimits {
    /// Requests at work at a time, leaving out those that only wait.
    pub requests_max: usize,
    /// Requests that begin in a second; none at all if it is 0.
    pub requests_per_second_max: u32,
}

impl CallerLimits {
    /// What a caller may have of whom nothing else is said.
    pub fn of(limits: &GatewayLimits) -> Self {
        Self {
            requests_max: limits.requests_per_caller_max,
            requests_per_second_max: u32::try_from(limits.requests_per_second_per_caller_max).unwrap_or(u32::MAX),
        }
    }
}

/// Callers who may have more than others, or less.
pub type NamedCallerLimits = BTreeMap<(Tenant, Principal), CallerLimits>;

/// Counts what callers have at work, and how often they ask.
#[derive(Debug)]
pub(crate) struct Callers {
    usual: CallerLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    named: NamedCallerLimits,
    at_work: BTreeMap<(Tenant, Principal), AtWork>,
    swept: usize,
}

#[derive(Clone, Copy, Debug)]
struct AtWork {
    requests: usize,
    /// When all that was asked would have been asked, had it come as slowly as it may on the whole.
    due: Instant,
}

/// Leave for one request of a caller, given back when dropped.
#[derive(Debug)]
pub(crate) struct CallerPermit {
    callers: Arc<Callers>,
    of: (Tenant, Principal),
}

impl Callers {
    pub(crate) fn new(usual: CallerLimits) -> Arc<Self> {
        Arc::new(Self { usual, state: Mutex::default() })
    }

    /// From now on these have their own limits, and nobody else.
    pub(crate) fn name(&self, named: NamedCallerLimits) {
        self.lock().named = named;
    }

    /// Leave for one more request of this caller. The node's owner needs none: what runs on this node is his.
    pub(crate) fn enter(self: &Arc<Self>, caller: &Caller) -> Result<Option<CallerPermit>, Full> {
        if caller.is_node_owner {
            return Ok(None);
        }
        let (of, now) = ((caller.tenant.clone(), caller.principal.clone()), Instant::now());
        let mut state = self.lock();
        let limits = state.named.get(&of).copied().unwrap_or(self.usual);
        let nothing = AtWork { requests: 0, due: now };
        let AtWork { requests, due } = state.at_work.get(&of).copied().unwrap_or(nothing);
        let each = WINDOW.checked_div(limits.requests_per_second_max);
        let next = each.map(|each| due.max(now) + each).filter(|next| *next <= now + WINDOW);
        let Some(due) = next else { return Err(Full::Caller("requests_per_second_per_caller_max")) };
        if requests >= limits.requests_max {
            return Err(Full::Caller("requests_per_caller_max"));
        }
        let next = AtWork { requests: requests + 1, due };
        // Most are there: no name is copied for them.
        match state.at_work.get_mut(&of) {
            Some(at_work) => *at_work = next,
            None => drop(state.at_work.insert(of.clone(), next)),
        }
        state.sweep(now);
        drop(state);
        Ok(Some(CallerPermit { callers: self.clone(), of }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets those of whom nothing needs to be known, now and then.
    fn sweep(&mut self, now: Instant) {
        if self.at_work.len() > self.swept + SWEPT_AFTER {
            self.at_work.retain(|_, at_work| at_work.requests > 0 || at_work.due > now);
            self.swept = self.at_work.len();
        }
    }
}

impl Drop for CallerPermit {
    fn drop(&mut self) {
        if let Some(at_work) = self.callers.lock().at_work.get_mut(&self.of) {
            at_work.requests -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Caller {
        Caller::new(Principal::parse(name).unwrap(), Tenant::parse("here").unwrap())
    }

    fn limits(requests_max: usize, requests_per_second_max: u32) -> CallerLimits {
        CallerLimits { requests_max, requests_per_second_max }
    }

    fn refused(result: Result<Option<CallerPermit>, Full>) -> Option<&'static str> {
        match result {
            Ok(_) => None,
            Err(Full::Caller(limit) | Full::Node(limit)) => Some(limit),
        }
    }

    const IN_FLIGHT: Option<&str> = Some("requests_per_caller_max");
    const TOO_OFTEN: Option<&str> = Some("requests_per_second_per_caller_max");

    #[tokio::test(start_paused = true)]
    async fn one_who_asks_without_end_leaves_room_for_others() {
        let callers = Callers::new(limits(2, 100));
        let (ann, bob) = (caller("ann"), caller("bob"));
        let held = [callers.enter(&ann).unwrap(), callers.enter(&ann).unwrap()];
        assert_eq!(refused(callers.enter(&ann)), IN_FLIGHT);
        assert_eq!(refused(callers.enter(&bob)), None);
        let elsewhere = Caller { tenant: Tenant::parse("there").unwrap(), ..ann.clone() };
        assert_eq!(refused(callers.enter(&elsewhere)), None, "a name is one of its tenant's");
        drop(held);
        assert_eq!(refused(callers.enter(&ann)), None, "all is given back");
        let owner = Caller { is_node_owner: true, ..caller("node-owner") };
        let held: Vec<_> = (0..1_000).map(|_| callers.enter(&owner)).collect();
        assert!(held.iter().all(Result::is_ok));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_begin_in_a_second_and_no_more() {
        let callers = Callers::new(limits(100, 10));
        let ann = caller("ann");
        let begun = |times: usize| (0..times).filter(|_| refused(callers.enter(&ann)).is_none()).count();
        assert_eq!(begun(50), 10);
        assert_eq!(refused(callers.enter(&ann)), TOO_OFTEN);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(begun(50), 1, "one more each tenth of a second");
        tokio::time::advance(Duration::from_millis(350)).await;
        assert_eq!(begun(50), 3);
        // Whoever waits for as long as a refused caller is told, a second, may ask again.
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(begun(50), 10);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(begun(50), 10, "what was not asked is not saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_named_caller_has_limits_of_its_own_from_the_moment_that_they_are_said() {
        let callers = Callers::new(limits(1, 1_000));
        let ann = caller("ann");
        let of_ann = |limits| BTreeMap::from([((ann.tenant.clone(), ann.principal.clone()), limits)]);
        let _held = callers.enter(&ann).unwrap();
        assert_eq!(refused(callers.enter(&ann)), IN_FLIGHT);
        callers.name(of_ann(limits(2, 1_000)));
        assert_eq!(refused(callers.enter(&ann)), None);
        callers.name(of_ann(limits(2, 0)));
        assert_eq!(refused(callers.enter(&ann)), TOO_OFTEN, "nothing at all");
        callers.name(BTreeMap::new());
        assert_eq!(refused(callers.enter(&ann)), IN_FLIGHT);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_are_gone_are_forgotten() {
        let callers = Callers::new(limits(10, 10));
        let held = callers.enter(&caller("stays")).unwrap();
        for number in 0..10 * SWEPT_AFTER {
            callers.enter(&caller(&format!("caller-{number}"))).unwrap();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let known = callers.lock().at_work.len();
        assert!(known <= 2 * SWEPT_AFTER, "{known}");
        drop(held);
    }
}
