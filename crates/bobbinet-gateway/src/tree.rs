//! A task with all that its run has begun, and what those have begun in turn.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{AgentName, Caller, Task, TaskId};
use bobbinet_engine::{Engine, EngineError};

use crate::GatewayError;

/// Tasks beneath one that are told: a run may have begun ten thousand, and nobody reads so many.
pub const TREE_TASKS_MAX: usize = 1_000;

/// A task of a tree. A tree is the list of its tasks in the order in which it is read: each before its children.
#[derive(Clone, Debug)]
pub struct TreeTask {
    /// How far below the task that was asked for.
    pub depth: usize,
    /// What its parent calls it; nothing for the task that was asked for.
    pub name: Option<Arc<str>>,
    /// Its id.
    pub id: TaskId,
    /// The task as it stands; nothing if it was forgotten, or is only about to be.
    pub task: Option<Arc<Task>>,
    /// From its beginning to its end, or until now if it has not ended.
    pub lasted: Option<Duration>,
    /// How many of its children are left out, since there are too many in the tree.
    pub left_out: usize,
}

/// Reads a tree from its topmost task down.
pub(crate) async fn read(
    engine: &Engine,
    caller: &Caller,
    agent: &AgentName,
    top: Arc<Task>,
) -> Result<Vec<TreeTask>, GatewayError> {
    let now = engine.env().now();
    let mut tree = Vec::new();
    let mut next = vec![(0, None, top.id, Some(top))];
    // Those that wait to be read count: what is shown of a task's children is its first ones.
    let mut room = TREE_TASKS_MAX;
    while let Some((depth, name, id, known)) = next.pop() {
        let task = match known {
            Some(task) => Some(task),
            None => find(engine, caller, agent, &id).await?,
        };
        let mut left_out = 0;
        if let Some(task) = &task {
            let shown = task.children.len().min(room);
            room -= shown;
            left_out = task.children.len() - shown;
            let children = task.children[..shown].iter().rev();
            next.extend(children.map(|child| (depth + 1, Some(child.name.clone()), child.task, None)));
        }
        let lasted = task.as_ref().map(|task| {
            let end = if task.state.is_terminal() { task.status_at } else { now };
            end.since(task.created_at)
        });
        tree.push(TreeTask { depth, name, id, task, lasted, left_out });
    }
    Ok(tree)
}

/// A task of whichever agent: its parent's log does not say whose it is.
async fn find(
    engine: &Engine,
    caller: &Caller,
    agent: &AgentName,
    id: &TaskId,
) -> Result<Option<Arc<Task>>, GatewayError> {
    let others = engine.agents().map(|(name, _)| name).filter(|name| *name != agent);
    // What is of no agent with a URL is found at every agent's.
    for agent in std::iter::once(agent).chain(others) {
        match engine.get(caller, agent, id).await {
            Ok(task) => return Ok(Some(task)),
            Err(EngineError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
