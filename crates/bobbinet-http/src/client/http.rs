//! One request and its answer, over HTTP.

use std::{
    future::Future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bobbinet_core::Json;
use bobbinet_wire::{
    Operation,
    v1_0::{
        VERSION,
        client::{self as wire, ReplyError},
    },
};
use reqwest::{RequestBuilder, Response, StatusCode, Url, header};
use tokio::time::{Instant, sleep};

use super::{ClientError, ClientOptions, Credentials, SendOptions, credentials::Extras};

/// Bytes of an answer: more than the largest task that a node of ours keeps by default.
const ANSWER_MAX: usize = 96 << 20;

/// How long a token that was made is shown: it is good for five minutes, and a clock may be off.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(120);

/// The first pause before another try; each is twice the last.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause before another try.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where requests go, and how.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// To be said in each request, if the card does.
    pub(super) tenant: Option<String>,
    pub(super) options: ClientOptions,
    http: reqwest::Client,
    extras: Extras,
    next_id: AtomicU64,
    token: Mutex<Option<(String, Instant)>>,
}

impl Endpoint {
    pub(super) fn new(
        http: reqwest::Client,
        url: Url,
        tenant: Option<String>,
        options: ClientOptions,
        extras: Extras,
    ) -> Self {
        Self { url, tenant, options, http, extras, next_id: AtomicU64::new(1), token: Mutex::new(None) }
    }

    /// Calls, and gives the result as it came.
    pub(super) async fn call(&self, operation: &Operation, timeout: Option<Duration>) -> Result<Json, ClientError> {
        let response = self.request(operation, timeout, &SendOptions::default(), None).await?;
        self.result(response, timeout).await
    }

    /// The same for a send, which is repeated after what passes if the agent can tell that it is a repeat.
    pub(super) async fn call_with(
        &self,
        operation: &Operation,
        timeout: Option<Duration>,
        options: &SendOptions,
    ) -> Result<Json, ClientError> {
        self.repeat(options, || async {
            let response = self.request(operation, timeout, options, None).await?;
            self.result(response, timeout).await
        })
        .await
    }

    /// Tries until it works, is refused for good, or was tried too often. Without a key, once.
    pub(super) async fn repeat<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        options: &SendOptions,
        attempt: impl Fn() -> F,
    ) -> Result<T, ClientError> {
        let retries_max = if options.idempotency_key.is_some() { self.options.retries_max } else { 0 };
        let mut retries = 0;
        loop {
            match attempt().await {
                Err(error) if error.is_passing() && retries < retries_max => {
                    tracing::debug!(error = &error as &dyn std::error::Error, retries, "trying again");
                    sleep(pause(retries)).await;
                    retries += 1;
                }
                result => return result,
            }
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
                .post(self.extras.url(&self.url))
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
            with(request, "authorization", authorization.as_deref())
                .headers(self.extras.headers.clone())
                .body(body.clone())
        };
        let send = async |token| build(token).send().await.map_err(|source| self.unreachable(timeout, source));
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
        let body = read_body_within(response, ANSWER_MAX, &self.url, timeout).await?;
        tracing::debug!(%status, body = %String::from_utf8_lossy(&body), "answer");
        match wire::read_reply(&body) {
            Ok(result) => Ok(Json::from(result.to_owned())),
            Err(ReplyError::Malformed(_)) if !status.is_success() => {
                Err(ClientError::Protocol(format!("{} answers {status}, and not as an A2A agent does", self.url)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A token to show: the one that was made last, as long as it is good.
    fn token(&self) -> Result<Option<String>, ClientError> {
        let mint = match &self.options.credentials {
            Credentials::None | Credentials::ApiKey(..) => return Ok(None),
            Credentials::Bearer(token) => return Ok(Some(token.clone())),
            Credentials::Mint(mint) => mint,
        };
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, made)) = &*kept
            && made.elapsed() < TOKEN_AGE_MAX
        {
            return Ok(Some(token.clone()));
        }
        let url = self.url.to_string();
        let token = mint(&url).map_err(|source| ClientError::Credentials { url, source })?;
        *kept = Some((token.clone(), Instant::now()));
        Ok(Some(token))
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
    PAUSE_MIN.saturating_mul(2_u32.saturating_pow(retries)).min(PAUSE_MAX)
}

/// No answer: nobody there, or not in time.
pub(super) fn unreachable(url: &Url, timeout: Duration, source: reqwest::Error) -> ClientError {
    let source = source.without_url();
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
