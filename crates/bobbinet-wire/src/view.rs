//! What a client reads from an agent, in any version of A2A. Ids are texts here: they are the peer's, not ours.

use bobbinet_core::{Artifact, Json, Message, State, Timestamp};

/// Where a task stands, as its agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusView {
    /// One that is not known here is read as working.
    pub state: State,
    /// What was said when it came to stand there.
    pub message: Option<Message>,
    /// Since when.
    pub at: Option<Timestamp>,
}

/// A task, as its agent shows it: perhaps without artifacts, perhaps with a part of its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// As its agent calls it.
    pub id: String,
    /// The conversation it is part of, if its agent says so.
    pub context_id: Option<String>,
    /// Where it stands.
    pub status: StatusView,
    /// The messages of both sides, oldest first.
    pub history: Vec<Message>,
    /// All it has made.
    pub artifacts: Vec<Artifact>,
    /// What its agent says beside it: a JSON object.
    pub metadata: Option<Json>,
}

/// A message, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    /// What is said, by whom.
    pub message: Message,
    /// Its task, if it has one.
    pub task_id: Option<String>,
    /// The conversation it is part of, if it says so.
    pub context_id: Option<String>,
}

/// What a sent message comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A task, which may have ended or may go on.
    Task(TaskView),
    /// An answer, and nothing else.
    Message(MessageView),
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The whole task.
    Task(TaskView),
    /// An answer without a task.
    Message(MessageView),
    /// The task came to stand elsewhere.
    StatusUpdate(StatusUpdate),
    /// The task made something.
    ArtifactUpdate(ArtifactUpdate),
}

/// A task's new status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusUpdate {
    /// Which task; empty if the agent does not say.
    pub task_id: String,
    /// The context of that task, if the agent says so.
    pub context_id: Option<String>,
    /// Where it stands now.
    pub status: StatusView,
    /// What its agent says beside it: a JSON object.
    pub metadata: Option<Json>,
}

/// A task's new artifact, or more of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactUpdate {
    /// Which task; empty if the agent does not say.
    pub task_id: String,
    /// The context of that task, if the agent says so.
    pub context_id: Option<String>,
    /// The artifact, or the parts to append to the one of this id.
    pub artifact: Artifact,
    /// Whether its parts go to the end of the artifact of this id.
    pub append: bool,
    /// Whether this artifact is whole now.
    pub last_chunk: bool,
    /// What its agent says beside it: a JSON object.
    pub metadata: Option<Json>,
}

/// One page of a list of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageView {
    /// In the order of the list.
    pub tasks: Vec<TaskView>,
    /// Where the next page begins, if there is one.
    pub next_page_token: Option<String>,
    /// How many match in all.
    pub total_size: u64,
}

impl StreamEvent {
    /// The task it is about, if it says so.
    pub fn task_id(&self) -> Option<&str> {
        let id = match self {
            Self::Task(task) => Some(task.id.as_str()),
            Self::Message(message) => message.task_id.as_deref(),
            Self::StatusUpdate(update) => Some(update.task_id.as_str()),
            Self::ArtifactUpdate(update) => Some(update.task_id.as_str()),
        };
        id.filter(|id| !id.is_empty())
    }

    /// The state that the task is in now, if the event says so.
    pub fn state(&self) -> Option<State> {
        match self {
            Self::Task(task) => Some(task.status.state),
            Self::StatusUpdate(update) => Some(update.status.state),
            Self::Message(_) | Self::ArtifactUpdate(_) => None,
        }
    }
}

impl TaskView {
    /// Brings the view up to date with an event of its task's stream. A message without a task changes nothing.
    pub fn apply(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Task(task) => *self = task,
            StreamEvent::Message(_) => {}
            StreamEvent::StatusUpdate(update) => {
                self.status = update.status;
                self.metadata = update.metadata;
            }
            StreamEvent::ArtifactUpdate(update) => self.add(update),
        }
    }

    fn add(&mut self, update: ArtifactUpdate) {
        match self.artifacts.iter_mut().find(|known| known.id == update.artifact.id) {
            Some(known) if update.append => known.parts.extend(update.artifact.parts),
            Some(known) => *known = update.artifact,
            None => self.artifacts.push(update.artifact),
        }
    }
}
