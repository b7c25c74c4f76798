//! Both services, beside all else that a node's port speaks.

mod call;
mod door;
mod events;
mod v0_3;
mod v1_0;

use std::sync::Arc;

use axum::Router;
use bobbinet_http::Server;

use crate::pb;
use door::Door;

pub(crate) use events::FIRST_EVENT_ID;

/// The routes of both packages: to be given to a server as its `grpc`.
pub fn routes(server: Arc<Server>) -> Router {
    // What is too large is refused before it is decoded, by the server's own bound.
    let v1_0 = pb::v1_0::a2a_service_server::A2aServiceServer::new(v1_0::Service::new(server.clone()))
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    let v0_3 = pb::v0_3::a2a_service_server::A2aServiceServer::new(v0_3::Service::new(server.clone()))
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    Router::new()
        .route_service("/lf.a2a.v1.A2AService/{method}", Door::new(server.clone(), v1_0))
        .route_service("/a2a.v1.A2AService/{method}", Door::new(server, v0_3))
}
