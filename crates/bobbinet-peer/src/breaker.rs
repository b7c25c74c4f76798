//! When a replica that fails is left alone, and tried once.

use std::time::Duration;

use tokio::time::Instant;

/// What is known of how a replica answers. Time comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    failures: u32,
    /// Until when it is left alone, while it is.
    open_until: Option<Instant>,
    /// Whether somebody tries it.
    is_probed: bool,
}

impl Breaker {
    /// Whether a call may go there now. The first one after the rest is the probe, and the only one until it has ended.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        self.open_until.is_none_or(|until| now >= until && !self.is_probed)
    }

    /// A call goes there.
    pub(crate) fn begin(&mut self) {
        self.is_probed = self.open_until.is_some();
    }

    /// It has answered, whatever.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It has not. Whether it is left alone from now on.
    pub(crate) fn failed(&mut self, now: Instant, failures_max: u32, rest: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.is_probed = false;
        if self.failures >= failures_max {
            self.open_until = Some(now + rest);
        }
        self.open_until.is_some()
    }

    /// A call there came to an end that says nothing of it.
    pub(crate) fn dropped(&mut self) {
        self.is_probed = false;
    }

    /// Whether it is left alone.
    pub(crate) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_fails_is_left_alone_and_tried_once() {
        let begin = Instant::now();
        let second = |n: u64| begin + Duration::from_secs(n);
        let mut breaker = Breaker::default();
        let fail = |breaker: &mut Breaker, at: u64| breaker.failed(second(at), 5, Duration::from_secs(10));
        assert!((0..4).all(|at| !fail(&mut breaker, at)) && breaker.admits(second(4)));
        breaker.succeeded();
        assert!((0..4).all(|at| !fail(&mut breaker, at)), "one answer makes good for all before");
        assert!(fail(&mut breaker, 4));
        assert!(!breaker.admits(second(13)) && breaker.admits(second(14)));
        breaker.begin();
        assert!(!breaker.admits(second(14)), "one probe");
        assert!(fail(&mut breaker, 15));
        assert!(!breaker.admits(second(24)) && breaker.admits(second(25)));
        breaker.begin();
        breaker.dropped();
        assert!(breaker.admits(second(25)));
        breaker.begin();
        breaker.succeeded();
        assert!(breaker.admits(second(25)) && !breaker.is_open());
    }
}
