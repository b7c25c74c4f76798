//! Reading messages, artifacts and what is asked.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{
    Artifact, ArtifactId, Content, ContextId, Json, Message, MessageId, Part, Role, State,
    operation::{CancelParams, Configuration, GetParams, SendParams, SubscribeParams},
};
use bobbinet_wire::{Error, view::MessageView};

use super::{IS_VALUE, VALUE, name, pb, push};
use crate::{
    faults::{At, Author, Faults},
    rules,
};

/// What a client says.
///
/// # Errors
/// With all that is wrong with it.
pub fn send(request: pb::SendMessageRequest) -> Result<Box<SendParams>, Error> {
    let mut faults = Faults::new(Author::Client);
    let at = At::ROOT;
    let view = match request.request {
        Some(message) => self::message(message, at.field("request"), &mut faults),
        None => {
            faults.wrong(at.field("request"), "is required");
            None
        }
    };
    let configuration = request.configuration.map(|given| configuration(given, at.field("configuration"), &mut faults));
    let metadata = rules::object(request.metadata, at.field("metadata"), &mut faults);
    let params = view.map(|MessageView { message, task_id, context_id }| {
        Box::new(SendParams {
            message,
            // One that cannot be a context is a fault.
            context: context_id.and_then(|id| ContextId::parse(&id).ok()),
            task: task_id,
            configuration: configuration.unwrap_or_default(),
            metadata,
            tenant: None,
        })
    });
    faults.finish(params)
}

/// Whoever sends no configuration waits, as in 0.3's JSON; one that does not say `blocking` does not.
fn configuration(given: pb::SendMessageConfiguration, at: At<'_>, faults: &mut Faults) -> Configuration {
    let modes = rules::words(given.accepted_output_modes, at.field("accepted_output_modes"), faults);
    Configuration {
        accepted_output_modes: modes.iter().map(|mode| mode.as_ref().to_owned()).collect(),
        history_length: history_length(given.history_length, at.field("history_length"), faults),
        return_immediately: !given.blocking,
        push_config: given
            .push_notification
            .and_then(|given| push::config(given, at.field("push_notification"), faults))
            .map(Box::new),
    }
}

/// Zero is all of it.
fn history_length(length: i32, at: At<'_>, faults: &mut Faults) -> Option<u32> {
    rules::history_length((length != 0).then_some(length), at, faults)
}

/// Which task to show.
///
/// # Errors
/// With all that is wrong with it.
pub fn get(request: &pb::GetTaskRequest) -> Result<GetParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let history_length = history_length(request.history_length, At::ROOT.field("history_length"), &mut faults);
    let id = name::task(&request.name, At::ROOT.field("name"), &mut faults);
    faults.finish(id.map(|id| GetParams { id, history_length, tenant: None }))
}

/// Which task to stop.
///
/// # Errors
/// With all that is wrong with it.
pub fn cancel(request: &pb::CancelTaskRequest) -> Result<CancelParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let id = name::task(&request.name, At::ROOT.field("name"), &mut faults);
    faults.finish(id.map(|id| CancelParams { id, metadata: None, tenant: None }))
}

/// Which task to follow.
///
/// # Errors
/// With all that is wrong with it.
pub fn subscribe(request: &pb::TaskSubscriptionRequest) -> Result<SubscribeParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let id = name::task(&request.name, At::ROOT.field("name"), &mut faults);
    faults.finish(id.map(|id| SubscribeParams { id, tenant: None }))
}

pub(super) fn message(message: pb::Message, at: At<'_>, faults: &mut Faults) -> Option<MessageView> {
    let id = rules::own_id(&message.message_id, at.field("message_id"), faults, MessageId::parse);
    let said = match pb::Role::try_from(message.role) {
        Ok(pb::Role::User) => Some(Role::User),
        Ok(pb::Role::Agent) => Some(Role::Agent),
        Ok(pb::Role::Unspecified) | Err(_) => None,
    };
    let role = rules::role(said, at.field("role"), faults);
    let parts = rules::parts(message.content, at.field("content"), faults, part);
    let metadata = rules::object(message.metadata, at.field("metadata"), faults);
    let extensions = rules::words(message.extensions, at.field("extensions"), faults);
    let context_id = rules::context_id(message.context_id, at.field("context_id"), faults);
    Some(MessageView {
        message: Message { id: id?, role: role?, parts, metadata, extensions, reference_tasks: Vec::new() },
        task_id: rules::given(message.task_id),
        context_id,
    })
}

