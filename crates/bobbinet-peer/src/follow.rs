//! Following a task over there: what it says becomes what ours says.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Artifact, ArtifactId, Message, Outcome, Part, State};
use bobbinet_engine::{EngineError, Run};
use bobbinet_http::{Client, ClientError, TaskStream};
use bobbinet_wire::view::{MessageView, StatusView, StreamEvent, TaskView};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::{
    artifacts::Artifacts,
    causes::in_full,
    checkpoint::Checkpoint,
    fault::{self, is_forgotten},
    gathered::Gathered,
    message,
    peer::Peer,
    replicas::Lease,
};

/// How long a peer may take to say what became of a task that is canceled: shorter than the engine waits for us.
const CANCEL_MAX: Duration = Duration::from_secs(4);

/// How soon what our own store could not do is tried again.
pub(crate) const STORE_AGAIN: Duration = Duration::from_millis(200);

/// Answers in a row that cannot be read, after which nothing more is expected.
const GARBAGE_MAX: u32 = 3;

/// Where the next word comes from.
pub(crate) enum Source {
    /// From the stream.
    Stream(Box<TaskStream>),
    /// From a look at the task, and then from a stream if it has one.
    Look,
    /// From looks alone.
    Looks,
}

/// What to do after a word of the peer.
pub(crate) enum Next {
    GoOn,
    /// Our caller is asked this.
    Ask(StatusView),
    Over(Outcome),
}

/// One run and the task over there.
pub(crate) struct Following<'a> {
    pub(crate) peer: &'a Arc<Peer>,
    pub(crate) run: &'a Run,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) artifacts: Artifacts,
    pub(crate) client: Client,
    pub(crate) lease: Lease,
    pub(crate) source: Source,
    pub(crate) streams: bool,
    /// Since when nothing was heard.
    pub(crate) heard: Instant,
    pub(crate) failures: u32,
    pub(crate) garbage: u32,
    pub(crate) held: Held,
    /// What is answered, if that is not to become ours but the result of the call.
    pub(crate) gathered: Option<Gathered>,
}

/// What is not kept at once, since the end of the task may be the next word, and then all of it is one commit. If the process dies
/// meanwhile, the task over there still has it, and is found by its key.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// That the checkpoint is not kept yet.
    checkpoint: bool,
    artifacts: Vec<Artifact>,
}

impl Held {
    /// Whether there is anything.
    pub(crate) fn is_something(&self) -> bool {
        self.checkpoint || !self.artifacts.is_empty()
    }
}

