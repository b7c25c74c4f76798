//! Writing what a client asks.

use bobbinet_core::operation::{CancelParams, Configuration, GetParams, ListParams, SendParams, SubscribeParams};

use super::{
    pb,
    write::{Ids, message, state_number},
};
use crate::{json, rules};

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
        task_push_notification_config: None,
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

fn tenant(tenant: Option<&String>) -> String {
    tenant.cloned().unwrap_or_default()
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
