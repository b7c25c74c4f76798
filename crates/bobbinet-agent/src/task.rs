//! A task at work, as its agent sees it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use bobbinet_core::{Artifact, ContextId, Json, Message, Part, Question, QuestionKind, SkillId, TaskId};
use bobbinet_engine::Run;

use crate::{Failure, answer::artifact_id};

/// A task at work: what it is to do, and how to say how it goes. Its methods can be called in any order, and beside each other; a task asks
/// one thing at a time.
pub struct Task {
    run: Run,
    /// How many messages the run has said.
    said: AtomicU32,
    /// How many questions the run has asked.
    asked: AtomicUsize,
}

impl Task {
    pub(crate) fn new(run: Run) -> Self {
        Self { run, said: AtomicU32::new(0), asked: AtomicUsize::new(0) }
    }

    /// The message that began the task, also in a run that is begun again: what came after it are answers to what was asked.
    ///
    /// # Panics
    /// Never: a task begins with a message.
    pub fn message(&self) -> &Message {
        self.run.task().history.first().expect("a task's first event gives it its first message")
    }

    /// The text of that message.
    pub fn text(&self) -> String {
        self.message().text()
    }

    /// Its id.
    pub fn id(&self) -> &TaskId {
        &self.run.task().id
    }

    /// The conversation that it belongs to.
    pub fn context(&self) -> &ContextId {
        &self.run.task().context
    }

    /// The skill that the caller named, or the only one there is.
    pub fn skill(&self) -> Option<&SkillId> {
        self.run.call().skill.as_ref()
    }

    /// The same for every attempt at this task, and for no other: for programs that drop repeats by a key.
    pub fn key(&self) -> String {
        self.run.key()
    }

    /// Counts how often the task was begun, from 1.
    pub fn attempt(&self) -> u32 {
        self.run.attempt()
    }

    /// Says how far it is, as the task's status message. Does not wait: it goes out with whatever is kept next, or soon. If the run says
    /// more before that, only the newest word does: it is no place for what must not be lost.
    pub fn progress(&self, text: impl AsRef<str>) {
        self.run.progress(Some(Arc::new(self.says(vec![Part::text(text)]))), None);
    }

    /// The same with data for programs, a JSON object, in the status update's metadata.
    pub fn progress_with(&self, text: impl AsRef<str>, data: Json) {
        self.run.progress(Some(Arc::new(self.says(vec![Part::text(text)]))), Some(data));
    }

    /// Adds a whole artifact. Durable when this returns.
    ///
    /// # Errors
    /// If the task is over or has grown to its limit: to be passed on with `?`.
    pub async fn add(&self, artifact: Artifact) -> Result<(), Failure> {
        self.run.add(Arc::new(artifact), false, true).await.map_err(Failure::of_engine)
    }

    /// An artifact that comes in pieces. Those who follow the task see each as it comes.
    ///
    /// # Panics
    /// If the id is empty or longer than 512 characters.
    pub fn chunked(&self, id: &str) -> Chunks<'_> {
        Chunks { task: self, artifact: Artifact::new(artifact_id(id), Vec::new()), is_begun: false }
    }

    /// Asks the caller, and waits for his message: the task is `input-required` meanwhile, and takes no slot. A run that is begun again
    /// gets the answers to the same questions, in their order, without asking.
    ///
    /// # Errors
    /// If nobody answers in time, or the task is over: to be passed on with `?`. An answer that comes later begins the run again.
    pub async fn ask(&self, text: impl AsRef<str>) -> Result<Message, Failure> {
        self.put(QuestionKind::Elicitation, vec![Part::text(text)], None).await
    }

    /// The same with more than a text, and a JSON Schema of the data that is wanted. The answer is not checked against it.
    ///
    /// # Errors
    /// As [`Task::ask`].
    pub async fn ask_with(&self, parts: Vec<Part>, schema: Option<Json>) -> Result<Message, Failure> {
        self.put(QuestionKind::Elicitation, parts, schema).await
    }

    /// Asks the caller to authorise something elsewhere: the task is `auth-required`. Returns when he says that he has.
    ///
    /// # Errors
    /// As [`Task::ask`].
    pub async fn ask_to_authorize(&self, text: impl AsRef<str>, url: &str) -> Result<Message, Failure> {
        let parts = vec![Part::text(text), Part::url(url)];
        self.put(QuestionKind::Authorization, parts, None).await
    }

    /// Returns when the task is cancelled. The run may take a few seconds then to stop what it has begun.
    pub async fn canceled(&self) {
        self.run.canceled().await;
    }

    async fn put(&self, kind: QuestionKind, parts: Vec<Part>, schema: Option<Json>) -> Result<Message, Failure> {
        let question = Question { kind, message: Arc::new(self.says(parts)), schema };
        let place = self.asked.fetch_add(1, Ordering::Relaxed);
        let answered = self.run.task().answers.get(place).filter(|(asked, _)| is_same(asked, &question));
        let answer = match answered {
            Some((_, answer)) => answer.clone(),
            None => self.run.ask(Arc::new(question)).await.map_err(Failure::of_unanswered)?,
        };
        // The answer is the message itself: a caller may give all that it says the same id.
        Ok(answer.read()?)
    }

    /// A message of the run. A run that is begun again says the same under other ids.
    fn says(&self, parts: Vec<Part>) -> Message {
        let number = self.said.fetch_add(1, Ordering::Relaxed) + 1;
        Message::from_agent(self.run.message_id(&number.to_string()), parts)
    }
}

fn is_same(one: &Question, other: &Question) -> bool {
    one.kind == other.kind && one.schema == other.schema && one.message.parts == other.message.parts
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(self.id()).finish()
    }
}

/// An artifact that comes in pieces.
#[derive(Debug)]
pub struct Chunks<'a> {
    task: &'a Task,
    artifact: Artifact,
    is_begun: bool,
}

impl Chunks<'_> {
    /// With a name for people. To be said before the first piece.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.artifact.name = Some(name.into());
        self
    }

    /// One more piece. Durable when this returns.
    ///
    /// # Errors
    /// As [`Task::add`].
    pub async fn push(&mut self, part: Part) -> Result<(), Failure> {
        self.send(part, false).await
    }

    /// The last piece.
    ///
    /// # Errors
    /// As [`Task::add`].
    pub async fn finish(mut self, part: Part) -> Result<(), Failure> {
        self.send(part, true).await
    }

    async fn send(&mut self, part: Part, is_last: bool) -> Result<(), Failure> {
        let piece = Artifact { parts: vec![part], ..self.artifact.clone() };
        let append = std::mem::replace(&mut self.is_begun, true);
        self.task.run.add(Arc::new(piece), append, is_last).await.map_err(Failure::of_engine)
    }
}
