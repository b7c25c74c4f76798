//! Tasks of the mesh as tasks of MCP: what a host is given in place of a result that takes long, and by which it comes back, over another
//! connection, or after a restart of the node. Its name is that of the A2A task. In 2025-11-25 a host asks for one, later (as the
//! extension `io.modelcontextprotocol/tasks`) the server decides.

use std::collections::BTreeMap;

use bobbinet_core::{Caller, Json, State, Task, TaskId};

use crate::{
    asked::{Asked, Names},
    client::{McpClient, TASKS},
    door::Door,
    limits::McpServerLimits,
    object::Object,
    result::{self, help},
    revision::Revision,
    rpc::RpcError,
    server_error::ServerError,
    structure, tools,
};

/// The key under which a message says which task it belongs to (2025-11-25).
pub(crate) const RELATED_KEY: &str = "io.modelcontextprotocol/related-task";

/// The key under which the message that has begun a task says under which token its host wants to hear how far it is (2025-11-25).
pub(crate) const PROGRESS_KEY: &str = "bobbinet/progress";

/// The token under which the host that has begun this task wants to hear how far it is.
pub(crate) fn progress_token(task: &Task) -> Option<Json> {
    let noted: BTreeMap<String, Json> = task.history.first()?.metadata.as_ref()?.read().ok()?;
    noted.get(PROGRESS_KEY).cloned()
}

/// A task, as what belongs to it names it.
pub(crate) fn named(task: &TaskId) -> Object {
    Object::default().with("taskId", &task.to_string())
}

/// The `_meta` of what belongs to a task (2025-11-25).
pub(crate) fn relation(task: &TaskId) -> Json {
    Object::default().with(RELATED_KEY, &named(task)).to_json()
}

/// These parameters as those of what belongs to a task.
pub(crate) fn related(params: &Json, task: &TaskId) -> Json {
    let mut fields: BTreeMap<String, Json> = params.read().unwrap_or_default();
    fields.insert("_meta".to_owned(), relation(task));
    Json::of(&fields)
}

/// The task as the answer to a call that it goes on with.
pub(crate) fn created(task: &Task, client: McpClient, door: &Door) -> Json {
    let fields = fields(task, status(task, client, door), client.revision, &door.limits);
    match client.revision.is_stateless() {
        true => result::typed(fields, "task", result::meta(task, None)).to_json(),
        false => Object::default().with("task", &fields).with("_meta", &result::meta(task, None)).to_json(),
    }
}

/// How a task stands. In the newest revision with what has come of it, or what it asks.
pub(crate) async fn shown(door: &Door, caller: &Caller, task: &Task, client: McpClient) -> Json {
    let revision = client.revision;
    let fields = fields(task, status(task, client, door), revision, &door.limits);
    if !revision.is_stateless() {
        return fields.to_json();
    }
    let fields = match task.state {
        State::Completed | State::Failed | State::Rejected => match ServerError::of(task) {
            Some(ServerError { code, message, data }) => {
                let error = Object::default().with("code", &code).with("message", &message).with_some("data", data);
                fields.with("error", &error)
            }
            // What is inside says itself which task it is of.
            None => {
                let is_strict = tools::is_strict(door.server.gateway(), task, revision);
                let result = structure::result(door, caller, task, revision, is_strict).await;
                fields.with("result", &result.to_json(revision))
            }
        },
        State::InputRequired | State::AuthRequired => match asked(task, client, door) {
            Some(asked) => fields.with("inputRequests", &asked.requests(Names::OfTask(task))),
            None => fields,
        },
        State::Submitted | State::Working | State::Canceled => fields,
    };
    result::stateless(fields, Object::default()).to_json()
}

/// One of the entries of a list.
pub(crate) fn entry(task: &Task, client: McpClient, door: &Door) -> Json {
    fields(task, status(task, client, door), client.revision, &door.limits).to_json()
}

/// The open question, as this client can be asked it.
pub(crate) fn asked(task: &Task, client: McpClient, door: &Door) -> Option<Asked> {
    let question = task.question.as_ref().filter(|_| task.state.is_interrupted())?;
    Asked::of(question, client, &state_of(task), door.is_of_mcp(&task.agent))
}

/// What a question of a task is known by.
pub(crate) fn state_of(task: &Task) -> String {
    format!("{}:{}", task.id, task.asked.0)
}

/// The task and the number of the question that such a state names.
pub(crate) fn read_state(state: &str) -> Result<(&str, u64), RpcError> {
    let read = state.split_once(':').and_then(|(task, asked)| Some((task, asked.parse().ok()?)));
    read.ok_or_else(|| RpcError::invalid_params("`requestState` is none that was given out here"))
}

/// What a host lacks that asks for tasks without having said that it knows them.
pub(crate) fn unknown_to(client: McpClient) -> Option<RpcError> {
    let extensions = Object::default().with("extensions", &Object::default().with(TASKS, &Object::default()));
    let text = "tasks are for clients that declare the extension io.modelcontextprotocol/tasks";
    (client.revision.is_stateless() && !client.takes_tasks).then(|| RpcError::missing_capability(text, &extensions))
}

fn status(task: &Task, client: McpClient, door: &Door) -> &'static str {
    let is_new = client.revision.is_stateless();
    match task.state {
        State::Submitted | State::Working => "working",
        // Where the host can be asked nothing, whoever else can answer may.
        State::InputRequired | State::AuthRequired if is_new && asked(task, client, door).is_none() => "working",
        State::InputRequired | State::AuthRequired => "input_required",
        State::Completed => "completed",
        State::Failed | State::Rejected if is_new && ServerError::of(task).is_none() => "completed",
        State::Failed | State::Rejected => "failed",
        State::Canceled => "cancelled",
    }
}

fn fields(task: &Task, status: &str, revision: Revision, limits: &McpServerLimits) -> Object {
    let words = task.status_message.as_ref().map(|message| message.text()).filter(|words| !words.is_empty());
    let words = match status {
        "working" if task.state.is_interrupted() => {
            Some([words, help(task)].into_iter().flatten().collect::<Vec<_>>().join(" "))
        }
        _ => words,
    };
    let poll = u64::try_from(limits.task_poll.as_millis()).unwrap_or(u64::MAX);
    let fields = Object::default()
        .with("taskId", &task.id.to_string())
        .with("status", status)
        .with_some("statusMessage", words)
        .with("createdAt", &task.created_at.to_string())
        .with("lastUpdatedAt", &task.status_at.to_string());
    // A task is there for as long as the node keeps it.
    match revision.is_stateless() {
        true => fields.with("ttlMs", &()).with("pollIntervalMs", &poll),
        false => fields.with("ttl", &()).with("pollInterval", &poll),
    }
}
