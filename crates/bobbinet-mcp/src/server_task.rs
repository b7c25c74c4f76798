//! A task of the server's own, as 2025-11-25 has them in its core and 2026-07-28 as an extension: who can have one, and what is said of it.

use std::time::Duration;

use bobbinet_core::Json;
use rmcp::model::{ClientCapabilities, ServerCapabilities, ServerPeerInfo};

use crate::{config::ServerAddress, json_object::JsonObject, mailbox::RpcError, salvage};

/// The extension's name (2026-07-28).
const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Where we note that a server has them in its core: the protocol library does not know of those any more.
const CORE: &str = "bobbinet/core-tasks";

/// How often a server is asked for its task that does not say how often.
const POLL: Duration = Duration::from_secs(1);

/// The least and the most of what it may say of that.
const POLL_RANGE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));

/// In which words a server speaks of its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskDialect {
    /// 2025-11-25: who calls says that it is to be a task, and asks for its result when there is one.
    Core,
    /// 2026-07-28: the server says that it is one, and its result comes with the task.
    Extension,
}

/// Notes what a server of an older era has declared in the core of the protocol.
pub(crate) fn note_core(capabilities: &mut ServerCapabilities, declared: &JsonObject) {
    let inner = |fields: &JsonObject, name: &str| fields.get(name).and_then(JsonObject::read);
    let tools = inner(declared, "tasks").and_then(|it| inner(&it, "requests")).and_then(|it| inner(&it, "tools"));
    if tools.is_some_and(|tools| tools.get("call").is_some()) {
        capabilities.extensions.get_or_insert_default().insert(CORE.to_owned(), serde_json::Map::new());
    }
}

/// Says to a server of the new era that it may answer with a task.
pub(crate) fn offer(capabilities: &mut ClientCapabilities) {
    capabilities.extensions.get_or_insert_default().insert(EXTENSION.to_owned(), serde_json::Map::new());
}

/// In which words this server speaks of tasks, if it has any.
pub(crate) fn dialect(info: &ServerPeerInfo) -> Option<TaskDialect> {
    let has = |name: &str| info.capabilities.extensions.as_ref().is_some_and(|known| known.contains_key(name));
    match info.protocol_version.has_initialize() {
        true => has(CORE).then_some(TaskDialect::Core),
        // One that answers with a task has said so, whatever it has declared.
        false => Some(TaskDialect::Extension),
    }
}

/// Whether a tool is to be called as a task, by its server's word (2025-11-25).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TaskSupport {
    #[default]
    Forbidden,
    Optional,
    Required,
}

impl TaskSupport {
    pub(crate) fn read(word: Option<&str>) -> Self {
        match word {
            Some("required") => Self::Required,
            Some("optional") => Self::Optional,
            Some(_) | None => Self::Forbidden,
        }
    }

    /// Whether the tool can be called at all.
    pub(crate) fn is_callable(self, info: Option<&ServerPeerInfo>) -> bool {
        match self {
            Self::Forbidden | Self::Optional => true,
            Self::Required => info.is_some_and(|info| dialect(info).is_some()),
        }
    }

    /// Whether it is called as a task. Where that is not needed it is only where the task can outlive us: a server that we have started
    /// ends with us.
    pub(crate) fn wants_task(self, info: &ServerPeerInfo, server: &ServerAddress) -> bool {
        let is_worth_it = match (self, server) {
            (Self::Required, _) | (Self::Optional, ServerAddress::Url(_)) => true,
            (Self::Forbidden, _) | (Self::Optional, ServerAddress::Command(_)) => false,
        };
        is_worth_it && dialect(info) == Some(TaskDialect::Core)
    }
}

/// Where a server's task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TaskStatus {
    Working,
    /// It wants to know something: in the extension, these things by name.
    InputRequired(JsonObject),
    /// In the extension with its result.
    Completed(Option<Json>),
    /// In the extension with its error.
    Failed(Option<RpcError>),
    Canceled,
}

/// What a server says of its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerTask {
    pub(crate) id: String,
    pub(crate) status: TaskStatus,
    pub(crate) words: Option<String>,
    /// How long to wait before it is asked again.
    pub(crate) poll: Duration,
}

impl ServerTask {
    /// The task that a call has become, if its result says that.
    pub(crate) fn created(result: &Json, dialect: TaskDialect) -> Option<Self> {
        let fields = JsonObject::read(result)?;
        match dialect {
            TaskDialect::Core => Self::read(fields.get("task")?).ok(),
            TaskDialect::Extension => (fields.text("resultType")? == "task").then(|| Self::read(result).ok()).flatten(),
        }
    }

