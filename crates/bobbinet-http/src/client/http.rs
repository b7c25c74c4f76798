//! One request and its answer, over HTTP.

use std::{
    borrow::Cow,
    future::Future,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bobbinet_core::{Json, PushOperation, operation::Operation};
use bobbinet_wire::{Protocol, ReplyError, Transport, push::without_secrets, v1_0::CardView};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::{Instant, sleep};

use super::{
    ClientError, ClientOptions, Credentials, Detour, GrpcChannel, GrpcRequest, SendOptions, Way, body,
    credentials::Extras,
    error::unreachable,
    outbound::Sender,
    speech::{self, Form, Said},
};

/// Bytes of an answer: more than the largest task that a node of ours keeps by default.
const ANSWER_MAX: usize = 96 << 20;

/// How long a token that was made is shown: it is good for five minutes, and a clock may be off.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(120);

/// The first pause before another try; each is twice the last, give or take chance, so that many callers do not come back at once.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause before another try.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where requests to an agent go, and what is spoken there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) protocol: Protocol,
    pub(super) url: Url,
    /// For whom a token is made, if not for that URL.
    pub(super) audience: Option<String>,
    /// To be said in each request, if the card does.
    pub(super) tenant: Option<String>,
    /// That it is not where the card says.
    pub(super) detour: Option<Detour>,
}

/// All ways to an agent, the one that its card prefers first, and how they are used.
#[derive(Debug)]
pub(super) struct Ways {
    all: Vec<Endpoint>,
    /// The one that was open last.
    open: AtomicUsize,
    /// Whether the agent says that it does a message under the same key only once.
    honours_keys: bool,
    pub(super) options: ClientOptions,
}

/// Which way the tries of one message go.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The one that was tried last.
    last: AtomicUsize,
    /// The only one that is left, once the message may have been taken there: what makes a repeat known is how it was said, and over
    /// another binding it is another request under the same key.
    only: OnceLock<usize>,
}

/// One way: where requests go, and how.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) protocol: Protocol,
    pub(super) url: Url,
    /// For whom a token is made: the agent's URL over HTTP.
    pub(super) audience: String,
    /// To be said in each request, if the card does.
    tenant: Option<String>,
    http: Sender,
    extras: Extras,
    next_id: AtomicU64,
    token: Mutex<Option<(String, Instant)>>,
    /// Whether the agent takes subscriptions by `GET` and not by `POST`.
    subscribes_by_get: AtomicBool,
}

/// What an agent has answered, and what it speaks.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) protocol: Protocol,
    /// Whether there may be in it what no log may have.
    has_secrets: bool,
}

/// A result, in one of the forms that results have.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) form: Form,
    pub(super) json: Json,
}

impl Ways {
    /// Those of an agent, at least one.
    pub(super) fn new(all: Vec<Endpoint>, card: &CardView, options: ClientOptions) -> Self {
        Self { all, open: AtomicUsize::new(0), honours_keys: card.honours_idempotency_keys(), options }
    }

    /// The one that was open last.
    pub(super) fn open(&self) -> &Endpoint {
        &self.all[self.open.load(Ordering::Relaxed)]
    }

    /// All of them, by their names.
    pub(super) fn names(&self) -> Vec<Way> {
        self.all.iter().map(Endpoint::way).collect()
    }

    /// That of a new message, or of one that may have been taken already, some way that is said.
    pub(super) fn course(&self, operation: &Operation, options: &SendOptions) -> Result<Course, ClientError> {
        let Some(way) = &options.way else {
            return Ok(Course { last: AtomicUsize::new(self.open.load(Ordering::Relaxed)), only: OnceLock::new() });
        };
        match self.all.iter().position(|endpoint| endpoint.way() == *way) {
            Some(at) => Ok(Course { last: AtomicUsize::new(at), only: OnceLock::from(at) }),
            None => {
                let gone = ClientError::Protocol(format!("the agent's card does not name this way any more: {way}"));
                Err(self.unknown(operation, options, way.clone(), gone))
            }
        }
    }

    /// Calls, and gives the result as it came.
    pub(super) async fn call(&self, operation: &Operation, timeout: Option<Duration>) -> Result<Told, ClientError> {
        let answer = self.request(operation, timeout, &SendOptions::default(), None, &Course::default()).await?;
        self.result(answer, timeout).await
    }

