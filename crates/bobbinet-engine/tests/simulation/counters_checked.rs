//! The judge's part about counters: what was asked of them, shown and told, against their logs.

use std::collections::BTreeMap;

use bobbinet_core::Timestamp;
use tokio::time::Duration;

use crate::{
    checker::Promise,
    counter::{Answer, Change, CounterId, Event, LENT_FOR, Miscount, Places, tally},
    history::{Changed, History, Logged, Moment},
};

/// How long after its last event a follower may not have been told it yet, in milliseconds.
const TOLD_WITHIN: u64 = 30_000;

/// How long after its time one that was lent may still not be back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

type Accuse<'a> = &'a mut dyn FnMut(Promise, String);

/// What each counter was, from its beginning: the moment since when, and the value. The first is that it was not there.
struct Values(BTreeMap<CounterId, Vec<(Moment, i64)>>);

impl Values {
    fn of(history: &History) -> Self {
        let values = history.counters.iter().map(|(id, log)| {
            let mut values = vec![(Moment::default(), 0)];
            for logged in log {
                let before = values.last().map_or(0, |(_, value)| *value);
                let value = match logged.event {
                    Event::Is(value) => value,
                    Event::Lent => before,
                    Event::Returned => 0,
                };
                values.push((logged.durable, value));
            }
            (*id, values)
        });
        Self(values.collect())
    }

    fn of_counter(&self, id: CounterId) -> &[(Moment, i64)] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }
}

pub(crate) fn check(history: &History, accuse: Accuse<'_>) {
    let asked = history.changes.iter().map(|changed| (changed.change, changed.answer));
    let by_number: BTreeMap<i64, _> = (1..).zip(asked).collect();
    let logs = history.counters.iter().map(|(id, log)| (*id, log.iter().map(|logged| &logged.event).collect()));
    let (places, wrong) = tally(&by_number, logs);
    for miscount in wrong {
        match miscount {
            Miscount::Times(detail) => accuse(Promise::Counted, detail),
            Miscount::Torn(detail) => accuse(Promise::Whole, detail),
        }
    }
    let values = Values::of(history);
    let known = known(history, &places);
    for (number, changed) in (1..).zip(&history.changes) {
        durable(history, number, changed, &places, accuse);
        if changed.answer == Answer::Refused {
            refused(number, changed, &values, &known, accuse);
        }
    }
    shown(history, &values, &known, accuse);
    for (index, follower) in history.count_followers.iter().enumerate() {
        let log = history.counters.get(&follower.id).map_or(&[][..], Vec::as_slice);
        told(history.hung_up, &format!("follower {index} of {}", follower.id), log, &follower.told, accuse);
    }
    for (id, log) in &history.counters {
        lent(history, *id, log, accuse);
    }
}

/// The versions that somebody knew of each counter, and since when.
fn known(history: &History, places: &Places) -> BTreeMap<CounterId, Vec<(Moment, u64)>> {
    let mut known: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for count in &history.counts {
        known.entry(count.id).or_default().push((count.answered, count.version));
    }
    for (number, changed) in (1..).zip(&history.changes).filter(|(_, changed)| changed.answer == Answer::Done) {
        for (id, place) in places.get(&number).into_iter().flatten() {
            known.entry(*id).or_default().push((changed.answered, *place as u64 + 1));
        }
    }
    for follower in &history.count_followers {
        let log = history.counters.get(&follower.id).map_or(&[][..], Vec::as_slice);
        for (generation, _, heard) in &follower.told {
            if let Some(place) = log.iter().position(|logged| logged.generation == Some(*generation)) {
                known.entry(follower.id).or_default().push((*heard, place as u64 + 1));
            }
        }
    }
    known
}

/// The newest version that somebody knew before that moment.
fn newest(known: &BTreeMap<CounterId, Vec<(Moment, u64)>>, id: CounterId, before: Moment) -> u64 {
    let earlier = known.get(&id).into_iter().flatten().filter(|(moment, _)| *moment < before);
    earlier.map(|(_, version)| *version).max().unwrap_or(0)
}

/// It stands in the log after it was asked and before it was acknowledged; a transaction by one commit.
fn durable(history: &History, number: i64, changed: &Changed, places: &Places, accuse: Accuse<'_>) {
    let found: Vec<_> =
        places.get(&number).into_iter().flatten().map(|(id, place)| &history.counters[id][*place]).collect();
    let is_late = |logged: &&&Logged<Event>| changed.answer == Answer::Done && logged.durable > changed.answered;
    if found.iter().any(|logged| logged.durable < changed.asked) || found.iter().any(|logged| is_late(&logged)) {
        accuse(Promise::Durable, format!("change {number} was acknowledged before it was durable"));
    }
    if matches!(changed.change, Change::Move { .. }) && found.windows(2).any(|pair| pair[0].durable != pair[1].durable)
    {
        accuse(Promise::Whole, format!("the parts of {number} are two commits"));
    }
}

