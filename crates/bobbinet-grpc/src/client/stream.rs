//! A task's events, as they come, over as many streams as it takes.

use std::time::Duration;

use bobbinet_wire::view::StreamEvent;
use tokio::time::sleep;
use tonic::{Response, Status, Streaming};

use super::{Client, ClientError};
use crate::{pb, server::FIRST_EVENT_ID, status, v0_3, v1_0};

/// The first pause before another try; each is twice the last.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause before another try.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What to name to come back for what follows, where the agent counts its events.
    pub id: Option<u64>,
    /// What has happened.
    pub value: StreamEvent,
}

/// The events of one task. A stream that breaks is begun again where it broke, where the agent counts its events; else from the task as
/// it stands.
#[derive(Debug)]
pub struct TaskStream {
    client: Client,
    messages: Option<Messages>,
    task: Option<String>,
    last_id: Option<u64>,
    retries: u32,
    is_over: bool,
}

/// The messages of one stream, and which id the next one has.
#[derive(Debug)]
pub(super) struct Messages {
    next_id: Option<u64>,
    stream: Stream,
}

#[derive(Debug)]
enum Stream {
    V1_0(Streaming<pb::v1_0::StreamResponse>),
    V0_3(Streaming<pb::v0_3::StreamResponse>),
}

impl Messages {
    pub(super) fn of_1_0(response: Response<Streaming<pb::v1_0::StreamResponse>>) -> Self {
        Self { next_id: first_id(&response), stream: Stream::V1_0(response.into_inner()) }
    }

    pub(super) fn of_0_3(response: Response<Streaming<pb::v0_3::StreamResponse>>) -> Self {
        Self { next_id: first_id(&response), stream: Stream::V0_3(response.into_inner()) }
    }

    /// The next event that is known here.
    async fn next(&mut self) -> Result<Option<Event>, Status> {
        loop {
            let told = match &mut self.stream {
                Stream::V1_0(stream) => stream.message().await?.map(v1_0::view::event),
                Stream::V0_3(stream) => stream.message().await?.map(v0_3::view::event),
            };
            let Some(told) = told else { return Ok(None) };
            let id = self.next_id;
            self.next_id = id.map(|id| id + 1);
            if let Some(value) = told {
                return Ok(Some(Event { id, value }));
            }
        }
    }
}

fn first_id<T>(response: &Response<T>) -> Option<u64> {
    response.metadata().get(FIRST_EVENT_ID)?.to_str().ok()?.parse().ok()
}

impl TaskStream {
    pub(super) fn new(client: Client, messages: Messages) -> Self {
        Self { client, messages: Some(messages), task: None, last_id: None, retries: 0, is_over: false }
    }

    /// The task that it is about, as soon as that is known.
    pub fn task_id(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// The id of the last event, to come back later.
    pub fn last_id(&self) -> Option<u64> {
        self.last_id
    }

    /// The next event, or `None` when all has been told.
    ///
    /// # Errors
    /// If the agent says that something is wrong, or cannot be reached any more.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        while !self.is_over {
            let mut wait = None;
            let error = match self.messages.as_mut() {
                None => None,
                Some(messages) => match messages.next().await {
                    Ok(Some(event)) => return Ok(Some(self.give(event))),
                    // Whoever ends a stream in good order has said all: the task has ended, or asks.
                    Ok(None) => break,
                    Err(status) => {
                        wait = status::retry_after(&status);
                        Some(self.client.error(status))
                    }
                },
            };
            self.messages = None;
            if let Some(event) = self.come_back(error, wait).await? {
                return Ok(Some(self.give(event)));
            }
        }
        self.is_over = true;
        Ok(None)
    }

    fn give(&mut self, event: Event) -> Event {
        if let Some(task) = event.value.task_id() {
            self.task.get_or_insert_with(|| task.to_owned());
        }
        self.is_over |= match event.value.state() {
            Some(state) => state.is_terminal(),
            None => matches!(event.value, StreamEvent::Message(_)),
        };
        self.last_id = event.id.or(self.last_id);
        self.retries = 0;
        event
    }

    /// Begins anew after a pause, if that can help: at least as long a one as the agent says. The task as an event, if it has ended meanwhile.
    async fn come_back(
        &mut self,
        error: Option<ClientError>,
        wait: Option<Duration>,
    ) -> Result<Option<Event>, ClientError> {
        let Some(task) = self.task.clone() else {
            self.is_over = true;
            return error.map_or(Ok(None), Err);
        };
        if let Some(error) = error
            && (!error.is_passing() || self.retries >= self.client.options.retries_max)
        {
            self.is_over = true;
            return Err(error);
        }
        let pause = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(self.retries)).max(wait.unwrap_or_default());
        sleep(pause.min(PAUSE_MAX)).await;
        self.retries += 1;
        match self.client.follow(&task, self.last_id).await {
            Ok(messages) => {
                self.messages = Some(messages);
                Ok(None)
            }
            Err(error) if error.is_no_stream() => {
                let task = self.client.get(&task, None).await?;
                self.is_over = true;
                Ok(Some(Event { id: None, value: StreamEvent::Task(task) }))
            }
            Err(error) if error.is_passing() && self.retries < self.client.options.retries_max => Ok(None),
            Err(error) => {
                self.is_over = true;
                Err(error)
            }
        }
    }
}
