//! Waiting for a task, or following it, in whichever way its agent offers.

use std::{cell::RefCell, future::pending, time::Duration};

use bobbinet_core::{Json, State, operation::SendParams};
use bobbinet_http::client::{Client, Event, SendOptions, TaskStream, WithJson};
use bobbinet_wire::view::{Sent, StreamEvent, TaskView};
use tokio::time::{Instant, sleep_until};

use super::{progress::Progress, render, resolve::Agent, save::Own};
use crate::{
    cli::{Ending, Waiting},
    failure::{Code, Failure},
    output::Output,
    remark::{Remark, remark},
    shell::Typed,
};

/// How far the pause between two looks grows, as a multiple of the first.
const BACKOFF_MAX: u32 = 8;

/// The shortest pause between two looks.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// How often a look is repeated after what passes; the pause doubles from one to the next, to a minute and a half in all.
const LOOKS_MAX: u32 = 8;

/// The first pause before a look is repeated.
const LOOK_PAUSE: Duration = Duration::from_millis(350);

/// How a task that is waited for is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// When it has ended or asks, as a whole.
    Whole,
    /// The same, with a line for each step of its flow before, on standard error.
    Steps,
    /// Event by event, as they happen.
    Live,
}

impl Telling {
    /// Whether the result is told as a whole at the end.
    fn is_whole(self) -> bool {
        match self {
            Self::Whole | Self::Steps => true,
            Self::Live => false,
        }
    }
}

/// Follows what a command has begun.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) client: &'a Client,
    pub(crate) output: Output,
    pub(crate) waiting: &'a Waiting,
    pub(crate) ending: &'a Ending,
    /// When to give up, as `waiting` says.
    pub(crate) deadline: Option<Instant>,
    pub(crate) telling: Telling,
    /// How many messages of the history to show at the end.
    pub(crate) history: Option<u32>,
    /// Whether the result is a `SendMessageResponse` and not a bare task.
    pub(crate) is_send: bool,
}

/// A task as it stands, and the event that tells it so.
#[derive(Debug)]
pub(crate) struct Stand {
    task: TaskView,
    /// As a stream tells it: `{"task": …}`.
    event: Json,
}

impl Stand {
    /// That of a task which was looked at.
    pub(crate) fn of(answer: WithJson<TaskView>) -> Result<Self, Failure> {
        let WithJson { value, json } = answer;
        let event = Json::parse(&format!("{{\"task\":{}}}", json.as_str()));
        Ok(Self { task: value, event: event.map_err(|error| Failure::of(Code::Internal, &error))? })
    }
}

/// The task that is followed, once it is known.
type Known = RefCell<Option<String>>;

/// What came last.
enum Last {
    /// A task of this id has ended, or asks, and its stream has told so.
    Task(String),
    /// The same, and it was looked at.
    Looked(String),
    /// An answer without a task, which has been told.
    Message,
}

