//! Events that begin runs (`schedule.on`), taken in as a step that listens takes them in.

use std::sync::Arc;

use bobbinet_core::Timestamp;
use serde_json::Value as Json;

use super::{
    Surroundings, Turn,
    error::Error,
    state::{Doing, Frame, Listening, Names, State},
};
use crate::document::{Definition, Listen};

/// What a schedule waits for, and what it has heard of that. It follows from the events since it was new.
#[derive(Debug)]
pub struct Trigger {
    listen: Listen,
    listening: Listening,
}

impl Trigger {
    /// Of a flow that events begin.
    pub fn new(definition: &Definition) -> Option<Self> {
        let schedule = definition.schedule.as_ref()?;
        let listen = Listen { to: schedule.on.clone()?, read: schedule.read, each: None };
        let listening = Listening::begun(&listen);
        Some(Self { listen, listening })
    }

    /// Takes an event in. The input of the run that begins with it, if one does; then it is as new.
    ///
    /// # Errors
    /// If an expression of the schedule fails. The event is as if it had not come.
    pub fn hear(
        &mut self,
        definition: &Definition,
        event: &Json,
        at: Timestamp,
        around: &Surroundings<'_>,
    ) -> Result<Option<Json>, Error> {
        let nothing = Arc::new(Json::Null);
        let frame = Frame {
            owner: None,
            task: None,
            slot: 0,
            depth: 0,
            raw: nothing.clone(),
            input: nothing,
            names: Names::default(),
            entered: at,
            doing: Doing::Steps,
        };
        let (state, effects) = (State::default(), Vec::new());
        let turn = Turn { definition, around, state, at, chance: 0, effects, entered: 0, worked: 0 };
        let mut listening = self.listening.clone();
        turn.consume(&frame, &self.listen, &mut listening, event)?;
        let is_over = listening.is_over || listening.consumed.len() >= around.limits.events;
        self.listening = if is_over { Listening::begun(&self.listen) } else { listening.clone() };
        Ok(is_over.then_some(Json::Array(listening.consumed)))
    }

    /// Whether it has heard nothing that it still needs.
    pub fn is_new(&self) -> bool {
        self.listening == Listening::begun(&self.listen)
    }
}
