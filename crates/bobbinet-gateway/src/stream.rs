//! What a reader of a task is told, and until when, in any binding: the task as it stands, then every public event.

use std::sync::Arc;

use bobbinet_core::{ContextId, Event, Generation, State, Task, TaskId};
use bobbinet_engine::{EngineError, Follower, PublicEvent};

use crate::admission::StreamPermit;

/// Where a reader that comes back says it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It has all up to this generation.
    After(Generation),
    /// What it says is no generation: it was not told so by us.
    Unreadable,
}

/// Until when a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// The task's end: of a subscription.
    End,
    /// The task's end or its next question to the caller: of a message that was sent, which has its answer then (A2A
    /// specification section 11.7). A caller who sends in turns would wait for ever otherwise. What is authorised elsewhere goes
    /// on without another message, so that question ends no stream.
    Question,
}

/// One thing that a reader is told.
#[derive(Clone, Debug)]
pub enum StreamItem {
    /// The whole task as it stands. `is_resync`: because the reader's cursor is none of ours, or what followed it is gone.
    Task {
        /// The task with everything that has happened to it.
        task: Arc<Task>,
        /// Whether the reader asked for something else.
        is_resync: bool,
    },
    /// What has happened next.
    Event(Arc<PublicEvent>),
}

/// The events of one task, for one reader. It reads the log from its own cursor, and only when it is asked: a slow reader holds
/// up nobody.
#[derive(Debug)]
pub struct TaskStream {
    task: TaskId,
    context: ContextId,
    follower: Follower,
    /// What is told first, and whether as a resync.
    snapshot: Option<(Arc<Task>, bool)>,
    /// What the reader has been told already, in one piece.
    told: Generation,
    until: Until,
    /// The generation of what is told first.
    first: Generation,
    /// The first question that can end the stream: what was asked before has been answered already, and is told as what it is.
    asks_from: Generation,
    is_over: bool,
    _permit: StreamPermit,
}

impl TaskStream {
    fn new(task: &Task, follower: Follower, permit: StreamPermit) -> Self {
        Self {
            task: task.id,
            context: task.context.clone(),
            follower,
            snapshot: None,
            told: Generation(0),
            // All there is, unless it is said otherwise.
            first: Generation(1),
            until: Until::End,
            asks_from: asks_from(task),
            is_over: false,
            _permit: permit,
        }
    }

    /// What a message comes to that has begun a task: all that happens to it from its submission on, until it asks.
    pub(crate) fn begun(task: &Task, follower: Follower, permit: StreamPermit) -> Self {
        Self { until: Until::Question, ..Self::new(task, follower, permit) }
    }

    /// What a message comes to that has answered a task: the task as it stands, then what comes after that, until it asks.
    pub(crate) fn answered(task: Arc<Task>, follower: Follower, permit: StreamPermit) -> Self {
        let begun = Self::begun(&task, follower, permit);
        Self { first: task.generation, snapshot: Some((task, false)), ..begun }
    }

    /// What comes after the follower's cursor, which stands at this generation, and nothing else.
    pub(crate) fn after(task: &Task, cursor: Generation, follower: Follower, permit: StreamPermit) -> Self {
        Self { first: Generation(cursor.0 + 1), ..Self::new(task, follower, permit) }
    }

    /// The task as it stands, then what comes after that.
    pub(crate) fn after_snapshot(task: Arc<Task>, follower: Follower, permit: StreamPermit) -> Self {
        let stream = Self::new(&task, follower, permit);
        Self { first: task.generation, snapshot: Some((task, false)), ..stream }
    }

    /// The same for a reader whose cursor is none of ours.
    pub(crate) fn resync(task: Arc<Task>, follower: Follower, permit: StreamPermit) -> Self {
        let stream = Self::new(&task, follower, permit);
        Self { first: task.generation, snapshot: Some((task, true)), ..stream }
    }

    /// The id of the task that is followed.
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// The context that the task belongs to.
    pub fn context(&self) -> &ContextId {
        &self.context
    }

    /// The generation of what is told first. Each thing after it has the one after that of the last, whatever it is.
    pub fn first(&self) -> Generation {
        self.first
    }

    /// Whether what was told last ends the stream, though the task goes on: its caller has to say something first.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The next thing to tell, or `None` after the last one. Waits until there is one. Safe to drop at any time: nothing is skipped.
    ///
    /// # Errors
    /// If the store fails where it must be read, or the node stops.
    pub async fn next(&mut self) -> Result<Option<StreamItem>, EngineError> {
        if let Some((task, is_resync)) = self.snapshot.take() {
            return Ok(Some(self.tell_task(task, is_resync)));
        }
        while !self.is_over {
            let Some(told) = self.follower.next().await? else {
                self.is_over = true;
                break;
            };
            if told.generation <= self.told {
                continue;
            }
            if let Event::Submitted(submitted) = &told.event {
                let task = Task::begin(self.task, told.at, submitted);
                return Ok(Some(self.tell_task(Arc::new(task), false)));
            }
            if told.event.is_public() {
                self.told = told.generation;
                let is_open = told.generation >= self.asks_from && is_question(&told.event);
                self.is_over |= self.until == Until::Question && is_open;
                return Ok(Some(StreamItem::Event(told)));
            }
        }
        Ok(None)
    }

    fn tell_task(&mut self, task: Arc<Task>, is_resync: bool) -> StreamItem {
        self.told = task.generation;
        self.is_over |= self.until == Until::Question && task.state == State::InputRequired;
        StreamItem::Task { task, is_resync }
    }
}

/// The question that the task waits with now, or whichever comes next.
fn asks_from(task: &Task) -> Generation {
    match task.question {
        Some(_) => task.asked,
        None => Generation(task.generation.0 + 1),
    }
}

/// Whether the task waits for another message of its caller now.
fn is_question(event: &Event) -> bool {
    matches!(event, Event::Asked { question } if question.kind.state() == State::InputRequired)
}
