//! How far a call has come at its server, in the log: what the run goes on with that takes it over, so that nothing is called twice.

use std::time::Duration;

use bobbinet_core::{Json, Outcome};
use bobbinet_engine::{EngineError, Run};
use serde::{Deserialize, Serialize};

use crate::{
    call_listener::{Target, unknown},
    server_questions::Questions,
};

/// How soon what our own store could not do is tried again.
const STORE_AGAIN: Duration = Duration::from_millis(200);

/// What is kept with our task. A call that comes to its end by one request keeps nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct CallCheckpoint {
    /// The server's own task that the call has become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<String>,
    /// Which replica of the server has it, if there are several.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) replica: usize,
    /// The names of what the server's task asked for and was told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) told: Vec<String>,
    /// Rounds of question and answer that the call has taken.
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) round: u32,
    /// What the server wants to know before the call is made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) questions: Option<Questions>,
    /// How many answers of our caller there were before that.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) answered: usize,
    /// How many messages of our caller had counted when a request went out that may go out only once. If there are no more, nobody has
    /// said since that it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sent_at: Option<usize>,
    /// Whether any of it is in the log.
    #[serde(skip)]
    is_kept: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

impl CallCheckpoint {
    /// What an earlier run has kept, if one has.
    pub(crate) fn of(run: &Run) -> Self {
        match run.checkpointed() {
            Some(kept) => Self { is_kept: true, ..kept.read().unwrap_or_default() },
            None => Self::default(),
        }
    }

    /// What there is to be said if a request went out that may go out only once, and nobody has heard what came of it.
    pub(crate) fn is_perhaps_made(&self, run: &Run, target: &Target) -> Option<Outcome> {
        let is_open = self.task.is_none() && self.sent_at == Some(run.task().counted.len());
        let may_repeat = run.call().effect.may_run_again();
        let why = "the process that made the call anew died before it knew the outcome";
        (is_open && !may_repeat).then(|| unknown("process-died", target, why, false))
    }

    /// Keeps it. Durable when this returns; a store that is away for a while is waited for.
    pub(crate) async fn keep(&mut self, run: &Run) -> Result<(), EngineError> {
        loop {
            match run.checkpoint(Json::of(self)).await {
                Err(EngineError::Unavailable(_)) => tokio::time::sleep(STORE_AGAIN).await,
                Ok(()) => {
                    self.is_kept = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps what does no harm if it is lost: the run goes on as far as it gets.
    async fn try_keep(&mut self, run: &Run) {
        if let Err(error) = self.keep(run).await {
            tracing::debug!(task = %run.task().id, %error, "how far a call has come is not kept");
        }
    }

    /// The server wants to know something before the call is made again.
    pub(crate) async fn park(&mut self, run: &Run, questions: Questions) {
        let answered = run.current().await.map_or(run.task().answers.len(), |task| task.answers.len());
        *self = Self {
            round: self.round + 1,
            questions: Some(questions),
            answered,
            is_kept: self.is_kept,
            ..Self::default()
        };
        self.try_keep(run).await;
    }

    /// A request is about to go out. Where something is kept, a run that took over would send it again: it is to know that it went.
    ///
    /// # Errors
    /// If that cannot be kept: then it must not go out.
    pub(crate) async fn send(&mut self, run: &Run) -> Result<(), EngineError> {
        if !self.is_kept || run.call().effect.may_run_again() {
            return Ok(());
        }
        self.sent_at = Some(counted(run).await);
        self.keep(run).await
    }

    /// The call has become a task of the server's.
    pub(crate) async fn took(&mut self, run: &Run, task: &str, replica: usize) {
        *self = Self { task: Some(task.to_owned()), replica, is_kept: self.is_kept, ..Self::default() };
        self.try_keep(run).await;
    }

    /// The server's task was told what it asked for under these names.
    pub(crate) async fn told(&mut self, run: &Run, names: impl Iterator<Item = String>) {
        self.told.extend(names);
        self.answered = run.current().await.map_or(self.answered, |task| task.answers.len());
        self.try_keep(run).await;
    }

    /// There is nothing at the server to go on with any more: whoever wants the call made anew has to say so.
    pub(crate) async fn lose(&mut self, run: &Run) {
        *self = Self { sent_at: Some(counted(run).await), is_kept: self.is_kept, ..Self::default() };
        self.try_keep(run).await;
    }

    /// The call begins anew: it may.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self { is_kept: self.is_kept, ..Self::default() };
    }
}

/// How many messages of our caller have counted by now.
async fn counted(run: &Run) -> usize {
    run.current().await.map_or(run.task().counted.len(), |task| task.counted.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_again_and_what_is_nothing_takes_no_room() {
        let check = |text: &str| {
            let read: CallCheckpoint = Json::parse(text).unwrap().read().unwrap();
            assert_eq!(Json::of(&read).as_str(), text);
            read
        };
        assert_eq!(check("{}").task, None);
        assert_eq!(check(r#"{"task":"t","replica":1,"told":["a"],"answered":1}"#).task.as_deref(), Some("t"));
        let asked = r#"{"round":2,"questions":{"list":[["who",{"mode":null,"message":"Who?","requestedSchema":{"type":"object"},"url":null,"key":"who"}]],"given":{"r":{"roots":[]}},"state":"s"},"answered":1,"sentAt":3}"#;
        assert_eq!(check(asked).questions.unwrap().state(), Some(&Json::of("s")));
    }
}
