//! When a flow is to run next, and what has become of the last time: kept, so that a node that was down knows what it has missed.

use std::fmt;

use bobbinet_core::{AgentName, Generation, Limits, Refused, StreamId, TaskId, Timestamp};
use bobbinet_engine::{Aggregate, EngineError};
use bobbinet_events::Position;
use bobbinet_store::Summary;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The first byte of their streams.
const KIND: u8 = b's';

/// A number for their only state: none of a task's.
const CODE: u8 = 103;

/// Records that are dropped at a time: each says all that is to be known.
const DROPPED_AT_ONCE: u64 = 64;

/// Whose schedule: SHA-256 of the flow's agent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleId([u8; 32]);

impl ScheduleId {
    /// Of this flow.
    pub fn of(flow: &AgentName) -> Self {
        Self(Sha256::digest(flow.as_str().as_bytes()).into())
    }
}

impl fmt::Display for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schedule {}", hex::encode(&self.0[..8]))
    }
}

impl fmt::Debug for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A flow's schedule as it stands. On disk: each record is all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct KeptSchedule {
    /// Which record it is.
    version: u64,
    /// What the definition says of times, as text: where that changes, they are worked out anew.
    pub(crate) times: String,
    /// The next time of `every` and `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Timestamp>,
    /// The next time of `after`: none while a run is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) again: Option<Timestamp>,
    /// The time that has come, for which no run has begun yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tick: Option<Timestamp>,
    /// The run that began last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<TaskId>,
    /// How far `on` has heard the events of its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Position>,
    at: Timestamp,
}

/// What can be asked of a schedule.
#[derive(Clone, Debug)]
pub enum ScheduleCommand {
    /// These are its times, and where it begins to listen. Nothing happens if they are known.
    Plan {
        /// The times as text.
        times: String,
        /// The first time of `every` and `cron`.
        next: Option<Timestamp>,
        /// The first time of `after`.
        again: Option<Timestamp>,
        /// Where it begins to listen, if it has not begun.
        cursor: Option<Position>,
    },
    /// It is this time, at least.
    Wake {
        /// What it is due at.
        due: Timestamp,
    },
    /// A run has begun for the time that had come, or cannot.
    Begun {
        /// That time.
        tick: Timestamp,
        /// The run.
        run: Option<TaskId>,
        /// The next time of `every` and `cron`.
        next: Option<Timestamp>,
        /// The next time of `after`, if no run is on.
        again: Option<Timestamp>,
    },
    /// A run has ended.
    Ended {
        /// Which one.
        run: TaskId,
        /// The next time of `after`.
        again: Timestamp,
    },
    /// Events were heard this far, and what was to begin for them has begun.
    Heard {
        /// How far.
        cursor: Position,
    },
}

impl KeptSchedule {
    /// When it is due.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        if self.tick.is_some() { None } else { [self.next, self.again].into_iter().flatten().min() }
    }

    fn change(&self, command: ScheduleCommand) -> Option<Self> {
        let now = self.clone();
        Some(match command {
            ScheduleCommand::Plan { times, .. } if times == self.times => return None,
            ScheduleCommand::Plan { times, next, again, cursor } => Self {
                times,
                next,
                again,
                tick: None,
                cursor: self.cursor.filter(|_| cursor.is_some()).or(cursor),
                ..now
            },
            ScheduleCommand::Wake { due } if self.due() == Some(due) => Self { tick: Some(due), ..now },
            ScheduleCommand::Wake { .. } => return None,
            ScheduleCommand::Begun { tick, run, next, again } if self.tick == Some(tick) => {
                Self { tick: None, run: run.or(self.run), next, again, ..now }
            }
            ScheduleCommand::Begun { .. } => return None,
            ScheduleCommand::Ended { run, again } if self.run == Some(run) && self.again.is_none() => {
                Self { again: Some(again), ..now }
            }
            ScheduleCommand::Ended { .. } => return None,
            ScheduleCommand::Heard { cursor } if self.cursor.is_none_or(|heard| heard < cursor) => {
                Self { cursor: Some(cursor), ..now }
            }
            ScheduleCommand::Heard { .. } => return None,
        })
    }
}

impl Aggregate for KeptSchedule {
    type Id = ScheduleId;
    type Command = ScheduleCommand;
    type Event = Self;
    type Held = ();
    type Local = ();

    const CAN_BE_TRIMMED: bool = true;
    const IS_ALL_PUBLIC: bool = true;

    fn stream(id: &ScheduleId) -> StreamId {
        let mut bytes = [KIND; 33];
        bytes[1..].copy_from_slice(&id.0);
        StreamId::from_bytes(&bytes)
    }

    fn id_of(stream: &StreamId) -> Option<ScheduleId> {
        let hash = stream.as_bytes().strip_prefix(&[KIND])?;
        Some(ScheduleId(hash.try_into().ok()?))
    }

    fn when_due(summary: &Summary) -> Option<ScheduleCommand> {
        summary.due.map(|due| ScheduleCommand::Wake { due })
    }

