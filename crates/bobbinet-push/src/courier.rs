//! What carries notifications to their receivers.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::{ContextId, Event, Generation, Secret, Task, TaskId, Timestamp};
use bobbinet_engine::PublicEvent;

/// Writes notifications and sends them.
#[async_trait]
pub trait Courier: fmt::Debug + Send + Sync + 'static {
    /// The place that a URL leads to, as far as receivers share one: its scheme, host and port.
    ///
    /// # Errors
    /// Why such a URL is never called, for the caller who asks for it.
    fn receiver(&self, url: &str) -> Result<String, String>;

    /// The same, once its name is resolved. A name that nobody knows now is no fault.
    ///
    /// # Errors
    /// Why it is not called.
    async fn check(&self, url: &str) -> Result<(), String>;

    /// How an event is told in this dialect.
    fn told(&self, dialect: &str, event: &Event) -> Told;

    /// The body of a notification.
    fn write(&self, dialect: &str, notification: &Notification) -> Vec<u8>;

    /// Sends a notification, and says what its receiver made of it. Given up when the time is up.
    async fn post(&self, to: &Destination, notification: &Notification, body: Vec<u8>) -> Posted;
}

/// How an event is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Not at all.
    Nothing,
    /// By what has happened.
    Event,
    /// By the whole task as it stands then.
    Task,
}

/// One thing that a receiver is told.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The task that it is about.
    pub task: TaskId,
    /// The context of that task.
    pub context: ContextId,
    /// Which of the task's events it is: together with the task's id it drops repeats.
    pub generation: Generation,
    /// When that happened.
    pub at: Timestamp,
    /// What is told.
    pub what: What,
}

/// What is told.
#[derive(Clone, Debug)]
pub enum What {
    /// The task as it stands.
    Task(Arc<Task>),
    /// What has happened to it.
    Event(Arc<PublicEvent>),
}

/// Where a notification goes, and what it needs there.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The URL.
    pub url: String,
    /// The version of A2A that is spoken there.
    pub dialect: Arc<str>,
    /// What the receiver knows us by.
    pub token: Option<Secret>,
    /// What stands in the `Authorization` header: a scheme, and what follows it.
    pub authorization: Option<Secret>,
}

/// What became of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It was taken.
    Taken,
    /// The receiver is gone for good.
    Gone,
    /// It is to be tried again.
    Failed {
        /// Why it was not taken, for people.
        why: String,
        /// How long the receiver wants us to wait.
        retry_after: Option<Duration>,
    },
}

impl Notification {
    /// What tells it apart from every other: the same when it is sent again.
    pub fn id(&self) -> String {
        format!("{}:{}", self.task, self.generation.0)
    }
}
