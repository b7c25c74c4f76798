//! Notifications over HTTP: how each dialect writes one, and how it is sent.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_auth::{KeyRing, NotificationClaims, sign_notification};
use bobbinet_core::{Event, Secret, Selection, Timestamp};
use bobbinet_engine::Env;
use bobbinet_outbound::{Guard, Origin, Refused};
use bobbinet_push::{Courier, Destination, Notification, Posted, Told, What};
use bobbinet_wire::{update::Update, v0_3, v1_0};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::{Response, Url};

/// What drops repeats: the task and the generation of its event. The name that webhooks of all kinds have for it (Standard Webhooks).
const ID: HeaderName = HeaderName::from_static("webhook-id");

/// When it was sent, in seconds: of the same specification.
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");

/// What the receiver gave us to be known by: all SDKs of A2A have it under this name.
const TOKEN: HeaderName = HeaderName::from_static("x-a2a-notification-token");

/// A JWT of ours about the notification, beside what the receiver wants to see.
const SIGNATURE: HeaderName = HeaderName::from_static("x-bobbinet-notification-jwt");

/// Of an answer so much is read, so that its connection can be used again; what is more closes it.
const ANSWER_MAX: usize = 16 << 10;

/// For so long. What it says is known before.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(250);

/// What is said of a name that has an address of this network.
const LEADS_INSIDE: &str = "leads inside, where not everybody may be; if it is meant to be called, the operator of this node names it in its \
                            configuration";

/// Sends notifications.
#[derive(Debug)]
pub struct HttpCourier {
    guard: Guard,
    keys: Arc<KeyRing>,
    issuer: String,
    env: Arc<dyn Env>,
}

impl HttpCourier {
    /// One whose requests go through this guard, and are signed with these keys. `issuer` is the URL below which receivers find their
    /// public halves. Whatever else the guard is for, notifications follow no redirect: what leads elsewhere has not taken them.
    ///
    /// # Errors
    /// If there is no TLS to be had on this machine.
    pub fn new(guard: Guard, keys: Arc<KeyRing>, issuer: String, env: Arc<dyn Env>) -> Result<Self, reqwest::Error> {
        Ok(Self { guard: guard.without_redirects()?, keys, issuer, env })
    }