    fn decide(
        _: &ScheduleId,
        state: Option<&Self>,
        command: ScheduleCommand,
        _: &Limits,
    ) -> Result<Vec<Self>, EngineError> {
        let after = match (state, command) {
            (Some(schedule), command) => {
                let version = schedule.version + 1;
                Self { version, ..schedule.change(command).ok_or(Refused::NothingToDo)? }
            }
            (None, ScheduleCommand::Plan { times, next, again, cursor }) => {
                let at = Timestamp::default();
                Self { version: 1, times, next, again, tick: None, run: None, cursor, at }
            }
            (
                None,
                ScheduleCommand::Wake { .. }
                | ScheduleCommand::Begun { .. }
                | ScheduleCommand::Ended { .. }
                | ScheduleCommand::Heard { .. },
            ) => return Err(Refused::Absent.into()),
        };
        Ok(vec![after])
    }

    fn begin(_: &ScheduleId, at: Timestamp, event: &Self) -> Option<Self> {
        Some(Self { at, ..event.clone() })
    }

    fn apply(&mut self, at: Timestamp, event: &Self) {
        *self = Self { at, ..event.clone() };
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn generation(&self) -> Generation {
        Generation(self.version)
    }

    fn dispensable(&self) -> u64 {
        (self.version - 1) / DROPPED_AT_ONCE * DROPPED_AT_ONCE
    }

    fn is_public(_: &Self) -> bool {
        true
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.times.len()
    }

    fn summary(&self, _: &Limits) -> Summary {
        Summary::unlisted(CODE, self.at, self.due())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn schedule() -> KeptSchedule {
        KeptSchedule {
            version: 1,
            times: "every 10ms".to_owned(),
            next: Some(at(10)),
            again: None,
            tick: None,
            run: None,
            cursor: None,
            at: at(0),
        }
    }

    fn plan(times: &str) -> ScheduleCommand {
        ScheduleCommand::Plan { times: times.to_owned(), next: Some(at(99)), again: None, cursor: Some(Position(7)) }
    }

    /// What a schedule is after these commands; each that changes nothing is marked so.
    fn check(commands: &[(ScheduleCommand, bool)], expected: &KeptSchedule) {
        let mut state = schedule();
        for (command, is_change) in commands {
            let decided = KeptSchedule::decide(&ScheduleId([0; 32]), Some(&state), command.clone(), &Limits::default());
            assert_eq!(decided.is_ok(), *is_change, "{command:?} of {state:?}");
            for event in decided.unwrap_or_default() {
                state.apply(at(0), &event);
            }
        }
        let expected = KeptSchedule { version: state.version, ..expected.clone() };
        assert_eq!(state, expected);
    }

    #[test]
    fn a_tick_comes_once_and_the_next_is_known_when_its_run_has_begun() {
        let run = TaskId::new(uuid());
        let wake = |due| ScheduleCommand::Wake { due: at(due) };
        let begun = |tick| ScheduleCommand::Begun { tick: at(tick), run: Some(run), next: Some(at(30)), again: None };
        let came = KeptSchedule { tick: Some(at(10)), ..schedule() };
        check(&[(wake(10), true), (wake(10), false)], &came);
        check(&[(wake(9), false), (begun(10), false)], &schedule());
        assert_eq!((came.due(), schedule().due()), (None, Some(at(10))), "while a run is to begin nothing else is due");
        let ran = KeptSchedule { next: Some(at(30)), run: Some(run), ..schedule() };
        check(&[(wake(10), true), (begun(9), false), (begun(10), true), (begun(10), false)], &ran);
        let ended = |run| ScheduleCommand::Ended { run, again: at(20) };
        let again = KeptSchedule { again: Some(at(20)), ..ran };
        check(
            &[
                (wake(10), true),
                (begun(10), true),
                (ended(TaskId::new(uuid2())), false),
                (ended(run), true),
                (ended(run), false),
            ],
            &again,
        );
        assert_eq!(again.due(), Some(at(20)), "the earlier one comes");
    }

    #[test]
    fn other_times_are_planned_anew_and_what_was_heard_stays_heard() {
        let planned =
            KeptSchedule { times: "cron".to_owned(), next: Some(at(99)), cursor: Some(Position(7)), ..schedule() };
        check(&[(plan("every 10ms"), false)], &schedule());
        check(&[(plan("cron"), true), (plan("cron"), false)], &planned);
        let heard = |cursor| ScheduleCommand::Heard { cursor: Position(cursor) };
        let on = KeptSchedule { times: "other".to_owned(), cursor: Some(Position(9)), ..planned };
        check(&[(plan("cron"), true), (heard(9), true), (heard(8), false), (plan("other"), true)], &on);
    }

    fn uuid() -> uuid::Uuid {
        uuid::Uuid::from_u128(1)
    }

    fn uuid2() -> uuid::Uuid {
        uuid::Uuid::from_u128(2)
    }
}
