//! How long it takes until what was not taken is tried again.

use std::time::Duration;

/// How soon what was not taken is tried again, and how long that may grow to.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);
pub(crate) const AGAIN_MAX: Duration = Duration::from_secs(10 * 60);

/// How long to wait after so many attempts: twice as long each time, and not all at once.
pub(crate) fn backoff(attempts: u32) -> Duration {
    let longest = AGAIN.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(AGAIN_MAX);
    longest.mul_f64(fastrand::f64().midpoint(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_ten_minutes_and_are_not_alike() {
        for (attempts, longest) in [(1, 1), (2, 2), (5, 16), (10, 512), (11, 600), (1_000, 600)] {
            let pause = backoff(attempts).as_secs_f64();
            assert!((f64::from(longest) / 2.0..=f64::from(longest)).contains(&pause), "{attempts}: {pause}");
        }
        assert_ne!(backoff(11), backoff(11));
    }
}
