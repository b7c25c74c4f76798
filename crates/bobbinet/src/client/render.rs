//! Tasks, messages and cards as text: fields first, then what does not fit a line.

use std::borrow::Cow;

use bobbinet_core::{Artifact, Content, Json, Message, Part, Role, State, text};
use bobbinet_wire::view::{ArtifactUpdate, MessageView, StatusUpdate, StreamEvent, TaskView};
use serde_json::Value;

use super::{
    brief::brief,
    question::{self, Asked},
};
use crate::{
    failure::Failure,
    output::Output,
    remark::{Remark, add, remark},
    shell::{Typed, quoted},
};

type Printed = Result<(), Failure>;

/// Prints a task with all that it has made and says.
pub(crate) fn task(output: Output, task: &TaskView) -> Printed {
    identity(output, &task.id, task.context_id.as_deref(), task.status.state)?;
    if output.is_verbose
        && let Some(at) = task.status.at
    {
        output.field("Since", at)?;
    }
    if output.is_verbose {
        for said in &task.history {
            message(
                output,
                match said.role {
                    Role::User => "User",
                    Role::Agent => "Agent",
                },
                said,
            )?;
        }
    }
    if let Some(said) = &task.status.message {
        message(output, "Message", said)?;
    }
    for artifact in &task.artifacts {
        self::artifact(output, artifact)?;
    }
    Ok(())
}

/// What tells a task from all others, and where it stands.
fn identity(output: Output, id: &str, context: Option<&str>, state: State) -> Printed {
    output.field("Task", id)?;
    output.field("Context", context.unwrap_or_default())?;
    output.field("State", state.as_str())
}

/// One task in a list of many.
pub(crate) fn list_entry(output: Output, agent: Option<&str>, task: &TaskView) -> Printed {
    identity(output, &task.id, task.context_id.as_deref(), task.status.state)?;
    if let Some(agent) = agent {
        output.field("Agent", agent)?;
    }
    if let Some(at) = task.status.at {
        output.field("Since", at)?;
    }
    output.line("")
}

/// One event of a stream.
pub(crate) fn event(output: Output, event: &StreamEvent) -> Printed {
    match event {
        StreamEvent::Task(view) => task(output, view),
        StreamEvent::Message(view) => reply(output, view),
        StreamEvent::StatusUpdate(update) => status(output, update),
        StreamEvent::ArtifactUpdate(update) => artifact_update(output, update),
    }
}

/// An answer that is no task.
pub(crate) fn reply(output: Output, view: &MessageView) -> Printed {
    output.field("Context", view.context_id.as_deref().unwrap_or_default())?;
    message(output, "Message", &view.message)
}

fn status(output: Output, update: &StatusUpdate) -> Printed {
    identity(output, &update.task_id, update.context_id.as_deref(), update.status.state)?;
    if let Some(metadata) = &update.metadata {
        match progress(metadata) {
            Some(progress) => output.field("Progress", progress)?,
            None if output.is_verbose => output.field("Metadata", metadata.as_str())?,
            None => {}
        }
    }
    match &update.status.message {
        Some(said) => message(output, "Message", said),
        None => Ok(()),
    }
}

/// How far a task is, if its status says so as agents of ours do.
pub(crate) fn progress(metadata: &Json) -> Option<String> {
    let metadata = metadata.to_value();
    let value = metadata["progress"]["value"].as_f64()?;
    Some(match metadata["progress"]["total"].as_f64() {
        Some(total) => format!("{value} of {total}"),
        None => value.to_string(),
    })
}

fn artifact_update(output: Output, update: &ArtifactUpdate) -> Printed {
    output.field("Task", &update.task_id)?;
    artifact(output, &update.artifact)
}

fn artifact(output: Output, artifact: &Artifact) -> Printed {
    output.field("Artifact", artifact.name.as_deref().unwrap_or(artifact.id.as_str()))?;
    let is_shown = |part: &&Part| output.is_verbose || !is_said_in_text(part, &artifact.parts);
    artifact.parts.iter().filter(is_shown).try_for_each(|part| self::part(output, part))
}

/// Whether a data part says nothing that a text part beside it does not say: tools give structured results twice.
fn is_said_in_text(part: &Part, parts: &[Part]) -> bool {
    let Some(data) = part.as_data().map(Json::to_value) else { return false };
    let only = data.as_object().filter(|members| members.len() == 1).and_then(|members| members.values().next());
    parts.iter().filter_map(Part::as_text).any(|text| {
        let is_wrapped = only.and_then(Value::as_str) == Some(text);
        is_wrapped || serde_json::from_str::<Value>(text).is_ok_and(|said| said == data || only == Some(&said))
    })
}

