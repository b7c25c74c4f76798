//! One run of one call, as its agent sees it: what to do, and how to say how it goes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Artifact, Call, CallId, Caller, Claim, Command, Event, Json, Limits, Message, MessageId, Question,
    Refused, Role, State, Task, TaskId, Timestamp,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    Aggregate, Aggregates, Authorizer, ChildError, EngineError, Env, Handle,
    blobs::TaskBlobs,
    commit_loop::{AggregateStreams, Beginning},
    deadline::Deadline,
    follow::Follower,
    kinds::Kinds,
    lanes::Lane,
    lifecycle::{Idle, Lifecycle},
    planned::{NewTask, PlannedTask},
    slots::Lent,
    task_live::{LiveTask, ProgressReport},
};

/// How long a canceled call may still come to its end, so that the log knows what became of it.
pub const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// How soon a question that could not be kept, or followed, is looked after again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a run asks of its engine.
#[async_trait]
pub(crate) trait RunHost: Send + Sync + 'static {
    fn limits(&self) -> &Limits;
    fn tasks(&self) -> &Arc<AggregateStreams<Task>>;
    fn lifecycle(&self) -> &Arc<Lifecycle>;

    /// The clock and ids.
    fn env(&self) -> &dyn Env;

    /// What is too large for the log, if this node keeps such.
    fn blobs(&self) -> Option<&TaskBlobs>;

    /// Other kinds of aggregates than tasks.
    fn kinds(&self) -> &Kinds;

    /// Takes the newest word of a run.
    fn report(&self, live: &Arc<LiveTask>, report: ProgressReport);

    /// Lets the task's first commit go out, if it waits for the outcome of this run.
    fn let_go(&self, live: &Arc<LiveTask>);

    /// Asks something of the run's task.
    async fn command(&self, live: &Arc<LiveTask>, command: Command) -> Result<Arc<Task>, EngineError>;

    /// Lends a call slot of the agent.
    fn lend(&self, agent: &AgentName, whom: LentFor) -> Option<Lent>;

    /// What an agent makes of a message that is to be a child of this id.
    fn plan(&self, id: TaskId, agent: &AgentName, new: NewTask) -> Result<PlannedTask, EngineError>;

    /// Who is asked what a run may do for whoever asked for its task.
    fn authorizer(&self) -> &dyn Authorizer;

    /// Whether runs of this agent begin tasks themselves.
    fn begins_tasks(&self, agent: &AgentName) -> bool;
    fn is_internal(&self, agent: &AgentName) -> bool;

    /// What a child begins with, admitted.
    fn beginning(&self, caller: &Caller, planned: PlannedTask) -> Result<Beginning<Task>, EngineError>;

    /// Asks something of the run's task, with which these begin.
    async fn begin_with(
        &self,
        live: &Arc<LiveTask>,
        command: Command,
        children: Vec<Beginning<Task>>,
    ) -> Result<Arc<Task>, EngineError>;

    /// These are not to begin.
    fn give_up(&self, children: Vec<Beginning<Task>>);

    /// The newest tasks of the same owner, agent and context as this one.
    async fn in_context(&self, task: &Task, max: usize) -> Result<Vec<Arc<Task>>, EngineError>;

    /// For whoever waits for a child.
    fn handle(&self, live: Arc<LiveTask>) -> Handle;

    /// Says something to a child that asks.
    async fn reply(&self, caller: &Caller, child: &Handle, answer: Message) -> Result<Handle, ChildError>;

    /// Cancels a child.
    fn cancel(&self, child: TaskId);
}

/// Who is to have a slot that a run lends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LentFor {
    /// Any task, as far as not too many are lent; and this lane with it.
    Anybody(Option<Lane>),
    /// Tasks that this run waits for, and so as many as there are.
    Children,
    /// Others that wait for the same as this one and ask nothing of anybody themselves: as many as there are; and this lane with it.
    Equals(Option<Lane>),
}

