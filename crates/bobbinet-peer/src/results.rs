//! Following a task over there for what it comes to, of which nothing becomes ours but the result of the call.

use std::sync::Arc;

use bobbinet_core::{Outcome, State};
use bobbinet_engine::EngineError;
use bobbinet_http::ClientError;
use bobbinet_wire::{
    v0_3::response,
    view::{MessageView, Sent, StatusView, StreamEvent},
};
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::{
    fault,
    follow::{Following, Next},
    gathered::{Gathered, completed, json},
};

impl Following<'_> {
    /// Makes a word of the agent a part of the result.
    pub(crate) async fn gather(&mut self, event: StreamEvent) -> Result<Next, EngineError> {
        let Some(gathered) = &mut self.gathered else { return Ok(Next::GoOn) };
        if !gathered.add(&event) {
            let (what, max) = ("task_bytes_max", u64::try_from(gathered.bytes_max).unwrap_or(u64::MAX));
            return Err(EngineError::Limit { what, max });
        }
        let is_plain = gathered.is_plain;
        Ok(match event {
            StreamEvent::Message(MessageView { ref task_id, ref message, .. }) => {
                if task_id.is_some() || self.checkpoint.task.is_some() {
                    self.run.progress(Some(Arc::new(message.clone())), None);
                    return Ok(Next::GoOn);
                }
                let one = || json(|out| response::write_event(out, &event));
                Next::Over(completed(self.gathered.as_ref().and_then(Gathered::all).unwrap_or_else(one)))
            }
            StreamEvent::Task(task) if is_plain => {
                Next::Over(completed(json(|out| response::write_sent(out, &Sent::Task(task)))))
            }
            StreamEvent::Task(task) => {
                self.checkpoint.context = task.context_id.or(self.checkpoint.context.take());
                self.stands_gathered(task.status).await
            }
            StreamEvent::StatusUpdate(update) => self.stands_gathered(update.status).await,
            StreamEvent::ArtifactUpdate(_) => Next::GoOn,
        })
    }

    async fn stands_gathered(&mut self, status: StatusView) -> Next {
        match status.state {
            State::Submitted => Next::GoOn,
            State::Working => {
                if let Some(message) = status.message {
                    self.run.progress(Some(Arc::new(message)), None);
                }
                Next::GoOn
            }
            State::InputRequired | State::AuthRequired => Next::Ask(status),
            // How it has ended the result says: to the flow that is no error.
            State::Completed | State::Failed | State::Canceled | State::Rejected => Next::Over(self.result().await),
        }
    }

    /// The result of a call whose task has ended: all events, or the task as its agent shows it.
    pub(crate) async fn result(&mut self) -> Outcome {
        if let Some(all) = self.gathered.as_ref().and_then(Gathered::all) {
            return completed(all);
        }
        let history_length = self.gathered.as_ref().and_then(|gathered| gathered.history_length);
        let task = self.checkpoint.task.clone().unwrap_or_default();
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            let error = match self.client.get(&task, history_length).await {
                Ok(view) => return completed(json(|out| response::write_task(out, &view.value))),
                Err(error) => error,
            };
            debug!(task, tries, error = &error as &dyn std::error::Error, "a task that has ended is not shown");
            if matches!(error, ClientError::Rpc(_)) || begun.elapsed() >= self.peer.config.limits.silence_max {
                let why = format!("its task {task} has ended, and cannot be read: {}", fault::told(&error));
                return fault::unknown(&self.peer.config, &why, false);
            }
            sleep(self.peer.config.limits.pause(tries)).await;
            tries += 1;
        }
    }
}
