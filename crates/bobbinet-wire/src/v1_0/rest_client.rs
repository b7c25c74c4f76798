//! The client's half over HTTP itself (specification section 11): where a request goes, and what stands in it. Answers and events are
//! those of [`client`](super::client), without an envelope; errors are read by [`rest_error::read_error`](crate::rest_error::read_error).

use bobbinet_core::operation::{ListParams, Operation};

use super::{client::write_send, names::state_name};
use crate::{rest::HttpMethod, rest_request::RestRequest, write::object};

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
        Operation::PushConfig(_) => return None,
    };
    Some(request.for_tenant(tenant.as_deref()))
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
