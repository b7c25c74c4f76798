//! The client's half: encoding requests, decoding answers and events.

use bobbinet_core::{
    PushOperation, PushPage, PushView,
    operation::{Configuration, Operation, SendParams},
};
use serde_json::value::RawValue;

use super::{
    error,
    names::{Method, state_name},
    push, request,
    version::V0_3,
};
use crate::{
    envelope, list_params,
    reply::{self, RemoteError, ReplyError},
    task_ids::TaskAndContext,
    task_write::TaskWords,
    view::{PageView, Sent, StreamEvent, TaskView},
    write::{Object, object},
};

/// Writes a request, envelope and all. 0.3 knows no tenant, so none is said.
pub fn write_request(out: &mut Vec<u8>, id: u64, operation: &Operation) {
    let method = match operation {
        Operation::Send(_) => Method::SendMessage,
        Operation::SendStreaming(_) => Method::StreamMessage,
        Operation::Get(_) => Method::GetTask,
        Operation::List(_) => Method::ListTasks,
        Operation::Cancel(_) => Method::CancelTask,
        Operation::Subscribe(_) => Method::Resubscribe,
        Operation::ExtendedCard(_) => Method::GetExtendedCard,
        Operation::PushConfig(PushOperation::Create(_)) => Method::SetPushConfig,
        Operation::PushConfig(PushOperation::Get(_)) => Method::GetPushConfig,
        Operation::PushConfig(PushOperation::List(_)) => Method::ListPushConfigs,
        Operation::PushConfig(PushOperation::Delete(_)) => Method::DeletePushConfig,
    };
    envelope::write_request(out, id, method.name(), |out| object(out, |params| write_params(params, operation)));
}

fn write_params(params: &mut Object<'_>, operation: &Operation) {
    match operation {
        Operation::Send(send) => {
            write_message(params, send);
            write_configuration(params, &send.configuration, Some(!send.configuration.return_immediately));
            params.raw_if_some("metadata", send.metadata.as_ref());
        }
        Operation::SendStreaming(send) => {
            write_message(params, send);
            if send.configuration != Configuration::default() {
                write_configuration(params, &send.configuration, None);
            }
            params.raw_if_some("metadata", send.metadata.as_ref());
        }
        Operation::Get(get) => {
            params.text("id", &get.id);
            if let Some(length) = get.history_length {
                params.number("historyLength", length);
            }
        }
        Operation::List(list) => list_params::write(params, list, state_name, request::AFTER),
        Operation::Cancel(cancel) => {
            params.text("id", &cancel.id);
            params.raw_if_some("metadata", cancel.metadata.as_ref());
        }
        Operation::Subscribe(subscribe) => params.text("id", &subscribe.id),
        Operation::ExtendedCard(_) => {}
        Operation::PushConfig(asked) => push::write_params(params, asked),
    }
}

fn write_message(params: &mut Object<'_>, send: &SendParams) {
    let ids = TaskAndContext { task: send.task.as_deref(), context: send.context.as_ref().map(|id| id.as_str()) };
    V0_3::message(params.field("message"), &send.message, ids);
}

/// Whether to wait is said in any case, as agents differ in what they take it for; so are the modes, which 0.2 has to have.
fn write_configuration(params: &mut Object<'_>, said: &Configuration, blocking: Option<bool>) {
    params.object("configuration", |configuration| {
        configuration.texts("acceptedOutputModes", &said.accepted_output_modes);
        if let Some(length) = said.history_length {
            configuration.number("historyLength", length);
        }
        if let Some(config) = &said.push_config {
            configuration.object("pushNotificationConfig", |fields| push::write_fields(fields, config));
        }
        if let Some(blocking) = blocking {
            configuration.flag("blocking", blocking);
        }
    });
}

/// Reads the result out of an answer, or out of the data of one event of a stream. One that is left out is null, which says that a
/// webhook is gone, and nothing else.
pub fn read_reply(body: &[u8]) -> Result<&RawValue, ReplyError> {
    let result = envelope::read_any_result(body, |fault| RemoteError::of_rpc(fault, error::kind_of))?;
    Ok(result.unwrap_or(RawValue::NULL))
}

/// Reads the result of `message/send`.
pub fn read_sent(result: &RawValue) -> Result<Sent, ReplyError> {
    reply::read::<V0_3, _>(result)
}

/// Reads the result of `tasks/get` and of `tasks/cancel`.
pub fn read_task(result: &RawValue) -> Result<TaskView, ReplyError> {
    reply::read::<V0_3, _>(result)
}

/// Reads the result of `tasks/list`.
pub fn read_page(result: &RawValue) -> Result<PageView, ReplyError> {
    reply::read::<V0_3, _>(result)
}

/// Reads the result of `tasks/pushNotificationConfig/set` and of `tasks/pushNotificationConfig/get`.
pub fn read_push_config(result: &RawValue) -> Result<PushView, ReplyError> {
    reply::read::<V0_3, _>(result)
}

/// Reads the result of `tasks/pushNotificationConfig/list`, which is all of them.
pub fn read_push_configs(result: &RawValue) -> Result<PushPage, ReplyError> {
    Ok(PushPage { configs: reply::read::<V0_3, _>(result)?, next_page_token: None })
}

/// Reads one event of a stream; `None` if it is of no kind that is known here.
pub fn read_event(result: &RawValue) -> Result<Option<StreamEvent>, ReplyError> {
    reply::read_optional::<V0_3, _>(result)
}
