//! Carrying what the client of `bobbinet-http` asks: in the messages of a package, and what comes back in the JSON of 1.0.

mod answer;
mod ask;
mod channel;

use std::pin::Pin;

use bobbinet_http::{ClientError, client::GrpcRequest};
use bobbinet_wire::Version;
use http::Uri;
use reqwest::Response;

use answer::Answer;
use channel::Channel;

use crate::status;

/// Bytes of an answer: more than the largest task that a node of ours keeps by default.
const ANSWER_MAX: usize = 96 << 20;

/// Carries an operation: for [`ClientOptions::grpc`](bobbinet_http::client::ClientOptions::grpc).
pub fn carry(request: GrpcRequest) -> Pin<Box<dyn Future<Output = Result<Response, ClientError>> + Send>> {
    Box::pin(call(request))
}

async fn call(request: GrpcRequest) -> Result<Response, ClientError> {
    let GrpcRequest { version, operation, headers, channel } = request;
    let url = channel.url().clone();
    let bad = || ClientError::Protocol(format!("{url} is no address of gRPC"));
    let origin: Uri = url.origin().ascii_serialization().parse().map_err(|_| bad())?;
    let channel = Channel::new(channel);
    let faults = channel.faults();
    let asked = match version {
        Version::V1_0 => {
            let stub = crate::pb::v1_0::a2a_service_client::A2aServiceClient::with_origin(channel, origin);
            ask::v1_0(stub.max_decoding_message_size(ANSWER_MAX), operation, headers).await
        }
        Version::V0_3 => {
            let stub = crate::pb::v0_3::a2a_service_client::A2aServiceClient::with_origin(channel, origin);
            ask::v0_3(stub.max_decoding_message_size(ANSWER_MAX), operation, headers).await
        }
    };
    let answer = match asked {
        Ok(answer) => answer,
        Err(status) => match faults.take() {
            Some(error) => return Err(error),
            None if status::is_agents_word(&status) => Answer::Refused(status),
            None => return Err(answer::made_up(&url, &status)),
        },
    };
    answer.into_response(&url, faults)
}
