//! The service of `lf.a2a.v1`.

use std::sync::Arc;

use bobbinet_gateway::{Answer, PlainMessage};
use bobbinet_http::Server;
use bobbinet_wire::Error;
use tonic::{Request, Response, Status};

use super::{
    call::{Call, Package, Page},
    events::{Messages, Writer},
};
use crate::{
    pb::v1_0::{self as pb, a2a_service_server::A2aService, send_message_response::Payload},
    status,
    v1_0::{card, push, read, write},
};

/// Answers for all agents of a server.
#[derive(Debug)]
pub(super) struct Service {
    server: Arc<Server>,
}

const WRITER: Writer<pb::StreamResponse> = Writer {
    task: write::streamed,
    said: |said| write::streamed_said(&said.message, &said.context),
    update: |task, context, at, event, _| write::update(task, context, at, event),
};

impl Service {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server }
    }

    async fn enter<T>(&self, request: Request<T>, tenant: impl Fn(&T) -> &str) -> Result<(Call, T), Status> {
        Call::enter(&self.server, Package::V1_0, request, tenant).await
    }
}

fn read<T>(read: Result<T, Error>) -> Result<T, Status> {
    read.map_err(|error| status::of(&error))
}

#[tonic::async_trait]
impl A2aService for Service {
    type SendStreamingMessageStream = Messages<pb::StreamResponse>;
    type SubscribeToTaskStream = Messages<pb::StreamResponse>;

    async fn send_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Result<Response<pb::SendMessageResponse>, Status> {
        let (mut call, message) = self.enter(request, |message| &message.tenant).await?;
        call.note_key("SendMessage", &message)?;
        let params = read(read::send(message))?;
        call.send(params, |answer, selection| {
            let payload = match answer {
                Answer::Task(task) => Payload::Task(write::task(task, selection)),
                Answer::Message(PlainMessage { message, context }) => Payload::Message(write::said(&message, &context)),
            };
            pb::SendMessageResponse { payload: Some(payload) }
        })
        .await
    }

    async fn send_streaming_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Result<Response<Self::SendStreamingMessageStream>, Status> {
        let (mut call, message) = self.enter(request, |message| &message.tenant).await?;
        call.note_key("SendStreamingMessage", &message)?;
        let params = read(read::send(message))?;
        call.send_streaming(params, WRITER).await
    }

    async fn get_task(&self, request: Request<pb::GetTaskRequest>) -> Result<Response<pb::Task>, Status> {
        let (call, message) = self.enter(request, |message| &message.tenant).await?;
        call.get(read(read::get(message))?, write::task).await
    }

    async fn list_tasks(
        &self,
        request: Request<pb::ListTasksRequest>,
    ) -> Result<Response<pb::ListTasksResponse>, Status> {
        let (call, message) = self.enter(request, |message| &message.tenant).await?;
        let page = |Page { tasks, next, size, total }: Page<pb::Task>| pb::ListTasksResponse {
            tasks,
            next_page_token: next,
            page_size: i32::try_from(size).unwrap_or(i32::MAX),
            total_size: i32::try_from(total).unwrap_or(i32::MAX),
        };
        call.list(read(read::list(message))?, write::task, page).await
    }

    async fn cancel_task(&self, request: Request<pb::CancelTaskRequest>) -> Result<Response<pb::Task>, Status> {
        let (call, message) = self.enter(request, |message| &message.tenant).await?;
        call.cancel(read(read::cancel(message))?, write::task).await
    }

    async fn subscribe_to_task(
        &self,
        request: Request<pb::SubscribeToTaskRequest>,
    ) -> Result<Response<Self::SubscribeToTaskStream>, Status> {
        let (call, message) = self.enter(request, |message| &message.tenant).await?;
        call.subscribe(read(read::subscribe(message))?, WRITER).await
    }

    async fn create_task_push_notification_config(
        &self,
        request: Request<pb::TaskPushNotificationConfig>,
    ) -> Result<Response<pb::TaskPushNotificationConfig>, Status> {
        let (call, message) = self.enter(request, |message| &message.tenant).await?;
        call.create_webhook(&read(push::create(message))?, push::write).await
    }

    async fn get_task_push_notification_config(
        &self,
        request: Request<pb::GetTaskPushNotificationConfigRequest>,
    ) -> Result<Response<pb::TaskPushNotificationConfig>, Status> {
        let (call, message) = self.enter(request, |message| &message.tenant).await?;
        call.webhook(&read(push::get(message))?, push::write).await
    }

    async fn list_task_push_notification_configs(
        &self,
        request: Request<pb::ListTaskPushNotificationConfigsRequest>,
    ) -> Result<Response<pb::ListTaskPushNotificationConfigsResponse>, Status> {
        let (call, message) = self.enter(request, |message| &message.tenant).await?;
        call.list_webhooks(&read(push::list(message))?, push::write_page).await
    }

    async fn get_extended_agent_card(
        &self,
        request: Request<pb::GetExtendedAgentCardRequest>,
    ) -> Result<Response<pb::AgentCard>, Status> {
        let (call, _) = self.enter(request, |message| &message.tenant).await?;
        call.card(false, card::write).await
    }

    async fn delete_task_push_notification_config(
        &self,
        request: Request<pb::DeleteTaskPushNotificationConfigRequest>,
    ) -> Result<Response<()>, Status> {
        let (call, message) = self.enter(request, |message| &message.tenant).await?;
        call.delete_webhook(&read(push::delete(message))?).await
    }
}
