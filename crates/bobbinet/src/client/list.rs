//! `bobbinet task list`: the tasks of one agent, or of several put together, the newest first, page by page.

use std::{cmp::Reverse, collections::BTreeMap};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_core::{
    Json, Role,
    agent::EXTENSION_URI,
    operation::{ListParams, PAGE_SIZE_DEFAULT},
    text,
};
use bobbinet_http::client::{Client as Connected, WithJson};
use bobbinet_wire::view::{PageView, TaskView};
use comfy_table::{Table, presets::NOTHING};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Client, render, resolve::Agent, show, tree};
use crate::{
    cli::TaskList,
    failure::{Code, Failure},
    format::Format,
    remark::{Remark, remark},
    shell::Typed,
};

/// How much of a task's history is looked at for the tool that it was begun for: most have a question or two.
const HISTORY_FOR_TOOL: u32 = 8;

/// Characters of a tool's name in a table: a message's first word may be anything.
const TOOL_LENGTH_MAX: usize = 40;

/// `bobbinet task list`
pub(super) async fn list(client: &Client, command: TaskList) -> Result<(), Failure> {
    let TaskList { state, context_id, page_size, page_token, target, stream, tree } = command;
    let agents = client.resolver(target).await.all()?;
    // The tool's name is in what was said first.
    let history_length = (client.output.format == Format::Table).then_some(HISTORY_FOR_TOOL);
    let filter = ListParams { context: context_id, state, page_size, history_length, ..ListParams::default() };
    let more = match agents.as_slice() {
        [agent] if tree => {
            let page = of_one(agent, ListParams { page_token, ..filter.clone() }).await?.value;
            let next = page.next_page_token.filter(|token| !token.is_empty());
            let tasks = page.tasks.iter().map(|task| (agent, task.id.as_str())).collect();
            tell_trees(client, tasks, next, page.total_size).await?
        }
        agents if tree => {
            let Merged { tasks, total, next } = of_several(agents, &filter, page_token.as_deref()).await?;
            let tasks = tasks.iter().map(|entry| (entry.agent, entry.task.id.as_str())).collect();
            tell_trees(client, tasks, next, total).await?
        }
        [agent] => {
            let page = of_one(agent, ListParams { page_token, ..filter.clone() }).await?;
            tell_one(client, agent, page, stream)?
        }
        agents => {
            let page = of_several(agents, &filter, page_token.as_deref()).await?;
            tell_several(client, page, &filter, stream)?
        }
    };
    // A document says it itself.
    if let Some(token) = more.filter(|_| stream || !client.output.is_json()) {
        let agent = match agents.as_slice() {
            [agent] => Some(agent.reference()),
            _ => None,
        };
        remark(Remark::Hint, format_args!("there are more: {}", next_command(agent, &filter, &token, tree)));
    }
    Ok(())
}

async fn of_one(agent: &Agent, params: ListParams) -> Result<WithJson<PageView>, Failure> {
    let connected = agent.connect().await?;
    connected.list(params).await.map_err(|error| agent.fault(error))
}

/// Says a page; gives where the next one begins.
fn tell_one(client: &Client, agent: &Agent, page: WithJson<PageView>, stream: bool) -> Result<Option<String>, Failure> {
    let WithJson { value, json } = page;
    match (client.output.is_json(), stream) {
        (true, true) => documents(&json.to_value()).iter().try_for_each(|task| client.output.json(task))?,
        (true, false) => client.output.raw(json.as_str())?,
        (false, _) => {
            let entries = value.tasks.iter().map(|task| (agent, task));
            tell(client, entries, value.total_size)?;
        }
    }
    Ok(value.next_page_token.filter(|token| !token.is_empty()))
}

/// Says the trees of a page's tasks. One that is in the tree of another is told there alone.
async fn tell_trees(
    client: &Client,
    tasks: Vec<(&Agent, &str)>,
    next: Option<String>,
    total: u64,
) -> Result<Option<String>, Failure> {
    let mut trees = Vec::new();
    let mut connected: BTreeMap<&str, Connected> = BTreeMap::new();
    for (agent, id) in tasks {
        if !connected.contains_key(agent.url.as_str()) {
            connected.insert(&agent.url, agent.connect().await?);
        }
        trees.push(show::fetch(agent, &connected[agent.url.as_str()], &format!("{id}/tree")).await?);
    }
    let inner = tree::beneath(&trees);
    trees.retain(|tree| !tree["id"].as_str().is_some_and(|id| inner.contains(id)));
    if client.output.is_json() {
        client.output.json(&json!({
            "trees": trees, "nextPageToken": next.as_deref().unwrap_or_default(), "totalSize": total,
        }))?;
    } else {
        tree::lines_of_roots(&trees).into_iter().try_for_each(|line| client.output.line(line))?;
        client.output.field("Total", total)?;
    }
    Ok(next)
}

