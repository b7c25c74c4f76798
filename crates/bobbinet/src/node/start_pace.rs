//! How often it is said of an agent that it has not started: less and less, as nobody needs to read the same for a day.

use std::time::Duration;

use tokio::time::Instant;

/// After the first time, and at the most.
const FIRST: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// When it was said last, and how long that is enough.
#[derive(Debug, Default)]
pub(super) struct StartPace(Option<(Instant, Duration)>);

impl StartPace {
    /// Whether it is to be said now. If so, the next time is farther away.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let pause = match self.0 {
            None => FIRST,
            Some((last, pause)) if now.duration_since(last) >= pause => (pause * 2).min(PAUSE_MAX),
            Some(_) => return false,
        };
        self.0 = Some((now, pause));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_less_and_less() {
        let (begun, mut pace) = (Instant::now(), StartPace::default());
        let said = (0..24 * 60 * 20).filter(|n| pace.is_due(begun + Duration::from_secs(3) * *n)).collect::<Vec<u32>>();
        assert_eq!(said[..4], [0, 10, 30, 70]);
        assert!(said.len() < 35, "some thirty times a day: {}", said.len());
    }
}
