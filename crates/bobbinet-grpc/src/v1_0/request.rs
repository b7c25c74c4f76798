//! Writing what a client asks.

use bobbinet_core::{
    PushAuthentication, PushConfig,
    operation::{CancelParams, Configuration, GetParams, ListParams, SendParams, SubscribeParams},
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};

use super::{
    pb,
    write::{Ids, message, state_number},
};
use crate::{
    json,
    rules::{self, revealed},
};

/// What is said to an agent.
pub fn send(params: &SendParams) -> pb::SendMessageRequest {
    let context = params.context.as_ref().map_or("", |context| context.as_str());
    let ids = Ids { task: params.task.as_deref().unwrap_or_default(), context };
    pb::SendMessageRequest {
        tenant: tenant(params.tenant.as_ref()),
        message: Some(message(&params.message, ids)),
        configuration: configuration(&params.configuration),
        metadata: params.metadata.as_ref().map(json::object),
    }
}

fn configuration(given: &Configuration) -> Option<pb::SendMessageConfiguration> {
    let says_something = *given != Configuration::default();
    says_something.then(|| pb::SendMessageConfiguration {
        accepted_output_modes: given.accepted_output_modes.clone(),
        task_push_notification_config: given.push_config.as_deref().map(push_config),
        history_length: given.history_length.map(number),
        return_immediately: given.return_immediately,
    })
}

/// Which task to show.
pub fn get(params: &GetParams) -> pb::GetTaskRequest {
    pb::GetTaskRequest {
        tenant: tenant(params.tenant.as_ref()),
        id: params.id.clone(),
        history_length: params.history_length.map(number),
    }
}

/// Which tasks to show.
pub fn list(params: &ListParams) -> pb::ListTasksRequest {
    pb::ListTasksRequest {
        tenant: tenant(params.tenant.as_ref()),
        context_id: params.context.as_ref().map_or_else(String::new, |context| context.as_str().to_owned()),
        status: params.state.map_or(pb::TaskState::Unspecified, state_number).into(),
        page_size: Some(number(params.page_size)),
        page_token: params.page_token.clone().unwrap_or_default(),
        history_length: params.history_length.map(number),
        status_timestamp_after: params.status_timestamp_after.map(rules::time),
        include_artifacts: Some(params.include_artifacts),
    }
}

/// Which task to stop.
pub fn cancel(params: &CancelParams) -> pb::CancelTaskRequest {
    pb::CancelTaskRequest {
        tenant: tenant(params.tenant.as_ref()),
        id: params.id.clone(),
        metadata: params.metadata.as_ref().map(json::object),
    }
}

/// Which task to follow.
pub fn subscribe(params: &SubscribeParams) -> pb::SubscribeToTaskRequest {
    pb::SubscribeToTaskRequest { tenant: tenant(params.tenant.as_ref()), id: params.id.clone() }
}

/// The webhook that is wanted.
pub fn create_push(params: &CreatePushParams) -> pb::TaskPushNotificationConfig {
    let CreatePushParams { task, config, tenant: of } = params;
    pb::TaskPushNotificationConfig { tenant: tenant(of.as_ref()), task_id: task.clone(), ..push_config(config) }
}

/// Which webhook to show.
pub fn get_push(params: &GetPushParams) -> pb::GetTaskPushNotificationConfigRequest {
    pb::GetTaskPushNotificationConfigRequest {
        tenant: tenant(params.tenant.as_ref()),
        task_id: params.task.clone(),
        id: params.id.clone().unwrap_or_default(),
    }
}

/// Whose webhooks to show.
pub fn list_push(params: &ListPushParams) -> pb::ListTaskPushNotificationConfigsRequest {
    pb::ListTaskPushNotificationConfigsRequest {
        tenant: tenant(params.tenant.as_ref()),
        task_id: params.task.clone(),
        page_size: params.page_size.map_or(0, number),
        page_token: params.page_token.clone().unwrap_or_default(),
    }
}

/// Which webhook to remove.
pub fn delete_push(params: &DeletePushParams) -> pb::DeleteTaskPushNotificationConfigRequest {
    pb::DeleteTaskPushNotificationConfigRequest {
        tenant: tenant(params.tenant.as_ref()),
        task_id: params.task.clone(),
        id: params.id.clone(),
    }
}

/// A webhook, secrets and all.
fn push_config(config: &PushConfig) -> pb::TaskPushNotificationConfig {
    let authentication = config.authentication.as_ref();
    pb::TaskPushNotificationConfig {
        tenant: String::new(),
        id: config.id.clone().unwrap_or_default(),
        task_id: String::new(),
        url: config.url.clone(),
        token: revealed(config.token.as_ref()),
        authentication: authentication.map(|PushAuthentication { scheme, credentials }| pb::AuthenticationInfo {
            scheme: scheme.clone(),
            credentials: revealed(credentials.as_ref()),
        }),
    }
}

fn tenant(tenant: Option<&String>) -> String {
    tenant.cloned().unwrap_or_default()
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
