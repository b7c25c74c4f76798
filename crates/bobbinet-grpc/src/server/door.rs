//! What comes before a call is read: who calls, whether there is a permit, and a body within its bounds.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bobbinet_auth::Rejected;
use bobbinet_core::AgentName;
use bobbinet_gateway::AdmissionPermit;
use bobbinet_http::{
    Server,
    server::other_binding::{BodyFault, Room},
};
use bobbinet_wire::{Error, ErrorKind};
use http::{Extensions, HeaderMap, HeaderValue, Request, StatusCode, Uri, Version, header, request::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Code, Status, server::NamedService};
use tower::Service;

use crate::status;

/// How the media types of gRPC begin.
const GRPC: &[u8] = b"application/grpc";

/// A service, and the door before it.
#[derive(Clone, Debug)]
pub(super) struct Door<S> {
    server: Arc<Server>,
    service: S,
}

/// What came through the door with a request.
#[derive(Clone)]
pub(super) struct Entry {
    permit: Arc<Mutex<Option<AdmissionPermit>>>,
    /// Which agent is called, where somebody wants to know that afterwards.
    called: Option<Arc<OnceLock<AgentName>>>,
    /// Where the request went.
    pub(super) uri: Uri,
    /// How it came there.
    pub(super) reached: Extensions,
}

/// Room for an answer, held until its last byte is out.
#[derive(Clone)]
pub(super) struct Held(#[expect(dead_code, reason = "held for its drop")] pub(super) Arc<Room>);

impl<S> Door<S> {
    pub(super) fn new(server: Arc<Server>, service: S) -> Self {
        Self { server, service }
    }
}

impl Entry {
    /// The permit that was taken for this request. There is one, and it is taken out once.
    pub(super) fn take_permit(&self) -> Option<AdmissionPermit> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps which agent is called.
    pub(super) fn note(&self, agent: &AgentName) {
        if let Some(called) = &self.called {
            called.set(agent.clone()).ok();
        }
    }
}

impl<S> Service<Request<Body>> for Door<S>
where
    S: Service<Request<Body>, Response = Response<tonic::body::Body>, Error = Infallible> + NamedService,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (server, mut service) = (self.server.clone(), self.service.clone());
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            if let Some(status) = unfit(parts.version, &parts.headers) {
                return Ok(of_status(status));
            }
            let (permit, body) = match enter(&server, &parts, body).await {
                Ok(entered) => entered,
                Err(refusal) => return Ok(refusal),
            };
            let asked = has_extensions(&parts.headers).then(|| (parts.headers.clone(), Arc::default()));
            let entry = Entry {
                permit: Arc::new(Mutex::new(Some(permit))),
                called: asked.as_ref().map(|(_, called)| Arc::clone(called)),
                uri: parts.uri.clone(),
                reached: parts.extensions.clone(),
            };
            parts.extensions.insert(entry);
            let Ok(mut response) = service.call(Request::from_parts(parts, body)).await;
            if let Some((asked, called)) = asked {
                server.name_extensions(called.get(), &asked, response.headers_mut());
            }
            let held = response.extensions_mut().remove::<Held>();
            Ok(response.map(|body| match held {
                Some(held) => Body::new(WithRoom { body, _held: held }),
                None => Body::new(body),
            }))
        })
    }
}

/// What is no gRPC at all.
fn unfit(version: Version, headers: &HeaderMap) -> Option<StatusCode> {
    let is_grpc = headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(GRPC));
    match (is_grpc, version == Version::HTTP_2) {
        (true, true) => None,
        (false, _) => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (true, false) => Some(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
    }
}

fn of_status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Who is not known takes no permit from those who are, however slowly he sends.
async fn enter(server: &Server, parts: &Parts, mut body: Body) -> Result<(AdmissionPermit, Body), Response> {
    let caller = match server.caller_of_any(&parts.headers, &parts.extensions).await {
        Ok(caller) => caller,
        Err(rejected) => return Err(refused(unauthenticated(&rejected))),
    };
    let permit = server.gateway().admit(&caller).map_err(|full| refused(status::of(&server.fault_of_full(full))))?;
    match server.read_body(&mut body).await {
        Ok(bytes) => Ok((permit, Body::from(bytes))),
        Err(reason) => {
            let error = server.fault_of_body(reason);
            Err(refused(match reason {
                BodyFault::Large => status::of_as(&error, Code::ResourceExhausted),
                BodyFault::Slow => status::of_as(&error, Code::DeadlineExceeded),
                BodyFault::Broken => status::of(&error),
            }))
        }
    }
}

/// The same for every reason, but for the challenge: whether there was a token at all is no secret.
pub(super) fn unauthenticated(rejected: &Rejected) -> Status {
    let error = Error::new(ErrorKind::Unauthenticated).with_message(Rejected::PUBLIC);
    let mut status = status::of(&error);
    let challenge = HeaderValue::from_static(rejected.challenge());
    let mut headers = HeaderMap::new();
    headers.insert(header::WWW_AUTHENTICATE, challenge);
    *status.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    status
}

fn refused(status: Status) -> Response {
    status.into_http::<tonic::body::Body>().map(Body::new)
}

fn has_extensions(headers: &HeaderMap) -> bool {
    headers.contains_key("a2a-extensions") || headers.contains_key("x-a2a-extensions")
}

/// An answer that holds its room until it is out.
struct WithRoom {
    body: tonic::body::Body,
    _held: Held,
}

impl HttpBody for WithRoom {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
