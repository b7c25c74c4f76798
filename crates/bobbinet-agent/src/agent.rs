//! What an agent's author writes.

use bobbinet_core::{Message, Part};

use crate::{Answer, Card, Failure, Task};

/// An agent. Write `async fn run`; everything else has a default.
pub trait Agent: Send + Sync + 'static {
    /// What it is and what it can do. Asked once, when it is served.
    fn card(&self) -> Card;

    /// The answer to a message that needs no task: its caller gets it as a plain message, and nothing is kept. `None`, and the message
    /// begins a task.
    ///
    /// Quick, and without effects: it is called for every message that is to begin a task, and again if one comes twice. What has to wait
    /// for something is a task. Where there has to be a task all the same, such as a step of a flow, it is completed with these words.
    fn reply(&self, message: &Message) -> Option<Vec<Part>> {
        let _ = message;
        None
    }

    /// Does what the task's message asks. It is on disk that this begins; what it returns is on disk before anybody hears it.
    ///
    /// The future is dropped a few seconds after the task is cancelled, when its time is up and when the process is told to stop:
    /// [`Task::canceled`] tells before that.
    fn run(&self, task: Task) -> impl Future<Output = Result<Answer, Failure>> + Send;

    /// How many tasks run at a time. Those that come when there are so many wait, submitted. A task that waits for its caller does not
    /// count.
    fn runs_max(&self) -> usize {
        1_024
    }
}