/// A call in progress. Cheap to clone; every clone speaks for the same run.
#[derive(Clone)]
pub struct Run {
    pub(crate) host: Arc<dyn RunHost>,
    pub(crate) live: Arc<LiveTask>,
    pub(crate) task: Arc<Task>,
    pub(crate) claim: Claim,
    pub(crate) call_id: CallId,
    pub(crate) attempt: u32,
    /// What the call keeps for itself.
    pub(crate) lane: Option<Lane>,
    pub(crate) deadline: Arc<Deadline>,
    pub(crate) canceled: CancellationToken,
    /// Whether it has had the answer to what an earlier run asked.
    pub(crate) has_taken_answer: Arc<AtomicBool>,
}

/// Why a question has no answer. In any case the call must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nobody answered within the time that a question is held open. The question stays.
    #[error("nobody answered in time")]
    Expired,
    /// The task has ended, or another run owns it: what this one says of its call is for its record at most.
    #[error("the task no longer waits for this call")]
    Over,
    /// The task is this run's, but takes no more questions: what this one says of its call decides.
    #[error("the question could not be asked")]
    NotAsked(#[source] EngineError),
}

impl Run {
    /// The task, as it stood when the call began.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The skill to call, its checked arguments and its effect class.
    ///
    /// # Panics
    /// Never: a run begins only after a plan.
    pub fn call(&self) -> &Call {
        self.task.planned_call.as_deref().expect("an intent is decided only for a planned call")
    }

    /// The newest message of the caller: the first one of all, if none says that it is the user's.
    ///
    /// # Panics
    /// Never: a task begins with a message.
    pub fn message(&self) -> &Message {
        let said = &self.task.history;
        let of_user = said.iter().rev().find(|message| message.role == Role::User);
        of_user.or(said.first()).expect("a task's first event gives it its first message")
    }

    /// The message that the task begins with: what the call was planned from, whatever its caller has answered since.
    ///
    /// # Panics
    /// Never: a task begins with a message.
    pub fn first_message(&self) -> &Message {
        self.task.history.first().expect("a task's first event gives it its first message")
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.host.env().now()
    }

    /// How much of everything there may be on this node.
    pub fn limits(&self) -> &Limits {
        self.host.limits()
    }

    /// All aggregates of a kind, beside tasks.
    pub fn aggregates<A: Aggregate>(&self) -> Aggregates<A> {
        // What is written there may tell of the task.
        self.host.let_go(&self.live);
        self.host.kinds().of()
    }

    /// The same for every attempt of this call, and for no other call: the key that a keyed tool drops repeats by.
    pub fn key(&self) -> String {
        format!("{}/{}", self.task.id, self.call_id.0)
    }

    /// Counts the attempts of this call, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the run's time is up, as things stand: while a question waits for its answer, the time stands still.
    pub fn deadline(&self) -> Instant {
        self.deadline.instant()
    }

    /// The answer that was given when an earlier attempt of this call asked the same.
    pub fn answer_to(&self, text: &str, schema: Option<&Json>) -> Option<Json> {
        let same = |question: &Question| question.message.text() == text && question.schema.as_ref() == schema;
        self.task.answers.iter().rev().find(|(question, _)| same(question)).map(|(_, answer)| answer.clone())
    }

    /// An id for a message that the agent says in this run. `what` tells it apart from the run's other messages.
    ///
    /// # Panics
    /// If `what` is long or not printable.
    pub fn message_id(&self, what: &str) -> MessageId {
        let text = format!("{}-{}.{}-{what}", self.task.id, self.call_id.0, self.attempt);
        MessageId::parse(&text).expect("a UUID, two numbers and a word")
    }

    /// Asks the task's caller, and does not wait for the answer: the task shows it once it is there ([`Run::answered`]). Durable when
    /// this returns. A task asks one thing at a time.
    ///
    /// # Errors
    /// If the task has ended, asks already or has grown to its limit.
    pub async fn put_question(&self, question: Arc<Question>) -> Result<(), EngineError> {
        self.host.command(&self.live, Command::Ask { claim: self.claim, question }).await.map(drop)
    }

    /// The question is not asked any more.
    ///
    /// # Errors
    /// If there is none, or the task is not this run's any more.
    pub async fn withdraw_question(&self) -> Result<(), EngineError> {
        self.host.command(&self.live, Command::Withdraw { claim: self.claim }).await.map(drop)
    }

