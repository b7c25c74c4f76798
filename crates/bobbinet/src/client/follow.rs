//! Waiting for a task, or following it, in whichever way its agent offers.

use std::time::Duration;

use bobbinet_core::State;
use bobbinet_http::client::{Client, Event, SendOptions, TaskStream};
use bobbinet_wire::{
    operation::SendParams,
    view::{Sent, StreamEvent, TaskView},
};

use super::{progress::Progress, render, resolve::Agent};
use crate::{
    cli::Waiting,
    failure::{Code, Failure},
    output::Output,
};

/// How far the pause between two looks grows, as a multiple of the first.
const BACKOFF_MAX: u32 = 8;

/// How the end of it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// At the end, in one.
    Whole,
    /// As it happens.
    Live,
}

/// Follows what a command has begun.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) client: &'a Client,
    pub(crate) output: Output,
    pub(crate) waiting: &'a Waiting,
    pub(crate) telling: Telling,
    /// How many messages of the history to show at the end.
    pub(crate) history: Option<u32>,
    /// Whether the result is a `SendMessageResponse` and not a bare task.
    pub(crate) is_send: bool,
}

/// What came last.
enum Last {
    /// A task of this id has ended, or asks.
    Task(String),
    /// An answer without a task, which has been told.
    Message,
}

impl Follow<'_> {
    /// Sends, waits or follows, and tells.
    pub(crate) async fn send(&self, params: SendParams, options: &SendOptions) -> Result<(), Failure> {
        let can_stream = self.client.card().value.capabilities.streaming == Some(true);
        if can_stream {
            let opened = self.client.send_streaming(params, options).await;
            return self.stream(opened.map_err(|error| self.agent.fault(error))?).await;
        }
        let configuration =
            bobbinet_wire::operation::Configuration { return_immediately: true, ..params.configuration };
        let sent = self.client.send(SendParams { configuration, ..params }, options).await;
        let sent = sent.map_err(|error| self.agent.fault(error))?;
        match sent.value {
            Sent::Task(task) => self.poll(task).await,
            Sent::Message(message) if self.output.is_json() => {
                drop(message);
                self.output.raw(sent.json.as_str())
            }
            Sent::Message(message) => render::reply(self.output, &message),
        }
    }

    /// Follows a stream that is open until the task has ended or asks.
    pub(crate) async fn stream(&self, mut stream: TaskStream) -> Result<(), Failure> {
        let progress = (self.telling == Telling::Whole).then(|| Progress::new(self.output));
        let last = self.within(self.stream_or_poll(&mut stream, progress.as_ref())).await;
        drop(progress);
        match last {
            Some(last) => self.conclude(last?).await,
            None => Err(self.timed_out(stream.task_id())),
        }
    }

    /// A wait does not need the stream: if that fails, the task is looked at instead (A2A CLI specification 9.3).
    async fn stream_or_poll(&self, stream: &mut TaskStream, progress: Option<&Progress>) -> Result<Last, Failure> {
        let mut known = None;
        let failure = match self.events(stream, progress, &mut known).await {
            Ok(last) => return Ok(last),
            Err(failure) => failure,
        };
        let Some(id) = known.filter(|_| self.telling == Telling::Whole) else { return Err(failure) };
        let Ok(answer) = self.client.get(&id, Some(0)).await else { return Err(failure) };
        tracing::debug!(?failure, task = id, "the stream failed; looking again and again instead");
        self.looks(answer.value, progress).await?;
        Ok(Last::Task(id))
    }

    async fn events(
        &self,
        stream: &mut TaskStream,
        progress: Option<&Progress>,
        known: &mut Option<String>,
    ) -> Result<Last, Failure> {
        while let Some(event) = stream.next().await.map_err(|error| self.agent.fault(error))? {
            if known.is_none() {
                *known = event.value.task_id().map(str::to_owned);
            }
            if let Some(progress) = progress {
                progress.say(&event.value);
            }
            self.tell(&event)?;
            let is_settled = event.value.state().is_some_and(|state| state.is_terminal() || state.is_interrupted());
            match (&event.value, known.clone()) {
                (StreamEvent::Message(_), None) => return Ok(Last::Message),
                (_, Some(task)) if is_settled => return Ok(Last::Task(task)),
                (_, Some(_) | None) => {}
            }
        }
        known.clone().map(Last::Task).ok_or_else(|| Failure::new(Code::Internal, "the stream ended without a task"))
    }

    /// Tells an event as it happens. A message without a task is the whole result in any case.
    fn tell(&self, event: &Event) -> Result<(), Failure> {
        let is_whole_result = matches!(event.value, StreamEvent::Message(_));
        if self.telling == Telling::Whole && !is_whole_result {
            return Ok(());
        }
        if self.output.is_json() {
            return self.output.raw(event.json.as_str());
        }
        render::event(self.output, &event.value)?;
        if is_whole_result { Ok(()) } else { self.output.line("") }
    }

    /// Looks again and again until the task has ended or asks.
    pub(crate) async fn poll(&self, task: TaskView) -> Result<(), Failure> {
        let progress = Progress::new(self.output);
        let id = task.id.clone();
        let result = self.within(self.looks(task, Some(&progress))).await;
        drop(progress);
        match result {
            Some(result) => {
                result?;
                self.conclude(Last::Task(id)).await
            }
            None => Err(self.timed_out(Some(&id))),
        }
    }

    async fn looks(&self, mut task: TaskView, progress: Option<&Progress>) -> Result<(), Failure> {
        let id = task.id.clone();
        let mut pause = self.waiting.poll_interval.max(Duration::from_millis(50));
        let longest = pause * BACKOFF_MAX;
        while !is_settled(task.status.state) {
            if let Some(progress) = progress {
                progress.say(&StreamEvent::Task(task));
            }
            tokio::time::sleep(pause).await;
            pause = (pause + pause / 4).min(longest);
            let answer = self.client.get(&id, Some(0)).await;
            task = answer.map_err(|error| self.agent.fault(error))?.value;
        }
        Ok(())
    }

    /// Tells how it stands at the end.
    async fn conclude(&self, last: Last) -> Result<(), Failure> {
        let Last::Task(id) = last else { return Ok(()) };
        let answer = self.client.get(&id, self.history).await.map_err(|error| self.agent.fault(error))?;
        if self.telling == Telling::Whole {
            match (self.output.is_json(), self.is_send) {
                (true, true) => self.output.raw(&format!("{{\"task\":{}}}", answer.json.as_str()))?,
                (true, false) => self.output.raw(answer.json.as_str())?,
                (false, _) => render::task(self.output, &answer.value)?,
            }
        }
        render::aftermath(&answer.value, self.agent.name.as_deref().or(Some(&self.agent.url)));
        Ok(())
    }

    async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.waiting.timeout {
            Some(timeout) => tokio::time::timeout(timeout, work).await.ok(),
            None => Some(work.await),
        }
    }

    fn timed_out(&self, task: Option<&str>) -> Failure {
        let seconds = self.waiting.timeout.unwrap_or_default().as_secs_f64();
        let target = self.agent.name.as_deref().unwrap_or(&self.agent.url);
        match task {
            Some(task) => {
                Failure::new(Code::Timeout, format!("task {task} has not ended within {seconds} s; it goes on"))
                    .hint(format!("bobbinet task get --wait {task} -a {target}"))
            }
            None => Failure::new(Code::Timeout, format!("no answer within {seconds} s")),
        }
    }
}

fn is_settled(state: State) -> bool {
    state.is_terminal() || state.is_interrupted()
}
