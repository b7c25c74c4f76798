//! `bobbinet task`: looking at tasks, following, answering and canceling them.

use bobbinet_http::client::{Answer, Client as Connected, ClientError};
use bobbinet_wire::{ErrorKind, view::TaskView};

use super::{
    Client,
    follow::{Follow, Stand, Telling},
    render,
    resolve::{Agent, Resolver},
    send::{Saying, say},
    show,
};
use crate::{
    cli::{Ending, Task, Waiting},
    failure::{Code, Failure},
};

pub(super) async fn run(client: &Client, command: Task) -> Result<(), Failure> {
    match command {
        Task::List(list) => super::list::list(client, list).await,
        Task::Get { id, wait, history, waiting, ending, target } => {
            let (agent, connected, task) = find(&client.resolver(target).await, &id, history).await?;
            if wait {
                let follow = follow(client, &agent, &connected, (&waiting, &ending), Telling::Whole, history);
                return follow.poll(Stand::of(task)?).await;
            }
            tell(client, &agent, &task)?;
            ending.apply(client.output, &task.value)
        }
        Task::Show { id, target } => {
            let agent = owner(&client.resolver(target).await, &id).await?;
            show::show(client.output, &agent, &id).await
        }
        Task::Subscribe { id, stream, after, waiting, ending, target } => {
            let agent = owner(&client.resolver(target).await, &id).await?;
            let connected = agent.connect().await?;
            let telling = if stream { Telling::Live } else { Telling::Whole };
            let follow = follow(client, &agent, &connected, (&waiting, &ending), telling, None);
            follow.subscribe(&id, after.as_deref()).await
        }
        Task::Reply { id, parts, target, delivery } => {
            let parts = parts.into_parts()?;
            let agent = owner(&client.resolver(target).await, &id).await?;
            let saying = Saying { parts, task: Some(id), context: None, metadata: None, extensions: Vec::new() };
            let connected = agent.connect().await?;
            say(client, &agent, &connected, saying, &delivery).await
        }
        Task::Cancel { id, target } => {
            let agent = owner(&client.resolver(target).await, &id).await?;
            let connected = agent.connect().await?;
            let task = connected.cancel(&id).await.map_err(|error| agent.fault(error))?;
            tell(client, &agent, &task)
        }
    }
}

fn tell(client: &Client, agent: &Agent, task: &Answer<TaskView>) -> Result<(), Failure> {
    if client.output.is_json() {
        client.output.raw(task.json.as_str())?;
    } else {
        render::task(client.output, &task.value)?;
    }
    render::aftermath(&task.value, Some(agent.reference()));
    Ok(())
}

fn follow<'a>(
    client: &Client,
    agent: &'a Agent,
    connected: &'a Connected,
    (waiting, ending): (&'a Waiting, &'a Ending),
    telling: Telling,
    history: Option<u32>,
) -> Follow<'a> {
    let (output, deadline) = (client.output, waiting.deadline());
    Follow { agent, client: connected, output, waiting, ending, deadline, telling, history, is_send: false }
}

/// The agent that has this task. Where several may have it, each is asked: a task's id does not name its agent.
pub(super) async fn owner(resolver: &Resolver, id: &str) -> Result<Agent, Failure> {
    let mut agents = resolver.all()?;
    if agents.len() == 1 {
        return Ok(agents.swap_remove(0));
    }
    find(resolver, id, Some(0)).await.map(|(agent, _, _)| agent)
}

async fn find(
    resolver: &Resolver,
    id: &str,
    history: Option<u32>,
) -> Result<(Agent, Connected, Answer<TaskView>), Failure> {
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
