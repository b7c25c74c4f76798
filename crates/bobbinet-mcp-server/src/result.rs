//! What a task comes to, as the result of the tool call that it is.

use std::collections::BTreeMap;

use bobbinet_core::{Json, Part, State, Task};
use bobbinet_gateway::PlainMessage;

use crate::{
    content::{Blocks, is_preview, is_unmarked_data, preview_as_structure, text_block},
    object::Object,
    revision::Revision,
};

/// The key that a result says under which task it comes from.
pub(crate) const TASK_KEY: &str = "bobbinet/task";

/// Who a server says that it is, in each result of a revision without handshakes.
const SERVER_INFO_KEY: &str = "io.modelcontextprotocol/serverInfo";

/// The result of a tool call.
#[derive(Debug)]
pub(crate) struct CallResult {
    pub(crate) content: Vec<Json>,
    pub(crate) structured: Option<Json>,
    pub(crate) is_error: bool,
    /// What the server that made it says of it, and which task it comes from.
    pub(crate) meta: Object,
    /// Bytes of it, roughly.
    pub(crate) bytes: usize,
}

/// What is known of the structure of a result.
#[derive(Debug)]
pub(crate) enum Structure {
    /// It is in the result, or there is none.
    InPlace,
    /// It has gone by reference, and is this.
    Whole(Json),
    /// It has gone by reference, and is not given here: why, and how it is had.
    Apart(String),
}

impl CallResult {
    /// Words alone.
    pub(crate) fn words(words: &str, is_error: bool) -> Self {
        let meta = Object::default();
        Self { content: vec![text_block(words)], structured: None, is_error, meta, bytes: words.len() }
    }

    /// The same with data for programs.
    pub(crate) fn with_structure(self, structured: Json) -> Self {
        Self { bytes: self.bytes + structured.as_str().len(), structured: Some(structured), ..self }
    }

    /// What an agent says without a task.
    pub(crate) fn said(said: &PlainMessage, revision: Revision) -> Self {
        let Blocks { blocks, structured } = Blocks::of(&said.message.parts, revision, "message:");
        Self { content: blocks, structured, is_error: false, meta: Object::default(), bytes: said.message.bytes() }
    }

    /// What a task stands at. One that is not over says how it is come back to. `is_strict`: the tool has promised a structure, and a result
    /// without it would be none, so what is none is an error.
    pub(crate) fn of(task: &Task, revision: Revision, is_strict: bool, structure: Structure) -> Self {
        let status = task.status_message.as_ref();
        let status_parts = status.map(|message| message.parts.as_slice()).unwrap_or_default();
        let place = format!("a2a://tasks/{}", task.id);
        let artifacts = || task.artifacts.iter().flat_map(|artifact| artifact.parts.iter()).collect::<Vec<&Part>>();
        let (parts, is_error): (Vec<&Part>, bool) = match task.state {
            State::Completed if task.artifacts.is_empty() => (status_parts.iter().collect(), false),
            State::Completed => (artifacts(), false),
            State::Failed | State::Rejected | State::Canceled => {
                // What programs are told of a fault beside its words is no result.
                let is_told = |part: &&Part| !is_unmarked_data(part);
                (artifacts().into_iter().chain(status_parts).filter(is_told).collect(), true)
            }
            State::InputRequired | State::AuthRequired | State::Submitted | State::Working => {
                (status_parts.iter().filter(|part| part.as_text().is_some()).collect(), is_strict)
            }
        };
        // Where what the tool has promised has gone by reference, it was read back. Where that is a text under a name, its beginning is the
        // structure; and of what is not to be had here SDKs take nothing but an error.
        let is_referred = is_strict && parts.iter().any(|part| is_preview(part));
        let beginning = is_referred.then(|| preview_as_structure(&parts)).flatten();
        let Blocks { blocks: mut content, structured } = Blocks::of(parts, revision, &place);
        let (whole, why) = match structure {
            Structure::InPlace => (None, None),
            Structure::Whole(json) => (Some(json), None),
            Structure::Apart(why) => (None, Some(why)),
        };
        let bytes = task.bytes + whole.as_ref().map_or(0, |json| json.as_str().len());
        let can_be = |json: &Json| revision.has_any_structure() || json.is_object();
        let read = whole.filter(can_be).or(beginning).filter(|_| revision.has_structure());
        let structured = read.or(structured);
        let is_error = is_error || (is_referred && structured.is_none());
        content.extend(why.filter(|_| is_error).map(|why| text_block(&why)));
        content.extend(help(task).map(|help| text_block(&help)));
        if content.is_empty() && is_error {
            content.push(text_block(state_word(task.state)));
        }
        let from_server = match task.state {
            State::Completed => task.artifacts.last().and_then(|artifact| artifact.metadata.as_ref()),
            State::Failed => status.and_then(|message| message.metadata.as_ref()),
            State::Submitted
            | State::Working
            | State::InputRequired
            | State::AuthRequired
            | State::Canceled
            | State::Rejected => None,
        };
        // A task that is not over has no result yet.
        let structured = structured.filter(|_| task.state.is_terminal());
        Self { content, structured, is_error, meta: meta(task, from_server), bytes }
    }

