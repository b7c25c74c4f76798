//! Putting the question what is to become of changed tools to the node's owner: one open task for the changes that there are.

use std::time::Duration;

use bobbinet_core::{AgentName, Caller, ContextId, State, Task, TaskId};
use bobbinet_engine::{Engine, EngineError, Filter, NewTask};
use tokio::time::Instant;

use crate::{agent::McpAgent, tool_question};

/// How soon what the node could not do is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How often it is looked whether a question is still open: one that nobody answers ends some day.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// How long after a question that was canceled, or has ended without an answer, the same is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Open questions about one agent's tools that are looked at. There is one, as a rule.
const OPEN_MAX: usize = 100;

/// Asks `owner` about each change of what the agent's server says of its tools, as tasks of the agent of this name. Returns when the
/// engine takes no more. Safe to drop; what was asked stays asked.
pub async fn ask_owner(agent: &McpAgent, name: &AgentName, engine: &Engine, owner: &Caller) {
    let Ok(context) = ContextId::parse(&format!("tool-changes-{name}")) else { return };
    let mut asked = None;
    loop {
        let changed = agent.pins().changed();
        match look(agent, name, engine, owner, &context, &mut asked).await {
            Ok(()) => tokio::select! {
                biased;
                () = changed => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            },
            Err(EngineError::Draining) => return,
            Err(error) => {
                tracing::warn!(agent = %name, %error, "the node's owner could not be asked about changed tools; trying again");
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// Sees to it that what is to be decided is asked, and nothing else.
async fn look(
    agent: &McpAgent,
    name: &AgentName,
    engine: &Engine,
    owner: &Caller,
    context: &ContextId,
    asked: &mut Option<(String, Instant)>,
) -> Result<(), EngineError> {
    let open = agent.pins().open().map(|open| open.id);
    let mut is_asked = false;
    for (task, changes) in questions(name, engine, owner, context).await? {
        if open.as_ref() == Some(&changes) && !is_asked {
            is_asked = true;
            continue;
        }
        // It is no question any more. One that is answered at this moment says so itself.
        match engine.cancel(owner, name, &task).await {
            Ok(_) | Err(EngineError::Refused(_) | EngineError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    let Some(open) = open else { return Ok(()) };
    if is_asked {
        *asked = Some((open, Instant::now()));
        return Ok(());
    }
    let was_asked = asked.as_ref().is_some_and(|(known, at)| *known == open && at.elapsed() < ASK_AGAIN);
    if was_asked {
        return Ok(());
    }
    let message = tool_question::opening(agent.pins(), agent.pins().message_id(&open));
    let new = NewTask { message, context: Some(context.clone()), skill: None, trace: None, idempotency: None };
    let task = engine.submit(owner, name, new)?.accepted().await?;
    tracing::info!(agent = %name, task = %task.id, "the node's owner is asked about changed tools");
    *asked = Some((open, Instant::now()));
    Ok(())
}

/// The questions that are open, with what each is about.
async fn questions(
    name: &AgentName,
    engine: &Engine,
    owner: &Caller,
    context: &ContextId,
) -> Result<Vec<(TaskId, String)>, EngineError> {
    let filter = Filter {
        context: Some(context.clone()),
        state: Some(State::InputRequired),
        page_size: OPEN_MAX,
        bytes_max: usize::MAX,
        ..Filter::default()
    };
    let tasks = engine.list(owner, name, filter).await?.tasks;
    let about = |task: &Task| Some((task.id, tool_question::changes_of(task.question.as_deref()?)?));
    Ok(tasks.iter().filter(|task| task.owner == owner.principal).filter_map(|task| about(task)).collect())
}
