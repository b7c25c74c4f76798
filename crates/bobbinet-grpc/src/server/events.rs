//! A task's events as a stream of messages.
//!
//! It reads the log from its own cursor, and only when its connection takes what it has written: a slow reader holds up nobody. A message
//! bears no id, but each event of a task has the number after the last one's, so a stream says in its headers which the first one has;
//! a reader that comes back with the number of the last one it has gets what it missed.

use std::{pin::Pin, sync::Arc};

use bobbinet_core::{Caller, ContextId, Event, Generation, Json, Selection, Task, TaskId, Timestamp};
use bobbinet_engine::EngineError;
use bobbinet_gateway::{PlainMessage, StreamItem, TaskStream};
use bobbinet_http::{RESYNC_KEY, Server, server::other_binding::Room};
use bobbinet_wire::{Error, ErrorKind};
use futures::{Stream, stream};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Response, Status};

use crate::status;

/// The header of a stream's answer that says which number its first event has.
pub(crate) const FIRST_EVENT_ID: &str = "first-event-id";

/// A stream of a package's messages.
pub(super) type Messages<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

/// How a package writes what a stream tells.
#[derive(Debug)]
pub(super) struct Writer<R> {
    pub(super) task: fn(&Task, Selection) -> R,
    /// An answer without a task.
    pub(super) said: fn(&PlainMessage) -> R,
    /// Last comes whether nothing follows in the stream.
    pub(super) update: fn(&TaskId, &ContextId, Timestamp, &Event, bool) -> Option<R>,
}

/// The events of one task, for one reader.
struct Events<R> {
    server: Arc<Server>,
    caller: Arc<Caller>,
    stream: TaskStream,
    /// How much of the task is shown where the whole of it is.
    selection: Selection,
    writer: Writer<R>,
    /// Of the message that is on its way out, if it is large.
    room: Option<Room>,
    is_over: bool,
    end: Pin<Box<Sleep>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// The answer that carries the events.
pub(super) fn response<R: Send + 'static>(
    server: &Arc<Server>,
    caller: &Arc<Caller>,
    stream: TaskStream,
    selection: Selection,
    writer: Writer<R>,
) -> Response<Messages<R>> {
    let Generation(first) = stream.first();
    let events = Events {
        server: server.clone(),
        caller: caller.clone(),
        stream,
        selection,
        writer,
        room: None,
        is_over: false,
        end: Box::pin(sleep_until(Instant::now() + server.limits().stream_life())),
        stopped: Box::pin(server.stop().clone().cancelled_owned()),
    };
    let messages = stream::unfold(events, |mut events| async move {
        let message = events.next().await?;
        Some((message, events))
    });
    let mut response = Response::new(Box::pin(messages) as Messages<R>);
    response.metadata_mut().insert(FIRST_EVENT_ID, first.into());
    response
}

impl<R> Events<R> {
    /// The next message, or `None` at the end.
    async fn next(&mut self) -> Option<Result<R, Status>> {
        // Whoever asks for the next one has taken the last one.
        self.room = None;
        while !self.is_over {
            let told = tokio::select! {
                biased;
                () = self.stopped.as_mut() => return Some(Err(self.come_back())),
                told = self.stream.next() => told,
                () = self.end.as_mut() => return Some(Err(self.come_back())),
            };
            let item = match told {
                Ok(Some(item)) => item,
                Ok(None) => break,
                Err(EngineError::Draining | EngineError::Unavailable(_)) => return Some(Err(self.come_back())),
                Err(error) => {
                    let error = self.server.fault_of_engine(error);
                    return Some(Err(self.fail(&error)));
                }
            };
            match self.server.room_for(&self.caller, bytes(&item)).await {
                Ok(room) => self.room = room,
                Err(error) => return Some(Err(self.fail(&error))),
            }
            if let Some(message) = self.write(item) {
                return Some(Ok(message));
            }
        }
        None
    }

    fn write(&self, item: StreamItem) -> Option<R> {
        let Writer { task: write_task, update, said: _ } = self.writer;
        match item {
            StreamItem::Event(told) => {
                update(self.stream.task(), self.stream.context(), told.at, &told.event, self.stream.is_over())
            }
            StreamItem::Task { task, is_resync: false } => Some(write_task(&task, self.selection)),
            StreamItem::Task { task, is_resync: true } => {
                let metadata = with_resync(task.status_metadata.as_ref());
                let task = Task { status_metadata: Some(metadata), ..Task::clone(&task) };
                Some(write_task(&task, self.selection))
            }
        }
    }

    /// The stream ends here, and the task goes on: the reader should come back.
    fn come_back(&mut self) -> Status {
        let error = Error::new(ErrorKind::Unavailable)
            .with_message("The stream ends here, and the task does not")
            .with_hint("Come back with SubscribeToTask.")
            .with_retry_after(std::time::Duration::from_millis(self.server.limits().stream_retry_ms));
        self.fail(&error)
    }

    fn fail(&mut self, error: &Error) -> Status {
        self.is_over = true;
        status::of(error)
    }
}

/// Roughly the bytes of what is told.
fn bytes(item: &StreamItem) -> usize {
    match item {
        StreamItem::Task { task, .. } => task.bytes,
        StreamItem::Event(told) => match &told.event {
            Event::ArtifactAdded { artifact, .. } => artifact.bytes(),
            Event::Progressed { message, .. } | Event::Ended { message, .. } => {
                message.as_ref().map_or(0, |message| message.bytes())
            }
            Event::Asked { question } => question.message.bytes(),
            Event::Submitted(_)
            | Event::Started { .. }
            | Event::Intended { .. }
            | Event::Replied { .. }
            | Event::Withdrawn
            | Event::Reclaimed { .. }
            | Event::Deferred(_)
            | Event::Planned { .. }
            | Event::Stopped
            | Event::Settled { .. }
            | Event::Spawned(_)
            | Event::Recorded { .. }
            | Event::Checkpointed { .. }
            | Event::Requeued
            | Event::Unserved { .. } => 0,
        },
    }
}

/// The metadata with our mark in it.
fn with_resync(metadata: Option<&Json>) -> Json {
    let mut fields = metadata.map_or_else(serde_json::Value::default, Json::to_value);
    if !fields.is_object() {
        fields = serde_json::Value::Object(serde_json::Map::new());
    }
    fields[RESYNC_KEY] = true.into();
    Json::from(&fields)
}
