//! The task as an aggregate: its logic is the core's.

use bobbinet_core::{Command, Event, Generation, Limits, StreamId, Task, TaskId, Timestamp, decide};
use bobbinet_store::Summary;

use crate::{
    Aggregate, EngineError,
    task_live::{self, TaskHeld, TaskLocal},
};

impl Aggregate for Task {
    type Id = TaskId;
    type Command = Command;
    type Event = Event;
    type Held = TaskHeld;
    type Local = TaskLocal;

    fn stream(id: &TaskId) -> StreamId {
        id.stream()
    }

    fn id_of(stream: &StreamId) -> Option<TaskId> {
        stream.as_task()
    }

    fn decide(id: &TaskId, state: Option<&Self>, command: Command, limits: &Limits) -> Result<Vec<Event>, EngineError> {
        Ok(decide(id, state, command, limits)?)
    }

    fn begin(id: &TaskId, at: Timestamp, event: &Event) -> Option<Self> {
        Self::fold(*id, [(at, event)])
    }

    fn apply(&mut self, at: Timestamp, event: &Event) {
        Self::apply(self, at, event);
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn generation(&self) -> Generation {
        self.generation
    }

    fn is_public(event: &Event) -> bool {
        event.is_public()
    }

    fn is_over(&self) -> bool {
        self.state.is_terminal()
    }

    fn is_settled(&self) -> bool {
        self.state.is_terminal() || self.state.is_interrupted()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn summary(&self, limits: &Limits) -> Summary {
        task_live::summary(self, limits)
    }
}
