//! What an agent answers, as the result of a call: the task or the message as A2A 0.3 writes it, or all events in a row.

use std::sync::Arc;

use bobbinet_core::{Artifact, ArtifactId, Json, Outcome, Part};
use bobbinet_engine::Run;
use bobbinet_wire::{v0_3::response, view::StreamEvent};

use crate::asked::Asked;

/// What was answered so far.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// Of a stream, each event, in the order in which they came. After a restart they begin anew, with the task as it stands.
    events: Option<Vec<Json>>,
    bytes: usize,
    pub(crate) bytes_max: usize,
    pub(crate) history_length: Option<u32>,
    pub(crate) is_plain: bool,
}

impl Gathered {
    pub(crate) fn new(asked: &Asked, run: &Run) -> Self {
        Self {
            events: asked.is_stream().then(Vec::new),
            bytes: 0,
            // It must fit into a task, with what that has besides.
            bytes_max: run.limits().task_bytes_max / 2,
            history_length: asked.history_length(),
            is_plain: asked.is_plain(),
        }
    }

    /// Adds an event, unless it only says again what the last one said. Whether there is room for it.
    pub(crate) fn add(&mut self, event: &StreamEvent) -> bool {
        let Some(events) = &mut self.events else { return true };
        let written = json(|out| response::write_event(out, event));
        if events.last() != Some(&written) {
            self.bytes += written.as_str().len();
            events.push(written);
        }
        self.bytes <= self.bytes_max
    }

    /// All of them, if all are wanted.
    pub(crate) fn all(&self) -> Option<Json> {
        self.events.as_ref().map(Json::of)
    }
}

/// What this writes.
pub(crate) fn json(write: impl FnOnce(&mut Vec<u8>)) -> Json {
    let mut out = Vec::new();
    write(&mut out);
    let text = String::from_utf8(out).expect("JSON is text");
    Json::parse(&text).expect("what is written is JSON")
}

/// A result, as the outcome of its call.
pub(crate) fn completed(result: Json) -> Outcome {
    let id = ArtifactId::parse("output").expect("a word");
    Outcome::Completed { artifacts: vec![Arc::new(Artifact::new(id, vec![Part::data(result)]))], message: None }
}
