//! A call that its arguments give a key: under one key a caller's call is made once, whoever repeats it is answered with what the first
//! came to.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Effect, Fault, Json, Outcome, Refused, State, Task, TaskId, task::CallOutcome};
use bobbinet_engine::{Aggregates, ChildError, EngineError, Handle, Run};
use serde_json::{Value, json};

use crate::{
    borrowed_result::{self, SourceNote},
    call_key::{CallKey, CallKeyCommand, CallKeyId},
    call_listener::{Target, canceled, time_is_up},
    config::McpConfig,
    digest::hash_of,
};

/// The name in a result's metadata that says that it is another task's call that it came of.
const REPLAYED: &str = "replayed";

/// How soon what the store could not do is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What comes of looking for a call by its key.
pub(crate) enum CallOnce {
    /// Nothing is called: this is what there is to say.
    Done(Outcome),
    /// It is to be made; under this key, if it has one.
    Call(Option<KeyedCall>),
}

/// A call that is this run's to make.
pub(crate) struct KeyedCall {
    keys: Aggregates<CallKey>,
    id: CallKeyId,
}

/// A call with a key, on its way to be made or answered.
struct Keyed<'a> {
    run: &'a Run,
    target: &'a Target,
    pointer: &'a str,
    key: Value,
    arguments: String,
    id: CallKeyId,
    keys: Aggregates<CallKey>,
}

/// Looks whether the call was made under its key, is being made, or is this run's to make.
pub(crate) async fn look(config: &McpConfig, run: &Run, target: &Target) -> CallOnce {
    let Some(pointer) = config.idempotency.get(target.tool.as_str()) else { return CallOnce::Call(None) };
    // As it was asked for: what was uploaded for it is still an address there.
    let Some(arguments) = run.call().arguments.as_ref().map(Json::to_value) else { return CallOnce::Call(None) };
    let key = arguments.pointer(pointer).filter(|key| !key.is_null()).cloned();
    let Some(key) = key.filter(|_| run.call().effect != Effect::ReadOnly) else { return CallOnce::Call(None) };
    let id = CallKeyId::of(run.task(), target.tool.as_str(), &key);
    let keyed = Keyed { run, target, pointer, key, arguments: hash_of(&arguments), id, keys: run.aggregates() };
    match keyed.find_or_claim().await {
        Ok(None) => CallOnce::Call(Some(KeyedCall { keys: keyed.keys, id })),
        Ok(Some(outcome)) => CallOnce::Done(outcome),
        Err(ChildError::Over) => CallOnce::Done(canceled(target, 0)),
        Err(error @ (ChildError::Denied(_) | ChildError::Engine(_))) => {
            let text = format!("it cannot be seen whether it was made under its key: {error}. Nothing was called");
            CallOnce::Done(Outcome::Failed(Fault::new("key-unavailable", text)))
        }
    }
}

impl KeyedCall {
    /// What the call came to. One that surely was not made may be made by another task.
    pub(crate) async fn settle(self, run: &Run, outcome: Outcome) -> Outcome {
        match &outcome {
            Outcome::Failed(_) | Outcome::Rejected(_) => {}
            Outcome::Completed { .. }
            | Outcome::ToolError { .. }
            | Outcome::Unknown { .. }
            | Outcome::Unreadable(_)
            | Outcome::Declined
            | Outcome::LetGo { .. } => return outcome,
        }
        // Before the task's own end is in the log: whoever finds that it has ended finds the key free.
        loop {
            let released = self.keys.command(&self.id, CallKeyCommand::Release { task: run.task().id }).await;
            let Err(EngineError::Unavailable(_)) = released else { return outcome };
            if run.unless_over(tokio::time::sleep(LOOK_AGAIN)).await.is_err() {
                return outcome;
            }
        }
    }
}

