//! The tools for what is not a tool call: which agents there are, a message in words, and a task that somebody comes back for.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{
    AgentName, Caller, ContextId, Json, Part, SkillId, Task,
    operation::{GetParams, ListParams},
};
use bobbinet_engine::EngineError;
use bobbinet_gateway::{Gateway, GatewayError};

use crate::{
    call::Work,
    names::{MESH_TOOLS, Naming},
    object::Object,
    result::{self, CallResult, state_word},
    rpc::{Params, RpcError},
    tools,
};

/// Tasks that are listed where none is named.
const NEWEST_MAX: u32 = 20;

/// Bytes of tasks that are read at a time for that, roughly.
const NEWEST_BYTES_MAX: usize = 1 << 20;

/// What one of these tools is to do.
pub(crate) enum Asked {
    /// Show the agents.
    Agents,
    /// Work with this agent.
    Work { agent: AgentName, skill: Option<SkillId>, work: Work },
    /// Stop this task of this agent.
    Cancel { agent: AgentName, task: String },
    /// Show this task of this agent.
    Show { agent: AgentName, task: String },
    /// Show the caller's newest tasks.
    Newest,
}

/// What a call of one of these tools asks for; `None` if it is none of them.
pub(crate) async fn asked(
    gateway: &Gateway,
    caller: &Caller,
    name: &str,
    arguments: Option<&Json>,
) -> Option<Result<Asked, RpcError>> {
    let arguments = match arguments.map(Params::of_arguments).transpose() {
        Ok(arguments) => arguments.unwrap_or_default(),
        Err(error) => return MESH_TOOLS.contains(&name).then_some(Err(error)),
    };
    let [agents, send, task] = MESH_TOOLS;
    match name {
        name if name == agents => Some(Ok(Asked::Agents)),
        name if name == send => Some(sends(gateway, &arguments)),
        name if name == task => Some(of_task(gateway, caller, &arguments).await),
        _ => None,
    }
}

fn sends(gateway: &Gateway, arguments: &Params) -> Result<Asked, RpcError> {
    let agent = agent(gateway, &arguments.required::<String>("agent")?)?;
    let words = arguments.optional::<String>("message")?.map(Part::text);
    let data = arguments.get("data").cloned().map(Part::data);
    let parts: Vec<Part> = words.into_iter().chain(data).collect();
    if parts.is_empty() {
        return Err(RpcError::invalid_params("a message has words (`message`) or data (`data`)"));
    }
    let skill = arguments.optional::<String>("skill")?.map(|skill| SkillId::parse(&skill)).transpose();
    let skill = skill.map_err(|error| RpcError::invalid_params(&format!("`skill`: {error}")))?;
    let context = context(arguments.optional::<String>("context")?)?;
    let work = match arguments.optional::<bool>("wait")? {
        Some(false) => Work::Submit { parts, context },
        Some(true) | None => Work::Begin { parts, context },
    };
    Ok(Asked::Work { agent, skill, work })
}

/// A context that a caller names.
pub(crate) fn context(name: Option<String>) -> Result<Option<ContextId>, RpcError> {
    let parse = |name: String| {
        ContextId::parse(&name)
            .map_err(|error| RpcError::invalid_params(&format!("the context cannot be that: {error}")))
    };
    name.map(parse).transpose()
}

async fn of_task(gateway: &Gateway, caller: &Caller, arguments: &Params) -> Result<Asked, RpcError> {
    let Some(task) = arguments.optional::<String>("task")? else {
        return match arguments.optional::<String>("action")?.as_deref() {
            None | Some("get") => Ok(Asked::Newest),
            Some(_) => Err(RpcError::invalid_params("`task` is missing: without it your newest tasks are listed")),
        };
    };
    let named = arguments.optional::<String>("agent")?.map(|name| agent(gateway, &name)).transpose()?;
    let Some(agent) = (match named {
        Some(agent) => Some(agent),
        None => agent_of(gateway, caller, &task).await,
    }) else {
        let task: String = task.chars().take(100).collect();
        return Err(RpcError::invalid_params(&format!("there is no task {task:?} of yours here")));
    };
    let action = arguments.optional::<String>("action")?;
    match action.as_deref() {
        None | Some("get") => Ok(match arguments.optional::<bool>("wait")? {
            Some(true) => Asked::Work { agent, skill: None, work: Work::Wait { task } },
            Some(false) | None => Asked::Show { agent, task },
        }),
        Some("cancel") => Ok(Asked::Cancel { agent, task }),
        Some("answer") => {
            let answer: Json = arguments.required("answer")?;
            let part = match answer.read::<String>() {
                Ok(words) => Part::text(words),
                Err(_) => Part::data(answer),
            };
            Ok(Asked::Work { agent, skill: None, work: Work::Tell { task, parts: vec![part] } })
        }
        Some(_) => Err(RpcError::invalid_params("`action` is get, cancel or answer")),
    }
}

