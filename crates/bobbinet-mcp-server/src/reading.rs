//! What a task comes to whose skill reads a resource, or fills in a prompt.

use bobbinet_core::{Json, Part, State, Task};

use crate::{
    content::{self, Blocks},
    object::Object,
    result::{self, help},
    revision::Revision,
    rpc::RpcError,
    server_error::ServerError,
};

/// JSON-RPC's code for wrong parameters; of a resource that is not there from 2026-07-28 on.
const INVALID_PARAMS: i64 = -32602;
/// Its code for what went wrong inside.
const INTERNAL: i64 = -32603;
/// The code of a resource that is not there, up to 2025-11-25.
const RESOURCE_NOT_FOUND: i64 = -32002;

/// What a call asks for, and so what its result looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Tool,
    /// What a task has come to that was begun by an earlier request (2025-11-25).
    Payload,
    /// The resource that a host knows by this address, and its server by the other.
    Resource {
        shown: String,
        own: String,
    },
    Prompt,
}

/// The result that a host is given, or the error.
pub(crate) fn result(task: &Task, shape: &Shape, revision: Revision, list_ttl_ms: u64) -> Result<Json, RpcError> {
    match task.state {
        State::Completed => {}
        State::Canceled => return Err(RpcError::canceled()),
        State::Failed | State::Rejected => return Err(refused(task, shape, revision)),
        State::Submitted | State::Working | State::InputRequired | State::AuthRequired => {
            let words = task.status_message.as_ref().map(|message| message.text()).unwrap_or_default();
            let help = help(task).unwrap_or_default();
            return Err(RpcError::refused(format!("{words} {help}").trim(), http::StatusCode::CONFLICT));
        }
    }
    let parts = task.artifacts.iter().flat_map(|artifact| artifact.parts.iter());
    let read = match shape {
        Shape::Resource { shown, own } => {
            let contents: Vec<Json> = parts.map(|part| content::contents(part, shown, own)).collect();
            let read = Object::default().with("contents", &contents);
            match revision.is_stateless() {
                true => read.with("ttlMs", &list_ttl_ms).with("cacheScope", "private"),
                false => read,
            }
        }
        Shape::Tool | Shape::Payload | Shape::Prompt => {
            let messages: Vec<Json> = parts.filter_map(|part| message(part, revision, task)).collect();
            let description = task.artifacts.first().and_then(|artifact| artifact.description.as_deref());
            Object::default().with_some("description", description).with("messages", &messages)
        }
    };
    let from_server = task.artifacts.last().and_then(|artifact| artifact.metadata.as_ref());
    let meta = result::meta(task, from_server);
    Ok(match revision.is_stateless() {
        true => result::stateless(read, meta),
        false => read.with("_meta", &meta),
    }
    .to_json())
}

/// One message of a prompt: whose words it is, and one block.
fn message(part: &Part, revision: Revision, task: &Task) -> Option<Json> {
    let block = Blocks::of([part], revision, &format!("a2a://tasks/{}", task.id)).blocks.into_iter().next()?;
    Some(Object::default().with("role", content::role(part).as_str()).with("content", &block).to_json())
}

fn refused(task: &Task, shape: &Shape, revision: Revision) -> RpcError {
    let Some(ServerError { code, message, data }) = ServerError::of(task) else {
        let words = task.status_message.as_ref().map(|message| message.text()).unwrap_or_default();
        let words = if words.is_empty() { result::state_word(task.state).to_owned() } else { words };
        let code = if task.state == State::Rejected { INVALID_PARAMS } else { INTERNAL };
        return RpcError::of_server(code, &words, None);
    };
    let is_resource = matches!(shape, Shape::Resource { .. });
    let code =
        if is_resource && code == INVALID_PARAMS && !revision.is_stateless() { RESOURCE_NOT_FOUND } else { code };
    RpcError::of_server(code, &message, data)
}

/// A resource that nobody here has.
pub(crate) fn no_resource(uri: &str, revision: Revision) -> RpcError {
    let code = if revision.is_stateless() { INVALID_PARAMS } else { RESOURCE_NOT_FOUND };
    let text =
        "there is no such resource for you here: resources/list and resources/templates/list say which there are";
    RpcError::of_server(code, text, Some(Object::default().with("uri", uri).to_json()))
}