/// One that puts is refused only if the counter was something else, at a time that fits all that was known.
fn refused(
    number: i64,
    changed: &Changed,
    values: &Values,
    known: &BTreeMap<CounterId, Vec<(Moment, u64)>>,
    accuse: Accuse<'_>,
) {
    let Change::PutIf { id, seen } = changed.change else {
        accuse(Promise::Counted, format!("change {number} was refused"));
        return;
    };
    let first = usize::try_from(newest(known, id, changed.asked)).unwrap();
    let may_have_been = values.of_counter(id).iter().skip(first);
    let mut may_have_been = may_have_been.take_while(|(since, _)| *since < changed.answered);
    if !may_have_been.any(|(_, value)| *value != seen) {
        accuse(Promise::Counted, format!("change {number} was refused, and {id} was {seen} all the time"));
    }
}

/// What is shown is durable, and never older than what was known.
fn shown(history: &History, values: &Values, known: &BTreeMap<CounterId, Vec<(Moment, u64)>>, accuse: Accuse<'_>) {
    for count in &history.counts {
        let place = usize::try_from(count.version).unwrap();
        let was = values.of_counter(count.id).get(place).copied();
        let was = was.or((place == 0).then_some((Moment::default(), 0)));
        match was {
            Some((since, value)) if value == count.value && since < count.answered => {}
            Some(_) | None => {
                accuse(Promise::Durable, format!("{} was shown as {} at {place}, not durable", count.id, count.value));
            }
        }
        let newest = newest(known, count.id, count.asked);
        if newest > count.version {
            accuse(Promise::SameForAll, format!("{} was known at {newest}, then shown at {place}", count.id));
        }
    }
}

/// Each generation once and in order, as it stands in the log, to the last.
fn told(hung_up: Moment, who: &str, log: &[Logged<Event>], told: &[(u64, Vec<u8>, Moment)], accuse: Accuse<'_>) {
    for ((generation, bytes, heard), expected) in told.iter().zip(1..) {
        if *generation != expected {
            accuse(Promise::Gapless, format!("{who} heard {generation} where {expected} belongs"));
            return;
        }
        match log.iter().find(|logged| logged.generation == Some(*generation)) {
            Some(logged) if logged.bytes != *bytes => {
                accuse(Promise::SameForAll, format!("{who} heard another {generation}"));
            }
            Some(logged) if logged.durable < *heard => {}
            Some(_) | None => accuse(Promise::Durable, format!("{who} heard {generation}, not durable")),
        }
    }
    let is_old = |logged: &&Logged<Event>| logged.durable.millis + TOLD_WITHIN < hung_up.millis;
    let last = log.iter().filter(is_old).filter_map(|logged| logged.generation).max().unwrap_or(0);
    let heard = told.last().map_or(0, |(generation, ..)| *generation);
    if heard < last {
        accuse(Promise::ToldAll, format!("{who} was told up to {heard} of {last}"));
    }
    let public = log.iter().filter_map(|logged| logged.generation);
    if public.zip(1..).any(|(generation, expected)| generation != expected) {
        accuse(Promise::Gapless, format!("{who} follows a log with a gap"));
    }
}

/// One that is lent goes back once, when its time is over.
fn lent(history: &History, id: CounterId, log: &[Logged<Event>], accuse: Accuse<'_>) {
    // When the last happened since it was lent.
    let mut since = None;
    for logged in log {
        match (&logged.event, since) {
            (Event::Returned, Some(last)) => {
                if logged.at < Timestamp::after(last, LENT_FOR) {
                    accuse(Promise::Kept, format!("{id} went back before its time"));
                }
                since = None;
            }
            (Event::Returned, None) => accuse(Promise::Kept, format!("{id} went back and was not lent")),
            (Event::Lent, None) | (Event::Is(_) | Event::Lent, Some(_)) => since = Some(logged.at),
            (Event::Is(_), None) => {}
        }
    }
    let newest = log.iter().map(|logged| logged.at).max().unwrap_or_default();
    if since.is_some() && history.last_clock() > newest.after(LENT_FOR + BACK_WITHIN) {
        accuse(Promise::Progress, format!("{id} was lent and never went back"));
    }
}
