//! When a server that died is started again, and when it is left alone for a while.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::config::McpLimits;

/// The deaths of one server. Time and chance come in.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    deaths: VecDeque<Instant>,
}

/// What to do after a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerDecision {
    /// Start it again after this pause; who calls meanwhile waits.
    Restart(Duration),
    /// It dies too often. One more attempt after this pause; who calls meanwhile waits, within a bound.
    Rest(Duration),
}

impl Breaker {
    /// The server has died, or could not be started. `chance` is from 0 to 1: it keeps many servers apart.
    pub(crate) fn died(&mut self, now: Instant, limits: &McpLimits, chance: f64) -> BreakerDecision {
        let within = Duration::from_millis(limits.deaths_within_ms);
        while self.deaths.front().is_some_and(|death| now.duration_since(*death) > within) {
            self.deaths.pop_front();
        }
        if self.deaths.len() == limits.deaths_max {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now);
        if self.deaths.len() >= limits.deaths_max {
            return BreakerDecision::Rest(Duration::from_millis(limits.rest_ms));
        }
        BreakerDecision::Restart(self.pause(limits, chance))
    }

    /// The server has died under a call that is known for that: it says nothing of the server, which is started again.
    pub(crate) fn died_as_foreseen(&self, limits: &McpLimits, chance: f64) -> BreakerDecision {
        BreakerDecision::Restart(self.pause(limits, chance))
    }

    fn pause(&self, limits: &McpLimits, chance: f64) -> Duration {
        let doublings = u32::try_from(self.deaths.len().saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        let pause = limits.restart_first_ms.saturating_mul(1 << doublings).min(limits.restart_max_ms);
        Duration::from_millis(pause).mul_f64(0.75 + chance / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_the_server_is_left_alone() {
        let limits = McpLimits::default();
        let begin = Instant::now();
        let mut breaker = Breaker::default();
        let mut die = |second: u64| breaker.died(begin + Duration::from_secs(second), &limits, 0.5);
        let restart = |millis| BreakerDecision::Restart(Duration::from_millis(millis));
        let rest = BreakerDecision::Rest(Duration::from_secs(30));
        assert_eq!([0, 1, 2, 3].map(&mut die), [200, 400, 800, 1_600].map(restart));
        assert_eq!(die(4), rest);
        // Half open: the next attempt dies too.
        assert_eq!(die(35), rest);
        // It has lived for long enough.
        assert_eq!(die(200), restart(200));
        // What was foreseen does not count.
        assert!([(); 100].iter().all(|()| breaker.died_as_foreseen(&limits, 0.5) == restart(200)));
        assert_eq!(breaker.died(begin + Duration::from_secs(201), &limits, 0.5), restart(400));
    }
}