    /// The same for a send, which is repeated where that cannot do the work twice.
    pub(super) async fn call_with(
        &self,
        operation: &Operation,
        timeout: Option<Duration>,
        options: &SendOptions,
        course: &Course,
    ) -> Result<Told, ClientError> {
        let attempt = || async {
            let answer = self.request(operation, timeout, options, None, course).await?;
            self.result(answer, timeout).await
        };
        self.repeat(operation, options, course, attempt).await
    }

    /// Tries to send until it works, is refused for good, or was tried too often. What was sent is sent again only to an agent whose
    /// card says that it does the same message once; what was not, to any.
    pub(super) async fn repeat<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        operation: &Operation,
        options: &SendOptions,
        course: &Course,
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
            if error.leaves_outcome_open() {
                is_open = true;
                self.open.store(course.stay(), Ordering::Relaxed);
            }
            let is_refused = matches!(error, ClientError::Refused(_));
            let may_be_repeated = !is_refused && (error.is_unsent() || (is_done_once && error.is_passing()));
            if !may_be_repeated || retries == self.options.retries_max {
                return Err(if is_open { self.still_open(operation, options, course, error) } else { error });
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
    pub(super) fn still_open(
        &self,
        operation: &Operation,
        options: &SendOptions,
        course: &Course,
        error: ClientError,
    ) -> ClientError {
        let is_told = matches!(error, ClientError::OutcomeUnknown { .. });
        let is_answered = matches!(error, ClientError::Rpc(_)) && !error.is_passing();
        if is_told || is_answered { error } else { self.outcome_unknown(operation, options, course, error) }
    }

    /// The error of a send that may have been carried out.
    pub(super) fn outcome_unknown(
        &self,
        operation: &Operation,
        options: &SendOptions,
        course: &Course,
        source: ClientError,
    ) -> ClientError {
        let way = self.all[course.last.load(Ordering::Relaxed)].way();
        self.unknown(operation, options, way, source)
    }

    fn unknown(&self, operation: &Operation, options: &SendOptions, way: Way, source: ClientError) -> ClientError {
        ClientError::OutcomeUnknown {
            way,
            task: task_of(operation).map(str::to_owned),
            key: self.key(options).map(str::to_owned),
            source: Box::new(source),
        }
    }

    /// Sends a request the way that was open last, and where nobody is there, and nothing was sent, the next. The answer's status is good
    /// when this returns, or it is that of an error of A2A.
    pub(super) async fn request(
        &self,
        operation: &Operation,
        timeout: Option<Duration>,
        options: &SendOptions,
        last_event_id: Option<&str>,
        course: &Course,
    ) -> Result<Answer, ClientError> {
        let (first, count) = match course.only.get() {
            Some(only) => (*only, 1),
            None => (self.open.load(Ordering::Relaxed), self.all.len()),
        };
        let mut unsent = None;
        for turn in 0..count {
            let at = (first + turn) % self.all.len();
            let endpoint = &self.all[at];
            course.last.store(at, Ordering::Relaxed);
            match endpoint.request(&self.options, operation, timeout, options, last_event_id).await {
                Ok(response) => {
                    self.open.store(at, Ordering::Relaxed);
                    let has_secrets = has_secrets(operation);
                    return Ok(Answer { response, protocol: endpoint.protocol, has_secrets });
                }
                Err(error) if error.is_unsent() => {
                    tracing::debug!(url = %endpoint.url, error = &error as &dyn std::error::Error, "not reached");
                    // What is wrong with the way that the card prefers is what there is to mend.
                    unsent.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(unsent.expect("there is at least one way, and none was open"))
    }

    /// The result in an answer, or why there is none.
    pub(super) async fn result(&self, answer: Answer, timeout: Option<Duration>) -> Result<Told, ClientError> {
        let Answer { response, protocol, has_secrets } = answer;
        let (status, url) = (response.status(), response.url().clone());
        let media_type = media_type(&response);
        let body = read_body_within(response, ANSWER_MAX, &url, timeout).await?;
        tracing::debug!(%status, body = %logged(&body, has_secrets), "answer");
        let why = match speech::answer(protocol, status, &body) {
            Ok(json) => return Ok(Told { form: speech::form(protocol), json }),
            Err(ReplyError::Malformed(why)) => why,
            Err(error) => return Err(error.into()),
        };
        let url = self.open().url.to_string();
        Err(match (body::fault(&body, &media_type), status.is_success()) {
            (Some(what), _) => ClientError::NotAnAgent { url, status: status.as_u16(), what },
            (None, false) => {
                let what = "JSON that is no answer".to_owned();
                ClientError::NotAnAgent { url, status: status.as_u16(), what }
            }
            (None, true) => ReplyError::Malformed(why).into(),
        })
    }
}

impl Course {
    /// Leaves it at the way that was tried last.
    pub(super) fn stay(&self) -> usize {
        *self.only.get_or_init(|| self.last.load(Ordering::Relaxed))
    }
}

impl Endpoint {
    pub(super) fn new(http: Sender, route: Route, extras: Extras) -> Self {
        let Route { protocol, url, audience, tenant, detour: _ } = route;
        let audience = audience.unwrap_or_else(|| url.to_string());
        let (next_id, token) = (AtomicU64::new(1), Mutex::new(None));
        Self {
            protocol,
            url,
            audience,
            tenant,
            http,
            extras,
            next_id,
            token,
            subscribes_by_get: AtomicBool::new(false),
        }
    }

    async fn request(
        &self,
        client: &ClientOptions,
        operation: &Operation,
        timeout: Option<Duration>,
        options: &SendOptions,
        last_event_id: Option<&str>,
    ) -> Result<Response, ClientError> {
        let operation = with_tenant(operation, self.tenant.as_deref());
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut said = speech::say(self.protocol, &self.url, id, &operation)?;
        let body = said.body.as_deref().unwrap_or_default();
        tracing::debug!(url = %said.url, body = %logged(body, has_secrets(&operation)), "request");
        let subscribes = matches!(*operation, Operation::Subscribe(_)) && said.body.is_none();
        if subscribes && self.subscribes_by_get.load(Ordering::Relaxed) {
            said.method = Method::GET;
        }
        let carry = client.grpc.filter(|_| self.protocol.transport == Transport::Grpc);
        let send = async |said: &Said, token: Option<String>| {
            if let Some(carry) = carry {
                let headers = self.headers(options, last_event_id, token.as_deref())?;
                let (version, operation) = (self.protocol.version, operation.clone().into_owned());
                let (sender, url, connect_timeout) = (self.http.clone(), self.url.clone(), client.connect_timeout);
                let channel = GrpcChannel { sender, url, timeout, connect_timeout };
                return carry(GrpcRequest { version, operation, headers, channel }).await;
            }
            let mut request = self
                .http
                .request(said.method.clone(), &self.extras.url(&said.url))?
                .header(header::ACCEPT, "application/json, text/event-stream")
                .header("a2a-version", self.protocol.version.name());
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
            let mut request = with(request, "authorization", authorization.as_deref());
            if let Some(body) = &said.body {
                request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
            }
            let sent = request.headers(self.extras.headers.clone()).send().await;
            sent.map_err(|source| unreachable(&self.url, timeout.unwrap_or(client.connect_timeout), source))
        };
        let mut response = send(&said, self.token(client)?).await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.forget_token() {
            response = send(&said, self.token(client)?).await?;
        }
        let is_elsewhere = matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        if subscribes && is_elsewhere && said.method == Method::POST {
            // The specification says both (A2A issue 1574).
            let by_get = send(&Said { method: Method::GET, ..said }, self.token(client)?).await?;
            self.subscribes_by_get.store(by_get.status().is_success(), Ordering::Relaxed);
            response = by_get;
        }
        match response.status() {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(self.unauthorized(&client.credentials, status, response).await)
            }
            _ => Ok(response),
        }
    }

    /// Its name.
    pub(super) fn way(&self) -> Way {
        Way::new(self.protocol, &self.url, self.tenant.as_deref())
    }

    /// What goes with an operation over gRPC.
    fn headers(
        &self,
        options: &SendOptions,
        last_event_id: Option<&str>,
        token: Option<&str>,
    ) -> Result<HeaderMap, ClientError> {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("a2a-version", Some(self.protocol.version.name())),
            ("idempotency-key", options.idempotency_key.as_deref()),
            ("traceparent", options.traceparent.as_deref()),
            ("last-event-id", last_event_id),
            ("authorization", authorization.as_deref()),
        ] {
            let Some(value) = value else { continue };
            let unfit = |_| ClientError::Protocol(format!("the value of {name} does not fit a header"));
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).map_err(unfit)?);
        }
        headers.extend(self.extras.headers.clone());
        Ok(headers)
    }

