//! One request and its answer, over HTTP.

use std::{
    future::Future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bobbinet_core::{Json, operation::Operation};
use bobbinet_outbound::Refused;
use bobbinet_wire::{
    ReplyError,
    v1_0::{CardView, VERSION, client as wire},
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use tokio::time::{Instant, sleep};

use super::{
    ClientError, ClientOptions, Credentials, Detour, SendOptions, body, credentials::Extras, outbound::Sender,
};

/// Bytes of an answer: more than the largest task that a node of ours keeps by default.
const ANSWER_MAX: usize = 96 << 20;

/// How long a token that was made is shown: it is good for five minutes, and a clock may be off.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(120);

/// The first pause before another try; each is twice the last, give or take chance, so that many callers do not come back at once.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause before another try.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where requests to an agent go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) url: Url,
    /// To be said in each request, if the card does.
    pub(super) tenant: Option<String>,
    /// That it is not where the card says.
    pub(super) detour: Option<Detour>,
}

/// Where requests go, and how.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// To be said in each request, if the card does.
    pub(super) tenant: Option<String>,
    /// Whether the agent says that it does a message under the same key only once.
    honours_keys: bool,
    pub(super) options: ClientOptions,
    http: Sender,
    extras: Extras,
    next_id: AtomicU64,
    token: Mutex<Option<(String, Instant)>>,
}

impl Endpoint {
    pub(super) fn new(http: Sender, route: Route, card: &CardView, options: ClientOptions, extras: Extras) -> Self {
        let Route { url, tenant, detour: _ } = route;
        let honours_keys = card.honours_idempotency_keys();
        let (next_id, token) = (AtomicU64::new(1), Mutex::new(None));
        Self { url, tenant, honours_keys, options, http, extras, next_id, token }
    }

    /// Calls, and gives the result as it came.
    pub(super) async fn call(&self, operation: &Operation, timeout: Option<Duration>) -> Result<Json, ClientError> {
        let response = self.request(operation, timeout, &SendOptions::default(), None).await?;
        self.result(response, timeout).await
    }

    /// The same for a send, which is repeated where that cannot do the work twice.
    pub(super) async fn call_with(
        &self,
        operation: &Operation,
        timeout: Option<Duration>,
        options: &SendOptions,
    ) -> Result<Json, ClientError> {
        self.repeat(operation, options, || async {
            let response = self.request(operation, timeout, options, None).await?;
            self.result(response, timeout).await
        })
        .await
    }

