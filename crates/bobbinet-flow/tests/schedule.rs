//! When scheduled flows run.
#![allow(clippy::unwrap_used, reason = "a test")]

#[expect(unreachable_pub, dead_code, reason = "shared by test files")]
mod support;

use std::time::Duration;

use bobbinet_core::Timestamp;
use bobbinet_flow::{
    document::{Definition, Schedule},
    limits::Limits,
    schedule::{next_after_end, next_tick, tick_after_missed},
};
use proptest::prelude::*;

fn schedule(text: &str) -> Schedule {
    let flow = format!("schedule: {text}\ndo: [ {{ one: {{ set: {{ a: 1 }} }} }} ]\n");
    support::definition(&flow).schedule.unwrap()
}

fn at(text: &str) -> Timestamp {
    let time: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_millis(time.as_millisecond().try_into().unwrap())
}

#[track_caller]
fn check(text: &str, after: &str, expected: &[&str]) {
    let schedule = schedule(text);
    let mut now = at(after);
    for expected in expected {
        now = next_tick(&schedule, now).unwrap();
        assert_eq!(now.to_string(), at(expected).to_string(), "{text}");
    }
}

#[test]
fn the_next_tick() {
    let cron = |text: &str| format!("{{ cron: '{text}' }}");
    let day = "2026-11-27T10:17:30.5Z"; // a Friday
    check("{ every: PT1H }", day, &["2026-11-27T11:17:30.5Z", "2026-11-27T12:17:30.5Z"]);
    check("{ every: { minutes: 90 } }", day, &["2026-11-27T11:47:30.5Z"]);
    check(&cron("0 0 * * *"), day, &["2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"]);
    check(&cron("* * * * *"), day, &["2026-11-27T10:18:00Z", "2026-11-27T10:19:00Z"]);
    // A tick is after the time that is given, never at it.
    check(&cron("18 10 * * *"), "2026-11-27T10:18:00Z", &["2026-11-28T10:18:00Z"]);
    check(&cron("18 10 * * *"), "2026-11-27T10:17:59.999Z", &["2026-11-27T10:18:00Z"]);
    check(
        &cron("*/20 9-17 * * mon-fri"),
        day,
        &["2026-11-27T10:20:00Z", "2026-11-27T10:40:00Z", "2026-11-27T11:00:00Z"],
    );
    check(&cron("50 17 * * MON-FRI"), "2026-11-27T18:00:00Z", &["2026-11-30T17:50:00Z"]);
    check(&cron("0 0 31 * *"), day, &["2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z", "2027-03-31T00:00:00Z"]);
    check(&cron("0 12 29 feb *"), day, &["2028-02-29T12:00:00Z", "2032-02-29T12:00:00Z"]);
    check(&cron("0 0 13 * 5"), day, &["2026-12-04T00:00:00Z", "2026-12-11T00:00:00Z", "2026-12-13T00:00:00Z"]);
    check(&cron("0 0 * * 7"), day, &["2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"]);
    check(&cron("0 0 * * fri-sun"), day, &["2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z", "2026-12-04T00:00:00Z"]);
    check(
        &cron("5/15,7 3 1,15 1-3/2 *"),
        day,
        &["2027-01-01T03:05:00Z", "2027-01-01T03:07:00Z", "2027-01-01T03:20:00Z"],
    );
    check(&cron("59 23 31 12 *"), "2026-12-31T23:59:00Z", &["2027-12-31T23:59:00Z"]);
    check(&cron("@hourly"), day, &["2026-11-27T11:00:00Z"]);
    check(&cron("@weekly"), day, &["2026-11-29T00:00:00Z"]);
    check("{ every: PT5H, cron: '0 * * * *' }", day, &["2026-11-27T11:00:00Z"]);
}

#[test]
fn after_counts_from_the_end() {
    let after = schedule("{ after: PT10M }");
    let end = at("2026-11-27T10:00:00Z");
    assert_eq!(next_tick(&after, end), None);
    assert_eq!(next_after_end(&after, end), Some(end.after(Duration::from_secs(600))));
    assert_eq!(next_after_end(&schedule("{ every: PT1H }"), end), None);
}

#[test]
fn what_was_missed_runs_once_and_the_interval_goes_on() {
    let hourly = schedule("{ every: PT1H }");
    let (due, now) = (at("2026-11-27T10:17:00Z"), at("2026-11-27T14:30:00Z"));
    assert_eq!(tick_after_missed(&hourly, due, now), Some(at("2026-11-27T15:17:00Z")));
    // At its time nothing was missed.
    assert_eq!(tick_after_missed(&hourly, due, due), Some(at("2026-11-27T11:17:00Z")));
    // A tick that is due just now is not missed, but run: the next one is later.
    assert_eq!(tick_after_missed(&hourly, due, at("2026-11-27T11:17:00Z")), Some(at("2026-11-27T12:17:00Z")));
    let cron = schedule("{ cron: '0 * * * *' }");
    assert_eq!(tick_after_missed(&cron, due, now), Some(at("2026-11-27T15:00:00Z")));
}

proptest! {
    /// The same as a look at each minute.
    #[test]
    fn cron_agrees_with_a_look_at_each_minute(
        minute in "[0-5]?[0-9]|\\*|\\*/7|3-9", hour in "1?[0-9]|\\*|2[0-3]|\\*/5", day in "[1-9]|\\*|3[01]|\\*/9",
        month in "[1-9]|\\*|1[0-2]", weekday in "[0-7]|\\*|1-5|\\*/3", start in 0_u64..4_000_000_000
    ) {
        let cron = format!("{minute} {hour} {day} {month} {weekday}");
        let flow = format!("{}schedule: {{ cron: '{cron}' }}\ndo: [ {{ one: {{ set: {{ a: 1 }} }} }} ]\n", support::HEAD);
        let reading = Definition::read("flow.yaml", &flow, &Limits::default());
        // A 31st of February.
        let Some(definition) = reading.definition else { return Ok(()) };
        let after = Timestamp::from_millis(start * 1_000);
        let found = next_tick(&definition.schedule.unwrap(), after).unwrap();
        let wanted = |words: &str, value: i8, from: i8| match words {
            "*" => true,
            _ => match (words.split_once('/'), words.split_once('-')) {
                (Some((_, step)), _) => (value - from) % step.parse::<i8>().unwrap() == 0,
                (_, Some((low, high))) => (low.parse().unwrap()..=high.parse().unwrap()).contains(&value),
                _ => words.parse::<i8>().unwrap() == value,
            },
        };
        let fits = |at: u64| {
            let time = jiff::Timestamp::from_second(at.try_into().unwrap()).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            let sunday = time.weekday().to_sunday_zero_offset();
            let is_day = wanted(&day, time.day(), 1);
            let is_weekday = wanted(&weekday, sunday, 0) || sunday == 0 && wanted(&weekday, 7, 0);
            let is_either = !day.starts_with('*') && !weekday.starts_with('*');
            wanted(&minute, time.minute(), 0) && wanted(&hour, time.hour(), 0) && wanted(&month, time.month(), 1)
                && if is_either { is_day || is_weekday } else { is_day && is_weekday }
        };
        let at = found.as_millis() / 1_000;
        prop_assert!(at > start && at.is_multiple_of(60) && fits(at), "{cron}: {found}");
        // Not each minute of forty years: so far as the test has time.
        let first = (start / 60 + 1) * 60;
        for earlier in (first..at).step_by(60).take(5_000) {
            prop_assert!(!fits(earlier), "{cron}: {earlier} is before {found}");
        }
    }
}
