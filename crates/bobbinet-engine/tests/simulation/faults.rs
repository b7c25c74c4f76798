//! The checker, checked: faults that are written into the history of an honest world, each of which it must name.

use std::sync::Arc;

use bobbinet_core::{Effect, Event, Json, Message, MessageId, Part, State};

use crate::{
    checker::{Promise, check, code_of, mark_of},
    counter::{self, Answer, Change, CounterId},
    history::{
        Changed, Count, Execution, Forgotten, History, Logged, Moment, Read, Refusal, Returned, Submit, Subscriber,
        Wanted,
    },
    planted::Plant,
    world::{catch_panics, live},
};

/// How many honest worlds are searched for one where a fault has its place.
const WORLDS: u64 = 60;

/// Writes a fault into a history, if there is a place for it.
type Falsify = fn(&mut History) -> Option<()>;

const FAULTS: [(&str, Promise, Falsify); 51] = [
    ("an acknowledged task is lost", Promise::Durable, |history| {
        let (task, _) = history.submits.iter().find_map(|submit| submit.acknowledged)?;
        history.logs.remove(&task).map(drop)
    }),
    ("a task is acknowledged before it is durable", Promise::Durable, |history| {
        let (task, acknowledged) = history.submits.iter().find_map(|submit| submit.acknowledged)?;
        history.logs.get_mut(&task)?.first_mut()?.durable = after(acknowledged);
        Some(())
    }),
    ("a list leaves a task out", Promise::Durable, |history| {
        let list = history.lists.iter_mut().rev().find(|list| !list.tasks.is_empty())?;
        list.tasks.clear();
        Some(())
    }),
    ("an acknowledged reply is lost", Promise::Durable, |history| {
        let said = history.said.iter().find(|said| said.message.is_some())?;
        history.logs.get_mut(&said.task)?.retain(|logged| !matches!(logged.event, Event::Replied { .. }));
        Some(())
    }),
    ("an acknowledged cancel did not win", Promise::Durable, |history| {
        let said = history.said.iter().find(|said| said.message.is_none())?;
        end_of(history.logs.get_mut(&said.task)?)?.event = ended(State::Completed, None);
        Some(())
    }),
    ("a chunk is kept twice", Promise::Durable, |history| {
        let (task, _) = history.added.first()?;
        let log = history.logs.get_mut(task)?;
        let added = log.iter().find(|logged| matches!(logged.event, Event::ArtifactAdded { .. }))?.clone();
        log.push(added);
        Some(())
    }),
    ("a state is shown before it is durable", Promise::Durable, |history| {
        let read = history.reads.iter_mut().find(|read| read.generation > 1)?;
        read.answered = Moment { step: 0, millis: 0 };
        Some(())
    }),
    ("a task ends twice", Promise::OneEnd, |history| {
        let log = ended_log(history)?;
        let end = end_of(log)?.clone();
        log.push(end);
        Some(())
    }),
    ("something public follows the end", Promise::OneEnd, |history| {
        let log = ended_log(history)?;
        let mut more = end_of(log)?.clone();
        more.event = Event::Progressed { message: None, metadata: None };
        log.push(more);
        Some(())
    }),
    ("a log skips a generation", Promise::Gapless, |history| {
        let log = ended_log(history)?;
        end_of(log)?.generation.as_mut().map(|generation| *generation += 1)
    }),
    ("a subscriber misses an event", Promise::Gapless, |history| {
        told(history, 3)?.told.remove(1);
        Some(())
    }),
    ("a subscriber hears an event twice", Promise::Gapless, |history| {
        let told = &mut told(history, 1)?.told;
        told.insert(0, told[0].clone());
        Some(())
    }),
    ("a subscriber hears two events in the wrong order", Promise::Gapless, |history| {
        told(history, 2)?.told.swap(0, 1);
        Some(())
    }),
    ("a subscriber hears another event than the others", Promise::SameForAll, |history| {
        told(history, 1)?.told[0].1.push(b' ');
        Some(())
    }),
    ("a reader sees an older state after a newer one", Promise::SameForAll, |history| {
        let read = *history.reads.iter().find(|read| read.generation > 1)?;
        let asked = after(read.answered);
        history.reads.push(Read { generation: 1, asked, answered: after(asked), ..read });
        Some(())
    }),
    ("a subscriber is not told the end", Promise::ToldAll, |history| {
        let is_over = |subscriber: &&mut Subscriber| subscriber.is_over && !subscriber.told.is_empty();
        history.subscribers.iter_mut().find(is_over)?.told.pop().map(drop)
    }),
    ("a call is made twice for one intent", Promise::NotDoubled, |history| {
        let run = history.executions.first()?;
        let began = after(run.ended?);
        let again = Execution { began, ended: Some(after(began)), ..run.clone() };
        history.executions.push(again);
        Some(())
    }),
    ("a call is made without an intent", Promise::NotDoubled, |history| {
        history.executions.first_mut()?.attempt += 100;
        Some(())
    }),
    ("a call is made before its intent is durable", Promise::NotDoubled, |history| {
        let mut runs = history.executions.iter_mut();
        runs.find(|run| run.effect != Effect::ReadOnly)?.began = Moment::default();
        Some(())
    }),
    ("a read is made before its intent, and its caller has heard of it", Promise::NotDoubled, |history| {
        let place = place_of_shared(history)?;
        history.for_outcome.remove(&history.executions[place].tag);
        Some(())
    }),
    ("a read is made before its intent, and its task is kept before that", Promise::NotDoubled, |history| {
        let task = history.executions[place_of_shared(history)?].task;
        history.logs.get_mut(&task)?.first_mut()?.durable.step -= 1;
        Some(())
    }),
    ("an at-most-once call is made again without a word", Promise::NotDoubled, |history| {
        let is_retry =
            |logged: &Logged| matches!(&logged.event, Event::Replied { message, .. } if message.text() == "retry");
        // One that came to something: the task may have been canceled first.
        let is_intended = |logged: &Logged| matches!(logged.event, Event::Intended { .. });
        let retry = history.logs.values_mut().find_map(|log| {
            let place = log.iter().position(is_retry)?;
            log[place..].iter().any(is_intended).then(|| &mut log[place])
        })?;
        let message = Arc::new(Message::from_agent(MessageId::parse("word").unwrap(), vec![Part::text("perhaps")]));
        retry.event = Event::Replied { message, answer: None, resumed: false, key: None };
        Some(())
    }),
    ("what may run again fails for a crash", Promise::Survives, |history| {
        let run = history.executions.iter().find(|run| run.effect == Effect::Keyed)?;
        end_of(history.logs.get_mut(&run.task)?)?.event = ended(State::Failed, Some("process-died"));
        Some(())
    }),
    ("a task never ends", Promise::Progress, |history| {
        ended_log(history)?.retain(|logged| !matches!(logged.event, Event::Ended { .. } | Event::Asked { .. }));
        Some(())
    }),
    ("a task is nobody's", Promise::Progress, |history| {
        let task = *history.logs.keys().next()?;
        history.orphans.iter_mut().for_each(|orphans| orphans.push(task));
        Some(())
    }),
    ("one key makes two tasks", Promise::OneForKey, |history| {
        let first = history.submits.iter().find(|submit| submit.has_key && submit.acknowledged.is_some())?;
        let (task, moment) = first.acknowledged?;
        let other = history.logs.keys().find(|other| **other != task)?;
        let again = Submit { acknowledged: Some((*other, moment)), ..first.clone() };
        history.submits.push(again);
        Some(())
    }),
    ("a stranger sees a task", Promise::Private, |history| {
        history.leaks.push((*history.logs.keys().next()?, "get"));
        Some(())
    }),
    ("a run outlives its task", Promise::RunsBounded, |history| {
        let end = history.end;
        let run = history.executions.iter_mut().find(|run| run.returned == Some(Returned::Completed))?;
        run.ended = Some(Moment { step: end.step, millis: end.millis + 60_000 });
        Some(())
    }),
    ("there are more calls than slots", Promise::RunsBounded, |history| {
        history.slots = 0;
        history.executions.first().map(drop)
    }),
    ("what a call came to is lost", Promise::OutcomeKept, |history| {
        let last = history.executions.last()?.process;
        let is_last = |run: &&Execution| run.process == last && run.returned == Some(Returned::Completed);
        let run = history.executions.iter().find(is_last)?;
        history.logs.get_mut(&run.task)?.retain(|logged| !matches!(logged.event, Event::Settled { .. }));
        history.end.millis += 60_000;
        history.deaths.clear();
        history.forgotten.clear();
        Some(())
    }),
    ("an answer counts twice", Promise::Once, |history| {
        let is_marked = |logged: &&Logged| mark_of(&logged.event).is_some();
        let log = history.logs.values_mut().find(|log| log.iter().any(|logged| is_marked(&logged)))?;
        let again = log.iter().find(is_marked)?.clone();
        log.push(again);
        Some(())
    }),
    ("an answer that has counted is refused when it comes again", Promise::Once, |history| {
        let said = history.said.iter().find(|said| said.message.is_some())?;
        let (task, message, asked) = (said.task, said.message.clone()?, after(history.end));
        history.refusals.push(Refusal { task, message, asked, why: "busy".to_owned() });
        Some(())
    }),
    ("an answer is answered with what was there before it", Promise::Once, |history| {
        history.said.iter_mut().find(|said| said.message.is_some() && said.got.is_some())?.got = Some(0);
        Some(())
    }),
    ("a task is forgotten before its time", Promise::Kept, |history| {
        let (task, process, moment) = history.logs.iter_mut().find_map(|(task, log)| {
            let end = end_of(log)?;
            Some((*task, end.process, end.durable))
        })?;
        history.forgotten.insert(task, Forgotten { moment, process });
        Some(())
    }),
    ("a task is forgotten that has not ended", Promise::Kept, |history| {
        let task = *history.forgotten.keys().next()?;
        history.logs.get_mut(&task)?.retain(|logged| !matches!(logged.event, Event::Ended { .. }));
        Some(())
    }),
    ("a task is not forgotten", Promise::Kept, |history| {
        let first = *history.forgotten.keys().next()?;
        history.forgotten.remove(&first)?;
        // Longer than the fastest of its clocks was fast.
        history.end.millis += 48 * 3_600_000;
        Some(())
    }),
    ("a task is not found before it is forgotten", Promise::Kept, |history| {
        let (task, forgotten) = history.forgotten.first_key_value()?;
        let missing = (Wanted::Task(*task), forgotten.moment);
        history.missing.push(missing);
        Some(())
    }),
    ("what a request has made is not found before it is forgotten", Promise::Kept, |history| {
        let submit = history.submits.iter().find(|submit| submit.has_key && submit.acknowledged.is_some())?;
        let missing = (Wanted::Tag(submit.tag.clone()), submit.acknowledged?.1);
        history.missing.push(missing);
        Some(())
    }),
    ("a task is shown that was forgotten", Promise::Kept, |history| {
        let read = *history.reads.iter().find(|read| history.forgotten.contains_key(&read.task))?;
        let asked = after(history.end);
        history.reads.push(Read { asked, answered: after(asked), ..read });
        Some(())
    }),
    ("a task does not wait for its agent", Promise::Waits, |history| {
        history.logs.values().find(|log| code_of(log).as_deref() == Some("unknown-agent"))?;
        history.unserved_life += 1_000_000_000;
        Some(())
    }),
    ("a change of a counter is lost", Promise::Counted, |history| {
        let (number, changed) = done(history, |change| matches!(change, Change::Add(_)))?;
        let Change::Add(id) = changed.change else { return None };
        remove(history.counters.get_mut(&id)?, number)
    }),
    ("a change of a counter is made twice", Promise::Counted, |history| {
        let (number, changed) = done(history, |change| matches!(change, Change::Add(_)))?;
        let Change::Add(id) = changed.change else { return None };
        let log = history.counters.get_mut(&id)?;
        let last = log.iter().rev().find_map(|logged| is(&logged.event))?;
        let again = Logged { event: counter::Event::Is(last + number), ..log.last()?.clone() };
        log.push(again);
        Some(())
    }),
    ("a transaction is made by half", Promise::Whole, |history| {
        let (number, changed) = done(history, |change| matches!(change, Change::Move { .. }))?;
        let Change::Move { to, .. } = changed.change else { return None };
        remove(history.counters.get_mut(&to)?, number)
    }),
    ("the halves of a transaction are two commits", Promise::Whole, |history| {
        let (number, changed) = done(history, |change| matches!(change, Change::Move { .. }))?;
        let Change::Move { to, .. } = changed.change else { return None };
        let log = history.counters.get_mut(&to)?;
        let place = place_of(log, number)?;
        log[place].durable.step -= 1;
        Some(())
    }),
    ("what was refused is made", Promise::Counted, |history| {
        let (number, _) = done(history, |change| matches!(change, Change::PutIf { .. }))?;
        history.changes[usize::try_from(number).ok()? - 1].answer = Answer::Refused;
        Some(())
    }),
    ("a change is refused for nothing", Promise::Counted, |history| {
        let first = history.changes.first()?.clone();
        let change = Change::PutIf { id: CounterId(9), seen: 0 };
        history.changes.push(Changed { change, answer: Answer::Refused, ..first });
        Some(())
    }),
    ("a counter is shown as it was before", Promise::SameForAll, |history| {
        let count = *history.counts.iter().find(|count| count.version > 0)?;
        let asked = after(history.end);
        history.counts.push(Count { version: 0, value: 0, asked, answered: after(asked), ..count });
        Some(())
    }),
    ("a follower of a counter misses an event", Promise::Gapless, |history| {
        let mut followers = history.count_followers.iter_mut();
        followers.find(|follower| follower.told.len() > 1)?.told.remove(0);
        Some(())
    }),
    ("a run is taken over before its lease is over", Promise::Leased, |history| {
        let runs = &history.executions;
        runs.iter().find(|run| history.is_shared && history.taken_over(run).is_some())?;
        history.leases.values_mut().flatten().for_each(|word| word.is_end = false);
        Some(())
    }),
    ("a call begins after it was taken over", Promise::NotDoubled, |history| {
        let place = history.executions.iter().position(|run| history.is_shared && history.taken_over(run).is_some())?;
        let taken = history.taken_over(&history.executions[place])?.durable;
        history.executions[place].began = after(taken);
        Some(())
    }),
    ("a task ends for want of an agent that is there", Promise::Waits, |history| {
        history.logs.values().find(|log| code_of(log).as_deref() == Some("unknown-agent"))?;
        history.absent.clear();
        Some(())
    }),
];

