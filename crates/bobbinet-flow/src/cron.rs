//! Cron expressions: five fields, as `crontab(5)` has them, in UTC, so that no hour comes twice or never.
//!
//! A parser of our own, though there are crates for it: those that are kept well bring a dozen crates along for what five fields do not
//! have (seconds, years, time zones, languages), and their errors have no place in the text.

use std::fmt;

use bobbinet_core::Timestamp;
use bobbinet_text::nearest;
use jiff::{ToSpan, civil::Date, tz::TimeZone};

/// A cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

/// What is wrong with an expression, and the byte of it where that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CronFault {
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// The values of a field, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    /// Whether it begins with a star: then it does not choose between days and weekdays.
    is_star: bool,
}

impl Field {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.bits >> value & 1 == 1)
    }
}

struct FieldKind {
    name: &'static str,
    from: u8,
    to: u8,
    /// The first of these stands for `from`.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const KINDS: [FieldKind; 5] = [
    FieldKind { name: "minute", from: 0, to: 59, names: &[] },
    FieldKind { name: "hour", from: 0, to: 23, names: &[] },
    FieldKind { name: "day", from: 1, to: 31, names: &[] },
    FieldKind { name: "month", from: 1, to: 12, names: &MONTHS },
    // Sunday is 0 and 7.
    FieldKind { name: "weekday", from: 0, to: 7, names: &WEEKDAYS },
];

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// How far the next time is looked for: a 29th of February that is a Monday can be forty years away.
const DAYS_MAX: usize = 50 * 366;

impl Cron {
    pub(crate) fn parse(text: &str) -> Result<Self, CronFault> {
        let written = text.trim();
        let start = text.len() - text.trim_start().len();
        if written.starts_with('@') {
            let known = NICKNAMES.map(|(name, _)| name);
            let lower = written.to_lowercase();
            let Some((_, meant)) = NICKNAMES.iter().find(|(name, _)| *name == lower) else {
                let hint = match nearest(&lower, &known) {
                    Some(name) => format!("did you mean {name}?"),
                    None => format!("there is {}", known.join(", ")),
                };
                return Err(CronFault { offset: start, message: format!("there is no schedule {written:?}"), hint });
            };
            return Ok(Self { text: written.to_owned(), ..Self::parse(meant)? });
        }
        let words: Vec<&str> = written.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = words[..] else {
            let hint = "write minute, hour, day, month and weekday: '0 0 * * *' is every midnight (UTC)".to_owned();
            let message = match words.len() {
                6 | 7 => format!(
                    "a cron expression has five fields, and here are {}: seconds and years are not among them",
                    words.len()
                ),
                count => format!(
                    "a cron expression has five fields, and here {}",
                    if count == 1 { "is one".to_owned() } else { format!("are {count}") }
                ),
            };
            return Err(CronFault { offset: start, message, hint });
        };
        let offset = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
        let field = |kind: &FieldKind, word: &str| field(kind, word, offset(word));
        let [minute, hour, day, month, weekday] = &KINDS;
        let mut weekdays = field(weekday, weekdays)?;
        weekdays.bits |= weekdays.bits >> 7 & 1;
        let cron = Self {
            text: words.join(" "),
            minutes: field(minute, minutes)?,
            hours: field(hour, hours)?,
            days: field(day, days)?,
            months: field(month, months)?,
            weekdays,
        };
        if cron.next(Timestamp::from_millis(0)).is_none() {
            let hint = "look at the day and the month".to_owned();
            return Err(CronFault { offset: start, message: "there is no such day in any year".to_owned(), hint });
        }
        Ok(cron)
    }

    /// The first time after this one, in UTC.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let millis = i64::try_from(after.as_millis()).ok()?;
        let after = jiff::Timestamp::from_millisecond(millis).ok()?.to_zoned(TimeZone::UTC).datetime();
        // The next whole minute.
        let first = after.checked_add(1.minute()).ok()?;
        let mut date = first.date();
        for days in 0..DAYS_MAX {
            if self.is_day(date) {
                let (hour, minute) = if days == 0 { (first.hour(), first.minute()) } else { (0, 0) };
                if let Some((hour, minute)) = self.time(hour, minute) {
                    let at = date.at(hour, minute, 0, 0).to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
                    return u64::try_from(at).ok().map(Timestamp::from_millis);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn is_day(&self, date: Date) -> bool {
        let is_day = self.days.has(date.day());
        let is_weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        // Either is enough where both are said: `0 0 13 * 5` is each 13th and each Friday.
        let is_one =
            if self.days.is_star || self.weekdays.is_star { is_day && is_weekday } else { is_day || is_weekday };
        is_one && self.months.has(date.month())
    }

    /// The first time of a day from this one on.
    fn time(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        let minutes = |from: i8| (from..60).find(|minute| self.minutes.has(*minute));
        if self.hours.has(hour)
            && let Some(minute) = minutes(minute)
        {
            return Some((hour, minute));
        }
        let hour = (hour + 1..24).find(|hour| self.hours.has(*hour))?;
        Some((hour, minutes(0)?))
    }
}

/// As it was written.
impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A field: `*`, `5`, `1-5`, `mon-fri`, with `/2` behind for each second, and commas between.
fn field(kind: &FieldKind, word: &str, start: usize) -> Result<Field, CronFault> {
    let mut bits = 0_u64;
    let mut offset = start;
    for part in word.split(',') {
        let fault = |message: String| {
            let hint = format!("{}s are {} to {}: 5, 1-5, */2, or several with commas", kind.name, kind.from, kind.to);
            CronFault { offset, message, hint }
        };
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step = step.parse::<u8>().ok().filter(|step| *step > 0);
                (range, Some(step.ok_or_else(|| fault(format!("{part:?} has no step")))?))
            }
            None => (part, None),
        };
        let value = |text: &str| {
            let named = kind.names.iter().zip(kind.from..).find(|(name, _)| name.eq_ignore_ascii_case(text));
            let number = || if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse::<u8>().ok() } else { None };
            let value = named.map(|(_, value)| value).or_else(number);
            value
                .filter(|value| (kind.from..=kind.to).contains(value))
                .ok_or_else(|| fault(format!("{text:?} is no {}", kind.name)))
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (kind.from, kind.to),
            // `fri-sun`: Sunday is the last day there.
            Some((from, to)) if to.eq_ignore_ascii_case("sun") && kind.names.contains(&"sun") => (value(from)?, 7),
            Some((from, to)) => (value(from)?, value(to)?),
            None if step.is_some() => (value(range)?, kind.to),
            None => (value(range)?, value(range)?),
        };
        if from > to {
            return Err(fault(format!("{range:?} ends before it begins")));
        }
        for value in (from..=to).step_by(step.unwrap_or(1).into()) {
            bits |= 1 << value;
        }
        offset += part.len() + 1;
    }
    Ok(Field { bits, is_star: word.starts_with('*') })
}
