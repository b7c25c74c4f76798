//! A key that the arguments of a call name it by: which task makes the call, and with which arguments. Kept for a day, in the log, so that
//! a restart forgets nothing.

use std::{fmt, time::Duration};

use bobbinet_core::{Generation, Limits, Refused, StreamId, Task, TaskId, Timestamp};
use bobbinet_engine::{Aggregate, Engine, EngineError};
use bobbinet_store::Summary;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::digest::{canonical, hex};

/// The first byte of their streams.
const KIND: u8 = b'i';

/// A number for their only state: none of a task's, nor of another kind's.
const CODE: u8 = 105;

/// How long a call is found by its key.
pub(crate) const KEY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long after its claim a key is dropped: later than it counts, so that nobody is about to look at it.
const KEY_KEPT: Duration = Duration::from_secs(48 * 60 * 60);

/// Has keys dropped that do not count any more, also while nothing is called under one.
pub fn drop_old_call_keys(engine: &Engine) {
    drop(engine.aggregates::<CallKey>());
}

/// A key as a hash: of its tenant, its owner, the agent and the tool always, so that no two of them ever share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallKeyId([u8; 32]);

impl CallKeyId {
    pub(crate) fn of(task: &Task, tool: &str, key: &Value) -> Self {
        let key = canonical(key);
        let Task { tenant, owner, agent, .. } = task;
        let parts = [tenant.as_str(), owner.as_str(), agent.as_str(), tool].map(str::as_bytes);
        let mut hash = Sha256::new();
        for part in parts.into_iter().chain([key.as_slice()]) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for CallKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {}", hex(&self.0[..8]))
    }
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallKey {
    /// The task that makes the call, or has made it. `None`: it surely was not made, and may be.
    pub(crate) made_by: Option<TaskId>,
    /// The hash of its arguments.
    pub(crate) arguments: String,
    /// Since when.
    pub(crate) since: Timestamp,
    version: u64,
    at: Timestamp,
}

/// What can be asked of a key.
#[derive(Clone, Debug)]
pub(crate) enum CallKeyCommand {
    /// A run: I make the call.
    Claim {
        task: TaskId,
        arguments: String,
        /// Whose claim counts no more, as the run has seen. Refused if another has it by now.
        instead_of: Option<TaskId>,
    },
    /// The run that has it: I surely have not made it.
    Release { task: TaskId },
}

/// What can happen to a key. On disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum CallKeyEvent {
    Claimed { task: TaskId, arguments: String },
    Released,
}

impl CallKey {
    /// Whether it counts at this time.
    pub(crate) fn counts(&self, now: Timestamp) -> bool {
        now <= self.since.after(KEY_LIFE)
    }
}

impl Aggregate for CallKey {
    type Id = CallKeyId;
    type Command = CallKeyCommand;
    type Event = CallKeyEvent;
    type Held = ();
    type Local = ();

    const IS_DROPPED_WHEN_DUE: bool = true;

    fn stream(id: &CallKeyId) -> StreamId {
        let mut bytes = [KIND; 33];
        bytes[1..].copy_from_slice(&id.0);
        StreamId::from_bytes(&bytes)
    }

    fn id_of(stream: &StreamId) -> Option<CallKeyId> {
        let hash = stream.as_bytes().strip_prefix(&[KIND])?;
        hash.try_into().ok().map(CallKeyId)
    }

    fn decide(
        _: &CallKeyId,
        state: Option<&Self>,
        command: CallKeyCommand,
        _: &Limits,
    ) -> Result<Vec<CallKeyEvent>, EngineError> {
        let made_by = state.and_then(|state| state.made_by);
        match command {
            CallKeyCommand::Claim { task, arguments, instead_of } if made_by.is_none() || made_by == instead_of => {
                Ok(vec![CallKeyEvent::Claimed { task, arguments }])
            }
            CallKeyCommand::Claim { .. } => Err(Refused::Present.into()),
            CallKeyCommand::Release { task } if made_by == Some(task) => Ok(vec![CallKeyEvent::Released]),
            CallKeyCommand::Release { .. } => Err(Refused::NothingToDo.into()),
        }
    }

    fn begin(_: &CallKeyId, at: Timestamp, event: &CallKeyEvent) -> Option<Self> {
        let mut key = Self { made_by: None, arguments: String::new(), since: at, version: 0, at };
        key.apply(at, event);
        Some(key)
    }

    fn apply(&mut self, at: Timestamp, event: &CallKeyEvent) {
        self.version += 1;
        self.at = at;
        match event {
            CallKeyEvent::Claimed { task, arguments } => {
                (self.made_by, self.arguments, self.since) = (Some(*task), arguments.clone(), at);
            }
            CallKeyEvent::Released => self.made_by = None,
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn generation(&self) -> Generation {
        Generation(0)
    }

    fn is_public(_: &CallKeyEvent) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.arguments.len()
    }

    fn summary(&self, _: &Limits) -> Summary {
        Summary::unlisted(CODE, self.at, Some(self.since.after(KEY_KEPT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_task_has_a_key_until_it_gives_it_back_or_counts_no_more() {
        let [ann, bob] =
            ["1", "2"].map(|number| TaskId::parse(&format!("01234567-89ab-7def-8123-45678901234{number}")).unwrap());
        let id = CallKeyId([0; 32]);
        let mut state = None::<CallKey>;
        let mut say = |command: CallKeyCommand| {
            let events = CallKey::decide(&id, state.as_ref(), command, &Limits::default());
            for event in events.iter().flatten() {
                let at = Timestamp::from_millis(7);
                match &mut state {
                    Some(state) => state.apply(at, event),
                    None => state = CallKey::begin(&id, at, event),
                }
            }
            (events.is_ok(), state.as_ref().and_then(|state| state.made_by))
        };
        let claim = |task, instead_of| CallKeyCommand::Claim { task, arguments: "a".to_owned(), instead_of };
        assert_eq!(say(claim(ann, None)), (true, Some(ann)));
        assert_eq!(say(claim(bob, None)), (false, Some(ann)));
        assert_eq!(say(CallKeyCommand::Release { task: bob }), (false, Some(ann)));
        assert_eq!(say(CallKeyCommand::Release { task: ann }), (true, None));
        assert_eq!(say(claim(bob, None)), (true, Some(bob)));
        assert_eq!(say(claim(ann, Some(ann))), (false, Some(bob)), "it was seen otherwise");
        assert_eq!(say(claim(ann, Some(bob))), (true, Some(ann)));
        let state = state.unwrap();
        let later = |time| Timestamp::from_millis(7).after(time);
        assert!(state.counts(later(KEY_LIFE)) && !state.counts(later(KEY_LIFE + Duration::from_millis(1))));
        assert_eq!(CallKey::id_of(&CallKey::stream(&id)), Some(id));
    }
}
