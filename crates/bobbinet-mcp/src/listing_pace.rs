//! How soon a list is read that its server says has changed. One that says so again at each reading is read ever less often.

use std::time::Duration;

use tokio::time::Instant;

/// The longest pause before a list is read again.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The pause before a changed list is read again. The time is an argument.
#[derive(Debug)]
pub(crate) struct ListingPace {
    first: Duration,
    pause: Duration,
    read_at: Option<Instant>,
}

impl ListingPace {
    pub(crate) fn new(first: Duration) -> Self {
        Self { first, pause: first, read_at: None }
    }

    /// The list has changed, the server says: how long to wait before it is read.
    pub(crate) fn pause(&mut self, now: Instant) -> Duration {
        if let Some(read_at) = self.read_at.take() {
            let is_at_once = now.duration_since(read_at) <= self.pause;
            self.pause = if is_at_once { (self.pause * 2).min(PAUSE_MAX) } else { self.first };
        }
        self.pause
    }

    /// The list was read.
    pub(crate) fn read(&mut self, now: Instant) {
        self.read_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_answers_each_reading_with_a_change_is_read_ever_less_often() {
        let mut now = Instant::now();
        let mut pace = ListingPace::new(Duration::from_millis(250));
        let mut reads = 0;
        let end = now + Duration::from_secs(600);
        while now < end {
            now += pace.pause(now);
            pace.read(now);
            reads += 1;
        }
        assert!((10..25).contains(&reads), "{reads} in ten minutes");
        // Once it is calm again, a change is seen soon.
        assert_eq!(pace.pause(now + Duration::from_secs(61)), Duration::from_millis(250));
        pace.read(now);
        assert_eq!(pace.pause(now + Duration::from_secs(1)), Duration::from_millis(250));
    }
}