    /// Tries to send until it works, is refused for good, or was tried too often. What was sent is sent again only to an agent whose
    /// card says that it does the same message once; what was not, to any.
    pub(super) async fn repeat<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        operation: &Operation,
        options: &SendOptions,
        attempt: impl Fn() -> F,
    ) -> Result<T, ClientError> {
        let is_done_once = self.key(options).is_some();
        let mut retries = 0;
        let mut is_open = false;
        loop {
            let error = match attempt().await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            is_open |= error.leaves_outcome_open();
            let is_refused = matches!(error, ClientError::Refused(_));
            let may_be_repeated = !is_refused && (error.is_unsent() || (is_done_once && error.is_passing()));
            if !may_be_repeated || retries == self.options.retries_max {
                return Err(if is_open { self.still_open(operation, options, error) } else { error });
            }
            tracing::debug!(error = &error as &dyn std::error::Error, retries, "trying again");
            sleep(pause(retries)).await;
            retries += 1;
        }
    }

    /// The key under which the agent does this message only once, if there is one and it says that it does.
    pub(super) fn key<'o>(&self, options: &'o SendOptions) -> Option<&'o str> {
        options.idempotency_key.as_deref().filter(|_| self.honours_keys)
    }

    /// The error of a send that was tried before, with an outcome that is open: only the agent's own word closes it.
    pub(super) fn still_open(&self, operation: &Operation, options: &SendOptions, error: ClientError) -> ClientError {
        let is_told = matches!(error, ClientError::OutcomeUnknown { .. });
        let is_answered = matches!(error, ClientError::Rpc(_)) && !error.is_passing();
        if is_told || is_answered { error } else { self.outcome_unknown(operation, options, error) }
    }

    /// The error of a send that may have been carried out.
    pub(super) fn outcome_unknown(
        &self,
        operation: &Operation,
        options: &SendOptions,
        source: ClientError,
    ) -> ClientError {
        ClientError::OutcomeUnknown {
            url: self.url.to_string(),
            task: task_of(operation).map(str::to_owned),
            key: self.key(options).map(str::to_owned),
            source: Box::new(source),
        }
    }

    /// Sends a request. The answer's status is good when this returns, or it is a JSON-RPC error's.
    pub(super) async fn request(
        &self,
        operation: &Operation,
        timeout: Option<Duration>,
        options: &SendOptions,
        last_event_id: Option<&str>,
    ) -> Result<Response, ClientError> {
        let mut body = Vec::with_capacity(512);
        wire::write_request(&mut body, self.next_id.fetch_add(1, Ordering::Relaxed), operation);
        tracing::debug!(url = %self.url, body = %String::from_utf8_lossy(&body), "request");
        let build = |token: Option<String>| {
            let mut request = self
                .http
                .request(Method::POST, &self.extras.url(&self.url))?
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::ACCEPT, "application/json, text/event-stream")
                .header("a2a-version", VERSION);
            if let Some(timeout) = timeout {
                request = request.timeout(timeout);
            }
            let pairs = [
                ("idempotency-key", options.idempotency_key.as_deref()),
                ("traceparent", options.traceparent.as_deref()),
                ("last-event-id", last_event_id),
            ];
            for (name, value) in pairs {
                request = with(request, name, value);
            }
            let authorization = token.map(|token| format!("Bearer {token}"));
            let request = with(request, "authorization", authorization.as_deref());
            Ok::<_, ClientError>(request.headers(self.extras.headers.clone()).body(body.clone()))
        };
        let send = async |token| build(token)?.send().await.map_err(|source| self.unreachable(timeout, source));
        let response = send(self.token()?).await?;
        let response = match response.status() {
            StatusCode::UNAUTHORIZED if self.forget_token() => send(self.token()?).await?,
            _ => response,
        };
        match response.status() {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(self.unauthorized(status, response).await)
            }
            _ => Ok(response),
        }
    }

    /// The result in an answer, or why there is none.
    pub(super) async fn result(&self, response: Response, timeout: Option<Duration>) -> Result<Json, ClientError> {
        let status = response.status();
        let media_type = media_type(&response);
        let body = read_body_within(response, ANSWER_MAX, &self.url, timeout).await?;
        tracing::debug!(%status, body = %String::from_utf8_lossy(&body), "answer");
        match wire::read_reply(&body) {
            Ok(result) => Ok(Json::from(result.to_owned())),
            Err(ReplyError::Malformed(why)) => {
                let url = self.url.to_string();
                match (body::fault(&body, &media_type), status.is_success()) {
                    (Some(what), _) => Err(ClientError::NotAnAgent { url, status: status.as_u16(), what }),
                    (None, false) => {
                        let what = "JSON that is no answer".to_owned();
                        Err(ClientError::NotAnAgent { url, status: status.as_u16(), what })
                    }
                    (None, true) => Err(ReplyError::Malformed(why).into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A token to show: the one that was made last, as long as it is good.
    fn token(&self) -> Result<Option<String>, ClientError> {
        let credentials = &self.options.credentials;
        if !matches!(credentials, Credentials::Mint(_)) {
            return credentials.token_for(self.url.as_str());
        }
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, made)) = &*kept
            && made.elapsed() < TOKEN_AGE_MAX
        {
            return Ok(Some(token.clone()));
        }
        let token = credentials.token_for(self.url.as_str())?;
        *kept = token.clone().map(|token| (token, Instant::now()));
        Ok(token)
    }

    /// Drops the token that was made last; whether there was one, and a new one may do better.
    fn forget_token(&self) -> bool {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    async fn unauthorized(&self, status: StatusCode, response: Response) -> ClientError {
        let body = read_body(response, ANSWER_MAX).await.unwrap_or_default();
        let remote = match wire::read_reply(&body) {
            Err(ReplyError::Remote(remote)) => Some(remote),
            Ok(_) | Err(ReplyError::Malformed(_)) => None,
        };
        let message = remote.as_ref().map_or_else(|| format!("{} answers {status}", self.url), |it| it.message.clone());
        let hint = match (remote.and_then(|it| it.hint), &self.options.credentials) {
            (Some(hint), _) => hint,
            (None, Credentials::None) => "Send a bearer token.".to_owned(),
            (None, Credentials::ApiKey(..)) => "Use an API key that the agent knows.".to_owned(),
            (None, Credentials::Bearer(_) | Credentials::Mint(_)) => {
                format!("Use a token that is made for {} and has not expired.", self.url)
            }
        };
        ClientError::Unauthorized { message, hint }
    }

    fn unreachable(&self, timeout: Option<Duration>, source: reqwest::Error) -> ClientError {
        unreachable(&self.url, timeout.unwrap_or(self.options.connect_timeout), source)
    }
}

fn with(request: RequestBuilder, name: &str, value: Option<&str>) -> RequestBuilder {
    match value {
        Some(value) => request.header(name, value),
        None => request,
    }
}

/// How long to wait before the try after so many in vain.
pub(super) fn pause(retries: u32) -> Duration {
    let longest = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(retries)).min(PAUSE_MAX);
    longest.mul_f64(fastrand::f64().midpoint(1.0))
}

/// The task that a message is for, if it says one.
fn task_of(operation: &Operation) -> Option<&str> {
    match operation {
        Operation::Send(send) | Operation::SendStreaming(send) => send.task.as_deref(),
        Operation::Get(_)
        | Operation::List(_)
        | Operation::Cancel(_)
        | Operation::Subscribe(_)
        | Operation::ExtendedCard(_)
        | Operation::PushConfig(_) => None,
    }
}

/// What an answer says that it is, in lower case and without parameters.
pub(super) fn media_type(response: &Response) -> String {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// No answer: nobody there, or not in time.
pub(super) fn unreachable(url: &Url, timeout: Duration, source: reqwest::Error) -> ClientError {
    let source = source.without_url();
    if let Some(refused) = Refused::among(&source) {
        return ClientError::Refused(refused.clone());
    }
    if source.is_timeout() && !source.is_connect() {
        return ClientError::Timeout { url: url.to_string(), seconds: timeout.as_secs_f64() };
    }
    ClientError::Unreachable { url: url.to_string(), source }
}

/// A whole body of at most `max` bytes.
pub(super) async fn read_body(response: Response, max: usize) -> Result<Vec<u8>, ClientError> {
    let url = response.url().clone();
    read_body_within(response, max, &url, None).await
}

async fn read_body_within(
    mut response: Response,
    max: usize,
    url: &Url,
    timeout: Option<Duration>,
) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    let timeout = timeout.unwrap_or(Duration::ZERO);
    while let Some(chunk) = response.chunk().await.map_err(|source| unreachable(url, timeout, source))? {
        if body.len() + chunk.len() > max {
            return Err(ClientError::Protocol(format!("{url} answers with more than {max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
