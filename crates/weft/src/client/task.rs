//! `weft task`: looking at tasks, following, answering and canceling them.

use serde_json::{Value, json};
use weft_http::client::{Answer, Client as Connected, ClientError};
use weft_wire::{
    ErrorKind,
    operation::ListParams,
    view::{PageView, TaskView},
};

use super::{
    Client,
    follow::{Follow, Telling},
    render,
    resolve::{Agent, Resolver},
    send::{Saying, say},
    show,
};
use crate::{
    cli::{Task, TaskList, Waiting},
    failure::{Code, Failure, label},
};

pub(super) async fn run(client: &Client, command: Task) -> Result<(), Failure> {
    match command {
        Task::List(list) => self::list(client, list).await,
        Task::Get { id, wait, history, waiting, target } => {
            let (agent, connected, task) = find(&client.resolver(target), &id, history).await?;
            if wait {
                let follow = follow(client, &agent, &connected, &waiting, Telling::Whole, history);
                return follow.poll(task.value).await;
            }
            tell(client, &agent, &task)
        }
        Task::Show { id, target } => {
            let agent = owner(&client.resolver(target), &id).await?;
            show::show(client.output, &agent, &id).await
        }
        Task::Subscribe { id, stream, after, waiting, target } => {
            let agent = owner(&client.resolver(target), &id).await?;
            let connected = agent.connect().await?;
            let telling = if stream { Telling::Live } else { Telling::Whole };
            let follow = follow(client, &agent, &connected, &waiting, telling, None);
            let stream = connected.subscribe(&id, after.as_deref()).await.map_err(|error| agent.fault(error))?;
            follow.stream(stream).await
        }
        Task::Reply { id, parts, target, delivery } => {
            let parts = parts.into_parts()?;
            let agent = owner(&client.resolver(target), &id).await?;
            let saying = Saying { parts, task: Some(id), context: None, metadata: None, extensions: Vec::new() };
            say(client, &agent, saying, &delivery).await
        }
        Task::Cancel { id, target } => {
            let agent = owner(&client.resolver(target), &id).await?;
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
    render::aftermath(&task.value, agent.name.as_deref());
    Ok(())
}

fn follow<'a>(
    client: &Client,
    agent: &'a Agent,
    connected: &'a Connected,
    waiting: &'a Waiting,
    telling: Telling,
    history: Option<u32>,
) -> Follow<'a> {
    Follow { agent, client: connected, output: client.output, waiting, telling, history, is_send: false }
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
            Err(ClientError::Rpc(error)) if error.kind() == Some(ErrorKind::TaskNotFound) => {
                missing = Some(agent.fault(ClientError::Rpc(error)));
            }
            Err(error) => return Err(agent.fault(error)),
        }
    }
    Err(missing.unwrap_or_else(|| Failure::new(Code::Internal, "there is no agent to ask")))
}

async fn list(client: &Client, command: TaskList) -> Result<(), Failure> {
    let TaskList { state, context_id, page_size, page_token, target, stream } = command;
    let agents = client.resolver(target).all()?;
    if page_token.is_some() && agents.len() > 1 {
        let failure = Failure::new(Code::Usage, "a page token belongs to the list of one agent");
        return Err(failure.hint("say which: -a AGENT"));
    }
    let params = ListParams { context: context_id, state, page_size, page_token, ..ListParams::default() };
    let mut pages = Vec::new();
    for agent in &agents {
        let connected = agent.connect().await?;
        let page = connected.list(params.clone()).await.map_err(|error| agent.fault(error))?;
        pages.push((agent, page));
    }
    if client.output.is_json() {
        return list_json(client, pages, stream);
    }
    let mut tasks: Vec<(&Agent, TaskView)> = Vec::new();
    let (mut total, mut more) = (0, Vec::new());
    for (agent, Answer { value: PageView { tasks: page, next_page_token, total_size }, .. }) in pages {
        total += total_size;
        more.extend(next_page_token.filter(|token| !token.is_empty()).map(|token| (agent, token)));
        tasks.extend(page.into_iter().map(|task| (agent, task)));
    }
    tasks.sort_by_key(|(_, task)| std::cmp::Reverse(task.status.at));
    for (agent, task) in &tasks {
        render::list_entry(client.output, agent.name.as_deref(), task)?;
    }
    client.output.field("Total", total)?;
    for (agent, token) in more {
        let cyan = label();
        let target = agent.name.as_deref().unwrap_or(&agent.url);
        anstream::eprintln!("{cyan}hint:{cyan:#} there are more: weft task list -a {target} --page-token {token}");
    }
    Ok(())
}

/// One agent's page as it came; the pages of several put together, newest first, in the same form.
fn list_json(client: &Client, pages: Vec<(&Agent, Answer<PageView>)>, stream: bool) -> Result<(), Failure> {
    if let ([(_, page)], false) = (pages.as_slice(), stream) {
        return client.output.raw(page.json.as_str());
    }
    let page = merged(&pages);
    match stream {
        true => page["tasks"].as_array().into_iter().flatten().try_for_each(|task| client.output.json(task)),
        false => client.output.json(&page),
    }
}

fn merged(pages: &[(&Agent, Answer<PageView>)]) -> Value {
    let mut tasks: Vec<Value> = Vec::new();
    for (_, page) in pages {
        tasks.extend(page.json.to_value()["tasks"].as_array().cloned().unwrap_or_default());
    }
    tasks.sort_by(|a, b| b["status"]["timestamp"].as_str().cmp(&a["status"]["timestamp"].as_str()));
    let total: u64 = pages.iter().map(|(_, page)| page.value.total_size).sum();
    let size = tasks.len();
    json!({ "tasks": tasks, "nextPageToken": "", "pageSize": size, "totalSize": total })
}