    /// Returns when the answer to the question in this message is in the log, and gives it. Does not hold the run's time: see
    /// [`Run::rest`].
    ///
    /// # Errors
    /// [`ChildError::Over`] if the run is over first.
    pub async fn answered(&self, question: &MessageId) -> Result<Json, ChildError> {
        loop {
            let changed = self.live.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let task = self.current().await?;
            if let Some((_, answer)) = task.answers.iter().rev().find(|(asked, _)| asked.message.id == *question) {
                return Ok(answer.clone());
            }
            if self.unless_over(self.host.tasks().wait(&self.live, changed)).await?.is_err() {
                self.unless_over(tokio::time::sleep(LOOK_AGAIN)).await?;
            }
        }
    }

    /// Says how far the run is. Does not wait: it goes out with the next commit, and only the newest word does.
    pub fn progress(&self, message: Option<Arc<Message>>, metadata: Option<Json>) {
        self.host.report(&self.live, ProgressReport { claim: self.claim, message, metadata });
    }

    /// Adds an artifact, or more of one. Durable when this returns.
    ///
    /// # Errors
    /// If the task has ended or grown to its limit: then the call should stop.
    pub async fn add(&self, artifact: Arc<Artifact>, append: bool, last_chunk: bool) -> Result<(), EngineError> {
        let command = Command::AddArtifact { claim: self.claim, artifact, append, last_chunk };
        self.host.command(&self.live, command).await.map(drop)
    }

