//! Writing what a client asks.

use bobbinet_core::{
    PushAuthentication, PushConfig,
    operation::{CancelParams, GetParams, SendParams, SubscribeParams},
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};

use super::{
    name::{CONFIGS, TASKS},
    pb,
    write::{Ids, message},
};
use crate::{json, rules::revealed};

/// What is said to an agent. No history at all is more than 0.3 can ask for: there zero is all of it, so one message is asked for.
pub fn send(params: &SendParams) -> pb::SendMessageRequest {
    let context = params.context.as_ref().map_or("", |context| context.as_str());
    let ids = Ids { task: params.task.as_deref().unwrap_or_default(), context };
    let given = &params.configuration;
    pb::SendMessageRequest {
        request: Some(message(&params.message, ids)),
        configuration: Some(pb::SendMessageConfiguration {
            accepted_output_modes: given.accepted_output_modes.clone(),
            push_notification: given.push_config.as_deref().map(push_config),
            history_length: history_length(given.history_length),
            blocking: !given.return_immediately,
        }),
        metadata: params.metadata.as_ref().map(json::object),
    }
}

/// Which task to show.
pub fn get(params: &GetParams) -> pb::GetTaskRequest {
    pb::GetTaskRequest { name: name(&params.id), history_length: history_length(params.history_length) }
}

/// Which task to stop.
pub fn cancel(params: &CancelParams) -> pb::CancelTaskRequest {
    pb::CancelTaskRequest { name: name(&params.id) }
}

/// Which task to follow.
pub fn subscribe(params: &SubscribeParams) -> pb::TaskSubscriptionRequest {
    pb::TaskSubscriptionRequest { name: name(&params.id) }
}

/// The webhook that is wanted.
pub fn create_push(params: &CreatePushParams) -> pb::CreateTaskPushNotificationConfigRequest {
    let id = params.config.id.clone().unwrap_or_default();
    pb::CreateTaskPushNotificationConfigRequest {
        parent: name(&params.task),
        config: Some(pb::TaskPushNotificationConfig {
            name: push_name(&params.task, &id),
            push_notification_config: Some(push_config(&params.config)),
        }),
        config_id: id,
    }
}

/// Which webhook to show.
pub fn get_push(params: &GetPushParams) -> pb::GetTaskPushNotificationConfigRequest {
    let id = params.id.as_deref().unwrap_or_default();
    pb::GetTaskPushNotificationConfigRequest { name: push_name(&params.task, id) }
}

/// Whose webhooks to show.
pub fn list_push(params: &ListPushParams) -> pb::ListTaskPushNotificationConfigRequest {
    pb::ListTaskPushNotificationConfigRequest {
        parent: name(&params.task),
        page_size: params.page_size.map_or(0, |size| i32::try_from(size).unwrap_or(i32::MAX)),
        page_token: params.page_token.clone().unwrap_or_default(),
    }
}

/// Which webhook to remove.
pub fn delete_push(params: &DeletePushParams) -> pb::DeleteTaskPushNotificationConfigRequest {
    pb::DeleteTaskPushNotificationConfigRequest { name: push_name(&params.task, &params.id) }
}

/// A webhook, secrets and all.
fn push_config(config: &PushConfig) -> pb::PushNotificationConfig {
    let authentication = config.authentication.as_ref();
    pb::PushNotificationConfig {
        id: config.id.clone().unwrap_or_default(),
        url: config.url.clone(),
        token: revealed(config.token.as_ref()),
        authentication: authentication.map(|PushAuthentication { scheme, credentials }| pb::AuthenticationInfo {
            schemes: vec![scheme.clone()],
            credentials: revealed(credentials.as_ref()),
        }),
    }
}

fn name(id: &str) -> String {
    format!("{TASKS}{id}")
}

fn push_name(task: &str, id: &str) -> String {
    format!("{TASKS}{task}{CONFIGS}/{id}")
}

fn history_length(length: Option<u32>) -> i32 {
    length.map_or(0, |length| i32::try_from(length).unwrap_or(i32::MAX).max(1))
}
