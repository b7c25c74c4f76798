//! The service of `a2a.v1`.

use std::sync::Arc;

use bobbinet_gateway::{Answer, PlainMessage};
use bobbinet_http::Server;
use bobbinet_wire::Error;
use tonic::{Request, Response, Status};

use super::{
    call::{Call, Package},
    events::{Messages, Writer},
};
use crate::{
    pb::v0_3::{self as pb, a2a_service_server::A2aService, send_message_response::Payload},
    status,
    v0_3::{card, push, read, write},
};

/// Answers for all agents of a server.
#[derive(Debug)]
pub(super) struct Service {
    server: Arc<Server>,
}

const WRITER: Writer<pb::StreamResponse> = Writer {
    task: write::streamed,
    said: |said| write::streamed_said(&said.message, &said.context),
    update: write::update,
};

impl Service {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server }
    }

    /// No message of 0.3 says which agent is meant.
    async fn enter<T>(&self, request: Request<T>) -> Result<(Call, T), Status> {
        Call::enter(&self.server, Package::V0_3, request, |_| "").await
    }
}

fn read<T>(read: Result<T, Error>) -> Result<T, Status> {
    read.map_err(|error| status::of(&error))
}

#[tonic::async_trait]
impl A2aService for Service {
    type SendStreamingMessageStream = Messages<pb::StreamResponse>;
    type TaskSubscriptionStream = Messages<pb::StreamResponse>;

    async fn send_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Result<Response<pb::SendMessageResponse>, Status> {
        let (mut call, message) = self.enter(request).await?;
        call.note_key("a2a.v1/SendMessage", &message)?;
        let params = read(read::send(message))?;
        call.send(params, |answer, selection| {
            let payload = match answer {
                Answer::Task(task) => Payload::Task(write::task(task, selection)),
                Answer::Message(PlainMessage { message, context }) => Payload::Msg(write::said(&message, &context)),
            };
            pb::SendMessageResponse { payload: Some(payload) }
        })
        .await
    }

    async fn send_streaming_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Result<Response<Self::SendStreamingMessageStream>, Status> {
        let (mut call, message) = self.enter(request).await?;
        call.note_key("a2a.v1/SendStreamingMessage", &message)?;
        let params = read(read::send(message))?;
        call.send_streaming(params, WRITER).await
    }

    async fn get_task(&self, request: Request<pb::GetTaskRequest>) -> Result<Response<pb::Task>, Status> {
        let (call, message) = self.enter(request).await?;
        call.get(read(read::get(&message))?, write::task).await
    }

    async fn cancel_task(&self, request: Request<pb::CancelTaskRequest>) -> Result<Response<pb::Task>, Status> {
        let (call, message) = self.enter(request).await?;
        call.cancel(read(read::cancel(&message))?, write::task).await
    }

    async fn task_subscription(
        &self,
        request: Request<pb::TaskSubscriptionRequest>,
    ) -> Result<Response<Self::TaskSubscriptionStream>, Status> {
        let (call, message) = self.enter(request).await?;
        call.subscribe_or_show(read(read::subscribe(&message))?, WRITER).await
    }

    async fn create_task_push_notification_config(
        &self,
        request: Request<pb::CreateTaskPushNotificationConfigRequest>,
    ) -> Result<Response<pb::TaskPushNotificationConfig>, Status> {
        let (call, message) = self.enter(request).await?;
        call.create_webhook(&read(push::create(message))?, push::write).await
    }

    async fn get_task_push_notification_config(
        &self,
        request: Request<pb::GetTaskPushNotificationConfigRequest>,
    ) -> Result<Response<pb::TaskPushNotificationConfig>, Status> {
        let (call, message) = self.enter(request).await?;
        call.webhook(&read(push::get(&message))?, push::write).await
    }

    async fn list_task_push_notification_config(
        &self,
        request: Request<pb::ListTaskPushNotificationConfigRequest>,
    ) -> Result<Response<pb::ListTaskPushNotificationConfigResponse>, Status> {
        let (call, message) = self.enter(request).await?;
        call.list_webhooks(&read(push::list(message))?, push::write_page).await
    }

    /// The public card, where there is no more for those who are known.
    async fn get_agent_card(
        &self,
        request: Request<pb::GetAgentCardRequest>,
    ) -> Result<Response<pb::AgentCard>, Status> {
        let (call, _) = self.enter(request).await?;
        call.card(true, card::write).await
    }

    async fn delete_task_push_notification_config(
        &self,
        request: Request<pb::DeleteTaskPushNotificationConfigRequest>,
    ) -> Result<Response<()>, Status> {
        let (call, message) = self.enter(request).await?;
        call.delete_webhook(&read(push::delete(&message))?).await
    }
}
