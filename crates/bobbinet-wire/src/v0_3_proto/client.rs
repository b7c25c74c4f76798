//! The client's half: where a request goes and what stands in it, and reading answers and events. Errors are read by
//! [`rest_error::read_error`](crate::rest_error::read_error).

use bobbinet_core::{
    PushOperation, PushPage, PushView,
    operation::{Configuration, Operation, SendParams},
};
use serde_json::value::RawValue;

use super::{V0_3Proto, names::state_name, rest::PREFIX};
use crate::{
    list_params,
    reply::{self, ReplyError},
    rest::HttpMethod,
    rest_request::RestRequest,
    task_ids::TaskAndContext,
    task_write::TaskWords,
    v0_3::{push, request::AFTER},
    view::{PageView, Sent, StreamEvent, TaskView},
    write::{Object, object},
};

/// What an operation is below an agent's URL; nothing for a webhook that is not named, for which only JSON-RPC has a question. 0.3 knows
/// no tenant, so none is said.
pub fn request(operation: &Operation) -> Option<RestRequest> {
    let request = match operation {
        Operation::Send(send) => message(send, "message:send", Some(!send.configuration.return_immediately)),
        Operation::SendStreaming(send) => message(send, "message:stream", None),
        Operation::Get(get) => {
            let mut request = RestRequest::of_task(HttpMethod::Get, &get.id, "");
            request.add("historyLength", history_length(get.history_length));
            request
        }
        // As the table of its specification has it (section 7.4); its proto file has no list.
        Operation::List(list) => list_params::request(list, state_name, AFTER),
        // All that it says is in the path; those who read a body want one, and no field in it that they do not know.
        Operation::Cancel(cancel) => {
            RestRequest { body: Some(b"{}".to_vec()), ..RestRequest::of_task(HttpMethod::Post, &cancel.id, ":cancel") }
        }
        // Its specification's text says POST, its proto file GET: the caller tries both.
        Operation::Subscribe(subscribe) => RestRequest::of_task(HttpMethod::Post, &subscribe.id, ":subscribe"),
        Operation::ExtendedCard(_) => RestRequest::new(HttpMethod::Get, "card"),
        Operation::PushConfig(asked) => push_request(asked)?,
    };
    Some(request.below(PREFIX))
}

fn message(send: &SendParams, path: &str, blocking: Option<bool>) -> RestRequest {
    let mut body = Vec::with_capacity(512);
    object(&mut body, |params| {
        let ids = TaskAndContext { task: send.task.as_deref(), context: send.context.as_ref().map(|id| id.as_str()) };
        V0_3Proto::message(params.field("message"), &send.message, ids);
        if blocking.is_some() || send.configuration != Configuration::default() {
            write_configuration(params, &send.configuration, blocking);
        }
        params.raw_if_some("metadata", send.metadata.as_ref());
    });
    RestRequest { body: Some(body), ..RestRequest::new(HttpMethod::Post, path) }
}

/// Whether to wait is said in any case, as agents differ in what they take it for.
fn write_configuration(params: &mut Object<'_>, said: &Configuration, blocking: Option<bool>) {
    params.object("configuration", |configuration| {
        if !said.accepted_output_modes.is_empty() {
            configuration.texts("acceptedOutputModes", &said.accepted_output_modes);
        }
        if let Some(length) = history_length(said.history_length) {
            configuration.number("historyLength", length);
        }
        if let Some(config) = &said.push_config {
            configuration.object("pushNotification", |fields| push::write_fields(fields, config));
        }
        if let Some(blocking) = blocking {
            configuration.flag("blocking", blocking);
        }
    });
}

/// No history at all is more than 0.3 can ask for: here zero is all of it, so one message is asked for.
fn history_length(length: Option<u32>) -> Option<u32> {
    length.map(|length| length.max(1))
}

fn push_request(asked: &PushOperation) -> Option<RestRequest> {
    Some(match asked {
        // The proto file has the body be the `config` alone; the official SDK for Python, which most agents of 0.3 are made with, writes and
        // reads the whole request.
        PushOperation::Create(create) => {
            let mut body = Vec::with_capacity(512);
            object(&mut body, |params| {
                params.text("parent", &format!("tasks/{}", create.task));
                params.text_if_some("configId", create.config.id.as_deref());
                params.object("config", |config| {
                    config.object("pushNotificationConfig", |fields| push::write_fields(fields, &create.config));
                });
            });
            RestRequest { body: Some(body), ..RestRequest::of_webhooks(HttpMethod::Post, &create.task, None) }
        }
        PushOperation::Get(get) => RestRequest::of_webhooks(HttpMethod::Get, &get.task, Some(get.id.as_deref()?)),
        PushOperation::List(list) => RestRequest::list_webhooks(list),
        PushOperation::Delete(delete) => RestRequest::of_webhooks(HttpMethod::Delete, &delete.task, Some(&delete.id)),
    })
}

/// Reads what a message came to.
pub fn read_sent(result: &RawValue) -> Result<Sent, ReplyError> {
    reply::read::<V0_3Proto, _>(result)
}

/// Reads a task that was asked for, or canceled.
pub fn read_task(result: &RawValue) -> Result<TaskView, ReplyError> {
    reply::read::<V0_3Proto, _>(result)
}

/// Reads a page of tasks.
pub fn read_page(result: &RawValue) -> Result<PageView, ReplyError> {
    reply::read::<V0_3Proto, _>(result)
}

/// Reads a webhook.
pub fn read_push_config(result: &RawValue) -> Result<PushView, ReplyError> {
    reply::read::<V0_3Proto, _>(result)
}

/// Reads some of a task's webhooks.
pub fn read_push_configs(result: &RawValue) -> Result<PushPage, ReplyError> {
    reply::read::<V0_3Proto, _>(result)
}

/// Reads one event of a stream; `None` if it is of no kind that is known here.
pub fn read_event(result: &RawValue) -> Result<Option<StreamEvent>, ReplyError> {
    reply::read_optional::<V0_3Proto, _>(result)
}
