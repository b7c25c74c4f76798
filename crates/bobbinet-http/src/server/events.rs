//! `POST /events`: CloudEvents 1.0 over HTTP, in its three content modes. What is answered when it fails is a problem (RFC 9457) with a
//! `reason` for programs.

use std::{collections::BTreeMap, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use bobbinet_core::{Caller, CloudEvent, CloudEventFault, Json, cloud_event::HOPS};
use bobbinet_engine::EngineError;
use bobbinet_gateway::GatewayError;
use http::{HeaderMap, StatusCode, header, request::Parts};
use serde_json::{Map, Value, json};

use super::{a2a_server::Server, answer, auth, body, problem::Problem, receive};

/// The media types of the structured mode and of the batched one (CloudEvents JSON format, sections 3 and 4).
const EVENT: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// What every media type of an event begins with that is not in the binary mode.
const FAMILY: &str = "application/cloudevents";

/// What an attribute's header begins with (CloudEvents HTTP binding, section 3.1.3).
const PREFIX: &str = "ce-";

/// Events of one batch.
const BATCH_MAX: usize = 256;

impl From<CloudEventFault> for Problem {
    fn from(fault: CloudEventFault) -> Self {
        match fault {
            CloudEventFault::Malformed(why) => Self::malformed(why),
            CloudEventFault::Large { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "EVENT_TOO_LARGE", fault.to_string())
            }
        }
    }
}

impl From<GatewayError> for Problem {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::Denied(denied) => Self::new(StatusCode::FORBIDDEN, "PERMISSION_DENIED", denied.to_string()),
            GatewayError::Full(full) => full.into(),
            GatewayError::Engine(EngineError::Draining) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the node is stopping").passing()
            }
            GatewayError::Engine(EngineError::Limit { what, max }) => {
                let detail = format!("a limit is reached: {what} is {max}");
                Self::new(StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", detail).passing()
            }
            GatewayError::Engine(EngineError::Unavailable(why)) => {
                tracing::error!(why, "events could not be kept");
                let detail = "it is not known whether the events were kept: send them again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail).passing()
            }
            error @ (GatewayError::Engine(_)
            | GatewayError::NotFound
            | GatewayError::Ended
            | GatewayError::ExtensionRequired(_)
            | GatewayError::Unsupported(_)
            | GatewayError::Webhook(_)
            | GatewayError::Cancel(_)) => {
                tracing::error!(%error, "events could not be kept");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "something failed on this node")
            }
        }
    }
}

/// Answers `POST /events`.
pub(super) async fn answer(server: &Arc<Server>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    // Who is not known takes no permit from those who are, however slowly he sends.
    let caller = match auth::caller_at(server, &server.events_audiences, &parts.headers, &parts.extensions).await {
        Ok(caller) => caller,
        Err(rejected) => {
            return body::refused(&body, Problem::unauthenticated(server, &rejected));
        }
    };
    match answer_to(server, &caller, &parts, &mut body).await {
        Ok(response) => response,
        Err(problem) => body::refused(&body, problem.response(server)),
    }
}

async fn answer_to(server: &Server, caller: &Caller, parts: &Parts, body: &mut Body) -> Result<Response, Problem> {
    let permit = server.gateway.admit(caller)?;
    if receive::coding(&parts.headers).is_some() {
        let detail = "send the body as it is, without Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_CODING", detail));
    }
    let media_type = media_type(&parts.headers)?;
    let body = body::read(body, &server.limits).await?;
    let (events, is_batch) = read(&parts.headers, media_type.as_deref(), &body)?;
    let bytes_max = server.gateway.event_bytes_max();
    let events: Vec<CloudEvent> =
        events.into_iter().map(|event| CloudEvent::read(event, bytes_max)).collect::<Result<_, _>>()?;
    let published = server.gateway.publish(caller, &events, permit).await?;
    let status = if published.iter().any(|one| one.is_new) { StatusCode::ACCEPTED } else { StatusCode::OK };
    let one = |event: &CloudEvent| json!({ "id": event.id(), "source": event.source() });
    let told = match (&events[..], is_batch) {
        ([event], false) => one(event),
        (events, _) => json!({ "events": events.iter().map(one).collect::<Vec<_>>() }),
    };
    Ok(answer::json(status, told.to_string()))
}

/// The media type as it was sent.
fn media_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Problem::malformed("the Content-Type is not readable"))?;
    Ok(Some(text.trim().to_owned()))
}

