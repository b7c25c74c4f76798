//! What carries operations over gRPC. Its messages are another crate's, which says what it asks and hears in the JSON of 1.0 over REST:
//! so that all else, what is tried again and when, is one for all bindings.

use std::{future::Future, pin::Pin, time::Duration};

use bobbinet_core::operation::Operation;
use bobbinet_wire::Version;
use bytes::Bytes;
use reqwest::{
    Method, Response, Url,
    header::{HeaderMap, HeaderName},
};

use super::{ClientError, error::unreachable, outbound::Sender};

/// What says in its headers, or in its trailers, what came of a call.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// An operation that is to be carried.
#[derive(Debug)]
pub struct GrpcRequest {
    /// In which version of A2A.
    pub version: Version,
    /// What is asked.
    pub operation: Operation,
    /// What goes with it: who calls, under which key, after which event.
    pub headers: HeaderMap,
    /// Over what.
    pub channel: GrpcChannel,
}

/// Carries an operation, and gives what came of it as REST would have it: JSON, `text/event-stream`, or a `google.rpc.Status`.
pub type CarryGrpc = fn(GrpcRequest) -> Pin<Box<dyn Future<Output = Result<Response, ClientError>> + Send>>;

/// HTTP/2 to one agent, for one call.
#[derive(Clone, Debug)]
pub struct GrpcChannel {
    pub(super) sender: Sender,
    pub(super) url: Url,
    pub(super) timeout: Option<Duration>,
    pub(super) connect_timeout: Duration,
}

impl GrpcChannel {
    /// The origin that is called.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Posts a message to a path.
    ///
    /// # Errors
    /// If nobody is there, or not a server of gRPC.
    pub async fn post(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<reqwest::Body>, ClientError> {
        let mut url = self.url.clone();
        url.set_path(path);
        let mut request = self.sender.request(Method::POST, &url)?.version(http::Version::HTTP_2);
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        let response = request.headers(headers).body(body).send().await.map_err(|source| self.broken(source))?;
        let (status, says_status) = (response.status(), response.headers().contains_key(STATUS));
        if !status.is_success() && !says_status {
            let what = "no status of gRPC".to_owned();
            return Err(ClientError::NotAnAgent { url: self.url.to_string(), status: status.as_u16(), what });
        }
        Ok(response.into())
    }

    /// What it means that an answer broke off.
    pub fn broken(&self, source: reqwest::Error) -> ClientError {
        unreachable(&self.url, self.timeout.unwrap_or(self.connect_timeout), source)
    }
}