impl Following<'_> {
    /// The next word of the peer, or why there will be none. Safe to drop.
    pub(crate) async fn next(&mut self) -> Result<StreamEvent, Outcome> {
        loop {
            let result = match &mut self.source {
                Source::Stream(stream) => match stream.next().await {
                    Ok(Some(event)) => Ok(Some(event.value)),
                    // It has said all that it says, and that was not the end.
                    Ok(None) => {
                        self.source = Source::Look;
                        Ok(None)
                    }
                    Err(error) => Err(error),
                },
                Source::Look => self.look_and_subscribe().await.map(Some),
                Source::Looks => {
                    sleep(self.peer.config.limits.poll).await;
                    self.look().await.map(Some)
                }
            };
            match result {
                Ok(Some(event)) => {
                    self.lease.succeeded();
                    (self.heard, self.failures, self.garbage) = (Instant::now(), 0, 0);
                    return Ok(event);
                }
                Ok(None) => {}
                Err(error) => self.failed(error).await?,
            }
        }
    }

    /// Something went wrong: gets ready to look again, or gives up.
    async fn failed(&mut self, error: ClientError) -> Result<(), Outcome> {
        let limits = &self.peer.config.limits;
        debug!(peer = %self.peer.config.name, error = &error as &dyn std::error::Error, failures = self.failures, "not heard");
        if is_forgotten(&error) {
            return if self.is_elsewhere().await { Ok(()) } else { Err(self.forgotten().await) };
        }
        if error.is_no_stream() {
            self.source = Source::Looks;
            return Ok(());
        }
        let is_garbage = matches!(error, ClientError::Protocol(_));
        self.garbage = if is_garbage { self.garbage + 1 } else { 0 };
        if self.garbage >= GARBAGE_MAX {
            let why = format!("what it says of its task cannot be read: {}", fault::told(&error));
            return Err(fault::unknown(&self.peer.config, &why, false));
        }
        if matches!(error, ClientError::Unauthorized { .. }) {
            self.peer.config.auth.forget();
        }
        if !is_garbage {
            self.lease.failed(limits);
        }
        if self.heard.elapsed() >= limits.silence_max {
            let why = format!("nothing was heard of its task for {:?}: {}", limits.silence_max, fault::told(&error));
            return Err(fault::unknown(&self.peer.config, &why, false));
        }
        self.source = Source::Look;
        sleep(limits.pause(self.failures)).await;
        self.failures = self.failures.saturating_add(1);
        self.reconnect().await;
        Ok(())
    }

    /// The peer may be at another address by now, or have another card.
    async fn reconnect(&mut self) {
        self.peer.resolve().await;
        let Some(known) = self.peer.cards.last() else { return };
        let address = self.checkpoint.replica;
        self.lease = self.peer.replicas.at(address);
        match self.peer.client(&known, self.lease.address).await {
            Ok(client) => (self.client, self.streams) = (client, known.streams),
            Err(error) => debug!(error = &error as &dyn std::error::Error, "no new client"),
        }
    }

    /// Looks for the task at the other replicas: its own may have come back under another address.
    async fn is_elsewhere(&mut self) -> bool {
        let Some(known) = self.peer.cards.last() else { return false };
        let Some(task) = self.checkpoint.task.clone() else { return false };
        for address in self.peer.replicas.addresses() {
            if address == self.lease.address {
                continue;
            }
            let Ok(client) = self.peer.client(&known, address).await else { continue };
            if client.get(&task, Some(0)).await.is_ok() {
                (self.client, self.lease) = (client, self.peer.replicas.at(address));
                self.checkpoint.replica = address;
                self.source = Source::Look;
                return self.keep().await.is_ok();
            }
        }
        false
    }

    /// There is nothing to go on with any more: who wants it done has to say so.
    async fn forgotten(&mut self) -> Outcome {
        let task = self.checkpoint.task.take().unwrap_or_default();
        // Said again, it has the same key.
        let (sent_at, way) = (Some(self.run.task().counted.len()), self.checkpoint.way.take());
        self.checkpoint = Checkpoint { sent_at, way, ..Checkpoint::default() };
        if let Err(error) = self.keep().await {
            debug!(error = &error as &dyn std::error::Error, "it is not kept that a task is gone");
        }
        let why = format!("it took the message as task {task}, and knows no such task any more");
        fault::unknown(&self.peer.config, &why, false)
    }

    /// The task as it stands, and a stream of what follows if there is one.
    async fn look_and_subscribe(&mut self) -> Result<StreamEvent, ClientError> {
        let looked = self.look().await?;
        let is_over = looked.state().is_some_and(|state| state.is_terminal() || state.is_interrupted());
        if is_over || !self.streams {
            self.source = Source::Looks;
            return Ok(looked);
        }
        let task = self.checkpoint.task.clone().unwrap_or_default();
        let answer = self.peer.config.limits.answer;
        match timeout(answer, self.client.subscribe(&task, None)).await {
            Ok(Ok(stream)) => self.source = Source::Stream(Box::new(stream)),
            // It has just ended, or is not streamed.
            Ok(Err(error)) if error.is_no_stream() => self.source = Source::Looks,
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let url = self.client.url().to_owned();
                return Err(ClientError::Timeout { url, seconds: answer.as_secs_f64() });
            }
        }
        Ok(looked)
    }

    pub(crate) async fn look(&mut self) -> Result<StreamEvent, ClientError> {
        let task = self.checkpoint.task.clone().unwrap_or_default();
        // Its history is ours already, or the peer's own business.
        self.client.get(&task, Some(0)).await.map(|task| StreamEvent::Task(task.value))
    }

    /// Makes a word of the peer one of ours.
    pub(crate) async fn take(&mut self, event: StreamEvent) -> Next {
        let taken = self.try_take(event).await;
        self.or_too_large(taken).await
    }

    /// Keeps what was held back.
    pub(crate) async fn flush(&mut self) -> Next {
        let flushed = self.try_flush().await.map(|()| Next::GoOn);
        self.or_too_large(flushed).await
    }

    async fn or_too_large(&mut self, taken: Result<Next, EngineError>) -> Next {
        match taken {
            Ok(next) => next,
            Err(error) => {
                warn!(task = %self.run.task().id, error = &error as &dyn std::error::Error, "what a peer made is not kept");
                self.cancel("it makes more than a task may keep").await;
                let why = format!("what it made cannot be kept: {}", in_full(&error));
                Next::Over(Outcome::Unreadable(fault::of_peer(&self.peer.config, "peer-result-too-large", &why)))
            }
        }
    }

    async fn try_take(&mut self, event: StreamEvent) -> Result<Next, EngineError> {
        if let Some(task) = event.task_id()
            && self.checkpoint.task.is_none()
        {
            self.checkpoint.task = Some(task.to_owned());
            // One that may be sent only once is found by its id alone.
            match self.checkpoint.may_repeat(self.run) {
                true => self.held.checkpoint = true,
                false => self.keep().await?,
            }
        }
        if self.gathered.is_some() {
            return self.gather(event).await;
        }
        let is_end = event.state().is_some_and(|state| matches!(state, State::Completed | State::Failed));
        let is_whole = matches!(event, StreamEvent::Task(_));
        if !is_end && !is_whole && !self.held.artifacts.is_empty() {
            self.try_flush().await?;
        }
        match event {
            StreamEvent::Task(TaskView { status, artifacts, context_id, .. }) => {
                self.checkpoint.context = context_id.or(self.checkpoint.context.take());
                // It is among those.
                self.held.artifacts = Vec::new();
                match is_end {
                    // They go with the end, also where our task waits for its caller and nothing can be added to it.
                    true => self.held.artifacts = self.artifacts.missing(artifacts),
                    false => self.brought(artifacts).await?,
                }
                Ok(self.stands(status))
            }
            StreamEvent::StatusUpdate(update) => Ok(self.stands(update.status)),
            StreamEvent::ArtifactUpdate(update) => {
                let is_whole = !update.append && update.last_chunk && !self.artifacts.has(&update.artifact.id);
                if is_whole {
                    self.held.artifacts.push(update.artifact);
                } else {
                    self.add(update.artifact, update.append, update.last_chunk).await?;
                }
                Ok(Next::GoOn)
            }
            StreamEvent::Message(said) => self.answered(said),
        }
    }

    async fn add(&mut self, artifact: Artifact, append: bool, last_chunk: bool) -> Result<(), EngineError> {
        loop {
            match self.artifacts.add(self.run, artifact.clone(), append, last_chunk).await {
                Err(EngineError::Unavailable(_)) => sleep(STORE_AGAIN).await,
                added => return added,
            }
        }
    }

    async fn try_flush(&mut self) -> Result<(), EngineError> {
        if std::mem::take(&mut self.held.checkpoint) {
            self.keep().await?;
        }
        for artifact in std::mem::take(&mut self.held.artifacts) {
            self.add(artifact, false, true).await?;
        }
        Ok(())
    }

    async fn brought(&mut self, artifacts: Vec<Artifact>) -> Result<(), EngineError> {
        loop {
            match self.artifacts.become_those_of(self.run, artifacts.clone()).await {
                Err(EngineError::Unavailable(_)) => sleep(STORE_AGAIN).await,
                brought => return brought,
            }
        }
    }

    /// An answer without a task is all there is; in a task it is one more word of it.
    fn answered(&self, MessageView { message, task_id, .. }: MessageView) -> Result<Next, EngineError> {
        if task_id.is_some() || self.checkpoint.task.is_some() {
            self.run.progress(Some(Arc::new(message)), None);
            return Ok(Next::GoOn);
        }
        let id = ArtifactId::parse("answer").expect("a word");
        let artifact = Artifact { metadata: message.metadata, ..Artifact::new(id, message.parts) };
        Ok(Next::Over(Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }))
    }

    /// Where the task stands over there.
    pub(crate) fn stands(&mut self, status: StatusView) -> Next {
        match status.state {
            State::Submitted => Next::GoOn,
            State::Working => {
                if let Some(message) = status.message {
                    self.run.progress(Some(Arc::new(message)), None);
                }
                Next::GoOn
            }
            State::InputRequired | State::AuthRequired => Next::Ask(status),
            State::Completed | State::Failed | State::Canceled | State::Rejected => Next::Over(self.ended(status)),
        }
    }

    fn ended(&mut self, status: StatusView) -> Outcome {
        let held = std::mem::take(&mut self.held.artifacts);
        let artifacts: Vec<Arc<Artifact>> = held.into_iter().map(Arc::new).collect();
        let config = &self.peer.config;
        let text = status.message.as_ref().map(Message::text).filter(|text| !text.is_empty());
        match status.state {
            State::Completed => Outcome::Completed { artifacts, message: status.message.map(Arc::new) },
            State::Rejected => {
                let why = text.unwrap_or_else(|| "it rejects the message, and does not say why".to_owned());
                Outcome::Rejected(fault::of_peer(config, "peer-rejected", &why))
            }
            State::Canceled => {
                let why = text.unwrap_or_else(|| "its task was canceled over there".to_owned());
                Outcome::Failed(fault::of_peer(config, "canceled-by-peer", &why))
            }
            State::Failed | State::Submitted | State::Working | State::InputRequired | State::AuthRequired => {
                let task = self.checkpoint.task.as_deref().unwrap_or_default();
                let message = status.message.unwrap_or_else(|| {
                    let why = format!("peer {} failed, and does not say why", config.name);
                    Message::from_agent(self.run.message_id("peer-failed"), vec![Part::text(why)])
                });
                let message = message::with_origin(message, config.name.as_str(), task);
                Outcome::ToolError { artifacts, message: Arc::new(message) }
            }
        }
    }

    /// Keeps how far we are. Durable when this returns.
    pub(crate) async fn keep(&self) -> Result<(), EngineError> {
        loop {
            match self.run.checkpoint(self.checkpoint.to_json()).await {
                Err(EngineError::Unavailable(_)) => sleep(STORE_AGAIN).await,
                kept => return kept,
            }
        }
    }

    /// Stops the task over there, and says what became of it.
    pub(crate) async fn cancel(&mut self, why: &str) -> Outcome {
        let config = &self.peer.config;
        let Some(task) = self.checkpoint.task.clone() else {
            return fault::unknown(config, &format!("{why}, and it had not said yet which task it is"), false);
        };
        let canceled = async {
            match self.client.cancel(&task).await {
                Ok(task) => Ok(task),
                // It may have ended.
                Err(ClientError::Rpc(_)) => self.client.get(&task, Some(0)).await,
                Err(error) => Err(error),
            }
        };
        match timeout(CANCEL_MAX, canceled).await {
            Ok(Ok(mut view)) => match view.value.status.state {
                State::Canceled => {
                    Outcome::Failed(fault::of_peer(config, "canceled", &format!("{why}; its task was canceled")))
                }
                State::Completed | State::Failed | State::Rejected => match self.gathered {
                    Some(_) => self.result().await,
                    None => {
                        self.held.artifacts = self.artifacts.missing(std::mem::take(&mut view.value.artifacts));
                        self.ended(view.value.status)
                    }
                },
                State::Submitted | State::Working | State::InputRequired | State::AuthRequired => {
                    fault::unknown(config, &format!("{why}; it was told to cancel task {task}, and goes on"), false)
                }
            },
            Ok(Err(error)) => {
                let text = format!("{why}; it could not be told to cancel task {task}: {}", fault::told(&error));
                fault::unknown(config, &text, false)
            }
            Err(_) => fault::unknown(config, &format!("{why}; it did not say whether it canceled task {task}"), false),
        }
    }
}
