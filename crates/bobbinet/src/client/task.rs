//! `bobbinet task`: looking at tasks, following, answering and canceling them.

use bobbinet_http::client::{Client as Connected, WithJson};
use bobbinet_wire::view::TaskView;

use super::{
    Client,
    follow::{Follow, Stand, Telling},
    owner::{find, owner},
    render,
    resolve::Agent,
    save::{self, Own},
    send::{Saying, say},
    show,
};
use crate::{
    cli::{Ending, Task, Waiting},
    failure::Failure,
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
            let own = Own { agent: &agent, url: connected.http_url() };
            ending.apply(client.output, &task.value, own).await
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
        Task::Download { id, artifact, folder, target } => {
            let (agent, connected, task) = find(&client.resolver(target).await, &id, Some(0)).await?;
            let own = Own { agent: &agent, url: connected.http_url() };
            save::download(client.output, &folder, &task.value, artifact.as_deref(), own).await
        }
        Task::Reply { id, parts, target, delivery } => {
            let parts = parts.into_parts()?;
            let agent = owner(&client.resolver(target).await, &id).await?;
            let saying = Saying { parts, task: Some(id), context: None, metadata: None, extensions: Vec::new() };
            let connected = agent.connect().await?;
            say(client, &agent, &connected, saying, &delivery, Telling::Whole).await
        }
        Task::PushConfig(command) => super::push_config::run(client, command).await,
        Task::Cancel { id, target } => {
            let agent = owner(&client.resolver(target).await, &id).await?;
            let connected = agent.connect().await?;
            let task = connected.cancel(&id).await.map_err(|error| agent.fault(error))?;
            tell(client, &agent, &task)
        }
    }
}

fn tell(client: &Client, agent: &Agent, task: &WithJson<TaskView>) -> Result<(), Failure> {
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
