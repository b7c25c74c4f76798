//! A task's events as its agent tells them, over as many connections as it takes.

use std::{collections::VecDeque, time::Duration};

use bobbinet_core::{Json, State};
use bobbinet_wire::{
    ErrorKind, Operation,
    sse::{SseEvent, SseParser},
    v1_0::client as wire,
    view::StreamEvent,
};
use reqwest::{Response, header};
use tokio::time::{sleep, timeout};

use super::{Client, ClientError, SendOptions, http::pause, read};

/// One event of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where to go on after it, if the agent says so: for [`Client::subscribe`].
    pub id: Option<String>,
    /// As it is to be used.
    pub value: StreamEvent,
    /// As it came.
    pub json: Json,
}

/// The events of one task. What breaks the stream before the task has ended is mended: it goes on after the last event
/// that was given, and gives each event once, as far as the agent numbers them.
#[derive(Debug)]
pub struct TaskStream {
    client: Client,
    /// The connection, while there is one.
    response: Option<Response>,
    parser: SseParser,
    ready: VecDeque<SseEvent>,
    task: Option<String>,
    last_id: Option<String>,
    /// The last event that was given before this connection.
    resumed_after: Option<String>,
    /// What the agent wants us to wait before we come back.
    retry: Option<Duration>,
    /// How often it was tried in vain since something came.
    retries: u32,
    is_over: bool,
}

impl TaskStream {
    pub(super) async fn open(
        client: Client,
        operation: &Operation,
        options: &SendOptions,
    ) -> Result<Self, ClientError> {
        let endpoint = client.endpoint.clone();
        let response = endpoint
            .repeat(options, || async {
                let response = endpoint.request(operation, None, options, None).await?;
                as_events(&client, response).await
            })
            .await?;
        Ok(Self::new(client, response))
    }

    pub(super) async fn subscribe(client: Client, id: &str, after: Option<&str>) -> Result<Self, ClientError> {
        let operation = client.subscription(id);
        let response = client.endpoint.request(&operation, None, &SendOptions::default(), after).await?;
        let response = as_events(&client, response).await?;
        let mut stream = Self::new(client, response);
        stream.task = Some(id.to_owned());
        stream.last_id = after.map(str::to_owned);
        Ok(stream)
    }

    fn new(client: Client, response: Response) -> Self {
        Self {
            client,
            response: Some(response),
            parser: SseParser::new(),
            ready: VecDeque::new(),
            task: None,
            last_id: None,
            resumed_after: None,
            retry: None,
            retries: 0,
            is_over: false,
        }
    }

    /// The task that the stream is about, once it is known.
    pub fn task_id(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// The id of the last event that was given: where another stream would go on.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next event; `None` after the last one. After an error there is nothing more.
    ///
    /// Safe to drop at any time but while a connection is made again: that is then made by the next call.
    ///
    /// # Errors
    /// If the agent says that something is wrong, or cannot be reached any more.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        let result = self.advance().await;
        if result.is_err() {
            self.is_over = true;
        }
        result
    }

