//! `call: http` as an agent that nobody but flows can call: each request is a task, so that it is made once, or again where that is
//! safe, and asks where nobody knows whether it was made.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bobbinet_core::{Call, Description, Effect, Fault, Json, Outcome, Plan};
use bobbinet_engine::{Agent, Request, Run};
use bobbinet_flow::{
    document::HttpOutput,
    run::{Error, Id, Standard},
};
use bobbinet_outbound::{Fetched, Guard, OutboundError, fetch, fetch_once};
use http::{HeaderMap, Method, header};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{credentials_in_hand::CredentialsInHand, output};

/// Requests of one node that are on their way at the same time.
const REQUESTS_MAX: usize = 64;

/// A request, as it stands in the message that its task begins with. How it authenticates does not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpRequest {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) output: HttpOutput,
    /// Whether a redirection is an answer and no failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) redirect: bool,
    /// Headers, query and body.
    pub(crate) with: Value,
    /// The call of the run that knows how to authenticate, if that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authenticated: Option<u64>,
}

/// Makes the requests of flows.
pub struct HttpAgent {
    guard: Guard,
    credentials: Arc<CredentialsInHand>,
}

impl HttpAgent {
    /// One whose requests go out through this guard.
    pub fn new(guard: Guard, credentials: Arc<CredentialsInHand>) -> Arc<Self> {
        Arc::new(Self { guard, credentials })
    }

    async fn fetch(&self, run: &Run, request: &HttpRequest) -> Result<Value, Failed> {
        let configuration = |why: String| Failed::Surely(Error::standard(Standard::Configuration, why));
        let mut url = Url::parse(&request.uri)
            .map_err(|error| configuration(format!("{:?} is no address: {error}", request.uri)))?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| configuration(format!("{:?} is no method of HTTP", request.method)))?;
        for (name, value) in fields(&request.with, "query") {
            url.query_pairs_mut().append_pair(name, &text_of(value));
        }
        let http = self.guard.http(&url).map_err(|refused| configuration(refused.to_string()))?;
        let mut builder = http.request(method, &url).map_err(|refused| configuration(refused.to_string()))?;
        for (name, value) in fields(&request.with, "headers") {
            builder = builder.header(name, text_of(value));
        }
        if let Some(call) = request.authenticated {
            let flow = run.task().parent.as_ref().map(|parent| parent.task);
            let known = match flow {
                Some(flow) => self.credentials.of(flow, Id(call)).await,
                None => None,
            };
            let known = known.ok_or_else(|| {
                let why = "the flow that knows how to authenticate is not there";
                Failed::Surely(Error::standard(Standard::Authentication, why))
            })?;
            builder = authenticate(builder, &known).map_err(Failed::Surely)?;
        }
        match request.with.get("body") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => builder = builder.body(text.clone()),
            Some(body @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
                builder = builder.json(body);
            }
        }
        let fetched = match request.redirect {
            true => fetch_once(builder, http.limits()).await,
            false => fetch(builder, http.limits()).await,
        };
        let fetched = fetched.map_err(|error| Failed::of(&error))?;
        answer(&url, request, &fetched)
    }
}

/// Why a request has no answer.
enum Failed {
    /// It was surely not carried out, or was refused by the other side.
    Surely(Error),
    /// Nobody knows.
    Perhaps(String),
}

