//! A second kind of aggregate: a counter, and what must be in the log of one after all that was asked of it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{collections::BTreeMap, fmt, time::Duration};

use bobbinet_core::{Generation, Limits, Refused, StreamId, Timestamp};
use bobbinet_engine::{Aggregate, Aggregates, Engine, EngineError, Transaction};
use bobbinet_store::Summary;
use serde::{Deserialize, Serialize};

/// A number that is added to, or put if it is what the writer saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    pub(crate) value: i64,
    pub(crate) version: u64,
    generation: Generation,
    at: Timestamp,
    /// Whether it goes back to zero when it is due.
    is_lent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CounterId(pub(crate) u8);

impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "counter {}", self.0)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Command {
    Add(i64),
    PutIf {
        seen: i64,
        value: i64,
    },
    Lend,
    /// Is due, with the last that had happened then.
    Return {
        since: Timestamp,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    Is(i64),
    /// Goes back to zero when that is due. Nobody is told.
    Lent,
    Returned,
}

/// How long one is lent.
pub(crate) const LENT_FOR: Duration = Duration::from_secs(10);

impl Aggregate for Counter {
    type Id = CounterId;
    type Command = Command;
    type Event = Event;
    type Held = ();
    type Local = ();

    fn stream(id: &CounterId) -> StreamId {
        StreamId::from_bytes(&[b'n', id.0])
    }

    fn id_of(stream: &StreamId) -> Option<CounterId> {
        match stream.as_bytes() {
            [b'n', id] => Some(CounterId(*id)),
            _ => None,
        }
    }

    fn when_due(summary: &Summary) -> Option<Command> {
        Some(Command::Return { since: summary.status_at })
    }

    fn decide(
        _id: &CounterId,
        state: Option<&Self>,
        command: Command,
        _limits: &Limits,
    ) -> Result<Vec<Event>, EngineError> {
        let value = state.map_or(0, |state| state.value);
        match command {
            Command::Add(more) => Ok(vec![Event::Is(value + more)]),
            Command::PutIf { seen, value: new } if seen == value => Ok(vec![Event::Is(new)]),
            Command::PutIf { .. } => Err(Refused::Busy.into()),
            Command::Lend => Ok(vec![Event::Lent]),
            Command::Return { since } if state.is_some_and(|state| state.is_lent && state.at == since) => {
                Ok(vec![Event::Returned])
            }
            Command::Return { .. } => Err(Refused::NothingToDo.into()),
        }
    }

    fn begin(_id: &CounterId, at: Timestamp, event: &Event) -> Option<Self> {
        let mut counter = Self { value: 0, version: 0, generation: Generation(0), at, is_lent: false };
        counter.apply(at, event);
        Some(counter)
    }

    fn apply(&mut self, at: Timestamp, event: &Event) {
        self.version += 1;
        self.at = at;
        self.generation.0 += u64::from(Self::is_public(event));
        match event {
            Event::Is(value) => self.value = *value,
            Event::Lent => self.is_lent = true,
            Event::Returned => (self.value, self.is_lent) = (0, false),
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn generation(&self) -> Generation {
        self.generation
    }

    fn is_public(event: &Event) -> bool {
        !matches!(event, Event::Lent)
    }

    fn is_over(&self) -> bool {
        false
    }

    fn is_settled(&self) -> bool {
        true
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }

    fn summary(&self, _limits: &Limits) -> Summary {
        Summary {
            tenant: "tenant".into(),
            owner: "ann".into(),
            agent: "counters".into(),
            context: "c".into(),
            state: 200,
            status_at: self.at,
            due: self.is_lent.then(|| self.at.after(LENT_FOR)),
        }
    }
}

/// What is asked of counters. Every change has a number of its own, above zero, and changes them by it: so the logs tell which
/// changes were made, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Adds its number.
    Add(CounterId),
    /// Puts its number more than was seen.
    PutIf { id: CounterId, seen: i64 },
    /// Takes its number from one and gives it to the other, in one transaction.
    Move { from: CounterId, to: CounterId },
}

impl Change {
    /// By how much it changes this counter.
    fn difference(self, number: i64, counter: CounterId) -> Option<i64> {
        match self {
            Self::Add(id) | Self::PutIf { id, .. } => (id == counter).then_some(number),
            Self::Move { from, .. } if from == counter => Some(-number),
            Self::Move { to, .. } => (to == counter).then_some(number),
        }
    }

    /// How many logs it stands in, if it was made.
    fn places(self) -> usize {
        match self {
            Self::Add(_) | Self::PutIf { .. } => 1,
            Self::Move { .. } => 2,
        }
    }

    /// Asks for it. Gives the counter as it stands then, if it is one.
    pub(crate) async fn ask(self, number: i64, engine: &Engine) -> Result<Option<(CounterId, Counter)>, EngineError> {
        let counters: Aggregates<Counter> = engine.aggregates();
        let (id, command) = match self {
            Self::Add(id) => (id, Command::Add(number)),
            Self::PutIf { id, seen } => (id, Command::PutIf { seen, value: seen + number }),
            Self::Move { from, to } => {
                let taken = Transaction::default().with(&counters, from, Command::Add(-number));
                engine.transact(taken.with(&counters, to, Command::Add(number))).await?;
                return Ok(None);
            }
        };
        let counter = counters.command(&id, command).await?;
        Ok(Some((id, Counter::clone(&counter))))
    }
}

/// What whoever asked for a change was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Refused,
    /// Nothing certain: it is made or not.
    Unknown,
}

impl Answer {
    pub(crate) fn of<T>(answer: &Result<T, EngineError>) -> Self {
        match answer {
            Ok(_) => Self::Done,
            Err(EngineError::Refused(_)) => Self::Refused,
            Err(_) => Self::Unknown,
        }
    }
}

/// What is wrong with some logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Miscount {
    /// A change is there too often or not often enough, or is nobody's.
    Times(String),
    /// A part of a transaction is there, and another is not.
    Torn(String),
}