pub(super) fn artifact(artifact: pb::Artifact, at: At<'_>, faults: &mut Faults) -> Option<Artifact> {
    let id = rules::own_id(&artifact.artifact_id, at.field("artifact_id"), faults, ArtifactId::parse);
    let parts = rules::parts(artifact.parts, at.field("parts"), faults, part);
    Some(Artifact {
        id: id?,
        name: rules::word(artifact.name),
        description: rules::word(artifact.description),
        parts,
        metadata: rules::object(artifact.metadata, at.field("metadata"), faults),
        extensions: rules::words(artifact.extensions, at.field("extensions"), faults),
    })
}

/// A part of an agent in which nothing stands that is known here is nothing.
fn part(part: pb::Part, at: At<'_>, faults: &mut Faults) -> Option<Part> {
    let metadata = rules::object(part.metadata, at.field("metadata"), faults);
    match part.part {
        Some(pb::part::Part::Text(text)) => Some(Part { metadata, ..Part::new(Content::Text(Arc::from(text))) }),
        Some(pb::part::Part::Data(data)) => {
            let fields = rules::object(Some(data.data.unwrap_or_default()), at.field("data"), faults)?;
            let (data, metadata) = value(fields, metadata);
            Some(Part { metadata, ..Part::new(Content::Data(data)) })
        }
        Some(pb::part::Part::File(file)) => {
            let content = match file.file {
                Some(pb::file_part::File::FileWithBytes(bytes)) => Content::Raw(rules::base64(&bytes)),
                Some(pb::file_part::File::FileWithUri(uri)) if !uri.is_empty() => Content::Url(Arc::from(uri)),
                Some(pb::file_part::File::FileWithUri(_)) | None => {
                    return fault(at.field("file"), "must have one of file_with_uri and file_with_bytes", faults);
                }
            };
            let (media_type, filename) = (rules::word(file.mime_type), rules::word(file.name));
            Some(Part { content, media_type, filename, metadata })
        }
        None => fault(at, "must have one of text, file and data", faults),
    }
}

fn fault(at: At<'_>, description: &str, faults: &mut Faults) -> Option<Part> {
    if faults.author == Author::Client {
        faults.wrong(at, description);
    }
    None
}

/// The data of a part: the object, or the value in it if the metadata says so.
fn value(data: Json, metadata: Option<Json>) -> (Json, Option<Json>) {
    let Some(said) = metadata.as_ref().filter(|said| said.as_str().contains(IS_VALUE)) else { return (data, metadata) };
    let mut fields: BTreeMap<String, Json> = said.read().unwrap_or_default();
    let is_value = fields.remove(IS_VALUE).is_some_and(|said| said.as_str() == "true");
    let value = data.read::<BTreeMap<String, Json>>().ok().and_then(|mut fields| fields.remove(VALUE));
    match value {
        Some(value) if is_value => (value, (!fields.is_empty()).then(|| Json::of(&fields))),
        Some(_) | None => (data, metadata),
    }
}

/// The state of this number, if there is one.
pub(super) fn state(number: i32) -> Option<State> {
    Some(match pb::TaskState::try_from(number).ok()? {
        pb::TaskState::Unspecified => return None,
        pb::TaskState::Submitted => State::Submitted,
        pb::TaskState::Working => State::Working,
        pb::TaskState::Completed => State::Completed,
        pb::TaskState::Failed => State::Failed,
        pb::TaskState::Cancelled => State::Canceled,
        pb::TaskState::InputRequired => State::InputRequired,
        pb::TaskState::Rejected => State::Rejected,
        pb::TaskState::AuthRequired => State::AuthRequired,
    })
}
