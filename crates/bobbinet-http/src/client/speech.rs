//! An operation as it is said in a version of A2A over a binding, and what is answered there.

use bobbinet_core::{Json, PushPage, PushView, operation::Operation};
use bobbinet_wire::{
    Protocol, ReplyError, Transport, Version,
    push::without_secrets,
    rest::HttpMethod,
    rest_error,
    rest_request::RestRequest,
    v0_3, v0_3_proto, v1_0,
    view::{PageView, Sent, StreamEvent, TaskView},
};
use reqwest::{Method, StatusCode, Url};
use serde_json::value::RawValue;

use super::{ClientError, WithJson};

/// What goes over HTTP for an operation.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) method: Method,
    pub(super) url: Url,
    /// JSON, if there is any.
    pub(super) body: Option<Vec<u8>>,
}

/// The JSON that answers are told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// That of 1.0.
    V1_0,
    /// That of 0.3 over JSON-RPC.
    V0_3,
    /// That of the proto file of 0.3, which is another.
    V0_3Proto,
}

/// Whether it is spoken here: over gRPC only where something carries that.
pub(super) fn is_spoken(protocol: Protocol, has_grpc: bool) -> bool {
    match protocol.transport {
        Transport::JsonRpc | Transport::HttpJson => true,
        Transport::Grpc => has_grpc,
    }
}

/// In which JSON answers are told: what came over gRPC was none, and is told as REST in 1.0 would have it.
pub(super) fn form(protocol: Protocol) -> Form {
    match (protocol.transport, protocol.version) {
        (Transport::JsonRpc | Transport::HttpJson, Version::V1_0)
        | (Transport::Grpc, Version::V1_0 | Version::V0_3) => Form::V1_0,
        (Transport::JsonRpc, Version::V0_3) => Form::V0_3,
        (Transport::HttpJson, Version::V0_3) => Form::V0_3Proto,
    }
}

/// Says an operation at the URL of an interface.
pub(super) fn say(protocol: Protocol, url: &Url, id: u64, operation: &Operation) -> Result<Said, ClientError> {
    let mut body = Vec::with_capacity(512);
    match (protocol.transport, protocol.version) {
        (Transport::JsonRpc, Version::V1_0) => v1_0::client::write_request(&mut body, id, operation),
        (Transport::JsonRpc, Version::V0_3) => v0_3::client::write_request(&mut body, id, operation),
        (Transport::HttpJson, version @ (Version::V1_0 | Version::V0_3)) => {
            let request = match version {
                Version::V1_0 => v1_0::rest_client::request(operation),
                Version::V0_3 => v0_3_proto::client::request(operation),
            };
            return request.map(|request| over_http(url, request)).ok_or_else(|| {
                ClientError::Protocol(format!("{url}: this is not asked for over {}", protocol.transport.name()))
            });
        }
        // Said by whatever carries it.
        (Transport::Grpc, Version::V1_0 | Version::V0_3) => {}
    }
    Ok(Said { method: Method::POST, url: url.clone(), body: Some(body) })
}

fn over_http(base: &Url, request: RestRequest) -> Said {
    let mut url = base.clone();
    url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), request.path));
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(request.query);
    }
    let method = match request.method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Delete => Method::DELETE,
    };
    Said { method, url, body: request.body }
}

/// What a body answers, or why it answers nothing.
pub(super) fn answer(protocol: Protocol, status: StatusCode, body: &[u8]) -> Result<Json, ReplyError> {
    let raw = match protocol.transport {
        Transport::JsonRpc => rpc_result(protocol.version, body)?,
        // Some say nothing where there is nothing to say: that something is gone.
        Transport::HttpJson if status == StatusCode::NO_CONTENT => return Ok(Json::of(&serde_json::Map::new())),
        Transport::HttpJson | Transport::Grpc if status.is_success() => {
            serde_json::from_slice(body).map_err(|error| ReplyError::Malformed(error.to_string()))?
        }
        Transport::HttpJson | Transport::Grpc => {
            return Err(match rest_error::read_error(status.as_u16(), body) {
                Some(error) => ReplyError::Remote(error),
                None => ReplyError::Malformed("it is no error of A2A".to_owned()),
            });
        }
    };
    Ok(Json::from(raw.to_owned()))
}

