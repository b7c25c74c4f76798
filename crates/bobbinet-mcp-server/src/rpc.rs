//! Messages of JSON-RPC as MCP has them: what comes in, and what goes out.

use std::collections::BTreeMap;

use bobbinet_core::Json;
use bobbinet_wire::{Error, ErrorKind, v1_0::error};
use http::StatusCode;
use serde::{Serialize, de::DeserializeOwned};

use crate::{object::Object, revision::Revision};

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL: i64 = -32603;
/// There is no way to the node.
const NO_NODE: i64 = -32000;
/// The caller has taken the request back.
const CANCELED: i64 = -32800;
const HEADER_MISMATCH: i64 = -32020;
const MISSING_CAPABILITY: i64 = -32021;
const UNSUPPORTED_VERSION: i64 = -32022;

/// One message.
#[derive(Debug)]
pub(crate) enum Incoming {
    Request {
        id: Json,
        method: String,
        params: Params,
    },
    Notification {
        method: String,
        params: Params,
    },
    /// What a client answers to a request of ours: its result, if it has one.
    Response {
        id: Json,
        result: Option<Json>,
    },
}

/// The parameters of a request, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    fields: BTreeMap<String, Json>,
    meta: BTreeMap<String, Json>,
}

/// An error, with the status that it has over HTTP where the revision gives it one.
#[derive(Clone, Debug)]
pub(crate) struct RpcError {
    code: i64,
    message: String,
    data: Option<Json>,
    status: StatusCode,
    retry_after: Option<u64>,
}

impl Incoming {
    /// Reads a message, or says what is wrong with it and, if it is known, whose answer that is.
    pub(crate) fn read(json: &Json) -> Result<Self, (Option<Json>, RpcError)> {
        let invalid = |id: Option<&Json>, text: &str| Err((id.cloned(), RpcError::invalid_request(text)));
        let Ok(mut fields) = json.read::<BTreeMap<String, Json>>() else {
            return invalid(None, "a message is a JSON object");
        };
        let id = fields.remove("id").filter(|id| id.as_str() != "null");
        if id.as_ref().is_some_and(|id| !is_id(id)) {
            return invalid(None, "an id is a text or a whole number");
        }
        if fields.get("jsonrpc").is_none_or(|version| version.as_str() != "\"2.0\"") {
            return invalid(id.as_ref(), "\"jsonrpc\" must be \"2.0\"");
        }
        let Some(method) = fields.remove("method") else {
            return match id {
                Some(id) if fields.contains_key("result") || fields.contains_key("error") => {
                    Ok(Self::Response { id, result: fields.remove("result") })
                }
                id => invalid(id.as_ref(), "a message has a method, or is an answer"),
            };
        };
        let Ok(method) = method.read::<String>() else { return invalid(id.as_ref(), "a method is a text") };
        let params = match fields.remove("params") {
            Some(params) => match Params::read(&params) {
                Ok(params) => params,
                Err(error) => return Err((id, error)),
            },
            None => Params::default(),
        };
        Ok(match id {
            Some(id) => Self::Request { id, method, params },
            None => Self::Notification { method, params },
        })
    }
}

fn is_id(id: &Json) -> bool {
    id.as_str().starts_with('"') || id.read::<i64>().is_ok() || id.read::<u64>().is_ok()
}

impl Params {
    fn read(json: &Json) -> Result<Self, RpcError> {
        let fields: BTreeMap<String, Json> =
            json.read().map_err(|_| RpcError::invalid_params("the parameters are a JSON object"))?;
        let meta = match fields.get("_meta") {
            Some(meta) => meta.read().map_err(|_| RpcError::invalid_params("`_meta` is a JSON object"))?,
            None => BTreeMap::new(),
        };
        Ok(Self { fields, meta })
    }

    /// The arguments of a tool, which are read the same way.
    pub(crate) fn of_arguments(json: &Json) -> Result<Self, RpcError> {
        Self::read(json)
    }

    /// The value of a parameter, as it came. `null` is as good as none.
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        self.fields.get(name).filter(|value| value.as_str() != "null")
    }

    /// A parameter, if it is there.
    pub(crate) fn optional<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RpcError> {
        let read = |value: &Json| {
            value.read().map_err(|error| RpcError::invalid_params(&format!("`{name}` cannot be read: {error}")))
        };
        self.get(name).map(read).transpose()
    }

    /// A parameter that must be there.
    pub(crate) fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T, RpcError> {
        self.optional(name)?.ok_or_else(|| RpcError::invalid_params(&format!("`{name}` is missing")))
    }

    /// What `_meta` has under this key.
    pub(crate) fn meta(&self, key: &str) -> Option<&Json> {
        self.meta.get(key).filter(|value| value.as_str() != "null")
    }

    /// The same, if it is a text.
    pub(crate) fn meta_text(&self, key: &str) -> Option<String> {
        self.meta(key)?.read().ok()
    }
}

impl RpcError {
    fn new(code: i64, message: impl Into<String>, status: StatusCode) -> Self {
        Self { code, message: message.into(), data: None, status, retry_after: None }
    }

    pub(crate) fn parse(why: &str) -> Self {
        Self::new(PARSE_ERROR, format!("the body is no JSON: {why}"), StatusCode::BAD_REQUEST)
    }

    pub(crate) fn invalid_request(text: &str) -> Self {
        Self::new(INVALID_REQUEST, text, StatusCode::BAD_REQUEST)
    }

    pub(crate) fn invalid_params(text: &str) -> Self {
        Self::new(INVALID_PARAMS, text, StatusCode::OK)
    }

