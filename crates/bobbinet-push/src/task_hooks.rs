//! The webhooks of one task as an aggregate.

use std::sync::Arc;

use bobbinet_core::{AgentName, Generation, Limits, Principal, Refused, StreamId, TaskId, Tenant, Timestamp};
use bobbinet_engine::{Aggregate, EngineError};
use bobbinet_store::Summary;
use serde::{Deserialize, Serialize};

/// The first byte of their streams.
const KIND: u8 = b'w';

/// How often the webhooks of one task may change. Its log is kept as long as the task: whoever needs more has lost count.
const CHANGES_MAX: u64 = 10_000;

/// Numbers for what there is to do: none of a task's.
pub(crate) const AT_REST: u8 = 110;
pub(crate) const ACTIVE: u8 = 111;
pub(crate) const DEAD: u8 = 112;
pub(crate) const ACTIVE_AND_DEAD: u8 = 113;

/// Whose task it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Of {
    /// The tenant of its owner.
    pub tenant: Tenant,
    /// Its owner.
    pub owner: Principal,
    /// The agent that works on it.
    pub agent: AgentName,
}

/// A webhook that is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewHook {
    /// What it is called among those of its task.
    pub id: Arc<str>,
    /// Where events are sent.
    pub url: Arc<str>,
    /// What its notifications are written in.
    pub dialect: Arc<str>,
    /// How much of the task had happened when it was asked for: it is told that in one piece. Nothing for a task that begins with it, of
    /// which it is told each event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Generation>,
    /// The scheme that it is authenticated with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Arc<str>>,
    /// Its token and credentials, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Arc<str>>,
    /// What this registration is called among all: whoever asked for it takes back this one, whatever else has its name by then. None of
    /// what was kept before there was that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Arc<str>>,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What was asked for.
    pub asked: NewHook,
    /// Which registration of the task it is: another one under the same id has another.
    pub serial: u64,
    /// Whether it has taken another one's place.
    pub has_replaced: bool,
    /// The version since which it is told what happens: that of its registration, or of when it was tried again last.
    pub active_since: u64,
    /// Whether there is anything to do.
    pub state: HookState,
}

/// Whether a webhook has something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookState {
    /// It is told what happens.
    Active,
    /// Its task has ended, and it has been told.
    Done,
    /// Its receiver did not take an event for too long.
    Dead {
        /// When it was given up.
        at: Timestamp,
        /// What went wrong last.
        why: Arc<str>,
    },
}

/// All webhooks of one task.
#[derive(Clone, Debug)]
pub struct TaskHooks {
    version: u64,
    at: Timestamp,
    of: Of,
    hooks: Vec<Hook>,
}

/// What can be asked of a task's webhooks.
#[derive(Clone, Debug)]
pub enum HooksCommand {
    /// Add one, or put it in the place of the one of its name.
    Register(Of, NewHook),
    /// Remove one. It may be gone.
    Remove(Arc<str>),
    /// Remove the one of this registration, whatever it has been told, as what asked for it does not count; unless it has taken another's
    /// place, or another one its.
    TakeBack(Arc<str>),
    /// The task has ended, and the one of this serial has been told all.
    Finish(u64),
    /// The receiver of the one of this serial is given up.
    Bury(u64, Arc<str>),
    /// The one of this name is to be tried again.
    Revive(Arc<str>),
    /// The receiver of the one of this serial does not want any more.
    Drop(u64),
}

/// What can happen to a task's webhooks. On disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HooksEvent {
    /// One was asked for.
    Registered {
        /// Whose task it is.
        of: Of,
        /// The webhook.
        hook: NewHook,
    },
    /// One is gone.
    Removed {
        /// Which.
        serial: u64,
    },
    /// One has been told all.
    Finished {
        /// Which.
        serial: u64,
    },
    /// One was given up.
    Buried {
        /// Which.
        serial: u64,
        /// What went wrong last.
        why: Arc<str>,
    },
    /// One is tried again.
    Revived {
        /// Which.
        serial: u64,
    },
}

impl TaskHooks {
    /// All of them, in the order of their registration.
    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    /// Whose task it is.
    pub fn of(&self) -> &Of {
        &self.of
    }

