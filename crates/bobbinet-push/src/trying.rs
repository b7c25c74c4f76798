//! How long an event has been tried in vain, over all restarts.

use std::time::Duration;

/// How much more of it there may be than is kept, before that is kept too: it takes a write to the disk.
///
/// An orderly stop keeps all of it. What a node that is killed has tried since it was kept last is not counted: that is this long, and
/// the pause and the answer that follow, so about twenty minutes at most. A node that is killed more often than that may try for ever.
const KEPT_EVERY: Duration = Duration::from_secs(10 * 60);

/// Time while this node ran, between the first try and the last: neither a clock that is set nor a node that is down tries anything.
#[derive(Debug, Default)]
pub(crate) struct Trying {
    /// What was kept when this node began with it.
    before: Duration,
    /// When the event was not taken first since then, in monotonic time.
    since: Option<Duration>,
    /// What is kept now; `None` until that was read.
    kept: Option<Duration>,
}

impl Trying {
    /// So much is kept. Only the first time counts: what follows is known here.
    pub(crate) fn read(&mut self, kept: Duration) {
        if self.kept.is_none() {
            (self.before, self.kept) = (kept, Some(kept));
        }
    }

    /// The event was not taken.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    /// The event was taken: what follows has all the time.
    pub(crate) fn taken(&mut self) {
        (self.before, self.since) = (Duration::ZERO, None);
    }

    /// How long it has been tried.
    pub(crate) fn time(&self, now: Duration) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// What is to be kept now, if it is time for that: `None` for what is short enough to be lost.
    pub(crate) fn to_keep(&self, now: Duration) -> Option<Duration> {
        let (time, kept) = (self.time(now), self.kept?);
        let is_over = time.is_zero() && !kept.is_zero();
        (is_over || time.abs_diff(kept) >= KEPT_EVERY).then_some(time)
    }

    /// What is to be kept before the node ends, if that is anything new.
    pub(crate) fn to_keep_at_last(&self, now: Duration) -> Option<Duration> {
        let time = self.time(now);
        self.kept.filter(|kept| *kept != time).map(|_| time)
    }

    /// So much is kept now.
    pub(crate) fn set_kept(&mut self, time: Duration) {
        self.kept = Some(time);
    }

    /// Whether anything is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.is_some_and(|kept| !kept.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    #[test]
    fn it_is_kept_now_and_then_and_goes_on_from_there() {
        let mut trying = Trying::default();
        trying.failed(minutes(3));
        assert_eq!(trying.to_keep(minutes(100)), None, "it is not known what is kept");
        trying.read(minutes(30));
        assert_eq!((trying.to_keep(minutes(12)), trying.to_keep_at_last(minutes(12))), (None, Some(minutes(39))));
        trying.failed(minutes(13));
        assert_eq!(trying.to_keep(minutes(13)), Some(minutes(40)));
        trying.set_kept(minutes(40));
        trying.read(minutes(40));
        assert_eq!(trying.to_keep(minutes(14)), None);
        assert_eq!(trying.time(minutes(14)), minutes(41), "what was kept of this time is not counted twice");
        trying.taken();
        assert_eq!(trying.to_keep(minutes(14)), Some(Duration::ZERO));
        trying.failed(minutes(14));
        assert_eq!(trying.to_keep(minutes(15)), Some(minutes(1)), "far more is kept than is true");
        trying.set_kept(minutes(1));
        trying.taken();
        trying.set_kept(Duration::ZERO);
        assert_eq!((trying.to_keep(minutes(16)), trying.to_keep_at_last(minutes(16))), (None, None));
        assert!(!trying.is_kept());
    }
}