impl Follow<'_> {
    /// Sends, waits or follows, and tells.
    pub(crate) async fn send(&self, params: SendParams, options: &SendOptions) -> Result<(), Failure> {
        let can_stream = self.client.card().value.capabilities.streaming == Some(true);
        if can_stream {
            match self.within(&Known::default(), self.client.send_streaming(params.clone(), options)).await? {
                // Such a refusal comes before anything is done.
                Err(error) if error.is_no_stream() => {
                    self.tell_no_stream("the agent does not stream, whatever its card says")
                }
                opened => return self.stream(opened.map_err(|error| self.agent.fault(error))?).await,
            }
        } else {
            self.tell_no_stream("the agent does not stream");
        }
        self.send_and_look(params, options).await
    }

    /// Sends without a stream, and looks again and again. Not as a blocking send: that may take longer than a connection lasts.
    async fn send_and_look(&self, params: SendParams, options: &SendOptions) -> Result<(), Failure> {
        let configuration =
            bobbinet_core::operation::Configuration { return_immediately: true, ..params.configuration };
        let options = SendOptions { is_patient: true, ..options.clone() };
        let sending = self.client.send(SendParams { configuration, ..params }, &options);
        let sent = self.within(&Known::default(), sending).await?;
        let sent = sent.map_err(|error| self.agent.fault(error))?;
        match sent.value {
            Sent::Task(task) => self.poll(Stand { task, event: sent.json }).await,
            Sent::Message(_) if self.output.is_json() => self.output.raw(sent.json.as_str()),
            Sent::Message(message) => render::reply(self.output, &message),
        }
    }

    /// Follows a task that is there already: by its stream, or, if there is none, by looking again and again.
    pub(crate) async fn subscribe(&self, id: &str, after: Option<&str>) -> Result<(), Failure> {
        let can_stream = self.client.card().value.capabilities.streaming != Some(false);
        if can_stream {
            match self.client.subscribe(id, after).await {
                Ok(stream) => return self.stream(stream).await,
                // It does not stream, or no task that has ended.
                Err(error) if error.is_no_stream() => {}
                Err(error) => return Err(self.agent.fault(error)),
            }
        }
        let stand = self.look(id).await?;
        if !is_settled(stand.task.status.state) {
            self.tell_no_stream("the agent does not stream this task");
        }
        self.poll(stand).await
    }

    /// Tells whoever wants to see things happen that they will see less of it.
    fn tell_no_stream(&self, why: &str) {
        if self.telling == Telling::Live {
            let every = humantime::format_duration(self.poll_interval());
            remark(Remark::Note, format_args!("{why}: looking how the task stands every {every} and more"));
        }
    }

    /// Follows a stream that is open until the task has ended or asks.
    pub(crate) async fn stream(&self, mut stream: TaskStream) -> Result<(), Failure> {
        let progress = self.telling.is_whole().then(|| Progress::new(self.output));
        let known = RefCell::new(stream.task_id().map(str::to_owned));
        let last = self.within(&known, self.stream_or_poll(&mut stream, progress.as_ref(), &known)).await;
        drop(progress);
        self.conclude(last??).await
    }

    /// Nobody needs the stream: if that fails, the task is looked at instead (A2A CLI specification 9.3).
    async fn stream_or_poll(
        &self,
        stream: &mut TaskStream,
        progress: Option<&Progress>,
        known: &Known,
    ) -> Result<Last, Failure> {
        let failure = match self.events(stream, progress, known).await {
            Ok(last) => return Ok(last),
            Err(failure) => failure,
        };
        let id = known.borrow().clone();
        let Some(id) = id else { return Err(failure) };
        let Ok(stand) = self.look(&id).await else { return Err(failure) };
        tracing::debug!(?failure, task = id, "the stream failed; looking again and again instead");
        self.tell_no_stream("the stream has failed");
        self.looks(stand, progress).await?;
        Ok(Last::Looked(id))
    }

    async fn events(
        &self,
        stream: &mut TaskStream,
        progress: Option<&Progress>,
        known: &Known,
    ) -> Result<Last, Failure> {
        while let Some(event) = stream.next().await.map_err(|error| self.agent.fault(error))? {
            if known.borrow().is_none() {
                known.replace(event.value.task_id().map(str::to_owned));
            }
            if let Some(progress) = progress {
                progress.say(&event.value);
                if self.telling == Telling::Steps && !self.output.is_json() {
                    progress.steps(&event.value);
                }
            }
            self.tell(&event)?;
            let is_settled = event.value.state().is_some_and(|state| state.is_terminal() || state.is_interrupted());
            match (&event.value, known.borrow().clone()) {
                (StreamEvent::Message(_), None) => return Ok(Last::Message),
                (_, Some(task)) if is_settled => return Ok(Last::Task(task)),
                (_, Some(_) | None) => {}
            }
        }
        known
            .borrow()
            .clone()
            .map(Last::Task)
            .ok_or_else(|| Failure::new(Code::Internal, "the stream ended without a task"))
    }

    /// Tells an event as it happens. A message without a task is the whole result in any case.
    fn tell(&self, event: &Event) -> Result<(), Failure> {
        let is_whole_result = matches!(event.value, StreamEvent::Message(_));
        if self.telling.is_whole() && !is_whole_result {
            return Ok(());
        }
        if self.output.is_json() {
            return self.output.raw(event.json.as_str());
        }
        render::event(self.output, &event.value)?;
        if is_whole_result { Ok(()) } else { self.output.line("") }
    }

    /// Looks again and again until the task has ended or asks.
    pub(crate) async fn poll(&self, stand: Stand) -> Result<(), Failure> {
        let progress = self.telling.is_whole().then(|| Progress::new(self.output));
        let id = stand.task.id.clone();
        let known = RefCell::new(Some(id.clone()));
        let result = self.within(&known, self.looks(stand, progress.as_ref())).await;
        drop(progress);
        result??;
        self.conclude(Last::Looked(id)).await
    }

    async fn looks(&self, mut stand: Stand, progress: Option<&Progress>) -> Result<(), Failure> {
        let id = stand.task.id.clone();
        let mut pause = self.poll_interval();
        let longest = pause * BACKOFF_MAX;
        let mut told = None;
        while !is_settled(stand.task.status.state) {
            let Stand { task, event: json } = stand;
            let status = task.status.clone();
            let event = Event { id: None, value: StreamEvent::Task(task), json };
            if self.telling == Telling::Live && told.as_ref() != Some(&status) {
                self.tell(&event)?;
                told = Some(status);
            }
            if let Some(progress) = progress {
                progress.say(&event.value);
            }
            tokio::time::sleep(pause).await;
            pause = (pause + pause / 4).min(longest);
            stand = self.look(&id).await?;
        }
        Ok(())
    }

    async fn look(&self, id: &str) -> Result<Stand, Failure> {
        Stand::of(self.read(id, Some(0)).await?)
    }

    /// Reads a task. Reading does nothing twice, so what passes is waited for.
    async fn read(&self, id: &str, history: Option<u32>) -> Result<WithJson<TaskView>, Failure> {
        let mut pause = LOOK_PAUSE;
        for _ in 0..LOOKS_MAX {
            match self.client.get(id, history).await {
                Err(error) if error.is_passing() => {
                    tracing::debug!(error = &error as &dyn std::error::Error, task = id, "looking again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                result => return result.map_err(|error| self.agent.fault(error)),
            }
        }
        self.client.get(id, history).await.map_err(|error| self.agent.fault(error))
    }

    fn poll_interval(&self) -> Duration {
        self.waiting.poll_interval.max(POLL_INTERVAL_MIN)
    }

    /// Tells how it stands at the end.
    async fn conclude(&self, last: Last) -> Result<(), Failure> {
        let (id, is_told) = match last {
            Last::Task(id) => (id, self.telling == Telling::Live),
            Last::Looked(id) => (id, false),
            Last::Message => return Ok(()),
        };
        let answer = self.read(&id, self.history).await?;
        if !is_told {
            let is_event = self.is_send || self.telling == Telling::Live;
            match (self.output.is_json(), is_event) {
                (true, true) => self.output.raw(self.client.event_of(&answer.json).as_str())?,
                (true, false) => self.output.raw(answer.json.as_str())?,
                (false, _) => render::task(self.output, &answer.value)?,
            }
        }
        match self.telling {
            Telling::Steps => render::aftermath_of_run(&answer.value),
            Telling::Whole | Telling::Live => render::aftermath(&answer.value, Some(self.agent.reference())),
        }
        let own = Own { agent: self.agent, url: self.client.http_url() };
        self.ending.apply(self.output, &answer.value, own).await
    }

    /// Does the work, unless the time is up before, or the person has enough of it: neither ends the task.
    async fn within<T>(&self, known: &Known, work: impl Future<Output = T>) -> Result<T, Failure> {
        let limit = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        let is_interrupted = tokio::select! {
            biased;
            () = interrupted() => true,
            done = work => return Ok(done),
            () = limit => false,
        };
        let task = known.borrow();
        Err(if is_interrupted { self.interrupted(task.as_deref()) } else { self.timed_out(task.as_deref()) })
    }

    /// Ctrl-C ends the waiting and nothing else.
    fn interrupted(&self, task: Option<&str>) -> Failure {
        let typed = |command| Typed::new(command).flag("-a", self.agent.reference());
        match task {
            Some(task) => {
                let (get, cancel) = (typed("bobbinet task get --wait"), typed("bobbinet task cancel"));
                Failure::new(Code::Interrupted, format!("not waiting any more; task {task} goes on")).hint(format!(
                    "come back with {}, or end it with {}",
                    get.words(&[task]),
                    cancel.words(&[task])
                ))
            }
            None => {
                let text = "not waiting any more; whether the agent has taken the message is not known";
                let look = typed("bobbinet task list");
                Failure::new(Code::Interrupted, text).hint(format!("look before you send it again: {look}"))
            }
        }
    }

    fn timed_out(&self, task: Option<&str>) -> Failure {
        let seconds = self.waiting.timeout.unwrap_or_default().as_secs_f64();
        let typed = |command| Typed::new(command).flag("-a", self.agent.reference());
        match task {
            Some(task) => {
                Failure::new(Code::Timeout, format!("task {task} has not ended within {seconds} s; it goes on"))
                    .hint(typed("bobbinet task get --wait").words(&[task]))
            }
            None => {
                let message = format!("no answer within {seconds} s: whether it is carried out is unknown");
                Failure::new(Code::Timeout, message)
                    .hint(format!("look before you send it again: {}", typed("bobbinet task list")))
            }
        }
    }
}

/// Returns when the person has typed Ctrl-C.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Nobody can be heard; then the signal ends the process as it would without us.
        pending::<()>().await;
    }
}

fn is_settled(state: State) -> bool {
    state.is_terminal() || state.is_interrupted()
}