impl Keyed<'_> {
    /// What the call came to that was made under the key, once it is over. `None`: it is this run's to make.
    async fn find_or_claim(&self) -> Result<Option<Outcome>, ChildError> {
        let own = self.run.task().id;
        loop {
            let instead_of = match self.known().await? {
                None => None,
                Some((_, first)) if first == own => return Ok(None),
                Some((key, first)) if !key.counts(self.run.now()) => Some(first),
                Some((key, first)) => match self.other(&first).await? {
                    None => return Ok(Some(self.gone(&first))),
                    Some((_, task)) if is_said_not_to_have_been(&task) => Some(first),
                    Some(_) if key.arguments != self.arguments => return Ok(Some(self.reused(&first))),
                    Some((handle, _)) => return self.wait(&handle).await.map(Some),
                },
            };
            let command = CallKeyCommand::Claim { task: own, arguments: self.arguments.clone(), instead_of };
            match self.keys.command(&self.id, command).await {
                Ok(_) => return Ok(None),
                // Another was faster, or it is not known whether this was kept: the next look says so.
                Err(EngineError::Refused(Refused::Present)) => {}
                Err(EngineError::Unavailable(_)) => self.run.unless_over(tokio::time::sleep(LOOK_AGAIN)).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The key, and the task that has it.
    async fn known(&self) -> Result<Option<(Arc<CallKey>, TaskId)>, ChildError> {
        loop {
            match self.keys.get(&self.id).await {
                Ok(key) => return Ok(key.and_then(|key| key.made_by.map(|first| (key, first)))),
                Err(EngineError::Unavailable(_)) => self.run.unless_over(tokio::time::sleep(LOOK_AGAIN)).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The task that has the key, unless it is not kept any more.
    async fn other(&self, first: &TaskId) -> Result<Option<(Handle, Arc<Task>)>, ChildError> {
        loop {
            match self.run.other_task(first).await {
                Ok(found) => return Ok(Some(found)),
                Err(ChildError::Engine(EngineError::NotFound)) => return Ok(None),
                Err(ChildError::Engine(EngineError::Unavailable(_))) => {
                    self.run.unless_over(tokio::time::sleep(LOOK_AGAIN)).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the task that makes the call, and gives what it came to.
    async fn wait(&self, first: &Handle) -> Result<Outcome, ChildError> {
        let (run, tool) = (self.run, &self.target.tool);
        if !run.call().effect.may_run_again() && run.checkpointed().is_none() {
            // Whoever takes this run over is to know that it has called nothing.
            self.keep_that_it_follows(&first.id()).await?;
        }
        let aside = run.step_aside_for_equal();
        let task = tokio::select! {
            biased;
            () = time_is_up(run) => {
                let text = format!("`{tool}` waited for the first call under its key until its time was up. Nothing was called");
                return Ok(Outcome::Failed(Fault::new("timed-out", text)));
            }
            task = run.settled(first) => task,
        };
        drop(aside);
        let task = match task {
            Err(ChildError::Engine(EngineError::NotFound)) => return Ok(self.gone(&first.id())),
            task => task?,
        };
        let was_made = self.known().await?.is_some_and(|(_, has_it)| has_it == task.id);
        let last = task.calls.last().and_then(|call| call.outcome);
        Ok(match (task.state, last) {
            (State::Completed, _) => self.replay(&task).await,
            (State::Failed, Some(CallOutcome::Failed)) if was_made => self.replay_error(&task),
            (State::InputRequired | State::AuthRequired, _) => self.not_over(
                "first-call-waits",
                &task,
                "waits for an answer. Give it, and then send this again",
            ),
            (_, _) if !was_made => {
                self.not_over("first-call-failed", &task, "has failed, and surely was not made. Send this again")
            }
            (_, _) => self.not_over(
                "first-call-unknown",
                &task,
                "has ended without a result, and may have been made all the same. Look before you call it under another key",
            ),
        })
    }

    async fn keep_that_it_follows(&self, first: &TaskId) -> Result<(), ChildError> {
        let checkpoint = Json::from(&json!({ "follows": first.to_string() }));
        loop {
            match self.run.checkpoint(checkpoint.clone()).await {
                Ok(()) => return Ok(()),
                Err(EngineError::Unavailable(_)) => self.run.unless_over(tokio::time::sleep(LOOK_AGAIN)).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What the first call came to, for this task, and marked so.
    async fn replay(&self, task: &Task) -> Outcome {
        let note = SourceNote { name: REPLAYED, value: named(&task.id) };
        let artifacts = borrowed_result::artifacts(self.run, task, &note).await;
        let words = format!("This call was made by task {} before, under the same key, and gave nothing back", task.id);
        let message = artifacts.is_empty().then(|| borrowed_result::message(self.run, task, &note, &words));
        Outcome::Completed { artifacts, message }
    }

    /// What the tool said when it said no.
    fn replay_error(&self, task: &Task) -> Outcome {
        let note = SourceNote { name: REPLAYED, value: named(&task.id) };
        let message = borrowed_result::message(self.run, task, &note, "the tool reported an error");
        Outcome::ToolError { artifacts: Vec::new(), message }
    }

    /// Another call has the key.
    fn reused(&self, first: &TaskId) -> Outcome {
        let Self { target, pointer, key, .. } = self;
        let text = format!(
            "an earlier call of `{}` has the same key ({pointer} is {key}) and other arguments: task {first}. A key is for one call: take \
             another, or send the same arguments. Nothing was called",
            target.tool
        );
        Outcome::Rejected(Fault { data: Some(named(first)), ..Fault::new("key-reused", text) })
    }

    fn gone(&self, first: &TaskId) -> Outcome {
        let text = format!(
            "`{}` was called under the same key by task {first}, which is not kept any more, nor what it came to. Nothing was called: look \
             before you call it under another key",
            self.target.tool
        );
        Outcome::Failed(Fault { data: Some(named(first)), ..Fault::new("first-call-gone", text) })
    }

    fn not_over(&self, code: &'static str, first: &Task, what: &str) -> Outcome {
        let said = first.status_message.as_ref().map(|message| message.text()).unwrap_or_default();
        let said = if said.is_empty() { said } else { format!(" (it says: {said})") };
        let text = format!("the first call of `{}` under this key, task {}, {what}{said}", self.target.tool, first.id);
        Outcome::Failed(Fault { data: Some(named(&first.id)), ..Fault::new(code, text) })
    }
}

/// Whether the owner of a task has said that its call did not happen.
fn is_said_not_to_have_been(task: &Task) -> bool {
    let last = task.calls.last().and_then(|call| call.outcome);
    task.state.is_terminal() && matches!(last, Some(CallOutcome::SaidToHaveFailed | CallOutcome::NotMade))
}

fn named(first: &TaskId) -> Json {
    Json::from(&json!({ "task": first.to_string() }))
}