/// A call that was kept with its intent.
fn place_of_shared(history: &History) -> Option<usize> {
    history.executions.iter().position(|run| {
        let is_intent = |logged: &&Logged| matches!(logged.event, Event::Intended { .. });
        let intent = history.logs.get(&run.task).and_then(|log| log.iter().find(is_intent));
        run.attempt == 1 && history.for_outcome.contains(&run.tag) && intent.is_some_and(|it| it.durable > run.began)
    })
}

fn after(moment: Moment) -> Moment {
    Moment { step: moment.step + 1, ..moment }
}

/// A change of some kind that was acknowledged, and its number.
fn done(history: &History, is_it: impl Fn(&Change) -> bool) -> Option<(i64, Changed)> {
    let mut changes = (1..).zip(&history.changes);
    let (number, changed) = changes.find(|(_, changed)| changed.answer == Answer::Done && is_it(&changed.change))?;
    Some((number, changed.clone()))
}

fn is(event: &counter::Event) -> Option<i64> {
    match event {
        counter::Event::Is(value) => Some(*value),
        counter::Event::Returned => Some(0),
        counter::Event::Lent => None,
    }
}

/// Where in a counter's log it grows by that much.
fn place_of(log: &[Logged<counter::Event>], number: i64) -> Option<usize> {
    let mut before = 0;
    for (place, logged) in log.iter().enumerate() {
        let Some(value) = is(&logged.event) else { continue };
        if value - before == number {
            return Some(place);
        }
        before = value;
    }
    None
}