    fn headers(&self, to: &Destination, origin: &str, notification: &Notification, body: &[u8]) -> Option<HeaderMap> {
        let (now, id) = (self.env.now(), notification.id());
        let mut headers = HeaderMap::new();
        let media_type = if is_old(&to.dialect) { "application/json" } else { "application/a2a+json" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(ID, HeaderValue::try_from(&id).ok()?);
        headers.insert(TIMESTAMP, HeaderValue::from(now.as_millis() / 1_000));
        let secret = |secret: &Secret| {
            let mut value = HeaderValue::try_from(secret.reveal()).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        if let Some(token) = &to.token {
            headers.insert(TOKEN, secret(token)?);
        }
        if let Some(authorization) = &to.authorization {
            headers.insert(header::AUTHORIZATION, secret(authorization)?);
        }
        headers.insert(SIGNATURE, self.signature(origin, notification, &id, body, now)?);
        Some(headers)
    }

    fn signature(
        &self,
        origin: &str,
        notification: &Notification,
        id: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let claims = NotificationClaims {
            issuer: &self.issuer,
            audience: origin,
            task: &notification.task,
            event: id,
            body,
            now,
        };
        match sign_notification(&self.keys, &claims) {
            Ok(token) => HeaderValue::try_from(token).ok(),
            Err(error) => {
                tracing::error!(%error, "a notification could not be signed");
                None
            }
        }
    }
}

#[async_trait]
impl Courier for HttpCourier {
    fn receiver(&self, url: &str) -> Result<String, String> {
        let url = Url::parse(url).map_err(|_| "it is no URL, such as https://example.com/a2a/events".to_owned())?;
        let http = self.guard.http(&url).map_err(|refused| refused.to_string())?;
        Ok(http.origin().to_string())
    }

    async fn check(&self, url: &str) -> Result<(), String> {
        let Ok(url) = Url::parse(url) else { return Err("it is no URL".to_owned()) };
        let Err(error) = self.guard.addresses(&url).await else { return Ok(()) };
        // What cannot be resolved now is looked at again whenever it is called.
        match Refused::among(&*error) {
            // Whoever asks is not to learn from us which addresses the names inside have.
            Some(refused @ Refused::Address { origin, .. }) => {
                tracing::info!(%refused, "a webhook is refused");
                Err(format!("{origin} {LEADS_INSIDE}"))
            }
            Some(refused) => Err(refused.to_string()),
            None => Ok(()),
        }
    }

    /// Receivers of 0.3 read whole tasks and nothing else: that is what its SDKs send, so they are told of each status, and of artifacts
    /// with the next one.
    fn told(&self, dialect: &str, event: &Event) -> Told {
        match (event, Update::of(event)) {
            (Event::Submitted(_), _) => Told::Task,
            (_, Some(Update::Status { .. })) if is_old(dialect) => Told::Task,
            (_, Some(Update::Artifact { .. })) if is_old(dialect) => Told::Nothing,
            (_, Some(_)) => Told::Event,
            (_, None) => Told::Nothing,
        }
    }

    fn write(&self, dialect: &str, notification: &Notification) -> Vec<u8> {
        let Notification { task: id, context, at, what, .. } = notification;
        let mut out = Vec::with_capacity(1 << 10);
        match (what, is_old(dialect)) {
            (What::Task(task), true) => v0_3::task::write_task(&mut out, task, Selection::ALL),
            (What::Task(task), false) => v1_0::response::write_task_wrapped(&mut out, task, Selection::ALL),
            (What::Event(told), true) => {
                let is_last = matches!(told.event, Event::Ended { .. });
                v0_3::task::write_update(&mut out, id, context, *at, &told.event, is_last);
            }
            (What::Event(told), false) => {
                v1_0::response::write_update(&mut out, id, context, *at, &told.event);
            }
        }
        out
    }

    async fn post(&self, to: &Destination, notification: &Notification, body: Vec<u8>) -> Posted {
        let failed = |why: String| Posted::Failed { why, retry_after: None };
        let Ok(url) = Url::parse(&to.url) else { return failed("its URL is none".to_owned()) };
        let http = match self.guard.http(&url) {
            Ok(http) => http,
            Err(refused) => return failed(refused.to_string()),
        };
        let Ok(origin) = Origin::of(&url) else { return failed("its URL is not called".to_owned()) };
        let Some(headers) = self.headers(to, &origin.to_string(), notification, &body) else {
            return failed("its request could not be written".to_owned());
        };
        let request = match http.request(Method::POST, &url) {
            Ok(request) => request.headers(headers).body(body),
            Err(refused) => return failed(refused.to_string()),
        };
        match request.send().await {
            Ok(response) => answered(response).await,
            Err(error) => failed(told(&error.without_url())),
        }
    }
}

/// What an answer says, which its status alone does.
async fn answered(response: Response) -> Posted {
    let posted = match response.status() {
        status if status.is_success() => Posted::Taken,
        StatusCode::GONE => Posted::Gone,
        status => {
            let why = format!("the receiver answers {status}");
            Posted::Failed { why, retry_after: retry_after(response.headers()) }
        }
    };
    tokio::time::timeout(ANSWER_TIME_MAX, drain(response)).await.ok();
    posted
}

async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > ANSWER_MAX {
            return;
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What went wrong, with its innermost cause: the words around it are always the same.
fn told(error: &reqwest::Error) -> String {
    if let Some(refused) = Refused::among(error) {
        return refused.to_string();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    format!("the receiver cannot be reached: {innermost}")
}

fn is_old(dialect: &str) -> bool {
    dialect == v0_3::VERSION
}

#[cfg(test)]
mod tests {
    use std::{io, net::IpAddr};

    use bobbinet_engine::SystemEnv;
    use bobbinet_outbound::{OutboundLimits, Resolver};

    use super::*;

    #[derive(Debug)]
    struct Inside;

    #[async_trait]
    impl Resolver for Inside {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(vec![IpAddr::from([10, 1, 2, 3])])
        }
    }

    #[tokio::test]
    async fn whoever_asks_for_a_name_inside_is_not_told_its_address() {
        let guard = Guard::with_resolver([], OutboundLimits::default(), Arc::new(Inside)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(KeyRing::open_or_create(folder.path(), SystemEnv.now()).unwrap());
        let courier = HttpCourier::new(guard, keys, "https://node.example".to_owned(), Arc::new(SystemEnv)).unwrap();
        let why = courier.check("https://hook.example/x").await.unwrap_err();
        assert_eq!(why, format!("hook.example {LEADS_INSIDE}"));
        assert!(!why.contains("10.1.2.3"));
    }
}
