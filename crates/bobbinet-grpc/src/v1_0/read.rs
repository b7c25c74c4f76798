//! Reading messages, artifacts and what is asked.

use std::sync::Arc;

use bobbinet_core::{
    Artifact, ArtifactId, Content, ContextId, Message, MessageId, Part, Role, State,
    operation::{
        CancelParams, Configuration, GetParams, ListParams, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, SendParams,
        SubscribeParams,
    },
};
use bobbinet_wire::{Error, view::MessageView};

use super::{pb, push};
use crate::{
    faults::{At, Author, Faults},
    json, rules,
};

/// What a client says.
///
/// # Errors
/// With all that is wrong with it.
pub fn send(request: pb::SendMessageRequest) -> Result<Box<SendParams>, Error> {
    let mut faults = Faults::new(Author::Client);
    let at = At::ROOT;
    let view = match request.message {
        Some(message) => self::message(message, at.field("message"), &mut faults),
        None => {
            faults.wrong(at.field("message"), "is required");
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
            tenant: rules::given(request.tenant),
        })
    });
    faults.finish(params)
}

fn configuration(given: pb::SendMessageConfiguration, at: At<'_>, faults: &mut Faults) -> Configuration {
    let modes = rules::words(given.accepted_output_modes, at.field("accepted_output_modes"), faults);
    Configuration {
        accepted_output_modes: modes.iter().map(|mode| mode.as_ref().to_owned()).collect(),
        history_length: rules::history_length(given.history_length, at.field("history_length"), faults),
        return_immediately: given.return_immediately,
        push_config: given
            .task_push_notification_config
            .and_then(|given| push::config(given, at.field("task_push_notification_config"), faults))
            .map(Box::new),
    }
}

/// Which task to show.
///
/// # Errors
/// With all that is wrong with it.
pub fn get(request: pb::GetTaskRequest) -> Result<GetParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let history_length = rules::history_length(request.history_length, At::ROOT.field("history_length"), &mut faults);
    let id = rules::required(request.id, At::ROOT.field("id"), &mut faults);
    faults.finish(id.map(|id| GetParams { id, history_length, tenant: rules::given(request.tenant) }))
}

/// Which task to stop.
///
/// # Errors
/// With all that is wrong with it.
pub fn cancel(request: pb::CancelTaskRequest) -> Result<CancelParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let metadata = rules::object(request.metadata, At::ROOT.field("metadata"), &mut faults);
    let id = rules::required(request.id, At::ROOT.field("id"), &mut faults);
    faults.finish(id.map(|id| CancelParams { id, metadata, tenant: rules::given(request.tenant) }))
}

/// Which task to follow.
///
/// # Errors
/// With all that is wrong with it.
pub fn subscribe(request: pb::SubscribeToTaskRequest) -> Result<SubscribeParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let id = rules::required(request.id, At::ROOT.field("id"), &mut faults);
    faults.finish(id.map(|id| SubscribeParams { id, tenant: rules::given(request.tenant) }))
}

/// Which tasks to show.
///
/// # Errors
/// With all that is wrong with it.
pub fn list(request: pb::ListTasksRequest) -> Result<ListParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let at = At::ROOT;
    let page_size = match request.page_size.map(u32::try_from) {
        None => PAGE_SIZE_DEFAULT,
        Some(Ok(size)) if (1..=PAGE_SIZE_MAX).contains(&size) => size,
        Some(_) => {
            faults.wrong(at.field("page_size"), format!("must be between 1 and {PAGE_SIZE_MAX}"));
            PAGE_SIZE_DEFAULT
        }
    };
    let state = match request.status {
        0 => None,
        number => {
            let state = state(number);
            if state.is_none() {
                faults.wrong(at.field("status"), "must be a task state such as TASK_STATE_WORKING");
            }
            state
        }
    };
    let context = rules::context_id(request.context_id, at.field("context_id"), &mut faults);
    let since = request.status_timestamp_after;
    let params = ListParams {
        context: context.and_then(|id| ContextId::parse(&id).ok()),
        state,
        status_timestamp_after: since
            .and_then(|time| rules::timestamp(time, at.field("status_timestamp_after"), &mut faults)),
        page_size,
        page_token: rules::given(request.page_token),
        history_length: rules::history_length(request.history_length, at.field("history_length"), &mut faults),
        include_artifacts: request.include_artifacts.unwrap_or_default(),
        tenant: rules::given(request.tenant),
    };
    faults.finish(Some(params))
}

pub(super) fn message(message: pb::Message, at: At<'_>, faults: &mut Faults) -> Option<MessageView> {
    let id = rules::own_id(&message.message_id, at.field("message_id"), faults, MessageId::parse);
    let said = match pb::Role::try_from(message.role) {
        Ok(pb::Role::User) => Some(Role::User),
        Ok(pb::Role::Agent) => Some(Role::Agent),
        Ok(pb::Role::Unspecified) | Err(_) => None,
    };
    let role = rules::role(said, at.field("role"), faults);
    let parts = rules::parts(message.parts, at.field("parts"), faults, part);
    let metadata = rules::object(message.metadata, at.field("metadata"), faults);
    let extensions = rules::words(message.extensions, at.field("extensions"), faults);
    let reference_tasks = rules::words(message.reference_task_ids, at.field("reference_task_ids"), faults);
    let context_id = rules::context_id(message.context_id, at.field("context_id"), faults);
    Some(MessageView {
        message: Message { id: id?, role: role?, parts, metadata, extensions, reference_tasks },
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
    let (media_type, filename) = (rules::word(part.media_type), rules::word(part.filename));
    let says_something = media_type.is_some() || filename.is_some() || metadata.is_some();
    let content = match part.content {
        Some(pb::part::Content::Text(text)) => Content::Text(Arc::from(text)),
        Some(pb::part::Content::Raw(bytes)) => Content::Raw(rules::base64(&bytes)),
        Some(pb::part::Content::Url(url)) if !url.is_empty() => Content::Url(Arc::from(url)),
        Some(pb::part::Content::Data(value)) => match json::json(&value) {
            Ok(json) => Content::Data(json),
            Err(error) => {
                faults.wrong(at.field("data"), format!("cannot be read: {error}"));
                return None;
            }
        },
        Some(pb::part::Content::Url(_)) | None if faults.author == Author::Agent => {
            says_something.then(|| Content::Text(Arc::from("")))?
        }
        Some(pb::part::Content::Url(_)) | None => {
            faults.wrong(at, "must have one of text, raw, url and data");
            return None;
        }
    };
    Some(Part { content, media_type, filename, metadata })
}

/// The state of this number, if there is one.
pub(super) fn state(number: i32) -> Option<State> {
    Some(match pb::TaskState::try_from(number).ok()? {
        pb::TaskState::Unspecified => return None,
        pb::TaskState::Submitted => State::Submitted,
        pb::TaskState::Working => State::Working,
        pb::TaskState::Completed => State::Completed,
        pb::TaskState::Failed => State::Failed,
        pb::TaskState::Canceled => State::Canceled,
        pb::TaskState::InputRequired => State::InputRequired,
        pb::TaskState::Rejected => State::Rejected,
        pb::TaskState::AuthRequired => State::AuthRequired,
    })
}