    /// The one of this name.
    pub fn named(&self, id: &str) -> Option<&Hook> {
        self.hooks.iter().find(|hook| *hook.asked.id == *id)
    }

    fn active(&self, serial: u64) -> Result<&Hook, EngineError> {
        let is_it = |hook: &&Hook| hook.serial == serial && hook.is_active();
        Ok(self.hooks.iter().find(is_it).ok_or(Refused::NothingToDo)?)
    }

    fn set(&mut self, serial: u64, state: HookState) {
        if let Some(hook) = self.hooks.iter_mut().find(|hook| hook.serial == serial) {
            hook.state = state;
            if hook.is_active() {
                hook.active_since = self.version;
            }
        }
    }
}

impl Hook {
    /// Whether it is told what happens.
    pub fn is_active(&self) -> bool {
        match self.state {
            HookState::Active => true,
            HookState::Done | HookState::Dead { .. } => false,
        }
    }

    fn is_dead(&self) -> bool {
        match self.state {
            HookState::Dead { .. } => true,
            HookState::Done | HookState::Active => false,
        }
    }

    /// What its mark is kept under.
    pub(crate) fn reader(&self) -> String {
        format!("webhook-{}", self.serial)
    }

    /// What is kept under this name is how long its next event was tried: another one each time that somebody tries again what was given
    /// up, so that nothing of an earlier time counts.
    pub(crate) fn trying(&self) -> String {
        format!("webhook-{}-tried-{}", self.serial, self.active_since)
    }
}

impl Aggregate for TaskHooks {
    type Id = TaskId;
    type Command = HooksCommand;
    type Event = HooksEvent;
    type Held = ();
    type Local = ();

    const IS_ALL_PUBLIC: bool = true;

    fn stream(id: &TaskId) -> StreamId {
        let mut bytes = [KIND; 17];
        bytes[1..].copy_from_slice(id.as_bytes());
        StreamId::from_bytes(&bytes)
    }

    fn id_of(stream: &StreamId) -> Option<TaskId> {
        let id = stream.as_bytes().strip_prefix(&[KIND])?;
        // It is its task's, under another first byte.
        StreamId::from_bytes(&[b"t", id].concat()).as_task()
    }

    fn decide(
        _: &TaskId,
        state: Option<&Self>,
        command: HooksCommand,
        limits: &Limits,
    ) -> Result<Vec<HooksEvent>, EngineError> {
        let event = match (state, command) {
            (state, HooksCommand::Register(of, hook)) => {
                let others = |state: &Self| state.hooks.iter().filter(|other| other.asked.id != hook.id).count();
                if state.is_some_and(|state| state.version >= CHANGES_MAX) {
                    return Err(EngineError::Limit { what: "webhook_changes_max", max: CHANGES_MAX });
                }
                let max = limits.webhooks_per_task_max;
                if state.map_or(0, others) >= max {
                    return Err(EngineError::Limit { what: "webhooks_per_task_max", max: max as u64 });
                }
                HooksEvent::Registered { of, hook }
            }
            (None, _) => return Err(Refused::Absent.into()),
            (Some(state), HooksCommand::Remove(id)) => {
                let serial = state.named(&id).ok_or(Refused::NothingToDo)?.serial;
                HooksEvent::Removed { serial }
            }
            (Some(state), HooksCommand::TakeBack(registration)) => {
                let is_it =
                    |hook: &&Hook| hook.asked.registration.as_ref() == Some(&registration) && !hook.has_replaced;
                let hook = state.hooks.iter().find(is_it);
                HooksEvent::Removed { serial: hook.ok_or(Refused::NothingToDo)?.serial }
            }
            (Some(state), HooksCommand::Drop(serial)) => HooksEvent::Removed { serial: state.active(serial)?.serial },
            (Some(state), HooksCommand::Finish(serial)) => {
                HooksEvent::Finished { serial: state.active(serial)?.serial }
            }
            (Some(state), HooksCommand::Bury(serial, why)) => {
                HooksEvent::Buried { serial: state.active(serial)?.serial, why }
            }
            (Some(state), HooksCommand::Revive(id)) => {
                let dead = state.named(&id).filter(|hook| hook.is_dead());
                HooksEvent::Revived { serial: dead.ok_or(Refused::NothingToDo)?.serial }
            }
        };
        Ok(vec![event])
    }

