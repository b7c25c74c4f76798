//! What is answered to a request that is none of A2A and failed.

use axum::response::Response;
use bobbinet_auth::Rejected;
use bobbinet_gateway::Full;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::{a2a_server::Server, answer, body::BodyFault};

/// Why a request that is none of A2A was not carried out (RFC 9457), with a `reason` for programs.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    reason: &'static str,
    detail: String,
    /// Whether it may come again later.
    is_passing: bool,
}

impl Problem {
    pub(super) fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { status, reason, detail: detail.into(), is_passing: false }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_EVENT", detail)
    }

    /// For one whose caller is not known.
    pub(super) fn unauthenticated(server: &Server, rejected: &Rejected) -> Response {
        let mut response = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", Rejected::PUBLIC).response(server);
        let challenge = HeaderValue::from_static(rejected.challenge());
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        response
    }

    pub(super) fn passing(self) -> Self {
        Self { is_passing: true, ..self }
    }

    pub(super) fn response(self, server: &Server) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "reason": self.reason,
            "detail": self.detail,
        });
        let mut response = answer::json(self.status, body.to_string());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.is_passing {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(server.limits.retry_after_secs()));
        }
        response
    }
}

impl From<Full> for Problem {
    fn from(full: Full) -> Self {
        let (status, reason, what) = match full {
            Full::Node(what) => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", what),
            Full::Caller(what) => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", what),
        };
        Self::new(status, reason, format!("a limit is reached: {what}")).passing()
    }
}

impl From<BodyFault> for Problem {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Large => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "the body is larger than body_max")
            }
            BodyFault::Slow => Self::new(StatusCode::REQUEST_TIMEOUT, "BODY_TOO_SLOW", "the body took too long"),
            BodyFault::Broken => Self::malformed("the body could not be read"),
        }
    }
}