/// The agent of this name, also one that is not configured any more: its tasks are there.
fn agent(gateway: &Gateway, name: &str) -> Result<AgentName, RpcError> {
    let found = gateway.agents().chain(gateway.unserved()).find(|agent| agent.as_str() == name);
    found.cloned().ok_or_else(|| {
        let name: String = name.chars().take(100).collect();
        RpcError::invalid_params(&format!("there is no agent {name:?} here: mesh_agents lists which there are"))
    })
}

/// The agent under whose name this caller finds a task.
pub(crate) async fn agent_of(gateway: &Gateway, caller: &Caller, task: &str) -> Option<AgentName> {
    let params = GetParams { id: task.to_owned(), history_length: Some(0), tenant: None };
    for agent in gateway.agents().chain(gateway.unserved()) {
        match gateway.get(&tools::context(caller, agent), &params).await {
            Ok(_) => return Some(agent.clone()),
            Err(GatewayError::NotFound | GatewayError::Engine(EngineError::NotFound)) => {}
            // The one that is asked for says what is wrong.
            Err(_) => return Some(agent.clone()),
        }
    }
    None
}

/// The newest tasks of a caller, in words and as data: for whoever has lost the answer that named his.
///
/// # Errors
/// If they cannot be read.
pub(crate) async fn newest(gateway: &Gateway, caller: &Caller) -> Result<CallResult, GatewayError> {
    let mut tasks: Vec<Arc<Task>> = Vec::new();
    for agent in gateway.agents().chain(gateway.unserved()) {
        let params = ListParams {
            page_size: NEWEST_MAX,
            history_length: Some(0),
            include_artifacts: false,
            ..ListParams::default()
        };
        // What he may not look at is not there for him.
        let Ok(mut pages) = gateway.list(&tools::context(caller, agent), params) else { continue };
        while let Some(page) = pages.next(NEWEST_BYTES_MAX).await? {
            tasks.extend(page.tasks);
        }
    }
    tasks.sort_by_key(|task| std::cmp::Reverse((task.created_at, task.id)));
    tasks.truncate(usize::try_from(NEWEST_MAX).unwrap_or(usize::MAX));
    let skill = |task: &Task| task.planned_call.as_ref().and_then(|call| call.skill.clone());
    let entry = |task: &Arc<Task>| {
        result::task_note(task)
            .with_some("skill", skill(task).as_ref().map(SkillId::as_str))
            .with("createdAt", &task.created_at.to_string())
            .to_json()
    };
    let line = |task: &Arc<Task>| {
        let of = skill(task).map(|skill| format!(" ({skill})")).unwrap_or_default();
        format!("{} of {}{of}: {}, since {}", task.id, task.agent, state_word(task.state), task.created_at)
    };
    let words = tasks.iter().map(line).collect::<Vec<_>>().join("\n");
    let words = if words.is_empty() { "there are no tasks of yours here".to_owned() } else { words };
    let entries: Vec<Json> = tasks.iter().map(entry).collect();
    Ok(CallResult::words(&words, false).with_structure(Object::default().with("tasks", &entries).to_json()))
}

/// The agents that a caller may call, in words and as data.
pub(crate) fn agents(gateway: &Gateway, caller: &Caller, naming: Naming) -> CallResult {
    let known = tools::known_now(gateway, caller);
    let mut tools_of: BTreeMap<AgentName, Vec<String>> = BTreeMap::new();
    for (name, target) in tools::named(gateway, &known, naming) {
        tools_of.entry(target.agent).or_default().push(name);
    }
    let none = Vec::new();
    let entry = |agent: &tools::Known| {
        Object::default()
            .with("name", agent.name.as_str())
            .with("title", &agent.description.name)
            .with("description", &agent.description.description)
            .with("tools", tools_of.get(&agent.name).unwrap_or(&none))
            .with_some("unavailable", agent.unavailable.as_ref())
            .to_json()
    };
    let line = |agent: &tools::Known| {
        let tools = tools_of.get(&agent.name).map(|tools| tools.join(", ")).unwrap_or_default();
        let state = agent.unavailable.as_ref().map(|why| format!(" (unavailable: {why})")).unwrap_or_default();
        format!("{}{state}: {}\n  tools: {tools}", agent.name, agent.description.description.trim())
    };
    let words = known.iter().map(line).collect::<Vec<_>>().join("\n");
    let words = if words.is_empty() { "there are no agents for you here".to_owned() } else { words };
    let entries: Vec<Json> = known.iter().map(entry).collect();
    CallResult::words(&words, false).with_structure(Object::default().with("agents", &entries).to_json())
}