fn remove(log: &mut Vec<Logged<counter::Event>>, number: i64) -> Option<()> {
    let place = place_of(log, number)?;
    log.remove(place);
    Some(())
}

fn ended_log(history: &mut History) -> Option<&mut Vec<Logged>> {
    history.logs.values_mut().find(|log| log.iter().any(|logged| matches!(logged.event, Event::Ended { .. })))
}

fn end_of(log: &mut [Logged]) -> Option<&mut Logged> {
    log.iter_mut().find(|logged| matches!(logged.event, Event::Ended { .. }))
}

fn told(history: &mut History, times: usize) -> Option<&mut Subscriber> {
    history.subscribers.iter_mut().find(|subscriber| subscriber.told.len() >= times)
}

fn ended(state: State, code: Option<&str>) -> Event {
    let message = code.map(|code| {
        let data = Json::of(&serde_json::json!({ "code": code }));
        Arc::new(Message::from_agent(MessageId::parse("end").unwrap(), vec![Part::data(data)]))
    });
    Event::Ended { state, message, metadata: None }
}

#[test]
fn the_checker_names_every_fault() {
    catch_panics();
    let honest = (0..WORLDS).map(|seed| live(seed, Plant::Nothing, false).history).collect::<Vec<_>>();
    for (name, promise, falsify) in FAULTS {
        let found = honest.iter().find_map(|history| {
            let mut false_history = history.clone();
            falsify(&mut false_history)?;
            Some(check(&false_history))
        });
        let violations = found.unwrap_or_else(|| panic!("{name}: no world has a place for it"));
        let named: Vec<_> = violations.iter().map(|violation| violation.promise).collect();
        assert!(named.contains(&promise), "{name}: not {promise:?} but {named:?}");
    }
}
