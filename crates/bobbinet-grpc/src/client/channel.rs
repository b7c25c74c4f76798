//! What carries the messages of one call.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bobbinet_http::{ClientError, client::GrpcChannel};
use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tower::Service;

/// Carries the messages of one call. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    inner: GrpcChannel,
    faults: Faults,
}

/// What went wrong on the way: a status has no room for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Arc<Mutex<Option<ClientError>>>);

/// That something went wrong on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken;

impl Channel {
    pub(super) fn new(inner: GrpcChannel) -> Self {
        Self { inner, faults: Faults::default() }
    }

    pub(super) fn faults(&self) -> Faults {
        self.faults.clone()
    }

    async fn send(
        self,
        request: http::Request<tonic::body::Body>,
    ) -> Result<http::Response<UnsyncBoxBody<Bytes, Broken>>, Broken> {
        let (parts, body) = request.into_parts();
        let unmade = |status: tonic::Status| ClientError::Protocol(status.message().to_owned());
        // Each request of A2A is one message.
        let body = body.collect().await.map_err(|status| self.faults.note(unmade(status)))?.to_bytes();
        let posted = self.inner.post(parts.uri.path(), parts.headers, body).await;
        let response = posted.map_err(|error| self.faults.note(error))?;
        Ok(response.map(|body| {
            let Self { inner, faults } = self;
            body.map_err(move |error| faults.note(inner.broken(error))).boxed_unsync()
        }))
    }
}

impl Service<http::Request<tonic::body::Body>> for Channel {
    type Response = http::Response<UnsyncBoxBody<Bytes, Broken>>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Broken>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

impl Faults {
    fn note(&self, error: ClientError) -> Broken {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        Broken
    }

    /// What went wrong, if anything did.
    pub(super) fn take(&self) -> Option<ClientError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection broke")
    }
}

impl Error for Broken {}
