//! A task's events as its agent tells them, over as many connections as it takes.

use std::{collections::VecDeque, time::Duration};

use bobbinet_core::{Json, State, operation::Operation};
use bobbinet_outbound::sse::{SseEvent, SseParser};
use bobbinet_wire::{
    Protocol, Transport,
    view::{StreamEvent, TaskView},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Client, ClientError, SendOptions, WithJson,
    http::{Answer, Course, Told, media_type, pause},
    speech, subscription,
};

/// One event of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where to go on after it, if the agent says so: for [`Client::subscribe`].
    pub id: Option<String>,
    /// What was read of it.
    pub value: StreamEvent,
    /// The whole of it, unknown fields too.
    pub json: Json,
}

/// How long a connection must have lasted for its end to be nothing odd: proxies cut streams, and servers are restarted. Ends that come
/// sooner, without anything new in between, count as one row of tries.
const STEADY_MIN: Duration = Duration::from_secs(10);

/// How long the end of a stream is waited for that has said all: agents of ours close it at once.
const FINISH_MAX: Duration = Duration::from_millis(20);

/// The events of one task. What breaks the stream before the task has ended is mended: it goes on after the last event
/// that was given, and gives each event once, as far as the agent numbers them. Of an agent that does not, the task as it stands is
/// asked for first, and given if it has changed.
#[derive(Debug)]
pub struct TaskStream {
    client: Client,
    /// What began the stream, if it is a send.
    opening: Option<Opening>,
    /// The connection, while there is one.
    response: Option<Answer>,
    /// What was spoken over the last one.
    protocol: Protocol,
    connected: Instant,
    parser: SseParser,
    ready: VecDeque<SseEvent>,
    /// All there is to say, where it did not come as a stream.
    whole: Option<Told>,
    task: Option<String>,
    /// The state that was told last.
    state: Option<State>,
    /// The task as it was last given whole.
    snapshot: Option<TaskView>,
    last_id: Option<String>,
    /// The last event that was given before this connection.
    resumed_after: Option<String>,
    /// What the agent wants us to wait before we come back.
    retry: Option<Duration>,
    /// How often it was tried in vain since something new came.
    retries: u32,
    /// Whether nothing has come since the task was looked at.
    has_looked: bool,
    is_over: bool,
}

/// A message that was sent to begin a stream.
#[derive(Debug)]
struct Opening {
    operation: Operation,
    options: SendOptions,
    course: Course,
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The agent closed it, as it does when it has said all.
    Closed,
    /// It broke, or was silent for too long.
    Broken,
}

impl TaskStream {
    pub(super) async fn open(client: Client, operation: Operation, options: &SendOptions) -> Result<Self, ClientError> {
        let course = client.ways.course(&operation, options)?;
        let opening = Opening { operation, options: options.clone(), course };
        let opened = open(&client, &opening).await?;
        let mut stream = Self::new(client, opened);
        stream.opening = Some(opening);
        Ok(stream)
    }

    pub(super) async fn subscribe(client: Client, id: &str, after: Option<&str>) -> Result<Self, ClientError> {
        let answer =
            client.ways.request(&subscription(id), None, &SendOptions::default(), after, &Course::default()).await?;
        let answer = as_events(&client, answer).await?;
        let mut stream = Self::new(client, Opened::Events(answer));
        stream.task = Some(id.to_owned());
        stream.last_id = after.map(str::to_owned);
        Ok(stream)
    }

    fn new(client: Client, opened: Opened) -> Self {
        let protocol = client.protocol();
        let mut stream = Self {
            client,
            opening: None,
            response: None,
            protocol,
            connected: Instant::now(),
            parser: SseParser::new(),
            ready: VecDeque::new(),
            whole: None,
            task: None,
            state: None,
            snapshot: None,
            last_id: None,
            resumed_after: None,
            retry: None,
            retries: 0,
            has_looked: false,
            is_over: false,
        };
        stream.begin(opened);
        stream
    }

    /// Goes on with what a request was answered with.
    fn begin(&mut self, opened: Opened) {
        match opened {
            Opened::Events(answer) => {
                self.protocol = answer.protocol;
                self.response = Some(answer);
            }
            Opened::Whole(told) => self.whole = Some(told),
        }
        self.connected = Instant::now();
        self.parser = SseParser::new();
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
        result.map_err(|error| {
            self.is_over = true;
            self.outcome_of(error)
        })
    }

    /// The error of a message that was sent and has come to no task yet, if what became of it is open.
    fn outcome_of(&self, error: ClientError) -> ClientError {
        let is_told = matches!(error, ClientError::OutcomeUnknown { .. });
        let is_open = self.task.is_none() && !is_told && error.leaves_outcome_open();
        match &self.opening {
            Some(Opening { operation, options, course }) if is_open => {
                self.client.ways.outcome_unknown(operation, options, course, error)
            }
            Some(_) | None => error,
        }
    }