/// The events of a request, and whether they are a batch.
fn read(headers: &HeaderMap, media_type: Option<&str>, body: &[u8]) -> Result<(Vec<Value>, bool), Problem> {
    let bare = media_type.map(|it| it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match bare.as_deref() {
        Some(EVENT) => Ok((vec![json_of(body)?], false)),
        Some(BATCH) => match json_of(body)? {
            Value::Array(events) if events.len() > BATCH_MAX => Err(Problem::malformed(format!(
                "a batch has at most {BATCH_MAX} events, and here are {}",
                events.len()
            ))),
            Value::Array(events) => Ok((events, true)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                Err(Problem::malformed("a batch is an array of events"))
            }
        },
        Some(other) if other.starts_with(FAMILY) => {
            let detail = format!("of CloudEvents' own formats {EVENT} and {BATCH} are read");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail))
        }
        _ if !headers.contains_key("ce-specversion") => {
            let detail = format!(
                "send an event as {EVENT}, or its attributes as headers: ce-specversion, ce-id, ce-source, ce-type"
            );
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail))
        }
        bare => Ok((vec![binary(headers, media_type, bare, body)?], false)),
    }
}

/// An event in the binary mode: its attributes are headers, and the body is its data.
fn binary(headers: &HeaderMap, media_type: Option<&str>, bare: Option<&str>, body: &[u8]) -> Result<Value, Problem> {
    let mut event = Map::new();
    let mut seen = BTreeMap::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else { continue };
        if seen.insert(name, ()).is_some() {
            return Err(Problem::malformed(format!("the header {PREFIX}{name} is there twice")));
        }
        let text = decoded(value.as_bytes())
            .ok_or_else(|| Problem::malformed(format!("the header {PREFIX}{name} is not readable")))?;
        if matches!(name, "data" | "data_base64" | "datacontenttype") {
            return Err(Problem::malformed(format!("there is no header {PREFIX}{name}: the body is the data")));
        }
        let number = text.parse::<u32>().ok().filter(|_| name == HOPS);
        event.insert(name.to_owned(), number.map_or(Value::String(text), Value::from));
    }
    if let Some(media_type) = media_type {
        event.insert("datacontenttype".to_owned(), Value::from(media_type));
    }
    let is_json = bare.is_none_or(|it| it.ends_with("/json") || it.ends_with("+json"));
    match std::str::from_utf8(body) {
        _ if body.is_empty() => {}
        _ if is_json => {
            event.insert("data".to_owned(), json_of(body)?);
        }
        Ok(text) if bare.is_some_and(|it| it.starts_with("text/")) => {
            event.insert("data".to_owned(), Value::from(text));
        }
        Ok(_) | Err(_) => {
            event.insert("data_base64".to_owned(), Value::from(STANDARD.encode(body)));
        }
    }
    Ok(Value::Object(event))
}

/// An attribute's value in a header: a quoted string is opened, then `%20` and the like are read once (HTTP binding, section 3.1.3.2).
pub(super) fn decoded(value: &[u8]) -> Option<String> {
    let is_quoted = value.len() >= 2 && value.starts_with(b"\"") && value.ends_with(b"\"");
    let mut bytes = if is_quoted { value[1..value.len() - 1].iter() } else { value.iter() };
    let mut out = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if is_quoted => out.extend(bytes.next()),
            b'%' => {
                let digits = bytes.as_slice().get(..2).and_then(|two| std::str::from_utf8(two).ok());
                let digits = digits.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
                match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                    Some(read) => {
                        out.push(read);
                        bytes.nth(1);
                    }
                    None => out.push(b'%'),
                }
            }
            byte => out.push(*byte),
        }
    }
    String::from_utf8(out).ok()
}

fn json_of(body: &[u8]) -> Result<Value, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::malformed("the body is no text in UTF-8"))?;
    let json = Json::parse_strict(text).map_err(|error| Problem::malformed(format!("the body is no JSON: {error}")))?;
    json.read().map_err(|error| Problem::malformed(format!("the body is no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_the_binding_says() {
        for (value, expected) in [
            ("plain", Some("plain")),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", Some("Euro € 😀")),
            ("\"a \\\"b\\\" %25 c\"", Some("a \"b\" % c")),
            ("100%", Some("100%")),
            ("%zz%2", Some("%zz%2")),
            ("%ff", None),
        ] {
            assert_eq!(decoded(value.as_bytes()).as_deref(), expected, "{value}");
        }
    }
}
