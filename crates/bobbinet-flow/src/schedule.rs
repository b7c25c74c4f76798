//! When a scheduled flow runs. Pure: whoever has a clock asks, and keeps what it is told.

use bobbinet_core::Timestamp;

use crate::document::Schedule;

/// The next time that a schedule names after this one.
///
/// For `every` that is one interval later: give it the tick before, and at the beginning the time when the schedule began. For `cron` it
/// is the next time of the expression, in UTC. Where both are said the earlier one comes. For `after` and `on` there is none: the first
/// counts from a run's end ([`next_after_end`]), the other goes by events.
pub fn next_tick(schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
    let every = schedule.every.map(|every| after.after(every));
    let cron = schedule.cron.as_ref().and_then(|cron| cron.next(after));
    every.into_iter().chain(cron).min()
}

/// The tick that follows one that was due at `due` and is run at `now`: the first that is still to come. Those that have passed in between
/// are left out, so that what was missed is run once; the interval goes on as it was, and does not begin anew.
pub fn tick_after_missed(schedule: &Schedule, due: Timestamp, now: Timestamp) -> Option<Timestamp> {
    if now <= due {
        return next_tick(schedule, due);
    }
    let every = schedule.every.and_then(|every| {
        let interval = u64::try_from(every.as_millis()).ok()?;
        let passed = (now.as_millis() - due.as_millis()).checked_div(interval)?;
        let later = passed.checked_add(1)?.checked_mul(interval)?;
        due.as_millis().checked_add(later).map(Timestamp::from_millis)
    });
    let cron = schedule.cron.as_ref().and_then(|cron| cron.next(now));
    every.into_iter().chain(cron).min()
}

/// When a flow runs again after a run that ended then: `after`, if the schedule has it.
pub fn next_after_end(schedule: &Schedule, ended: Timestamp) -> Option<Timestamp> {
    schedule.after.map(|after| ended.after(after))
}