    async fn advance(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if let Some(event) = self.take(event)? {
                    return Ok(Some(event));
                }
            }
            if self.is_over {
                return Ok(None);
            }
            if !self.receive().await?
                && let Some(last) = self.come_back().await?
            {
                return Ok(Some(last));
            }
        }
    }

    /// Reads an event, unless it was given before.
    fn take(&mut self, event: SseEvent) -> Result<Option<Event>, ClientError> {
        tracing::debug!(id = event.id, data = event.data, "event");
        let result = wire::read_reply(event.data.as_bytes())?;
        let answer = read(Json::from(result.to_owned()), wire::read_event)?;
        let is_whole = matches!(answer.value, StreamEvent::Task(_));
        if !is_whole && is_known(event.id.as_deref(), self.resumed_after.as_deref()) {
            return Ok(None);
        }
        if let Some(task) = answer.value.task_id() {
            self.task.get_or_insert_with(|| task.to_owned());
        }
        let is_last = match answer.value.state() {
            Some(state) => state.is_terminal(),
            None => matches!(answer.value, StreamEvent::Message(_)),
        };
        self.is_over |= is_last;
        self.last_id = event.id.or(self.last_id.take());
        Ok(Some(Event { id: self.last_id.clone(), value: answer.value, json: answer.json }))
    }

    /// Takes what comes next over the connection; `false` if it has ended.
    async fn receive(&mut self) -> Result<bool, ClientError> {
        let Some(response) = &mut self.response else { return Ok(false) };
        let chunk = timeout(self.client.endpoint.options.silence_max, response.chunk()).await;
        let chunk = match chunk {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) | Ok(Err(_)) | Err(_) => {
                self.retry = self.parser.retry();
                self.response = None;
                return Ok(false);
            }
        };
        self.retries = 0;
        let events = self.parser.feed(&chunk).map_err(|error| ClientError::Protocol(error.to_string()))?;
        self.ready.extend(events);
        Ok(true)
    }

    /// Connects again and goes on. If the agent does not stream a task that has ended, the task is the last event.
    async fn come_back(&mut self) -> Result<Option<Event>, ClientError> {
        let Some(task) = self.task.clone() else {
            let why = "the stream ended before its first event";
            return Err(ClientError::Protocol(format!("{}: {why}", self.client.url())));
        };
        let operation = self.client.subscription(&task);
        loop {
            let wait = self.retry.take().unwrap_or_default().max(pause(self.retries));
            self.retries += 1;
            sleep(wait).await;
            match self.connect(&operation).await {
                Ok(()) => return Ok(None),
                Err(ClientError::Rpc(error)) if error.kind() == Some(ErrorKind::UnsupportedOperation) => {
                    return self.last(&task).await;
                }
                Err(error) if error.is_passing() && self.retries <= self.client.endpoint.options.retries_max => {
                    tracing::debug!(error = &error as &dyn std::error::Error, retries = self.retries, "trying again");
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn connect(&mut self, operation: &Operation) -> Result<(), ClientError> {
        let endpoint = &self.client.endpoint;
        let options = SendOptions::default();
        let request = endpoint.request(operation, None, &options, self.last_id.as_deref());
        let seconds = endpoint.options.timeout.as_secs_f64();
        let response = timeout(endpoint.options.timeout, request)
            .await
            .unwrap_or_else(|_| Err(ClientError::Timeout { url: self.client.url().to_owned(), seconds }))?;
        self.response = Some(as_events(&self.client, response).await?);
        self.parser = SseParser::new();
        self.resumed_after = self.last_id.clone();
        Ok(())
    }

    async fn last(&mut self, task: &str) -> Result<Option<Event>, ClientError> {
        let answer = self.client.get(task, None).await?;
        let is_over = answer.value.status.state.is_terminal();
        if !is_over {
            let state = answer.value.status.state;
            let why = format!("the agent does not stream task {task}, which is {}", State::as_str(state));
            return Err(ClientError::Protocol(why));
        }
        self.is_over = true;
        let json = Json::parse(&format!("{{\"task\":{}}}", answer.json.as_str()));
        let json = json.map_err(|error| ClientError::Protocol(error.to_string()))?;
        Ok(Some(Event { id: None, value: StreamEvent::Task(answer.value), json }))
    }
}

/// The answer, if it is an event stream; else the error that it says.
async fn as_events(client: &Client, response: Response) -> Result<Response, ClientError> {
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_stream = media_type.is_some_and(|value| value.trim_start().starts_with("text/event-stream"));
    if is_stream && response.status().is_success() {
        return Ok(response);
    }
    let timeout = client.endpoint.options.timeout;
    client.endpoint.result(response, Some(timeout)).await?;
    Err(ClientError::Protocol(format!("{} does not answer with an event stream", client.url())))
}

/// Whether an event of this id was given before the connection was made: agents of ours number theirs.
fn is_known(id: Option<&str>, last: Option<&str>) -> bool {
    let number = |id: Option<&str>| id?.parse::<u64>().ok();
    match (number(id), number(last)) {
        (Some(id), Some(last)) => id <= last,
        (Some(_) | None, _) => false,
    }
}