    pub(crate) fn unknown_tool(name: &str) -> Self {
        let name: String = name.chars().take(200).collect();
        let text = format!("there is no tool {name:?} for you here: tools/list says which there are");
        Self::new(INVALID_PARAMS, text, StatusCode::OK)
    }

    pub(crate) fn method_not_found(method: &str) -> Self {
        let method: String = method.chars().take(200).collect();
        Self::new(METHOD_NOT_FOUND, format!("there is no method {method:?} here"), StatusCode::NOT_FOUND)
    }

    pub(crate) fn header_mismatch(text: String) -> Self {
        Self::new(HEADER_MISMATCH, text, StatusCode::BAD_REQUEST)
    }

    pub(crate) fn unsupported_version(requested: &str) -> Self {
        let requested: String = requested.chars().take(100).collect();
        // As `server/discover` says: the others begin with a handshake.
        let supported: Vec<&str> = Revision::stateless().map(Revision::as_str).collect();
        let data = Object::default().with("supported", &supported).with("requested", &requested).to_json();
        let text = format!("revision {requested:?} of MCP is not spoken here, but {}", supported.join(", "));
        Self { data: Some(data), ..Self::new(UNSUPPORTED_VERSION, text, StatusCode::BAD_REQUEST) }
    }

    /// What a wrapped server has said no with, in its own words.
    pub(crate) fn of_server(code: i64, message: &str, data: Option<Json>) -> Self {
        Self { data, ..Self::new(code, message, StatusCode::OK) }
    }

    /// The client has not declared what this takes.
    pub(crate) fn missing_capability(text: &str, required: &Object) -> Self {
        let data = Object::default().with("requiredCapabilities", required).to_json();
        Self { data: Some(data), ..Self::new(MISSING_CAPABILITY, text, StatusCode::BAD_REQUEST) }
    }

    pub(crate) fn canceled() -> Self {
        Self::new(CANCELED, "the request was canceled, and its task is", StatusCode::OK)
    }

    /// The same answer under another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// What is not done for a reason that JSON-RPC and MCP have no code for: that is HTTP's, which is outside of what they reserve.
    pub(crate) fn at_the_door(text: &str, status: StatusCode) -> Self {
        Self::new(i64::from(status.as_u16()), text, status)
    }

    /// The same as the answer to a request that was read: HTTP has done its part.
    pub(crate) fn refused(text: &str, reason: StatusCode) -> Self {
        Self::at_the_door(text, reason).with_status(StatusCode::OK)
    }

    /// Nobody has heard the request, or its answer is lost.
    pub(crate) fn no_node(text: &str) -> Self {
        Self::new(NO_NODE, text, StatusCode::BAD_GATEWAY)
    }

    /// An error that every edge of the node has in the same words.
    pub(crate) fn of(error: &Error) -> Self {
        let status =
            StatusCode::from_u16(error::http_status(error.kind())).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = match error.kind() {
            ErrorKind::Internal | ErrorKind::InvalidAgentResponse => INTERNAL,
            ErrorKind::InvalidParams
            | ErrorKind::TaskNotFound
            | ErrorKind::TaskNotCancelable
            | ErrorKind::ContentTypeNotSupported => INVALID_PARAMS,
            ErrorKind::Parse => PARSE_ERROR,
            ErrorKind::InvalidRequest => INVALID_REQUEST,
            ErrorKind::MethodNotFound => METHOD_NOT_FOUND,
            ErrorKind::PushNotificationNotSupported
            | ErrorKind::UnsupportedOperation
            | ErrorKind::ExtendedAgentCardNotConfigured
            | ErrorKind::ExtensionSupportRequired
            | ErrorKind::VersionNotSupported
            | ErrorKind::Unauthenticated
            | ErrorKind::PermissionDenied
            | ErrorKind::ResourceExhausted
            | ErrorKind::Unavailable => i64::from(status.as_u16()),
        };
        let hint = error.hint().unwrap_or_else(|| error::hint(error.kind()));
        let data = Object::default().with("reason", error::reason(error.kind())).with("hint", hint);
        Self {
            data: Some(data.to_json()),
            retry_after: error.retry_after().map(|delay| delay.as_secs().max(1)),
            ..Self::new(code, error.message(), status)
        }
    }

    /// The same, as the answer to a request that was read: HTTP has done its part.
    pub(crate) fn inside(error: &Error) -> Self {
        Self::of(error).with_status(StatusCode::OK)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// What went wrong, and what to do.
    pub(crate) fn text(&self) -> &str {
        &self.message
    }

    /// The message that says so. One that answers no request has no id.
    pub(crate) fn to_json(&self, id: Option<&Json>) -> Json {
        let error = Object::default()
            .with("code", &self.code)
            .with("message", &self.message)
            .with_some("data", self.data.as_ref());
        let answer = Object::default().with("jsonrpc", "2.0");
        match id {
            Some(id) => answer.with("id", id),
            None => answer.with("id", &()),
        }
        .with("error", &error)
        .to_json()
    }
}

/// The answer to a request.
pub(crate) fn response<T: Serialize + ?Sized>(id: &Json, result: &T) -> Json {
    Object::default().with("jsonrpc", "2.0").with("id", id).with("result", result).to_json()
}

/// A notification of ours.
pub(crate) fn notification<T: Serialize + ?Sized>(method: &str, params: &T) -> Json {
    Object::default().with("jsonrpc", "2.0").with("method", method).with("params", params).to_json()
}

/// A request of ours.
pub(crate) fn request<T: Serialize + ?Sized>(id: &str, method: &str, params: &T) -> Json {
    Object::default().with("jsonrpc", "2.0").with("id", id).with("method", method).with("params", params).to_json()
}
