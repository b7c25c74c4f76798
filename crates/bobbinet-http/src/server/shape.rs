//! What a request must be like before anybody looks at what it asks: short enough, and so that all who read it read the same.
//!
//! A proxy that takes the first of two `Authorization` headers where we take the second has checked another caller than ours. So
//! what may be there once is refused when it is there twice (RFC 9110 section 5.3), and so is what is framed in a way that two
//! readers may read in two ways (RFC 9112 sections 3.2 and 6.1).

use std::borrow::Cow;

use http::{HeaderName, Request, StatusCode, Version, header, uri::Authority};

use crate::HttpLimits;

/// The headers that say something here and that may be there once.
const SINGLE: [HeaderName; 8] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    header::HOST,
    header::CONTENT_TYPE,
    HeaderName::from_static("a2a-version"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    header::ORIGIN,
];

/// Why a request is not looked at.
pub(super) type Refusal = (StatusCode, Cow<'static, str>);

/// What is wrong with the request's form, if anything: hyper parses up to a hundred headers and a long path without asking.
pub(super) fn refusal<B>(request: &Request<B>, limits: &HttpLimits) -> Option<Refusal> {
    let url_length = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if url_length > limits.url_max {
        return Some((StatusCode::URI_TOO_LONG, format!("the URL is longer than {} bytes", limits.url_max).into()));
    }
    let headers = request.headers();
    if headers.len() > limits.headers_max {
        let text = format!("there are more than {} headers", limits.headers_max);
        return Some((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text.into()));
    }
    let may_have_one_twice = headers.len() != headers.keys_len();
    if may_have_one_twice && let Some(name) = SINGLE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some())
    {
        return Some((StatusCode::BAD_REQUEST, format!("the header {name} is there more than once").into()));
    }
    match request.version() {
        Version::HTTP_11 => of_http1(request),
        _ => None,
    }
}

fn of_http1<B>(request: &Request<B>) -> Option<Refusal> {
    let bad = |text: &'static str| Some((StatusCode::BAD_REQUEST, Cow::Borrowed(text)));
    let headers = request.headers();
    match headers.get(header::HOST) {
        None => return bad("there is no Host header"),
        Some(host) if !is_host(host.as_bytes()) => return bad("the Host header is no host"),
        Some(_) => {}
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => None,
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => None,
        (Some(_), _) => {
            let text = "of all transfer codings only chunked is read here, alone and once";
            Some((StatusCode::NOT_IMPLEMENTED, text.into()))
        }
    }
}

/// Whether it is a name or an address, perhaps with a port (RFC 9110 section 7.2).
fn is_host(host: &[u8]) -> bool {
    if is_plain_host(host) {
        return true;
    }
    let Ok(authority) = Authority::try_from(host) else { return false };
    let (text, name) = (authority.as_str(), authority.host());
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix(name).is_some_and(|port| match port.strip_prefix(':') {
        Some(port) => port.is_empty() || (is_number(port) && authority.port_u16().is_some()),
        None => port.is_empty(),
    })
}

/// Whether it is written as nearly every host is, which is seen faster than a whole grammar is gone through.
fn is_plain_host(host: &[u8]) -> bool {
    let mut parts = host.splitn(2, |byte| *byte == b':');
    let is_name = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let has_name = parts.next().is_some_and(|name| !name.is_empty() && name.iter().all(is_name));
    let port =
        |digits: &[u8]| digits.iter().fold(0_u32, |port, digit| port.saturating_mul(10) + u32::from(digit - b'0'));
    let is_port = |text: &[u8]| text.iter().all(u8::is_ascii_digit) && port(text) <= u32::from(u16::MAX);
    has_name && parts.next().is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use http::request::Builder;

    use super::*;

    fn check(build: impl FnOnce(Builder) -> Builder, expected: Option<u16>) {
        let request = build(Request::builder()).body(()).unwrap();
        let found = refusal(&request, &HttpLimits::default()).map(|(status, _)| status.as_u16());
        assert_eq!(found, expected, "{request:?}");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let http1 = |request: Builder| request.header("host", "a.example:80");
        check(http1, None);
        check(|request| request, Some(400));
        check(|request| request.version(Version::HTTP_10), None);
        check(|request| request.version(Version::HTTP_2), None);
        for host in ["a.example", "a.example:", "a.example:65535", "[::1]:1", "A.example", "a_b"] {
            check(|request| request.header("host", host), None);
        }
        for host in [
            "",
            "a.example:65536",
            "a.example:+1",
            "a.example:1:1",
            "a b",
            "a.example/x",
            "a.example:x",
            "user@a.example",
            "[::1",
        ] {
            check(|request| request.header("host", host), Some(400));
        }
        for name in SINGLE {
            check(|request| http1(request).header(&name, "x").header("x-other", "x").header(&name, "x"), Some(400));
            check(|request| request.version(Version::HTTP_2).header(&name, "x").header(&name, "x"), Some(400));
        }
        check(|request| http1(request).header("accept", "a").header("accept", "b"), None);
        check(|request| http1(request).header("transfer-encoding", "Chunked"), None);
        for coding in ["gzip, chunked", "chunked, chunked", "identity", "chunked;q=1", ""] {
            check(|request| http1(request).header("transfer-encoding", coding), Some(501));
        }
        let twice = |request: Builder| {
            http1(request).header("transfer-encoding", "chunked").header("transfer-encoding", "chunked")
        };
        check(twice, Some(501));
    }
}