impl Failed {
    fn of(error: &OutboundError) -> Self {
        match error {
            OutboundError::Refused(_) => Self::Surely(Error::standard(Standard::Communication, error.to_string())),
            OutboundError::Unreachable { source, .. } if source.is_connect() || source.is_builder() => {
                Self::Surely(Error::standard(Standard::Communication, in_full(error)))
            }
            OutboundError::Unreachable { .. } | OutboundError::Timeout { .. } | OutboundError::TooLong { .. } => {
                Self::Perhaps(in_full(error))
            }
        }
    }
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn fields<'v>(with: &'v Value, name: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    with.get(name).and_then(Value::as_object).into_iter().flatten()
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Adds what authenticates the request, as the DSL writes it.
fn authenticate(builder: reqwest::RequestBuilder, how: &Value) -> Result<reqwest::RequestBuilder, Error> {
    let word = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(bearer) = how.get("bearer") {
        let token = word(bearer, "token").ok_or_else(|| unfit("a bearer authentication has a token"))?;
        return Ok(builder.bearer_auth(token));
    }
    if let Some(basic) = how.get("basic") {
        let user = word(basic, "username").ok_or_else(|| unfit("a basic authentication has a username"))?;
        return Ok(builder.basic_auth(user, word(basic, "password")));
    }
    Err(unfit("only basic and bearer authentications are made here"))
}

fn unfit(why: &str) -> Error {
    Error::standard(Standard::Authentication, why)
}

fn answer(url: &Url, request: &HttpRequest, fetched: &Fetched) -> Result<Value, Failed> {
    let status = fetched.status;
    let content = content(&fetched.headers, &fetched.body);
    if !(status.is_success() || (request.redirect && status.is_redirection())) {
        let mut error = Error::standard(
            Standard::Communication,
            format!("{} answers with {status}", url.origin().ascii_serialization()),
        );
        error.status = status.as_u16();
        return Err(Failed::Surely(error));
    }
    Ok(match request.output {
        HttpOutput::Content => content,
        HttpOutput::Raw => Value::String(STANDARD.encode(&fetched.body)),
        HttpOutput::Response => {
            let headers: Map<String, Value> = fetched
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), Value::from(String::from_utf8_lossy(value.as_bytes()))))
                .collect();
            json!({
                "request": { "method": request.method, "uri": request.uri },
                "statusCode": status.as_u16(), "headers": headers, "content": content,
            })
        }
    })
}

/// A body, as what its media type says: JSON as a value, text as a text, anything else in base64.
fn content(headers: &HeaderMap, body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = media_type == "application/json" || media_type.ends_with("+json");
    match (is_json, serde_json::from_slice(body), std::str::from_utf8(body)) {
        (true, Ok(value), _) => value,
        (_, _, Ok(text)) => Value::from(text),
        (_, _, Err(_)) => Value::String(STANDARD.encode(body)),
    }
}

/// What making a request twice means (RFC 9110 section 9.2).
fn effect(method: &str) -> Effect {
    match method {
        "GET" | "HEAD" | "OPTIONS" | "TRACE" => Effect::ReadOnly,
        "PUT" | "DELETE" => Effect::Idempotent,
        _ => Effect::AtMostOnce,
    }
}

#[async_trait]
impl Agent for HttpAgent {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        let data = request.message.data();
        let Some(read) = data.and_then(|data| data.read::<HttpRequest>().ok()) else {
            return Plan::Reject(Fault::new("bad-arguments", "this is no request of a flow"));
        };
        let effect = effect(&read.method);
        let call = Call { skill: request.skill.cloned(), arguments: data.cloned(), converted: Vec::new(), effect };
        Plan::Call(Arc::new(call))
    }

    fn max_concurrency(&self) -> usize {
        REQUESTS_MAX
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn is_internal(&self) -> bool {
        true
    }

    async fn run(&self, run: Run) -> Outcome {
        let request = run.call().arguments.as_ref().and_then(|arguments| arguments.read::<HttpRequest>().ok());
        let Some(request) = request else {
            return Outcome::Rejected(Fault::new("bad-arguments", "this is no request of a flow"));
        };
        let fetched = tokio::select! {
            biased;
            () = run.canceled() => return Outcome::Unknown { fault: Fault::new("canceled", "the request was dropped"), again: false },
            fetched = self.fetch(&run, &request) => fetched,
        };
        match fetched {
            Ok(value) => Outcome::Completed { artifacts: vec![output::data_artifact(&value)], message: None },
            Err(Failed::Surely(error)) => Outcome::Failed(fault_of(&error)),
            Err(Failed::Perhaps(why)) => Outcome::Unknown { fault: Fault::new("http-unknown", why), again: true },
        }
    }

    async fn shutdown(&self) {}
}

fn fault_of(error: &Error) -> Fault {
    let text = error.detail.clone().unwrap_or_default();
    Fault { data: Some(Json::from(&json!({ "error": error.json() }))), ..Fault::new("http-failed", text) }
}

impl fmt::Debug for HttpAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAgent").finish_non_exhaustive()
    }
}