/// Where in the logs changes stand, by their numbers.
pub(crate) type Places = BTreeMap<i64, Vec<(CounterId, usize)>>;

/// Finds each change in the logs: what was acknowledged stands there once, what was refused does not, what has no certain answer
/// may; and nothing else does.
pub(crate) fn tally<'a>(
    changes: &BTreeMap<i64, (Change, Answer)>,
    logs: impl IntoIterator<Item = (CounterId, Vec<&'a Event>)>,
) -> (Places, Vec<Miscount>) {
    let (mut places, mut wrong) = (Places::new(), Vec::new());
    for (id, log) in logs {
        let mut value = 0;
        for (place, event) in log.into_iter().enumerate() {
            let before = value;
            match event {
                Event::Is(now) => value = *now,
                Event::Lent => continue,
                Event::Returned => {
                    value = 0;
                    continue;
                }
            }
            let difference = value - before;
            let number = difference.abs();
            match changes.get(&number) {
                Some((change, _)) if change.difference(number, id) == Some(difference) => {
                    places.entry(number).or_default().push((id, place));
                }
                Some(_) | None => wrong.push(Miscount::Times(format!("{id} goes from {before} to {value} for nobody"))),
            }
        }
    }
    for (number, (change, answer)) in changes {
        let found = places.get(number).map_or(&[][..], Vec::as_slice);
        let times = |id: CounterId| found.iter().filter(|(counter, _)| *counter == id).count();
        if let Change::Move { from, to } = change
            && times(*from) != times(*to)
        {
            wrong.push(Miscount::Torn(format!("{change:?} of {number} is in one of them alone")));
        }
        let is_right = match answer {
            Answer::Done => found.len() == change.places(),
            Answer::Refused => found.is_empty(),
            Answer::Unknown => found.is_empty() || found.len() == change.places(),
        };
        if !is_right {
            wrong.push(Miscount::Times(format!("{change:?} of {number}, {answer:?}, is there {} times", found.len())));
        }
    }
    (places, wrong)
}
