//! The client's half: encoding requests, decoding answers and events.

use serde_json::value::RawValue;

use super::{
    error,
    names::{Method, state_name},
    push, request,
    version::V1_0,
};
use crate::{
    envelope, list_params,
    reply::{self, ReplyError},
    task_ids::TaskAndContext,
    task_write::TaskWords,
    view::{PageView, Sent, StreamEvent, TaskView},
    write::{Object, object},
};
use bobbinet_core::{
    PushOperation, PushPage, PushView,
    operation::{Configuration, Operation, SendParams},
};

/// Writes a request, envelope and all.
pub fn write_request(out: &mut Vec<u8>, id: u64, operation: &Operation) {
    let method = match operation {
        Operation::Send(_) => Method::SendMessage,
        Operation::SendStreaming(_) => Method::SendStreamingMessage,
        Operation::Get(_) => Method::GetTask,
        Operation::List(_) => Method::ListTasks,
        Operation::Cancel(_) => Method::CancelTask,
        Operation::Subscribe(_) => Method::SubscribeToTask,
        Operation::ExtendedCard(_) => Method::GetExtendedAgentCard,
        Operation::PushConfig(PushOperation::Create(_)) => Method::CreateTaskPushNotificationConfig,
        Operation::PushConfig(PushOperation::Get(_)) => Method::GetTaskPushNotificationConfig,
        Operation::PushConfig(PushOperation::List(_)) => Method::ListTaskPushNotificationConfigs,
        Operation::PushConfig(PushOperation::Delete(_)) => Method::DeleteTaskPushNotificationConfig,
    };
    envelope::write_request(out, id, method.name(), |out| object(out, |params| write_params(params, operation)));
}

fn write_params(params: &mut Object<'_>, operation: &Operation) {
    let tenant = match operation {
        Operation::Send(send) | Operation::SendStreaming(send) => {
            write_send(params, send);
            &send.tenant
        }
        Operation::Get(get) => {
            params.text("id", &get.id);
            if let Some(length) = get.history_length {
                params.number("historyLength", length);
            }
            &get.tenant
        }
        Operation::List(list) => {
            list_params::write(params, list, state_name, request::AFTER);
            &list.tenant
        }
        Operation::Cancel(cancel) => {
            params.text("id", &cancel.id);
            params.raw_if_some("metadata", cancel.metadata.as_ref());
            &cancel.tenant
        }
        Operation::Subscribe(subscribe) => {
            params.text("id", &subscribe.id);
            &subscribe.tenant
        }
        Operation::ExtendedCard(card) => &card.tenant,
        Operation::PushConfig(push) => write_push(params, push),
    };
    params.text_if_some("tenant", tenant.as_deref());
}

fn write_push<'o>(params: &mut Object<'_>, operation: &'o PushOperation) -> &'o Option<String> {
    match operation {
        PushOperation::Create(create) => {
            params.text("taskId", &create.task);
            push::write_fields(params, &create.config);
            &create.tenant
        }
        PushOperation::Get(get) => {
            params.text("taskId", &get.task);
            params.text_if_some("id", get.id.as_deref());
            &get.tenant
        }
        PushOperation::List(list) => {
            params.text("taskId", &list.task);
            if let Some(size) = list.page_size {
                params.number("pageSize", size);
            }
            params.text_if_some("pageToken", list.page_token.as_deref());
            &list.tenant
        }
        PushOperation::Delete(delete) => {
            params.text("taskId", &delete.task);
            params.text("id", &delete.id);
            &delete.tenant
        }
    }
}

pub(super) fn write_send(params: &mut Object<'_>, send: &SendParams) {
    let ids = TaskAndContext { task: send.task.as_deref(), context: send.context.as_ref().map(|id| id.as_str()) };
    V1_0::message(params.field("message"), &send.message, ids);
    if send.configuration != Configuration::default() {
        params.object("configuration", |configuration| {
            if !send.configuration.accepted_output_modes.is_empty() {
                configuration.texts("acceptedOutputModes", &send.configuration.accepted_output_modes);
            }
            if let Some(length) = send.configuration.history_length {
                configuration.number("historyLength", length);
            }
            configuration.flag_if_set("returnImmediately", send.configuration.return_immediately);
            if let Some(config) = &send.configuration.push_config {
                configuration.object("taskPushNotificationConfig", |fields| push::write_fields(fields, config));
            }
        });
    }
    params.raw_if_some("metadata", send.metadata.as_ref());
}

/// Reads the result out of an answer, or out of the data of one event of a stream.
pub fn read_reply(body: &[u8]) -> Result<&RawValue, ReplyError> {
    envelope::read_result(body, error::read)
}

/// Reads the result of `SendMessage`.
pub fn read_sent(result: &RawValue) -> Result<Sent, ReplyError> {
    reply::read::<V1_0, _>(result)
}

/// Reads the result of `GetTask` and of `CancelTask`.
pub fn read_task(result: &RawValue) -> Result<TaskView, ReplyError> {
    reply::read::<V1_0, _>(result)
}

/// Reads the result of `ListTasks`.
pub fn read_page(result: &RawValue) -> Result<PageView, ReplyError> {
    reply::read::<V1_0, _>(result)
}

/// Reads the result of `CreateTaskPushNotificationConfig` and of `GetTaskPushNotificationConfig`.
pub fn read_push_config(result: &RawValue) -> Result<PushView, ReplyError> {
    reply::read::<V1_0, _>(result)
}

/// Reads the result of `ListTaskPushNotificationConfigs`.
pub fn read_push_configs(result: &RawValue) -> Result<PushPage, ReplyError> {
    reply::read::<V1_0, _>(result)
}

/// Reads one event of a stream; `None` if it is of no kind that is known here.
pub fn read_event(result: &RawValue) -> Result<Option<StreamEvent>, ReplyError> {
    reply::read_optional::<V1_0, _>(result)
}
