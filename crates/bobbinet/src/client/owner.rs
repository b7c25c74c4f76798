//! Which agent has a task: an id alone does not say.

use bobbinet_http::client::{Client as Connected, ClientError, WithJson};
use bobbinet_wire::{ErrorKind, view::TaskView};

use super::resolve::{Agent, Resolver};
use crate::failure::{Code, Failure};

/// The agent that has this task. Where several may have it, each is asked: a task's id does not name its agent.
pub(super) async fn owner(resolver: &Resolver, id: &str) -> Result<Agent, Failure> {
    let mut agents = resolver.all()?;
    if agents.len() == 1 {
        return Ok(agents.swap_remove(0));
    }
    find(resolver, id, Some(0)).await.map(|(agent, _, _)| agent)
}

/// The agent that has this task, and the task with as much of its history as is wanted.
pub(super) async fn find(
    resolver: &Resolver,
    id: &str,
    history: Option<u32>,
) -> Result<(Agent, Connected, WithJson<TaskView>), Failure> {
    let mut missing = None;
    for agent in resolver.all()? {
        let connected = agent.connect().await?;
        match connected.get(id, history).await {
            Ok(task) => return Ok((agent, connected, task)),
            Err(ClientError::Rpc(error)) if error.kind == Some(ErrorKind::TaskNotFound) => {
                missing = Some(agent.fault(ClientError::Rpc(error)));
            }
            Err(error) => return Err(agent.fault(error)),
        }
    }
    Err(missing.unwrap_or_else(|| Failure::new(Code::Internal, "there is no agent to ask")))
}
