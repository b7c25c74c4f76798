//! Writing what a client asks.

use bobbinet_core::operation::{CancelParams, GetParams, SendParams, SubscribeParams};

use super::{
    pb,
    write::{Ids, message},
};
use crate::json;

/// What is said to an agent. No history at all is more than 0.3 can ask for: there zero is all of it, so one message is asked for.
pub fn send(params: &SendParams) -> pb::SendMessageRequest {
    let context = params.context.as_ref().map_or("", |context| context.as_str());
    let ids = Ids { task: params.task.as_deref().unwrap_or_default(), context };
    let given = &params.configuration;
    pb::SendMessageRequest {
        request: Some(message(&params.message, ids)),
        configuration: Some(pb::SendMessageConfiguration {
            accepted_output_modes: given.accepted_output_modes.clone(),
            push_notification: None,
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

fn name(id: &str) -> String {
    format!("tasks/{id}")
}

fn history_length(length: Option<u32>) -> i32 {
    length.map_or(0, |length| i32::try_from(length).unwrap_or(i32::MAX).max(1))
}
