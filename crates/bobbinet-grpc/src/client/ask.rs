//! An operation in the messages of a package.

use bobbinet_core::{PushOperation, operation::Operation};
use bobbinet_wire::{
    v1_0::{
        push::{write_config, write_configs, write_deleted},
        view_write,
    },
    view::StreamEvent,
};
use futures::StreamExt;
use http::HeaderMap;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{answer::Answer, channel::Channel};
use crate::{
    pb::{v0_3 as pb_0_3, v1_0 as pb_1_0},
    server::FIRST_EVENT_ID,
    v0_3, v1_0,
};

/// In 1.0.
pub(super) async fn v1_0(
    mut stub: pb_1_0::a2a_service_client::A2aServiceClient<Channel>,
    operation: Operation,
    headers: HeaderMap,
) -> Result<Answer, Status> {
    use v1_0::{request, view};
    let mut out = Vec::new();
    match operation {
        Operation::Send(params) => {
            let told = stub.send_message(with(request::send(&params), headers)).await?;
            write(&mut out, view::sent(told.into_inner()).as_ref(), view_write::write_sent);
        }
        Operation::SendStreaming(params) => {
            let told = stub.send_streaming_message(with(request::send(&params), headers)).await?;
            return Ok(events(told, view::event));
        }
        Operation::Get(params) => {
            let told = stub.get_task(with(request::get(&params), headers)).await?;
            view_write::write_task(&mut out, &view::task(told.into_inner()));
        }
        Operation::List(params) => {
            let told = stub.list_tasks(with(request::list(&params), headers)).await?;
            view_write::write_page(&mut out, &view::page(told.into_inner()));
        }
        Operation::Cancel(params) => {
            let told = stub.cancel_task(with(request::cancel(&params), headers)).await?;
            view_write::write_task(&mut out, &view::task(told.into_inner()));
        }
        Operation::Subscribe(params) => {
            let told = stub.subscribe_to_task(with(request::subscribe(&params), headers)).await?;
            return Ok(events(told, view::event));
        }
        Operation::PushConfig(PushOperation::Create(params)) => {
            let made = stub.create_task_push_notification_config(with(request::create_push(&params), headers)).await?;
            write_config(&mut out, &view::push(made.into_inner()));
        }
        Operation::PushConfig(PushOperation::Get(params)) => {
            let told = stub.get_task_push_notification_config(with(request::get_push(&params), headers)).await?;
            write_config(&mut out, &view::push(told.into_inner()));
        }
        Operation::PushConfig(PushOperation::List(params)) => {
            let told = stub.list_task_push_notification_configs(with(request::list_push(&params), headers)).await?;
            write_configs(&mut out, &view::push_page(told.into_inner()));
        }
        Operation::PushConfig(PushOperation::Delete(params)) => {
            stub.delete_task_push_notification_config(with(request::delete_push(&params), headers)).await?;
            write_deleted(&mut out);
        }
        Operation::ExtendedCard(_) => return Err(not_asked()),
    }
    Ok(Answer::Whole(out))
}

/// In 0.3.
pub(super) async fn v0_3(
    mut stub: pb_0_3::a2a_service_client::A2aServiceClient<Channel>,
    operation: Operation,
    headers: HeaderMap,
) -> Result<Answer, Status> {
    use v0_3::{request, view};
    let mut out = Vec::new();
    match operation {
        Operation::Send(params) => {
            let told = stub.send_message(with(request::send(&params), headers)).await?;
            write(&mut out, view::sent(told.into_inner()).as_ref(), view_write::write_sent);
        }
        Operation::SendStreaming(params) => {
            let told = stub.send_streaming_message(with(request::send(&params), headers)).await?;
            return Ok(events(told, view::event));
        }
        Operation::Get(params) => {
            let told = stub.get_task(with(request::get(&params), headers)).await?;
            view_write::write_task(&mut out, &view::task(told.into_inner()));
        }
        Operation::List(_) => {
            return Err(Status::unimplemented("A2A 0.3 lists no tasks over gRPC: name a task by its id"));
        }
        Operation::Cancel(params) => {
            let told = stub.cancel_task(with(request::cancel(&params), headers)).await?;
            view_write::write_task(&mut out, &view::task(told.into_inner()));
        }
        Operation::Subscribe(params) => {
            let told = stub.task_subscription(with(request::subscribe(&params), headers)).await?;
            return Ok(events(told, view::event));
        }
        Operation::PushConfig(PushOperation::Create(params)) => {
            let made = stub.create_task_push_notification_config(with(request::create_push(&params), headers)).await?;
            write_config(&mut out, &view::push(made.into_inner()));
        }
        Operation::PushConfig(PushOperation::Get(params)) => {
            let told = stub.get_task_push_notification_config(with(request::get_push(&params), headers)).await?;
            write_config(&mut out, &view::push(told.into_inner()));
        }
        Operation::PushConfig(PushOperation::List(params)) => {
            let told = stub.list_task_push_notification_config(with(request::list_push(&params), headers)).await?;
            write_configs(&mut out, &view::push_page(told.into_inner()));
        }
        Operation::PushConfig(PushOperation::Delete(params)) => {
            stub.delete_task_push_notification_config(with(request::delete_push(&params), headers)).await?;
            write_deleted(&mut out);
        }
        Operation::ExtendedCard(_) => return Err(not_asked()),
    }
    Ok(Answer::Whole(out))
}

fn with<T>(message: T, headers: HeaderMap) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request
}

/// What was answered; what says nothing is an object without fields, which its reader does not take.
fn write<T>(out: &mut Vec<u8>, told: Option<&T>, write: impl FnOnce(&mut Vec<u8>, &T)) {
    match told {
        Some(told) => write(out, told),
        None => out.extend_from_slice(b"{}"),
    }
}

fn events<T: Send + 'static>(response: Response<Streaming<T>>, read: fn(T) -> Option<StreamEvent>) -> Answer {
    let first = response.metadata().get(FIRST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse().ok());
    Answer::Events { first, events: response.into_inner().map(move |told| told.map(read)).boxed() }
}

fn not_asked() -> Status {
    Status::unimplemented("this client does not ask for that over gRPC")
}
