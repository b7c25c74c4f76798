//! How many calls of an agent may be made again: a part of all that it makes, so that a server that is broken for everybody is not asked
//! five times as much.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::McpLimits;

/// Calls that may be made again where there were few before.
const RESERVE: u64 = 10;

/// How soon one of those may be made again once more.
const RESERVE_BACK: Duration = Duration::from_secs(6);

/// The most that are saved up: a server that was well for a day is not to be asked a thousand times more when it is ill.
const SAVED_MAX: u64 = 100;

/// The thousandth part of a call, in which they are counted.
const WHOLE: u64 = 1_000;

/// What there is left of it.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    /// Thousandths that each call adds.
    part: u64,
    calls: AtomicU64,
    state: Mutex<RetryState>,
}

#[derive(Debug)]
struct RetryState {
    /// In thousandths.
    left: u64,
    /// Calls that are in it.
    counted: u64,
    since: Instant,
}

impl RetryBudget {
    pub(crate) fn new(limits: &McpLimits) -> Self {
        let part = limits.retry_percent.min(100) * WHOLE / 100;
        let left = if part == 0 { 0 } else { RESERVE * WHOLE };
        let state = RetryState { left, counted: 0, since: Instant::now() };
        Self { part, calls: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// A call is made for the first time.
    pub(crate) fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one may be made again now. Then it is counted.
    pub(crate) fn try_again(&self, now: Instant) -> bool {
        if self.part == 0 {
            return false;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = self.calls.load(Ordering::Relaxed);
        let by_calls = calls.saturating_sub(state.counted).saturating_mul(self.part);
        let waited = u64::try_from(now.saturating_duration_since(state.since).as_millis()).unwrap_or(u64::MAX);
        let by_time = waited.saturating_mul(WHOLE) / RESERVE_BACK.as_millis() as u64;
        // Time alone fills no more than the reserve.
        let rested = state.left.saturating_add(by_time).min(RESERVE * WHOLE).max(state.left);
        (state.counted, state.since) = (calls, now);
        state.left = rested.saturating_add(by_calls).min(SAVED_MAX * WHOLE);
        let may = state.left >= WHOLE;
        if may {
            state.left -= WHOLE;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(retry_percent: u64) -> RetryBudget {
        RetryBudget::new(&McpLimits { retry_percent, ..McpLimits::default() })
    }

    /// How many may be made again at once.
    fn all(budget: &RetryBudget, now: Instant) -> usize {
        (0..10_000).take_while(|_| budget.try_again(now)).count()
    }

    #[test]
    fn a_part_of_all_calls_may_be_made_again_and_a_few_where_there_are_none() {
        let (budget, begin) = (budget(20), Instant::now());
        assert_eq!(all(&budget, begin), 10);
        (0..50).for_each(|_| budget.call());
        assert_eq!(all(&budget, begin), 10, "the fifth part");
        (0..3).for_each(|_| budget.call());
        assert_eq!(all(&budget, begin), 0, "no whole one");
        (0..2).for_each(|_| budget.call());
        assert_eq!(all(&budget, begin), 1);
        (0..100_000).for_each(|_| budget.call());
        assert_eq!(all(&budget, begin), 100, "not all of it is saved up");
        assert_eq!(all(&budget, begin + RESERVE_BACK * 3), 3);
        assert_eq!(all(&budget, begin + RESERVE_BACK * 1_000), 10);
    }

    #[test]
    fn none_is_none() {
        let budget = budget(0);
        budget.call();
        assert_eq!(all(&budget, Instant::now() + Duration::from_secs(600)), 0);
    }
}