    /// Reads what is said of a task. `Err`: why it cannot be.
    pub(crate) fn read(json: &Json) -> Result<Self, String> {
        let fields = JsonObject::read(json).ok_or("it is no task")?;
        let id = fields.text("taskId").filter(|id| !id.is_empty()).ok_or("it has no id")?;
        let present = |name: &str| fields.get(name).filter(|value| value.as_str() != "null").cloned();
        let status = match fields.text("status").unwrap_or_default().as_str() {
            "working" => TaskStatus::Working,
            "input_required" => {
                let asked = present("inputRequests").as_ref().and_then(JsonObject::read);
                TaskStatus::InputRequired(asked.unwrap_or_default())
            }
            "completed" => TaskStatus::Completed(present("result")),
            "failed" => TaskStatus::Failed(present("error").as_ref().map(RpcError::read)),
            "cancelled" | "canceled" => TaskStatus::Canceled,
            other => return Err(format!("it has the status {other:?}, which no task has")),
        };
        // `pollInterval` in the core, `pollIntervalMs` in the extension.
        let poll = present("pollIntervalMs").or_else(|| present("pollInterval"));
        let poll = poll.and_then(|json| u64::try_from(salvage::number(json.as_str())?).ok());
        let poll = poll.map_or(POLL, Duration::from_millis).clamp(POLL_RANGE.0, POLL_RANGE.1);
        let words = fields.text("statusMessage").filter(|words| !words.trim().is_empty());
        Ok(Self { id, status, words, poll })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ServerTask, String> {
        ServerTask::read(&Json::parse(text).unwrap())
    }

    #[test]
    fn a_task_is_read_in_the_words_of_either_era() {
        let core = r#"{"task":{"taskId":"t","status":"working","statusMessage":"On it","pollInterval":5,"ttl":null}}"#;
        let core = ServerTask::created(&Json::parse(core).unwrap(), TaskDialect::Core).unwrap();
        assert_eq!((core.id.as_str(), core.words.as_deref()), ("t", Some("On it")));
        assert_eq!(core.poll, POLL_RANGE.0, "nobody is asked without a pause");
        let extension = r#"{"resultType":"task","taskId":"u","status":"working","pollIntervalMs":2000}"#;
        let extension = Json::parse(extension).unwrap();
        let created = ServerTask::created(&extension, TaskDialect::Extension).unwrap();
        assert_eq!((created.id.as_str(), created.poll), ("u", Duration::from_secs(2)));
        assert_eq!(ServerTask::created(&extension, TaskDialect::Core), None);
        let plain = Json::parse(r#"{"content":[],"taskId":"u","status":"working"}"#).unwrap();
        assert_eq!(ServerTask::created(&plain, TaskDialect::Extension), None);
        let failed = read(r#"{"taskId":"t","status":"failed","error":{"code":-32603,"message":"no"}}"#).unwrap();
        assert!(matches!(failed.status, TaskStatus::Failed(Some(error)) if error.code == -32603));
        let asks = read(r#"{"taskId":"t","status":"input_required","inputRequests":{"a":{"method":"m"}}}"#).unwrap();
        assert!(matches!(asks.status, TaskStatus::InputRequired(asked) if asked.get("a").is_some()));
        assert!(read(r#"{"taskId":"t","status":"resting"}"#).unwrap_err().contains("resting"));
        assert!(read(r#"{"status":"working"}"#).is_err());
    }

    #[test]
    fn a_tool_that_needs_a_task_is_called_only_where_there_are_tasks() {
        let info = |version: &str, declared: &str| {
            let mut capabilities = ServerCapabilities::default();
            note_core(&mut capabilities, &JsonObject::read(&Json::parse(declared).unwrap()).unwrap());
            ServerPeerInfo::new(serde_json::from_value(version.into()).unwrap(), capabilities)
        };
        let has = info("2025-11-25", r#"{"tasks":{"requests":{"tools":{"call":{}}}}}"#);
        let has_not = info("2025-11-25", r#"{"tasks":{"requests":{}}}"#);
        let modern = info("2026-07-28", "{}");
        let [required, optional] = ["required", "optional"].map(|word| TaskSupport::read(Some(word)));
        let callable = [&has, &has_not, &modern].map(|info| required.is_callable(Some(info)));
        assert_eq!(callable, [true, false, true]);
        let command = crate::config::McpConfig::new("a", "x", &[]).server;
        let wants =
            [(required, &has), (optional, &has), (required, &modern)].map(|(it, info)| it.wants_task(info, &command));
        assert_eq!(wants, [true, false, false], "in the new era the server says so, and one over a pipe ends with us");
    }
}
