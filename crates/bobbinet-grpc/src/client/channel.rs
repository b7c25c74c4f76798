//! What carries requests: HTTP/2, straight or through the node's guard.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bobbinet_http::client::Outbound;
use bobbinet_outbound::{Http, Refused};
use http_body_util::BodyExt;
use reqwest::{Method, RequestBuilder, Url};
use tower::Service;

/// Carries requests to one origin. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    sender: Sender,
}

#[derive(Clone, Debug)]
enum Sender {
    Straight(reqwest::Client),
    Guarded(Box<Http>),
}

/// Why nothing came back.
#[derive(Debug)]
pub(super) enum Broken {
    /// It is not to be called.
    Refused(Refused),
    /// Something else went wrong on the way.
    Sent(reqwest::Error),
    /// The request itself cannot be made.
    Request(Box<dyn Error + Send + Sync>),
}

impl Channel {
    /// A channel to the origin of this URL.
    pub(super) fn new(url: &Url, outbound: &Outbound, connect_timeout: Duration) -> Result<Self, Broken> {
        let sender = match outbound {
            Outbound::Straight => {
                let client = reqwest::Client::builder()
                    .http2_prior_knowledge()
                    .connect_timeout(connect_timeout)
                    .tcp_nodelay(true)
                    .no_proxy()
                    .build();
                Sender::Straight(client.map_err(Broken::Sent)?)
            }
            Outbound::Guarded { guard, at } => {
                Sender::Guarded(Box::new(guard.http2(url, *at).map_err(Broken::Refused)?))
            }
        };
        Ok(Self { sender })
    }

    fn request(&self, url: &Url) -> Result<RequestBuilder, Broken> {
        match &self.sender {
            Sender::Straight(client) => Ok(client.request(Method::POST, url.clone())),
            Sender::Guarded(http) => http.request(Method::POST, url).map_err(Broken::Refused),
        }
    }

    async fn send(self, request: http::Request<tonic::body::Body>) -> Result<http::Response<reqwest::Body>, Broken> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|error| Broken::Request(error.into()))?;
        // Each request of A2A is one message.
        let body = body.collect().await.map_err(|status| Broken::Request(status.into()))?.to_bytes();
        let builder = self.request(&url)?.version(http::Version::HTTP_2).headers(parts.headers).body(body);
        let response = builder.send().await.map_err(|error| Broken::Sent(error.without_url()))?;
        Ok(response.into())
    }
}

impl Service<http::Request<tonic::body::Body>> for Channel {
    type Response = http::Response<reqwest::Body>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Broken>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

impl Broken {
    /// That the guard said no.
    pub(super) fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::Sent(error) => Refused::among(error),
            Self::Request(_) => None,
        }
    }

    /// Whether nothing of the request has left this machine.
    pub(super) fn is_unsent(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Request(_) => true,
            Self::Sent(error) => error.is_connect(),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Sent(_) => f.write_str("the request could not be sent"),
            Self::Request(_) => f.write_str("the request cannot be made"),
        }
    }
}

impl Error for Broken {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::Sent(error) => Some(error),
            Self::Request(error) => Some(&**error),
        }
    }
}
