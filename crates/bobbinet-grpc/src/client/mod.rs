//! Calling an agent over gRPC: sending, following, coming back.

mod channel;
mod error;
mod stream;

use std::time::Duration;

use bobbinet_core::operation::{CancelParams, GetParams, ListParams, SendParams, SubscribeParams};
use bobbinet_http::{Credentials, SendOptions, client::Outbound};
use bobbinet_wire::view::{PageView, Sent, TaskView};
use http::Uri;
use reqwest::Url;
use tokio::time::timeout;
use tonic::{
    Request, Response, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
};

use crate::{pb, v0_3, v1_0};
use channel::Channel;

pub use error::ClientError;
pub use stream::{Event, TaskStream};

/// A version of A2A, and so a package of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.0: `lf.a2a.v1`.
    V1_0,
    /// 0.3: `a2a.v1`.
    V0_3,
}

/// How a client behaves. The defaults suit a person at a terminal.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Which version is spoken.
    pub version: Version,
    /// As the agent's card says it; nothing if it says none.
    pub tenant: Option<String>,
    /// Through what its requests go out.
    pub outbound: Outbound,
    /// How it shows who it is.
    pub credentials: Credentials,
    /// For whom a token is made that is made here: the URL of the agent, which is not its address over gRPC.
    pub audience: Option<String>,
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// For the answer to a request that does not wait for a task.
    pub timeout: Duration,
    /// For the answer to a blocking send; `None` for as long as it takes.
    pub wait_timeout: Option<Duration>,
    /// How often in a row a broken stream is tried again before it is given up.
    pub retries_max: u32,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            version: Version::V1_0,
            tenant: None,
            outbound: Outbound::Straight,
            credentials: Credentials::None,
            audience: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            wait_timeout: None,
            retries_max: 12,
        }
    }
}

/// An agent that can be called over gRPC. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    url: Url,
    stub: Stub,
    options: ClientOptions,
}

#[derive(Clone, Debug)]
enum Stub {
    V1_0(pb::v1_0::a2a_service_client::A2aServiceClient<Channel>),
    V0_3(pb::v0_3::a2a_service_client::A2aServiceClient<Channel>),
}

impl Client {
    /// Gets ready to call the agent at an address as a card has it: `agents.example.com:443`, which is TLS but on this machine, or a URL.
    /// Nothing goes out.
    ///
    /// # Errors
    /// If it is no address, or one that may not be called.
    pub fn new(target: &str, options: ClientOptions) -> Result<Self, ClientError> {
        let url = url_of(target).ok_or_else(|| ClientError::BadTarget(target.to_owned()))?;
        let origin: Uri =
            url.origin().ascii_serialization().parse().map_err(|_| ClientError::BadTarget(target.to_owned()))?;
        let channel = Channel::new(&url, &options.outbound, options.connect_timeout);
        let channel = channel.map_err(|broken| ClientError::of_channel(target, broken))?;
        let stub = match options.version {
            Version::V1_0 => Stub::V1_0(
                pb::v1_0::a2a_service_client::A2aServiceClient::with_origin(channel, origin)
                    .max_decoding_message_size(ANSWER_MAX),
            ),
            Version::V0_3 => Stub::V0_3(
                pb::v0_3::a2a_service_client::A2aServiceClient::with_origin(channel, origin)
                    .max_decoding_message_size(ANSWER_MAX),
            ),
        };
        Ok(Self { url, stub, options })
    }