fn tell<'a>(
    client: &Client,
    tasks: impl IntoIterator<Item = (&'a Agent, &'a TaskView)>,
    total: u64,
) -> Result<(), Failure> {
    if client.output.format == Format::Table {
        client.output.line(table(tasks))?;
        return client.output.field("Total", total);
    }
    for (agent, task) in tasks {
        render::list_entry(client.output, agent.name.as_deref(), task)?;
    }
    client.output.field("Total", total)
}

/// One task to a line. It is as wide as it is, so that each line is one whatever the terminal.
fn table<'a>(tasks: impl IntoIterator<Item = (&'a Agent, &'a TaskView)>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["TASK", "STATE", "AGENT", "TOOL", "SINCE"]);
    for (agent, task) in tasks {
        let since = task.status.at.map(|at| at.to_string()).unwrap_or_default();
        let agent = agent.name.as_deref().unwrap_or(&agent.url);
        let tool = tool(task).unwrap_or_else(|| "-".to_owned());
        table.add_row(
            [&task.id, task.status.state.as_str(), agent, &tool, &since].map(|cell| text::line(cell).into_owned()),
        );
    }
    table
}

/// The tool that a task was begun for, if the first message that is shown says so: in our extension's words, in a data
/// part, or as the first word of a text.
fn tool(task: &TaskView) -> Option<String> {
    let asked = task.history.iter().find(|message| message.role == Role::User)?;
    let named = |value: &Value| {
        ["skill", "skillId", "tool", "name"].iter().find_map(|word| Some(value.get(word)?.as_str()?.to_owned()))
    };
    let note = asked.metadata.as_ref().map(Json::to_value).unwrap_or_default();
    let by_note = note.get(EXTENSION_URI).and_then(|note| note.as_str().map(str::to_owned).or_else(|| named(note)));
    let by_data = || asked.parts.iter().find_map(|part| named(&part.as_data()?.to_value()));
    let by_text = || {
        let said = asked.text();
        if said.trim_start().starts_with('{') {
            return serde_json::from_str(&said).ok().as_ref().and_then(named);
        }
        said.split_whitespace().next().map(|word| word.trim_start_matches('/').to_owned())
    };
    by_note.or_else(by_data).or_else(by_text).map(|name| name.chars().take(TOOL_LENGTH_MAX).collect())
}

/// A page of the tasks of several agents.
struct Merged<'a> {
    tasks: Vec<ListedTask<'a>>,
    total: u64,
    next: Option<String>,
}

struct ListedTask<'a> {
    agent: &'a Agent,
    task: TaskView,
    json: Value,
}

/// The newest tasks of several agents together. Of each agent's page only what is newer than the others' counts; what
/// is left of it begins the agent's next page.
async fn of_several<'a>(agents: &'a [Agent], filter: &ListParams, token: Option<&str>) -> Result<Merged<'a>, Failure> {
    let mut tokens = token.map_or_else(|| Ok(PageTokens::default()), PageTokens::read)?;
    let (mut entries, mut total, mut read) = (Vec::new(), 0, Vec::new());
    for agent in agents {
        let connected = agent.connect().await?;
        let has_ended = tokens.0.get(&agent.url).is_some_and(Option::is_none);
        // Of one that has shown all it has, only the number is wanted.
        let page_size = if has_ended { 1 } else { filter.page_size };
        let params = ListParams { page_size, page_token: tokens.token_of(agent), ..filter.clone() };
        let WithJson { value, json } = connected.list(params).await.map_err(|error| agent.fault(error))?;
        total += value.total_size;
        if has_ended {
            continue;
        }
        let next = value.next_page_token.filter(|token| !token.is_empty());
        read.push(Read { agent, connected, next, tasks: value.tasks.len() });
        let tasks = value.tasks.into_iter().zip(documents(&json.to_value()));
        entries.extend(tasks.map(|(task, json)| ListedTask { agent, task, json }));
    }
    entries.sort_by_key(|entry| Reverse(entry.task.status.at));
    entries.truncate(filter.page_size as usize);
    let mut is_over = true;
    for Read { agent, connected, next, tasks } in read {
        let shown = entries.iter().filter(|entry| entry.agent.url == agent.url).count();
        if shown == tasks {
            is_over &= next.is_none();
            tokens.0.insert(agent.url.clone(), next);
            continue;
        }
        is_over = false;
        if let Ok(page_size @ 1..) = u32::try_from(shown) {
            let params = ListParams { page_size, page_token: tokens.token_of(agent), ..filter.clone() };
            let page = connected.list(params).await.map_err(|error| agent.fault(error))?;
            tokens.0.insert(agent.url.clone(), page.value.next_page_token);
        }
    }
    Ok(Merged { tasks: entries, total, next: (!is_over).then(|| tokens.write()) })
}