/// Text of one line is a field; all else are blocks.
fn message(output: Output, label: &str, message: &Message) -> Printed {
    for part in &message.parts {
        match part.as_text() {
            Some(text) if !text.contains('\n') => output.field(label, seen(output, text))?,
            Some(text) => output.block(label, &seen(output, text))?,
            None if output.is_verbose || !is_machine_made(part) => self::part(output, part)?,
            None => {}
        }
    }
    Ok(())
}

/// A data part that repeats for programs what the text says. It is shown with `--verbose`; the schema of a question is
/// shown by [`question`].
fn is_machine_made(part: &Part) -> bool {
    let data = part.as_data().map(Json::to_value).unwrap_or_default();
    ["type", "code", "schema"].iter().any(|key| data.get(key).is_some())
}

fn part(output: Output, part: &Part) -> Printed {
    let media_type = part.media_type.as_deref();
    match &part.content {
        Content::Text(text) => output.block("Text", &seen(output, text)),
        Content::Data(json) => output.block("Data", &seen(output, &pretty(json))),
        Content::Url(url) => {
            output.field("URL", seen(output, url))?;
            file(output, part, media_type, None)
        }
        Content::Raw(base64) => file(output, part, media_type, Some(base64.as_str())),
    }
}

/// What is shown of a text: with `--verbose` all of it.
fn seen(output: Output, text: &str) -> Cow<'_, str> {
    if output.is_verbose { Cow::Borrowed(text) } else { brief(text) }
}

fn file(output: Output, part: &Part, media_type: Option<&str>, base64: Option<&str>) -> Printed {
    let size = base64.map(|text| {
        let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
        format!("{} bytes", (text.len() / 4 * 3).saturating_sub(padding))
    });
    // What is kept elsewhere says how large it is there.
    let size = size.or_else(|| Some(format!("{} bytes", part.metadata.as_ref()?.to_value().get("size")?.as_u64()?)));
    let facts: Vec<&str> = media_type.into_iter().chain(size.as_deref()).collect();
    let name = part.filename.as_deref().unwrap_or("unnamed");
    output.field("File", format_args!("{name} ({})", facts.join(", ")))
}

fn pretty(json: &Json) -> String {
    let value: Result<Value, _> = json.read();
    value.and_then(|value| serde_json::to_string_pretty(&value)).unwrap_or_else(|_| json.as_str().to_owned())
}

/// What to do now, and a warning if the task did not go well: on standard error, since it is no result.
pub(crate) fn aftermath(task: &TaskView, agent: Option<&str>) {
    match task.status.state {
        State::Failed => remark(Remark::Warning, format_args!("the task failed{}", why(task))),
        State::Rejected => remark(Remark::Warning, format_args!("the task was rejected{}", why(task))),
        State::Canceled => remark(Remark::Warning, format_args!("the task was canceled{}", why(task))),
        State::InputRequired | State::AuthRequired => {
            remark(Remark::Warning, "the task waits for an answer");
            let Asked { fields, answer } = question::asked(task);
            fields.iter().for_each(add);
            remark(Remark::Hint, reply_command(&task.id, agent, &answer));
        }
        State::Submitted | State::Working | State::Completed => {}
    }
}

/// The same for a flow that is run once: nobody can answer its task from elsewhere.
pub(crate) fn aftermath_of_run(task: &TaskView) {
    if !task.status.state.is_interrupted() {
        return aftermath(task, None);
    }
    let Asked { fields, answer } = question::asked(task);
    remark(Remark::Note, "a step asks");
    fields.iter().for_each(add);
    add(format_args!("such as --answer {}", quoted(&answer)));
}

/// The command that answers a task. Its words are the agent's and the server's, so each is quoted.
fn reply_command(task: &str, agent: Option<&str>, answer: &str) -> Typed {
    let command = Typed::new("bobbinet task reply");
    let command = agent.into_iter().fold(command, |command, agent| command.flag("-a", agent));
    command.words(&[task, answer])
}

fn why(task: &TaskView) -> String {
    let said = task.status.message.as_ref().map(Message::text).unwrap_or_default();
    said.lines().next().map(|line| format!(": {}", text::line(line))).unwrap_or_default()
}