fn rpc_result(version: Version, body: &[u8]) -> Result<&RawValue, ReplyError> {
    match version {
        Version::V1_0 => v1_0::client::read_reply(body),
        Version::V0_3 => v0_3::client::read_reply(body),
    }
}

/// What the data of an event of a stream says.
pub(super) fn event_data(protocol: Protocol, data: &str) -> Result<Json, ReplyError> {
    match protocol.transport {
        Transport::JsonRpc => rpc_result(protocol.version, data.as_bytes()).map(|raw| Json::from(raw.to_owned())),
        // In the middle of a stream there is no status to say that it is an error.
        Transport::HttpJson | Transport::Grpc => {
            match rest_error::read_error(StatusCode::OK.as_u16(), data.as_bytes()) {
                Some(error) => Err(ReplyError::Remote(error)),
                None => Json::parse(data).map_err(|error| ReplyError::Malformed(error.to_string())),
            }
        }
    }
}

/// The result of a send.
pub(super) fn sent(form: Form, json: Json) -> Result<WithJson<Sent>, ClientError> {
    read(json, |raw| match form {
        Form::V1_0 => v1_0::client::read_sent(raw),
        Form::V0_3 => v0_3::client::read_sent(raw),
        Form::V0_3Proto => v0_3_proto::client::read_sent(raw),
    })
}

/// The task that was asked for, or canceled.
pub(super) fn task(form: Form, json: Json) -> Result<WithJson<TaskView>, ClientError> {
    read(json, |raw| match form {
        Form::V1_0 => v1_0::client::read_task(raw),
        Form::V0_3 => v0_3::client::read_task(raw),
        Form::V0_3Proto => v0_3_proto::client::read_task(raw),
    })
}

/// A page of tasks.
pub(super) fn page(form: Form, json: Json) -> Result<WithJson<PageView>, ClientError> {
    read(json, |raw| match form {
        Form::V1_0 => v1_0::client::read_page(raw),
        Form::V0_3 => v0_3::client::read_page(raw),
        Form::V0_3Proto => v0_3_proto::client::read_page(raw),
    })
}

/// What is answered about webhooks. Some agents give back what only a receiver may know: here it ends.
pub(super) fn shown(json: &Json) -> Json {
    Json::parse(&without_secrets(json.as_str())).expect("what is shown of JSON is JSON")
}

/// A webhook.
pub(super) fn push_config(form: Form, json: Json) -> Result<WithJson<PushView>, ClientError> {
    read(json, |raw| match form {
        Form::V1_0 => v1_0::client::read_push_config(raw),
        Form::V0_3 => v0_3::client::read_push_config(raw),
        Form::V0_3Proto => v0_3_proto::client::read_push_config(raw),
    })
}

/// The webhooks of a task, or some of them.
pub(super) fn push_configs(form: Form, json: Json) -> Result<WithJson<PushPage>, ClientError> {
    read(json, |raw| match form {
        Form::V1_0 => v1_0::client::read_push_configs(raw),
        Form::V0_3 => v0_3::client::read_push_configs(raw),
        Form::V0_3Proto => v0_3_proto::client::read_push_configs(raw),
    })
}

/// An event of a stream, if it is one that is known here.
pub(super) fn event(form: Form, json: Json) -> Result<WithJson<Option<StreamEvent>>, ClientError> {
    read(json, |raw| match form {
        Form::V1_0 => v1_0::client::read_event(raw),
        Form::V0_3 => v0_3::client::read_event(raw),
        Form::V0_3Proto => v0_3_proto::client::read_event(raw),
    })
}

/// A task as an event of a stream has it.
pub(super) fn as_event(form: Form, task: Json) -> Json {
    match form {
        Form::V1_0 | Form::V0_3Proto => Json::of(&std::collections::BTreeMap::from([("task", task)])),
        Form::V0_3 => task,
    }
}

fn read<T>(json: Json, read: impl FnOnce(&RawValue) -> Result<T, ReplyError>) -> Result<WithJson<T>, ClientError> {
    let raw = serde_json::from_str(json.as_str()).map_err(|error| ClientError::Protocol(error.to_string()))?;
    let value = read(raw)?;
    Ok(WithJson { value, json })
}