    /// As JSON, in the words of this revision.
    pub(crate) fn to_json(&self, revision: Revision) -> Json {
        let mut result = Object::default()
            .with("content", &self.content)
            .with_some("structuredContent", self.structured.as_ref())
            .with_some("isError", self.is_error.then_some(true));
        let mut meta = self.meta.clone();
        if revision.is_stateless() {
            result = result.with("resultType", "complete");
            meta = meta.with(SERVER_INFO_KEY, &server_info());
        }
        if !meta.is_empty() {
            result = result.with("_meta", &meta);
        }
        result.to_json()
    }
}

/// Who this server is.
pub(crate) fn server_info() -> Json {
    Object::default()
        .with("name", "bobbinet")
        .with("title", "Bobbinet")
        .with("version", env!("CARGO_PKG_VERSION"))
        .to_json()
}

/// A result of a revision without handshakes: of which kind it is, and whose.
pub(crate) fn stateless(result: Object, meta: Object) -> Object {
    typed(result, "complete", meta)
}

/// The same of another kind.
pub(crate) fn typed(result: Object, kind: &str, meta: Object) -> Object {
    result.with("resultType", kind).with("_meta", &meta.with(SERVER_INFO_KEY, &server_info()))
}

/// The state, as a word.
pub(crate) fn state_word(state: State) -> &'static str {
    match state {
        State::Submitted => "submitted",
        State::Working => "working",
        State::InputRequired => "input-required",
        State::AuthRequired => "auth-required",
        State::Completed => "completed",
        State::Failed => "failed",
        State::Canceled => "canceled",
        State::Rejected => "rejected",
    }
}

/// What a task is known by, for programs.
pub(crate) fn task_note(task: &Task) -> Object {
    Object::default()
        .with("id", &task.id.to_string())
        .with("agent", task.agent.as_str())
        .with("state", state_word(task.state))
        .with("context", task.context.as_str())
}

/// What a result says beside itself: which task it comes from, and what its server says.
pub(crate) fn meta(task: &Task, from_server: Option<&Json>) -> Object {
    #[derive(serde::Deserialize)]
    struct Kept {
        #[serde(default)]
        _meta: Option<BTreeMap<String, Json>>,
    }
    let kept = from_server.and_then(|metadata| metadata.read::<Kept>().ok()).and_then(|kept| kept._meta);
    let meta = Object::default().with(TASK_KEY, &task_note(task));
    kept.into_iter().flatten().fold(meta, |meta, (name, value)| meta.with_owned(name, value))
}

/// Bytes of the schema of an answer that are told in words.
const ANSWER_SCHEMA_MAX: usize = 8 << 10;

/// What the answer to a task's question looks like, for a model that is to give it.
fn answer_of(task: &Task) -> String {
    let question = task.question.as_ref();
    let schema = question.and_then(|question| question.schema.as_ref());
    if let Some(schema) = schema.filter(|schema| schema.as_str().len() <= ANSWER_SCHEMA_MAX) {
        return format!("an object that fits the schema {}", schema.as_str());
    }
    let data = question.and_then(|question| question.message.data()?.read::<BTreeMap<String, Json>>().ok());
    let words: Vec<String> = data.and_then(|data| data.get("answers")?.read().ok()).unwrap_or_default();
    match words.as_slice() {
        [] => "a text, or an object with the fields that are asked for".to_owned(),
        words => format!("one of {}", Json::of(&words).as_str()),
    }
}

/// How somebody comes back to a task that is not over.
pub(crate) fn help(task: &Task) -> Option<String> {
    let (id, agent) = (task.id, &task.agent);
    match task.state {
        State::Submitted | State::Working => Some(format!(
            "Task {id} of agent {agent} is not over, and goes on. Look at it with mesh_task {{\"task\": \"{id}\"}}, or wait \
             for it with {{\"task\": \"{id}\", \"wait\": true}}."
        )),
        State::InputRequired => Some(format!(
            "Task {id} of agent {agent} waits for this answer, however long it takes. Answer with mesh_task {{\"task\": \
             \"{id}\", \"action\": \"answer\", \"answer\": …}}: {}.",
            answer_of(task)
        )),
        State::AuthRequired => Some(format!(
            "Task {id} of agent {agent} waits until its user has done that. Say so with mesh_task {{\"task\": \"{id}\", \
             \"action\": \"answer\", \"answer\": \"done\"}}."
        )),
        State::Completed | State::Failed | State::Canceled | State::Rejected => None,
    }
}