    /// Asks the task's caller, and waits for the answer: for at most `ask_hold_max`, in which the run's time stands still.
    /// A store that is away for a while is waited for: the question is in the log once, or not at all.
    ///
    /// # Errors
    /// [`Unanswered`], and then the call should be brought to its end.
    pub async fn ask(&self, question: Arc<Question>) -> Result<Json, Unanswered> {
        let expiry = Instant::now() + self.host.limits().ask_hold_max();
        // One look, so that no answer can come between two.
        let seen = match tokio::time::timeout_at(expiry, self.current()).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(_)) => return Err(Unanswered::Over),
            Err(_elapsed) => return Err(Unanswered::Expired),
        };
        if let Some(answer) = self.answered_before_asked(&seen, &question) {
            return Ok(answer);
        }
        let mut follower = Follower::after(self.host.tasks(), &self.live, seen.generation);
        // The run before this one has asked it, and nobody has answered yet.
        let open = seen.question.clone().filter(|open| is_same(open, &question));
        let mut is_asked = open.is_some();
        let question = match open {
            Some(open) => open,
            None => {
                self.put(&question, expiry).await?;
                question
            }
        };
        let _hold = self.deadline.hold();
        let _idle = Idle::begin(self.host.lifecycle());
        // Others may go on in its lane meanwhile: a caller who thinks it over is in nobody's way.
        let _aside = LentSlot(self.host.lend(&self.task.agent, LentFor::Anybody(self.lane.clone())));
        loop {
            let event = tokio::select! {
                biased;
                () = self.canceled.cancelled() => return Err(Unanswered::Over),
                event = follower.next() => event,
                () = tokio::time::sleep_until(expiry) => return Err(Unanswered::Expired),
            };
            let event = match event {
                Ok(Some(event)) => event,
                Err(EngineError::Unavailable(_)) => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
                Ok(None) | Err(_) => return Err(Unanswered::Over),
            };
            match &event.event {
                Event::Asked { question: asked } => is_asked |= *asked == question,
                Event::Replied { answer: Some(answer), resumed: true, .. } if is_asked => return Ok(answer.clone()),
                Event::Replied { resumed: false, .. } | Event::Ended { .. } | Event::Started { .. } if is_asked => {
                    return Err(Unanswered::Over);
                }
                Event::Submitted(_)
                | Event::Started { .. }
                | Event::Intended { .. }
                | Event::Progressed { .. }
                | Event::ArtifactAdded { .. }
                | Event::Replied { .. }
                | Event::Deferred(_)
                | Event::Planned { .. }
                | Event::Settled { .. }
                | Event::Withdrawn
                | Event::Reclaimed { .. }
                | Event::Stopped
                | Event::Spawned(_)
                | Event::Recorded { .. }
                | Event::Checkpointed { .. }
                | Event::Requeued
                | Event::Unserved { .. }
                | Event::Ended { .. } => {}
            }
        }
    }

    /// The answer to a question that was open when this run began, of an earlier one, and was answered before this run came to ask it
    /// again: once.
    fn answered_before_asked(&self, seen: &Task, question: &Question) -> Option<Json> {
        let open = self.task.question.as_ref().filter(|open| is_same(open, question))?;
        let (_, answer) = seen.answers.iter().rev().find(|(asked, _)| asked.message.id == open.message.id)?;
        let is_first = !self.has_taken_answer.swap(true, Ordering::Relaxed);
        is_first.then(|| answer.clone())
    }

    /// Brings a question into the log. After a commit whose fate is not known, the log says whether it is there.
    async fn put(&self, question: &Arc<Question>, expiry: Instant) -> Result<(), Unanswered> {
        loop {
            let command = Command::Ask { claim: self.claim, question: question.clone() };
            match self.host.command(&self.live, command).await {
                Ok(_) => return Ok(()),
                Err(EngineError::Unavailable(why)) => debug!(task = %self.task.id, why, "a question was not kept yet"),
                Err(
                    EngineError::Refused(Refused::Absent | Refused::Ended | Refused::Fenced) | EngineError::Draining,
                ) => {
                    return Err(Unanswered::Over);
                }
                Err(error) => return Err(Unanswered::NotAsked(error)),
            }
            loop {
                tokio::select! {
                    biased;
                    () = self.canceled.cancelled() => return Err(Unanswered::Over),
                    () = tokio::time::sleep_until(expiry) => return Err(Unanswered::Expired),
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
                match self.host.tasks().load(&self.live).await {
                    Ok(Some(task)) if has_asked(&task, question) => return Ok(()),
                    Ok(_) => break,
                    Err(_) => {}
                }
            }
        }
    }

    /// Lends the run's call slot while it waits for its turn: whoever waits is in nobody's way. Its lane it keeps.
    pub fn step_aside(&self) -> LentSlot {
        LentSlot(self.host.lend(&self.task.agent, LentFor::Anybody(None)))
    }

    /// The same while it waits for what another run does for both. However many do that, they keep no slot from anybody, nor their lane.
    pub fn step_aside_for_equal(&self) -> LentSlot {
        LentSlot(self.host.lend(&self.task.agent, LentFor::Equals(self.lane.clone())))
    }

    /// Returns when the task was canceled. The agent should tell the other side, and may take [`CANCEL_GRACE`] to learn
    /// what became of the call.
    pub async fn canceled(&self) {
        self.canceled.cancelled().await;
    }
}

/// A run's slot is lent. Dropped, it is taken back, though there be none free.
#[derive(Debug)]
pub struct LentSlot(Option<Lent>);

impl LentSlot {
    /// Takes the slot back once there is a free one.
    pub async fn come_back(self) {
        if let Some(lent) = self.0 {
            lent.take_back().await;
        }
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("task", &self.task.id).field("call", &self.call_id).finish_non_exhaustive()
    }
}

/// Whether this question stands in the log, open or answered.
fn has_asked(task: &Task, question: &Question) -> bool {
    let answered = task.answers.iter().map(|(question, _)| question);
    task.question.iter().chain(answered).any(|asked| **asked == *question)
}

/// Whether two questions ask the same, each in a message of its own.
fn is_same(one: &Question, other: &Question) -> bool {
    one.kind == other.kind && one.schema == other.schema && one.message.text() == other.message.text()
}

/// Whether the run of `claim` still owns `task`, and is to make another attempt.
pub(crate) fn next_attempt(task: &Task, claim: Claim) -> Option<(CallId, u32)> {
    if task.state != State::Working || task.claim != Some(claim) {
        return None;
    }
    task.open_call().map(|open| (open.call_id, open.attempt))
}

/// The task's id, for those who only log.
impl AsRef<TaskId> for Run {
    fn as_ref(&self) -> &TaskId {
        &self.task.id
    }
}