    /// Takes what is left of a stream that has said all, for a moment: a connection that is read to its end can be used again.
    pub async fn finish(mut self) {
        if let Some(answer) = self.response.as_mut().filter(|_| self.is_over) {
            let rest = async { while let Ok(Some(_)) = answer.response.chunk().await {} };
            let _ = timeout(FINISH_MAX, rest).await;
        }
    }

    async fn advance(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if let Some(event) = self.take(event)? {
                    return Ok(Some(event));
                }
            }
            if let Some(Told { form, json }) = self.whole.take()
                && let Some(event) = self.hear(speech::event(form, json)?, None)
            {
                return Ok(Some(event));
            }
            if self.is_over {
                return Ok(None);
            }
            let Some(end) = self.receive().await? else { continue };
            if self.has_said_all(end) {
                self.is_over = true;
                return Ok(None);
            }
            if self.connected.elapsed() >= STEADY_MIN {
                self.retries = 0;
            }
            if let Some(event) = self.come_back().await? {
                return Ok(Some(event));
            }
        }
    }

    /// Reads an event, unless it was given before.
    fn take(&mut self, event: SseEvent) -> Result<Option<Event>, ClientError> {
        tracing::debug!(id = event.id, data = event.data, "event");
        let json = speech::event_data(self.protocol, &event.data)?;
        Ok(self.hear(speech::event(speech::form(self.protocol), json)?, event.id))
    }

    fn hear(&mut self, answer: WithJson<Option<StreamEvent>>, id: Option<String>) -> Option<Event> {
        let answer = WithJson { value: answer.value?, json: answer.json };
        let is_whole = matches!(answer.value, StreamEvent::Task(_));
        if !is_whole && is_known(id.as_deref(), self.resumed_after.as_deref()) {
            return None;
        }
        self.last_id = id.or(self.last_id.take());
        self.give(answer)
    }

    /// What is told next, unless it is a task that has been told just so.
    fn give(&mut self, answer: WithJson<StreamEvent>) -> Option<Event> {
        if let Some(task) = answer.value.task_id() {
            self.task.get_or_insert_with(|| task.to_owned());
        }
        let is_last = match answer.value.state() {
            Some(state) => state.is_terminal(),
            None => matches!(answer.value, StreamEvent::Message(_)),
        };
        self.is_over |= is_last;
        self.state = answer.value.state().or(self.state);
        if let StreamEvent::Task(task) = &answer.value {
            let is_new = self.snapshot.as_ref() != Some(task);
            if !is_new && !is_last {
                return None;
            }
            self.snapshot = Some(task.clone());
        }
        self.retries = 0;
        self.has_looked = false;
        Some(Event { id: self.last_id.clone(), value: answer.value, json: answer.json })
    }

    /// Takes what comes next over the connection; its end, if it has ended.
    async fn receive(&mut self) -> Result<Option<End>, ClientError> {
        let Some(Answer { response, protocol, .. }) = &mut self.response else { return Ok(Some(End::Broken)) };
        let is_repeatable = self.opening.as_ref().is_none_or(|opening| opening.key(&self.client).is_some());
        // Over gRPC there are no comments: a task at work may well be silent, and pings tell whether somebody is there.
        let says_that_it_lives = protocol.transport != Transport::Grpc;
        let chunk = match (self.task.is_some() || is_repeatable) && says_that_it_lives {
            true => timeout(self.client.ways.options.silence_max, response.chunk()).await,
            // As long as the task has no name there is nothing that could be done about silence.
            false => Ok(response.chunk().await),
        };
        let (chunk, end) = match chunk {
            Ok(Ok(Some(chunk))) => (chunk, None),
            Ok(Ok(None)) => (Default::default(), Some(End::Closed)),
            Ok(Err(_)) | Err(_) => (Default::default(), Some(End::Broken)),
        };
        if end.is_some() {
            self.retry = self.parser.retry();
            self.response = None;
            return Ok(end);
        }
        let events = self.parser.feed(&chunk).map_err(|error| ClientError::Protocol(error.to_string()))?;
        self.ready.extend(events);
        Ok(None)
    }

    /// Whether the end of the connection is that of what there is to tell: the stream of a message ends when its task asks (A2A
    /// specification, section 11.7), and agents that close a subscription then would close the next one at once.
    fn has_said_all(&self, end: End) -> bool {
        let asks = self.state == Some(State::InputRequired) && self.opening.is_some();
        let waits = self.state.is_some_and(State::is_interrupted);
        asks || (waits && end == End::Closed && !self.is_numbered())
    }

    /// Whether the agent says with each event where to go on after it.
    fn is_numbered(&self) -> bool {
        self.last_id.is_some()
    }

    /// Connects again and goes on, or gives the task as it stands, if that is all that is to be had.
    async fn come_back(&mut self) -> Result<Option<Event>, ClientError> {
        let Some(task) = self.task.clone() else { return self.begin_again().await.map(|()| None) };
        let operation = subscription(&task);
        loop {
            self.wait().await.map_err(|()| {
                let why = format!("the stream of task {task} ends again and again, and nothing new comes of it");
                ClientError::Protocol(format!("{}: {why}", self.client.url()))
            })?;
            let result = match self.is_numbered() || self.has_looked {
                true => self.connect(&operation).await.map(|()| None),
                false => match self.look(&task).await {
                    Ok(None) => self.connect(&operation).await.map(|()| None),
                    looked => looked,
                },
            };
            match result {
                Ok(event) => return Ok(event),
                Err(error) if error.is_no_stream() => return self.last(&task).await,
                Err(error) if error.is_passing() && self.retries <= self.client.ways.options.retries_max => {
                    tracing::debug!(error = &error as &dyn std::error::Error, retries = self.retries, "trying again");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits before another try, unless there were too many.
    async fn wait(&mut self) -> Result<(), ()> {
        if self.retries > self.client.ways.options.retries_max {
            return Err(());
        }
        let wait = self.retry.take().unwrap_or_default().max(pause(self.retries));
        self.retries += 1;
        sleep(wait).await;
        Ok(())
    }

    /// Sends again what has begun no stream yet, if that cannot do the work twice.
    async fn begin_again(&mut self) -> Result<(), ClientError> {
        let broken = || ClientError::Protocol("the stream ended before its first event".to_owned());
        let waited = self.wait().await;
        let Some(opening) = &self.opening else { return Err(broken()) };
        if waited.is_err() || opening.key(&self.client).is_none() {
            let Opening { operation, options, course } = opening;
            return Err(self.client.ways.outcome_unknown(operation, options, course, broken()));
        }
        opening.course.stay();
        // The stream that broke had begun: whatever stands in the way of this one says nothing of what the message came to.
        let opened = open(&self.client, opening).await.map_err(|error| {
            let Opening { operation, options, course } = opening;
            self.client.ways.still_open(operation, options, course, error)
        })?;
        self.begin(opened);
        Ok(())
    }

    async fn connect(&mut self, operation: &Operation) -> Result<(), ClientError> {
        let ways = &self.client.ways;
        let options = SendOptions::default();
        let course = Course::default();
        let request = ways.request(operation, None, &options, self.last_id.as_deref(), &course);
        let seconds = ways.options.timeout.as_secs_f64();
        let answer = timeout(ways.options.timeout, request)
            .await
            .unwrap_or_else(|_| Err(ClientError::Timeout { url: self.client.url().to_owned(), seconds }))?;
        let answer = as_events(&self.client, answer).await?;
        self.begin(Opened::Events(answer));
        self.resumed_after = self.last_id.clone();
        self.has_looked = false;
        Ok(())
    }

    /// The task as it stands, if that is news.
    async fn look(&mut self, task: &str) -> Result<Option<Event>, ClientError> {
        let answer = self.client.get(task, None).await?;
        let json = speech::as_event(speech::form(self.client.protocol()), answer.json);
        let event = self.give(WithJson { value: StreamEvent::Task(answer.value), json });
        self.has_looked = true;
        self.is_over |= self.has_said_all(End::Closed);
        Ok(event)
    }

    /// What an agent that does not stream a task has to tell of it in the end.
    async fn last(&mut self, task: &str) -> Result<Option<Event>, ClientError> {
        let event = self.look(task).await?;
        let state = self.state.map_or("unknown", State::as_str);
        if !self.is_over {
            let why = format!("the agent does not stream task {task}, which is {state}");
            return Err(ClientError::Protocol(why));
        }
        Ok(event)
    }
}

impl Opening {
    fn key(&self, client: &Client) -> Option<&str> {
        client.ways.key(&self.options)
    }
}

/// What a message that begins a stream is answered with.
enum Opened {
    /// A stream, as it should be.
    Events(Answer),
    /// All there is to say, as if it had not been asked for a stream.
    Whole(Told),
}

async fn open(client: &Client, opening: &Opening) -> Result<Opened, ClientError> {
    let Opening { operation, options, course } = opening;
    let ways = &client.ways;
    let attempt = || async {
        let answer = ways.request(operation, None, options, None, course).await?;
        if is_stream(&answer) {
            return Ok(Opened::Events(answer));
        }
        Ok(Opened::Whole(ways.result(answer, None).await?))
    };
    ways.repeat(operation, options, course, attempt).await
}

fn is_stream(answer: &Answer) -> bool {
    answer.response.status().is_success() && media_type(&answer.response) == "text/event-stream"
}

/// The answer, if it is an event stream; else the error that it says.
async fn as_events(client: &Client, answer: Answer) -> Result<Answer, ClientError> {
    if is_stream(&answer) {
        return Ok(answer);
    }
    let timeout = client.ways.options.timeout;
    client.ways.result(answer, Some(timeout)).await?;
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
