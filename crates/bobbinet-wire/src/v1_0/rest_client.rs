//! The client's half over HTTP itself (specification section 11): where a request goes, and what stands in it. Answers and events are
//! those of [`client`](super::client), without an envelope; errors are read by [`rest_error::read_error`](crate::rest_error::read_error).

use bobbinet_core::{
    PushOperation,
    operation::{ListParams, Operation},
};

use super::{client::write_send, names::state_name, push};
use crate::{
    rest::HttpMethod,
    rest_request::{RestRequest, segment},
    write::object,
};

/// Where the webhooks of a task are, below it.
const CONFIGS: &str = "/pushNotificationConfigs";

/// What an operation is over HTTP; nothing for what is not asked for in this way.
pub fn request(operation: &Operation) -> Option<RestRequest> {
    let (request, tenant) = match operation {
        Operation::Send(send) | Operation::SendStreaming(send) => {
            let is_stream = matches!(operation, Operation::SendStreaming(_));
            let mut body = Vec::with_capacity(512);
            object(&mut body, |params| write_send(params, send));
            let path = if is_stream { "message:stream" } else { "message:send" };
            (RestRequest { body: Some(body), ..RestRequest::new(HttpMethod::Post, path) }, &send.tenant)
        }
        Operation::Get(get) => {
            let mut request = RestRequest::of_task(HttpMethod::Get, &get.id, "");
            request.add("historyLength", get.history_length);
            (request, &get.tenant)
        }
        Operation::List(list) => (list_request(list), &list.tenant),
        Operation::Cancel(cancel) => {
            let mut body = Vec::new();
            object(&mut body, |params| params.raw_if_some("metadata", cancel.metadata.as_ref()));
            (
                RestRequest { body: Some(body), ..RestRequest::of_task(HttpMethod::Post, &cancel.id, ":cancel") },
                &cancel.tenant,
            )
        }
        // Some agents take it by one method, some by the other: the caller tries both.
        Operation::Subscribe(subscribe) => {
            (RestRequest::of_task(HttpMethod::Post, &subscribe.id, ":subscribe"), &subscribe.tenant)
        }
        Operation::ExtendedCard(card) => (RestRequest::new(HttpMethod::Get, "extendedAgentCard"), &card.tenant),
        Operation::PushConfig(push) => push_request(push)?,
    };
    Some(request.for_tenant(tenant.as_deref()))
}

/// Nothing for a webhook that is not named, which only 0.3 has a question for.
fn push_request(operation: &PushOperation) -> Option<(RestRequest, &Option<String>)> {
    let one = |verb, task: &str, id: &str| RestRequest::of_task(verb, task, &format!("{CONFIGS}/{}", segment(id)));
    Some(match operation {
        PushOperation::Create(create) => {
            let mut body = Vec::with_capacity(512);
            object(&mut body, |fields| push::write_fields(fields, &create.config));
            let request = RestRequest::of_task(HttpMethod::Post, &create.task, CONFIGS);
            (RestRequest { body: Some(body), ..request }, &create.tenant)
        }
        PushOperation::Get(get) => (one(HttpMethod::Get, &get.task, get.id.as_deref()?), &get.tenant),
        PushOperation::List(list) => {
            let mut request = RestRequest::of_task(HttpMethod::Get, &list.task, CONFIGS);
            request.add("pageSize", list.page_size);
            request.add("pageToken", list.page_token.as_ref());
            (request, &list.tenant)
        }
        PushOperation::Delete(delete) => (one(HttpMethod::Delete, &delete.task, &delete.id), &delete.tenant),
    })
}

fn list_request(list: &ListParams) -> RestRequest {
    let mut request = RestRequest::new(HttpMethod::Get, "tasks");
    request.add("contextId", list.context.as_ref());
    request.add("status", list.state.map(state_name));
    request.add("pageSize", Some(list.page_size));
    request.add("pageToken", list.page_token.as_ref());
    request.add("historyLength", list.history_length);
    request.add("statusTimestampAfter", list.status_timestamp_after);
    request.add("includeArtifacts", list.include_artifacts.then_some(true));
    request
}