    fn begin(_: &TaskId, at: Timestamp, event: &HooksEvent) -> Option<Self> {
        let HooksEvent::Registered { of, .. } = event else { return None };
        let mut begun = Self { version: 0, at, of: of.clone(), hooks: Vec::new() };
        begun.apply(at, event);
        Some(begun)
    }

    fn apply(&mut self, at: Timestamp, event: &HooksEvent) {
        self.version += 1;
        self.at = at;
        match event {
            HooksEvent::Registered { of: _, hook } => {
                let before = self.hooks.len();
                self.hooks.retain(|other| other.asked.id != hook.id);
                let has_replaced = self.hooks.len() < before;
                self.hooks.push(Hook {
                    asked: hook.clone(),
                    serial: self.version,
                    has_replaced,
                    active_since: self.version,
                    state: HookState::Active,
                });
            }
            HooksEvent::Removed { serial } => self.hooks.retain(|hook| hook.serial != *serial),
            HooksEvent::Finished { serial } => self.set(*serial, HookState::Done),
            HooksEvent::Buried { serial, why } => self.set(*serial, HookState::Dead { at, why: why.clone() }),
            HooksEvent::Revived { serial } => self.set(*serial, HookState::Active),
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn generation(&self) -> Generation {
        Generation(self.version)
    }

    fn is_public(_: &HooksEvent) -> bool {
        true
    }

    fn bytes(&self) -> usize {
        let of = |hook: &Hook| {
            let NewHook { id, url, sealed, registration, .. } = &hook.asked;
            let length = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
            size_of::<Hook>() + id.len() + url.len() + length(sealed) + length(registration)
        };
        self.hooks.iter().map(of).sum()
    }

    fn summary(&self, _: &Limits) -> Summary {
        let has = |is: fn(&Hook) -> bool| self.hooks.iter().any(is);
        let state = match (has(Hook::is_active), has(Hook::is_dead)) {
            (false, false) => AT_REST,
            (true, false) => ACTIVE,
            (false, true) => DEAD,
            (true, true) => ACTIVE_AND_DEAD,
        };
        Summary {
            tenant: self.of.tenant.as_str().into(),
            owner: self.of.owner.as_str().into(),
            // No agent's list shows it.
            agent: "".into(),
            context: "".into(),
            state,
            status_at: self.at,
            due: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of() -> Of {
        Of {
            tenant: Tenant::parse("t").unwrap(),
            owner: Principal::parse("o").unwrap(),
            agent: AgentName::parse("a").unwrap(),
        }
    }

    fn hook(id: &str) -> NewHook {
        NewHook {
            id: id.into(),
            url: "https://a.example".into(),
            dialect: "1.0".into(),
            from: None,
            scheme: None,
            sealed: None,
            registration: None,
        }
    }

    /// What is left after these commands: each webhook with its serial and state, and the number of its summary.
    fn check(commands: impl IntoIterator<Item = HooksCommand>, expected: &str) {
        let limits = Limits { webhooks_per_task_max: 2, ..Limits::default() };
        let id = TaskId::parse("01234567-89ab-7def-8123-456789abcdef").unwrap();
        let mut state: Option<TaskHooks> = None;
        let mut told = Vec::new();
        for command in commands {
            match TaskHooks::decide(&id, state.as_ref(), command, &limits) {
                Ok(events) => {
                    for event in events {
                        let written = serde_json::to_string(&event).unwrap();
                        let event = serde_json::from_str(&written).unwrap();
                        match &mut state {
                            Some(state) => state.apply(Timestamp::from_millis(5), &event),
                            None => state = TaskHooks::begin(&id, Timestamp::from_millis(5), &event),
                        }
                    }
                }
                Err(error) => told.push(error.to_string()),
            }
        }
        if let Some(state) = state {
            let word = |hook: &Hook| match &hook.state {
                HookState::Active => "active",
                HookState::Done => "done",
                HookState::Dead { .. } => "dead",
            };
            told.extend(state.hooks().iter().map(|hook| format!("{}.{} {}", hook.asked.id, hook.serial, word(hook))));
            told.push(state.summary(&limits).state.to_string());
        }
        assert_eq!(told.join(", "), expected);
    }

    #[test]
    fn what_each_command_comes_to() {
        use HooksCommand::{Bury, Drop, Finish, Register, Remove, Revive};
        let add = |id| Register(of(), hook(id));
        check([add("a")], "a.1 active, 111");
        check([add("a"), add("b"), add("c")], "webhooks_per_task_max is reached: 2, a.1 active, b.2 active, 111");
        check([add("a"), add("b"), add("a")], "b.2 active, a.3 active, 111");
        check([add("a"), Finish(1)], "a.1 done, 110");
        check([add("a"), Bury(1, "no".into())], "a.1 dead, 112");
        check([add("a"), add("b"), Bury(1, "no".into())], "a.1 dead, b.2 active, 113");
        check([add("a"), Bury(1, "no".into()), Revive("a".into())], "a.1 active, 111");
        check([add("a"), Remove("a".into())], "110");
        check([add("a"), Drop(1)], "110");
        // What was replaced, is done or was given up already does nothing to what stands there now.
        let nothing = "there is nothing to be done";
        check([add("a"), add("a"), Finish(1)], &format!("{nothing}, a.2 active, 111"));
        check([add("a"), add("a"), Bury(1, "no".into())], &format!("{nothing}, a.2 active, 111"));
        check([add("a"), Finish(1), Drop(1)], &format!("{nothing}, a.1 done, 110"));
        check([add("a"), Finish(1), Revive("a".into())], &format!("{nothing}, a.1 done, 110"));
        check([add("a"), Remove("b".into())], &format!("{nothing}, a.1 active, 111"));
        check([Remove("b".into())], "the task does not exist");
    }

    #[test]
    fn what_is_taken_back_is_what_was_registered_and_stands_in_nobodys_place() {
        use HooksCommand::{Finish, Register, Remove, TakeBack};
        let add = |registration: &str| Register(of(), NewHook { registration: Some(registration.into()), ..hook("a") });
        let take_back = |registration: &str| TakeBack(registration.into());
        let nothing = "there is nothing to be done";
        check([add("x"), take_back("x")], "110");
        check([add("x"), Finish(1), take_back("x")], "110");
        check([add("x"), Remove("a".into()), add("y"), take_back("y")], "110");
        check([add("x"), Remove("a".into()), add("y"), take_back("x")], &format!("{nothing}, a.3 active, 111"));
        check([add("x"), add("y"), take_back("x")], &format!("{nothing}, a.2 active, 111"));
        check([add("x"), add("y"), take_back("y")], &format!("{nothing}, a.2 active, 111"));
        // One that was kept before registrations had names.
        check([Register(of(), hook("a")), take_back("x")], &format!("{nothing}, a.1 active, 111"));
    }

    #[test]
    fn what_was_tried_before_somebody_tries_again_does_not_count() {
        let at = Timestamp::from_millis(5);
        let mut state = TaskHooks::begin(
            &TaskId::parse("01234567-89ab-7def-8123-456789abcdef").unwrap(),
            at,
            &HooksEvent::Registered { of: of(), hook: hook("a") },
        )
        .unwrap();
        let first = state.hooks[0].trying();
        state.apply(at, &HooksEvent::Buried { serial: 1, why: "no".into() });
        assert_eq!(state.hooks[0].trying(), first);
        state.apply(at, &HooksEvent::Revived { serial: 1 });
        assert_eq!((first.as_str(), state.hooks[0].trying().as_str()), ("webhook-1-tried-1", "webhook-1-tried-3"));
        assert_eq!(state.hooks[0].reader(), "webhook-1", "what it has taken it has taken");
    }

    #[test]
    fn a_stream_is_its_tasks() {
        let id = TaskId::parse("01234567-89ab-7def-8123-456789abcdef").unwrap();
        let stream = TaskHooks::stream(&id);
        assert_eq!(TaskHooks::id_of(&stream), Some(id));
        assert_eq!((stream.as_task(), TaskHooks::id_of(&id.stream())), (None, None));
    }
}
