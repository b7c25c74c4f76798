//! What the kit's scenarios ask for.

use std::time::Duration;

use bobbinet_agent::{Answer, Failure, Json, Message, Part, Task, file};
use serde_json::json;

/// Twice as long as the kit waits for a stream.
const LONG: Duration = Duration::from_secs(5);

/// What is to be done with a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Behaviour {
    /// Words, and no task.
    Say(&'static str),
    /// The task ends with a message.
    Complete,
    /// The task ends with this artifact.
    Make(Part),
    /// The task ends with an artifact that comes in pieces.
    InChunks,
    /// The task asks, and does what the answer says.
    Ask,
    /// The task is rejected.
    Reject,
    /// The task is at work for a while.
    TakeTime,
    /// The task says back what it is told.
    Echo,
}

impl Behaviour {
    /// What the id of a message asks for. The longest beginning counts, so longer ones stand first.
    pub(crate) fn of(message: &Message) -> Self {
        let text = |text: &str| Self::Make(Part::text(text));
        let output = || file("output.txt", "text/plain", "Generated file content");
        let table = [
            ("tck-complete-task", Self::Complete),
            ("tck-artifact-text", text("Generated text content")),
            ("tck-artifact-file-url", {
                Self::Make(Part::url("https://example.com/output.txt").named("output.txt", "text/plain"))
            }),
            ("tck-artifact-file", Self::Make(output())),
            ("tck-artifact-data", Self::Make(Part::data(Json::of(&json!({ "key": "value", "count": 42 }))))),
            ("tck-message-response", Self::Say("Direct message response")),
            ("tck-input-required", Self::Ask),
            ("tck-reject-task", Self::Reject),
            ("tck-stream-001", text("Stream hello from TCK")),
            ("tck-stream-002", Self::Complete),
            ("tck-stream-003", text("Stream task lifecycle")),
            ("tck-stream-ordering-001", text("Ordered output")),
            ("tck-stream-artifact-text", text("Streamed text content")),
            ("tck-stream-artifact-file", Self::Make(output())),
            ("tck-stream-artifact-chunked", Self::InChunks),
            ("test-resubscribe-message-id", Self::TakeTime),
        ];
        let is_it = |(beginning, _): &(&str, Self)| message.id.as_str().starts_with(beginning);
        table.into_iter().find(is_it).map_or(Self::Echo, |(_, behaviour)| behaviour)
    }
}

/// Does what the task's message says, and, once it has asked, what the answer says.
pub(crate) async fn follow(task: &Task) -> Result<Answer, Failure> {
    let mut message = task.message().clone();
    loop {
        match Behaviour::of(&message) {
            Behaviour::Ask => message = task.ask("What now?").await?,
            // In a task, words are its end.
            Behaviour::Say(text) => return Ok(Answer::nothing().saying(text)),
            Behaviour::Complete => return Ok(Answer::nothing().saying("Hello from TCK")),
            Behaviour::Make(part) => return Ok(Answer::artifact("output", vec![part])),
            Behaviour::InChunks => {
                let mut output = task.chunked("output");
                output.push(Part::text("chunk-1 ")).await?;
                output.finish(Part::text("chunk-2")).await?;
                return Ok(Answer::nothing());
            }
            Behaviour::Reject => return Err(Failure::rejected("rejected")),
            Behaviour::TakeTime => {
                tokio::time::sleep(LONG).await;
                return Ok(Answer::nothing());
            }
            Behaviour::Echo => return Ok(Answer::artifact("echo", message.parts)),
        }
    }
}