    /// Where its requests go.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Says something, and waits until the task has ended or asks, unless `params` say not to.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn send(&self, params: SendParams, options: &SendOptions) -> Result<Sent, ClientError> {
        let after = match params.configuration.return_immediately && !options.is_patient {
            true => Some(self.options.timeout),
            false => self.options.wait_timeout,
        };
        let params = SendParams { tenant: self.options.tenant.clone(), ..params };
        let sent = match self.stub.clone() {
            Stub::V1_0(mut stub) => {
                let request = self.request(v1_0::request::send(&params), Some(options), None)?;
                v1_0::view::sent(self.within(after, stub.send_message(request)).await?)
            }
            Stub::V0_3(mut stub) => {
                let request = self.request(v0_3::request::send(&params), Some(options), None)?;
                v0_3::view::sent(self.within(after, stub.send_message(request)).await?)
            }
        };
        sent.ok_or_else(|| ClientError::Protocol(format!("{} answers a message with nothing", self.url)))
    }

    /// Says something, and hears all that follows.
    ///
    /// # Errors
    /// As [`ClientError`] says; once there is an event, the stream itself comes back after what breaks it.
    pub async fn send_streaming(&self, params: SendParams, options: &SendOptions) -> Result<TaskStream, ClientError> {
        let params = SendParams { tenant: self.options.tenant.clone(), ..params };
        let messages = match self.stub.clone() {
            Stub::V1_0(mut stub) => {
                let request = self.request(v1_0::request::send(&params), Some(options), None)?;
                stub.send_streaming_message(request).await.map(stream::Messages::of_1_0)
            }
            Stub::V0_3(mut stub) => {
                let request = self.request(v0_3::request::send(&params), Some(options), None)?;
                stub.send_streaming_message(request).await.map(stream::Messages::of_0_3)
            }
        };
        Ok(TaskStream::new(self.clone(), messages.map_err(|status| self.error(status))?))
    }

    /// Shows a task.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn get(&self, id: &str, history_length: Option<u32>) -> Result<TaskView, ClientError> {
        let params = GetParams { id: id.to_owned(), history_length, tenant: self.options.tenant.clone() };
        let after = Some(self.options.timeout);
        Ok(match self.stub.clone() {
            Stub::V1_0(mut stub) => {
                let request = self.request(v1_0::request::get(&params), None, None)?;
                v1_0::view::task(self.within(after, stub.get_task(request)).await?)
            }
            Stub::V0_3(mut stub) => {
                let request = self.request(v0_3::request::get(&params), None, None)?;
                v0_3::view::task(self.within(after, stub.get_task(request)).await?)
            }
        })
    }

    /// Shows a page of tasks, which 0.3 cannot.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn list(&self, params: ListParams) -> Result<PageView, ClientError> {
        let params = ListParams { tenant: self.options.tenant.clone(), ..params };
        match self.stub.clone() {
            Stub::V1_0(mut stub) => {
                let request = self.request(v1_0::request::list(&params), None, None)?;
                let answer = self.within(Some(self.options.timeout), stub.list_tasks(request)).await?;
                Ok(v1_0::view::page(answer))
            }
            Stub::V0_3(_) => Err(ClientError::NotSpoken("list tasks")),
        }
    }

    /// Stops a task.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn cancel(&self, id: &str) -> Result<TaskView, ClientError> {
        let params = CancelParams { id: id.to_owned(), metadata: None, tenant: self.options.tenant.clone() };
        let after = Some(self.options.timeout);
        Ok(match self.stub.clone() {
            Stub::V1_0(mut stub) => {
                let request = self.request(v1_0::request::cancel(&params), None, None)?;
                v1_0::view::task(self.within(after, stub.cancel_task(request)).await?)
            }
            Stub::V0_3(mut stub) => {
                let request = self.request(v0_3::request::cancel(&params), None, None)?;
                v0_3::view::task(self.within(after, stub.cancel_task(request)).await?)
            }
        })
    }

    /// Hears all that follows in a task: after the event with the id `after`, or after the task as it stands.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn subscribe(&self, id: &str, after: Option<u64>) -> Result<TaskStream, ClientError> {
        Ok(TaskStream::new(self.clone(), self.follow(id, after).await?))
    }

    async fn follow(&self, id: &str, after: Option<u64>) -> Result<stream::Messages, ClientError> {
        let params = SubscribeParams { id: id.to_owned(), tenant: self.options.tenant.clone() };
        let messages = match self.stub.clone() {
            Stub::V1_0(mut stub) => {
                let request = self.request(v1_0::request::subscribe(&params), None, after)?;
                stub.subscribe_to_task(request).await.map(stream::Messages::of_1_0)
            }
            Stub::V0_3(mut stub) => {
                let request = self.request(v0_3::request::subscribe(&params), None, after)?;
                stub.task_subscription(request).await.map(stream::Messages::of_0_3)
            }
        };
        messages.map_err(|status| self.error(status))
    }

    /// A message with all that goes with it.
    fn request<T>(
        &self,
        message: T,
        options: Option<&SendOptions>,
        after: Option<u64>,
    ) -> Result<Request<T>, ClientError> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        let version = match self.options.version {
            Version::V1_0 => "1.0",
            Version::V0_3 => "0.3",
        };
        metadata.insert("a2a-version", AsciiMetadataValue::from_static(version));
        let audience = self.options.audience.as_deref().unwrap_or(self.url.as_str());
        if let Some(token) = self.options.credentials.token_for(audience)? {
            put(metadata, "authorization", &format!("Bearer {token}"))?;
        }
        if let Some(id) = after {
            metadata.insert("last-event-id", id.into());
        }
        let key = options.and_then(|options| options.idempotency_key.as_deref());
        let trace = options.and_then(|options| options.traceparent.as_deref());
        for (name, value) in [("idempotency-key", key), ("traceparent", trace)] {
            if let Some(value) = value {
                put(metadata, name, value)?;
            }
        }
        Ok(request)
    }

    async fn within<T>(
        &self,
        after: Option<Duration>,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, ClientError> {
        let answer = match after {
            None => answer.await,
            Some(after) => timeout(after, answer)
                .await
                .map_err(|_| ClientError::Timeout { target: self.url.to_string(), after })?,
        };
        answer.map(Response::into_inner).map_err(|status| self.error(status))
    }

    fn error(&self, status: Status) -> ClientError {
        ClientError::of(self.url.as_str(), status)
    }
}

/// Bytes of an answer: more than the largest task that a node of ours keeps by default.
const ANSWER_MAX: usize = 96 << 20;

fn put(metadata: &mut MetadataMap, name: &'static str, value: &str) -> Result<(), ClientError> {
    let value: AsciiMetadataValue =
        value.parse().map_err(|_| ClientError::Protocol(format!("{name} does not fit the metadata of a request")))?;
    metadata.insert(name, value);
    Ok(())
}

/// A URL as it stands; an address by itself is one of TLS, unless it is on this machine.
fn url_of(target: &str) -> Option<Url> {
    let is_url = target.contains("://");
    let is_local = ["127.", "localhost", "[::1]"].iter().any(|host| target.starts_with(host));
    let text = match (is_url, is_local) {
        (true, _) => target.to_owned(),
        (false, true) => format!("http://{target}"),
        (false, false) => format!("https://{target}"),
    };
    let url = Url::parse(&text).ok()?;
    let is_called = matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty();
    is_called.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_in_short() {
        for (target, expected) in [
            ("127.0.0.1:7420", Some("http://127.0.0.1:7420/")),
            ("localhost:7420", Some("http://localhost:7420/")),
            ("grpc.example.com:443", Some("https://grpc.example.com/")),
            ("grpc.example.com:8443", Some("https://grpc.example.com:8443/")),
            ("http://grpc.example.com:80", Some("http://grpc.example.com/")),
            ("", None),
            ("ftp://a.example", None),
            ("user@a.example:1", None),
        ] {
            assert_eq!(url_of(target).as_ref().map(Url::as_str), expected, "{target}");
        }
    }
}