    /// A token to show: the one that was made last, as long as it is good.
    fn token(&self, client: &ClientOptions) -> Result<Option<String>, ClientError> {
        let credentials = &client.credentials;
        if !matches!(credentials, Credentials::Mint(_)) {
            return credentials.token_for(&self.audience);
        }
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, made)) = &*kept
            && made.elapsed() < TOKEN_AGE_MAX
        {
            return Ok(Some(token.clone()));
        }
        let token = credentials.token_for(&self.audience)?;
        *kept = token.clone().map(|token| (token, Instant::now()));
        Ok(token)
    }

    /// Drops the token that was made last; whether there was one, and a new one may do better.
    fn forget_token(&self) -> bool {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    async fn unauthorized(&self, shown: &Credentials, status: StatusCode, response: Response) -> ClientError {
        let body = read_body(response, ANSWER_MAX).await.unwrap_or_default();
        let remote = match speech::answer(self.protocol, status, &body) {
            Err(ReplyError::Remote(remote)) => Some(remote),
            Ok(_) | Err(ReplyError::Malformed(_)) => None,
        };
        let message = remote.as_ref().map_or_else(|| format!("{} answers {status}", self.url), |it| it.message.clone());
        let hint = match (remote.and_then(|it| it.hint), shown) {
            (Some(hint), _) => hint,
            (None, Credentials::None) => "Send a bearer token.".to_owned(),
            (None, Credentials::ApiKey(..)) => "Use an API key that the agent knows.".to_owned(),
            (None, Credentials::Bearer(_) | Credentials::Mint(_)) => {
                format!("Use a token that is made for {} and has not expired.", self.url)
            }
        };
        ClientError::Unauthorized { message, hint }
    }
}

