//! What came of a call, as REST in 1.0 would have it.

use std::io;

use bobbinet_http::ClientError;
use bobbinet_wire::{
    FieldViolation, RemoteError,
    v1_0::{error::ERROR_DOMAIN, view_write},
    view::StreamEvent,
};
use bytes::Bytes;
use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use http::{StatusCode, header};
use reqwest::{Body, Response, ResponseBuilderExt, Url};
use serde_json::json;
use tonic::{Code, Status};

use super::channel::Faults;
use crate::status;

/// What came of a call.
pub(super) enum Answer {
    /// JSON.
    Whole(Vec<u8>),
    /// One after the other, and the id of the first, where the agent counts them. What is not known here is none.
    Events { first: Option<u64>, events: BoxStream<'static, Result<Option<StreamEvent>, Status>> },
    /// The agent says no.
    Refused(Status),
}

impl Answer {
    pub(super) fn into_response(self, url: &Url, faults: Faults) -> Result<Response, ClientError> {
        let (status, media_type, body) = match self {
            Self::Whole(json) => (StatusCode::OK, "application/json", Body::from(json)),
            Self::Refused(status) => (http_status(status.code()), "application/json", Body::from(error(&status))),
            Self::Events { first, events } => {
                let parts = SseParts { events, next_id: first, faults, last: None, is_over: false };
                (StatusCode::OK, "text/event-stream", Body::wrap_stream(parts.into_stream()))
            }
        };
        let response = http::Response::builder().status(status).header(header::CONTENT_TYPE, media_type);
        let response = response.url(url.clone()).body(body);
        response.map(Response::from).map_err(|error| ClientError::Protocol(error.to_string()))
    }
}

/// What a status means that no agent has said: it may well be done.
pub(super) fn made_up(url: &Url, status: &Status) -> ClientError {
    let http_status = match status.code() {
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let what = format!("the status {} of gRPC ({:?})", word(status.code()), status.message());
    ClientError::NotAnAgent { url: url.to_string(), status: http_status.as_u16(), what }
}

/// A stream on its way to becoming one of `text/event-stream`.
struct SseParts {
    events: BoxStream<'static, Result<Option<StreamEvent>, Status>>,
    next_id: Option<u64>,
    faults: Faults,
    /// What the connection ends with, once what goes before it is out.
    last: Option<io::Error>,
    is_over: bool,
}

impl SseParts {
    fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold(self, |mut parts| async { Some((parts.next().await?, parts)) })
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.is_over {
            return self.last.take().map(Err);
        }
        let status = match self.events.next().await? {
            Ok(event) => return Some(Ok(self.write(event.as_ref()))),
            Err(status) => status,
        };
        self.is_over = true;
        let is_broken = self.faults.take().is_some();
        if !is_broken && !is_passing(status.code()) && status::is_agents_word(&status) {
            return Some(Ok(data(&error(&status))));
        }
        // Whoever hears of no end comes back.
        self.last = Some(io::Error::other(status.message().to_owned()));
        match status::retry_after(&status) {
            Some(wait) => Some(Ok(Bytes::from(format!("retry: {}\n\n", wait.as_millis())))),
            None => self.last.take().map(Err),
        }
    }

    fn write(&mut self, event: Option<&StreamEvent>) -> Bytes {
        let id = self.next_id;
        self.next_id = id.and_then(|id| id.checked_add(1));
        let Some(event) = event else { return Bytes::from_static(b":\n\n") };
        let mut out = Vec::with_capacity(1 << 10);
        if let Some(id) = id {
            out.extend_from_slice(format!("id: {id}\n").as_bytes());
        }
        out.extend_from_slice(b"data: ");
        view_write::write_event(&mut out, event);
        out.extend_from_slice(b"\n\n");
        out.into()
    }
}

fn data(json: &[u8]) -> Bytes {
    [b"data: ", json, b"\n\n"].concat().into()
}

/// A status as AIP-193 has it in JSON.
fn error(status: &Status) -> Vec<u8> {
    let RemoteError { reason, message, hint, violations, .. } = status::read(status);
    let info = reason.map(|reason| {
        let metadata = hint.map(|hint| json!({ "hint": hint }));
        json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": ERROR_DOMAIN,
            "metadata": metadata })
    });
    let violations: Vec<_> = violations
        .iter()
        .map(|FieldViolation { field, description }| json!({ "field": field, "description": description }))
        .collect();
    let violations = (!violations.is_empty())
        .then(|| json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations }));
    let details: Vec<_> = info.into_iter().chain(violations).collect();
    let code = http_status(status.code()).as_u16();
    let error = json!({ "code": code, "status": word(status.code()), "message": message, "details": details });
    json!({ "error": error }).to_string().into_bytes()
}

fn is_passing(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::ResourceExhausted)
}

/// As much of it as a client looks at.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => StatusCode::BAD_REQUEST,
    }
}

/// What a code is called in JSON.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        "http://127.0.0.1:1/".parse().unwrap()
    }

    #[test]
    fn what_no_agent_has_said_leaves_open_what_became_of_it() {
        let check = |status: Status, is_passing: bool| {
            let error = made_up(&url(), &status);
            assert!(error.leaves_outcome_open(), "{error:?}");
            assert_eq!((error.is_passing(), error.is_unsent()), (is_passing, false), "{error:?}");
        };
        check(Status::unavailable("upstream connect error or disconnect/reset before headers"), true);
        check(Status::deadline_exceeded("stream timeout"), true);
        check(Status::unknown("grpc-status header missing"), false);
        check(Status::internal("Missing response message."), false);
        check(Status::out_of_range("message length too large"), false);
        check(Status::resource_exhausted("too much"), false);
        check(Status::cancelled("gone"), false);
    }

    async fn told(first: Option<u64>, last: Status) -> Result<String, String> {
        let events = stream::iter([Ok(None), Ok(None), Err(last)]).boxed();
        let answer = Answer::Events { first, events }.into_response(&url(), Faults::default()).unwrap();
        answer.text().await.map_err(|error| format!("{error:?}"))
    }

    #[tokio::test]
    async fn a_stream_ends_with_an_error_only_if_the_agent_says_so() {
        for (status, is_said) in [
            (Status::internal("h2 protocol error"), false),
            (Status::unknown("grpc-status header missing"), false),
            (Status::deadline_exceeded("stream timeout"), false),
            (Status::unavailable("upstream reset"), false),
            (status::of(&bobbinet_wire::ErrorKind::Internal.into()), true),
            (Status::not_found("no such task"), true),
        ] {
            let what = format!("{status:?}");
            assert_eq!(told(None, status).await.is_ok_and(|text| text.contains("data: {\"error\"")), is_said, "{what}");
        }
    }

    #[tokio::test]
    async fn an_agent_may_begin_to_count_anywhere() {
        assert!(told(Some(u64::MAX), Status::not_found("no such task")).await.is_ok());
    }
}
