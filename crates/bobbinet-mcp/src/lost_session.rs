//! A context whose session is lost, and with it what the server kept for it: told, as an empty state looks like any other.
//!
//! Nothing is written down of sessions. Whether one had something to lose, the log says: the calls that were made in its context.

use bobbinet_core::{Effect, Fault, QuestionKind, Task, task::CallOutcome};
use bobbinet_engine::Run;

use crate::catalog::Catalog;

/// How many tasks of a context are looked at, the newest ones.
const LOOKED_AT_MAX: usize = 200;

/// What there is to say to a call whose session is lost.
pub(crate) fn fault(agent: &str, task: &Task) -> Fault {
    let text = format!(
        "the session of context {} with the MCP server of agent `{agent}` is lost, and with it what the server kept there: it has ended with its \
         server or with the node, or since nobody had used it for a while. Begin a new context; or, if that is nothing to you, say `on_lost: new` below \
         `share` of the agent",
        task.context
    );
    Fault::new("session-lost", text)
}

/// Whether earlier calls of the run's context have left something at the server. Asked where there is no session that would have it.
///
/// # Errors
/// If that cannot be seen.
pub(crate) async fn has_left_something(run: &Run, catalog: Option<&Catalog>) -> Result<bool, Fault> {
    if run.checkpointed().is_some() {
        // It goes on with what the server keeps by a name of its own.
        return Ok(false);
    }
    let others = run.others_in_context(LOOKED_AT_MAX).await.map_err(|error| {
        Fault::new("session-unknown", format!("it cannot be seen what was called in the context before: {error}"))
    })?;
    Ok(others.iter().any(|task| leaves_something(task, catalog)))
}

fn leaves_something(task: &Task, catalog: Option<&Catalog>) -> bool {
    let asks_what_became = task.question.as_ref().is_some_and(|question| match question.kind {
        QuestionKind::Outcome { .. } => true,
        QuestionKind::Input | QuestionKind::Elicitation | QuestionKind::Authorization => false,
    });
    task.calls.iter().any(|call| {
        let reads = call.effect == Effect::ReadOnly
            || call
                .skill
                .as_ref()
                .and_then(|skill| catalog?.get(skill.as_str()))
                .is_some_and(|tool| tool.is_said_to_read);
        let was_made = match call.outcome {
            // One that is on its way is in a session of its own time.
            None => asks_what_became,
            Some(
                CallOutcome::Done
                | CallOutcome::Unknown
                | CallOutcome::Declined
                | CallOutcome::SaidToHaveHappened
                | CallOutcome::Late,
            ) => true,
            Some(CallOutcome::Failed | CallOutcome::NotMade | CallOutcome::SaidToHaveFailed) => false,
        };
        was_made && !reads
    })
}
