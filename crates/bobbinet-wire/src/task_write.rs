//! Writing tasks and artifacts, ours and those of others. What their fields are called is alike in all dialects; what states and
//! roles are called, what a message has beside that, and what a part is made of, each dialect says by its [`TaskWords`].

use std::io::Write as _;

use bobbinet_core::{Artifact, Message, Part, Role, Selection, State, Task, Timestamp};

use crate::{
    task_ids::{TaskAndContext, TaskIdText},
    view::TaskView,
    write::{Object, Sink, object},
};

/// What a dialect writes in its own way, by a type without values.
pub(crate) trait TaskWords {
    /// What it calls the parts of a message.
    const PARTS: &'static str;

    /// What it calls a state.
    fn state_name(state: State) -> &'static str;

    /// What it calls a role.
    fn role_name(role: Role) -> &'static str;

    /// Writes a message that stands in this task and context.
    fn message<S: Sink>(out: &mut S, message: &Message, ids: TaskAndContext<'_>);

    /// Writes a part.
    fn part<S: Sink>(out: &mut S, part: &Part);
}

/// Writes the fields of a message that all dialects have.
#[inline]
pub(crate) fn message_fields<W: TaskWords, S: Sink>(
    fields: &mut Object<'_, S>,
    message: &Message,
    ids: TaskAndContext<'_>,
) {
    fields.text("messageId", message.id.as_str());
    fields.text_if_some("contextId", ids.context);
    fields.text_if_some("taskId", ids.task);
    fields.text("role", W::role_name(message.role));
    fields.list(W::PARTS, &message.parts, W::part);
    fields.raw_if_some("metadata", message.metadata.as_ref());
    if !message.extensions.is_empty() {
        fields.texts("extensions", &message.extensions);
    }
}

/// Writes which tasks a message refers to, for the dialects that can say it.
#[inline]
pub(crate) fn reference_tasks<S: Sink>(fields: &mut Object<'_, S>, message: &Message) {
    if !message.reference_tasks.is_empty() {
        fields.texts("referenceTaskIds", &message.reference_tasks);
    }
}

/// Writes the fields of a task of ours.
pub(crate) fn task<W: TaskWords, S: Sink>(fields: &mut Object<'_, S>, task: &Task, selection: Selection) {
    let id = TaskIdText::of(&task.id);
    let ids = TaskAndContext { task: Some(id.as_str()), context: Some(task.context.as_str()) };
    fields.text("id", id.as_str());
    fields.text("contextId", task.context.as_str());
    status::<W, S>(fields, task.state, task.status_message.as_deref(), Some(task.status_at), ids);
    if selection.artifacts && !task.artifacts.is_empty() {
        fields.list("artifacts", &task.artifacts, |out, made| artifact::<W, S>(out, made));
    }
    let history = selection.latest(&task.history);
    if !history.is_empty() {
        fields.list("history", history, |out, message| W::message(out, message, ids));
    }
    fields.raw_if_some("metadata", task.status_metadata.as_ref());
}

/// Writes the fields of a task of somebody else, but for its ids.
pub(crate) fn view<W: TaskWords, S: Sink>(fields: &mut Object<'_, S>, task: &TaskView, ids: TaskAndContext<'_>) {
    status::<W, S>(fields, task.status.state, task.status.message.as_ref(), task.status.at, ids);
    if !task.artifacts.is_empty() {
        fields.list("artifacts", &task.artifacts, |out, made| artifact::<W, S>(out, made));
    }
    if !task.history.is_empty() {
        fields.list("history", &task.history, |out, message| W::message(out, message, ids));
    }
    fields.raw_if_some("metadata", task.metadata.as_ref());
}

/// Writes where a task stands, as the field of it.
pub(crate) fn status<W: TaskWords, S: Sink>(
    fields: &mut Object<'_, S>,
    state: State,
    message: Option<&Message>,
    at: Option<Timestamp>,
    ids: TaskAndContext<'_>,
) {
    fields.object("status", |status| {
        status.text("state", W::state_name(state));
        if let Some(message) = message {
            W::message(status.field("message"), message, ids);
        }
        if let Some(at) = at {
            write!(status.field("timestamp").bytes(), "\"{at}\"").expect("a Vec takes all that is written to it");
        }
    });
}

/// Writes an artifact.
pub(crate) fn artifact<W: TaskWords, S: Sink>(out: &mut S, artifact: &Artifact) {
    object(out, |fields| {
        fields.text("artifactId", artifact.id.as_str());
        fields.text_if_some("name", artifact.name.as_deref());
        fields.text_if_some("description", artifact.description.as_deref());
        fields.list("parts", &artifact.parts, W::part);
        fields.raw_if_some("metadata", artifact.metadata.as_ref());
        if !artifact.extensions.is_empty() {
            fields.texts("extensions", &artifact.extensions);
        }
    });
}

/// Writes what an event says of an artifact.
pub(crate) fn artifact_added<W: TaskWords, S: Sink>(
    fields: &mut Object<'_, S>,
    made: &Artifact,
    append: bool,
    last_chunk: bool,
) {
    artifact::<W, S>(fields.field("artifact"), made);
    fields.flag_if_set("append", append);
    fields.flag_if_set("lastChunk", last_chunk);
}