/// The operation for a tenant, whatever it said of one.
fn with_tenant<'o>(operation: &'o Operation, tenant: Option<&str>) -> Cow<'o, Operation> {
    let Some(tenant) = tenant.map(str::to_owned) else { return Cow::Borrowed(operation) };
    let mut operation = operation.clone();
    match &mut operation {
        Operation::Send(send) | Operation::SendStreaming(send) => send.tenant = Some(tenant),
        Operation::Get(get) => get.tenant = Some(tenant),
        Operation::List(list) => list.tenant = Some(tenant),
        Operation::Cancel(cancel) => cancel.tenant = Some(tenant),
        Operation::Subscribe(subscribe) => subscribe.tenant = Some(tenant),
        Operation::ExtendedCard(card) => card.tenant = Some(tenant),
        Operation::PushConfig(PushOperation::Create(create)) => create.tenant = Some(tenant),
        Operation::PushConfig(PushOperation::Get(get)) => get.tenant = Some(tenant),
        Operation::PushConfig(PushOperation::List(list)) => list.tenant = Some(tenant),
        Operation::PushConfig(PushOperation::Delete(delete)) => delete.tenant = Some(tenant),
    }
    Cow::Owned(operation)
}

/// Whether it says, or is answered with, what only the receiver of a webhook may know.
fn has_secrets(operation: &Operation) -> bool {
    match operation {
        Operation::PushConfig(_) => true,
        Operation::Send(send) | Operation::SendStreaming(send) => send.configuration.push_config.is_some(),
        Operation::Get(_)
        | Operation::List(_)
        | Operation::Cancel(_)
        | Operation::Subscribe(_)
        | Operation::ExtendedCard(_) => false,
    }
}

/// A body as a log may have it.
fn logged(body: &[u8], has_secrets: bool) -> Cow<'_, str> {
    match (String::from_utf8_lossy(body), has_secrets) {
        (text, false) => text,
        (Cow::Borrowed(text), true) => without_secrets(text),
        (Cow::Owned(text), true) => Cow::Owned(without_secrets(&text).into_owned()),
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