/// An agent's page.
struct Read<'a> {
    agent: &'a Agent,
    connected: Connected,
    next: Option<String>,
    tasks: usize,
}

fn tell_several(
    client: &Client,
    page: Merged<'_>,
    filter: &ListParams,
    stream: bool,
) -> Result<Option<String>, Failure> {
    let Merged { tasks, total, next } = page;
    match (client.output.is_json(), stream) {
        (true, true) => tasks.iter().try_for_each(|entry| client.output.json(&entry.json))?,
        (true, false) => {
            let tasks: Vec<Value> = tasks.into_iter().map(|entry| entry.json).collect();
            client.output.json(&json!({
                "tasks": tasks,
                "nextPageToken": next.as_deref().unwrap_or_default(),
                "pageSize": filter.page_size,
                "totalSize": total,
            }))?;
        }
        (false, _) => tell(client, tasks.iter().map(|entry| (entry.agent, &entry.task)), total)?,
    }
    Ok(next)
}

/// Where the next page of several agents begins: each agent's own token by its URL, `None` for one that has no more.
/// One that is not in it begins with its newest task.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct PageTokens(BTreeMap<String, Option<String>>);

impl PageTokens {
    fn read(token: &str) -> Result<Self, Failure> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| {
            let failure = Failure::new(Code::Usage, "this page token is none of the list of several agents");
            failure.hint("say which agent gave it: -a AGENT; or begin anew without it")
        })
    }

    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("texts by texts are JSON"))
    }

    fn token_of(&self, agent: &Agent) -> Option<String> {
        self.0.get(&agent.url).cloned().flatten()
    }
}

fn documents(page: &Value) -> Vec<Value> {
    page["tasks"].as_array().cloned().unwrap_or_default()
}

/// What shows the next page of the same list.
fn next_command(agent: Option<&str>, filter: &ListParams, token: &str, is_tree: bool) -> String {
    let mut command = Typed::new(if is_tree { "bobbinet task list --tree" } else { "bobbinet task list" });
    let size = (filter.page_size != PAGE_SIZE_DEFAULT).then(|| filter.page_size.to_string());
    let flags = [
        ("-a", agent),
        ("--state", filter.state.map(bobbinet_core::State::as_str)),
        ("--context-id", filter.context.as_ref().map(bobbinet_core::ContextId::as_str)),
        ("--page-size", size.as_deref()),
        ("--page-token", Some(token)),
    ];
    for (flag, value) in flags {
        if let Some(value) = value {
            command = command.flag(flag, value);
        }
    }
    command.into()
}

#[cfg(test)]
mod tests {
    use bobbinet_core::{Message, MessageId, Part};
    use bobbinet_wire::view::StatusView;

    use super::*;

    #[test]
    fn a_place_in_several_lists_is_one_token() {
        let tokens =
            PageTokens(BTreeMap::from([("http://a".to_owned(), Some("x".to_owned())), ("http://b".to_owned(), None)]));
        assert_eq!(PageTokens::read(&tokens.write()).unwrap(), tokens);
        for other in ["", "!", "eyJ", "W10"] {
            assert!(PageTokens::read(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_task_is_shown_with_the_tool_it_was_begun_for() {
        let check = |part: Part, metadata: Option<&Value>, expected: &str| {
            let message = Message::from_agent(MessageId::parse("m").unwrap(), vec![part]);
            let message = Message { role: Role::User, metadata: metadata.map(Json::from), ..message };
            let task = TaskView {
                id: "t".to_owned(),
                context_id: None,
                status: StatusView { state: bobbinet_core::State::Working, message: None, at: None },
                history: vec![message],
                artifacts: Vec::new(),
                metadata: None,
            };
            assert_eq!(tool(&task).as_deref(), Some(expected));
        };
        let data = |value: &Value| Part::data(Json::from(value));
        check(data(&json!({"path": "a"})), Some(&json!({ EXTENSION_URI: {"skill": "read"} })), "read");
        check(data(&json!({"tool": "read", "args": {}})), None, "read");
        check(Part::text("/read path=a"), None, "read");
        check(Part::text(r#"{"skill": "read"}"#), None, "read");
    }

    #[test]
    fn the_next_page_is_of_the_same_list() {
        let filter = ListParams { state: Some(bobbinet_core::State::Working), page_size: 3, ..ListParams::default() };
        assert_eq!(next_command(None, &ListParams::default(), "t", false), "bobbinet task list --page-token t");
        let expected = "bobbinet task list -a a --state working --page-size 3 --page-token t";
        assert_eq!(next_command(Some("a"), &filter, "t", false), expected);
    }
}
