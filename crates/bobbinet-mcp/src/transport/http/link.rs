//! What the messages of one session over HTTP share.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bobbinet_outbound::{Http, Refused};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use rmcp::model::RequestId;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{login_point::LoginPoint, outgoing::Outgoing};
use crate::{
    authorization::Authorization,
    config::{McpLimits, ServerUrl},
    mailbox::ConnectionError,
    transport::Received,
};

pub(super) const SESSION: &str = "mcp-session-id";
pub(super) const VERSION: &str = "mcp-protocol-version";
pub(super) const LAST_EVENT_ID: &str = "last-event-id";
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// Bytes of a session's name, which goes along with every request.
pub(super) const SESSION_LENGTH_MAX: usize = 8 << 10;

/// Questions of one request that are told from those of others. A server that asks more is not talking to people.
const ASKED_MAX: usize = 16;

/// How long the requests under way of a session that is over have to tell how each of them has ended.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(300);

/// How often it is looked whether they have.
const LAST_WORDS_LOOK: Duration = Duration::from_millis(5);

/// One session over HTTP: its words for the server, and where the server's words go.
pub(super) struct Link {
    pub(super) server: ServerUrl,
    pub(super) limits: McpLimits,
    pub(super) tracker: TaskTracker,
    http: Http,
    credentials: LinkCredentials,
    headers: HeaderMap,
    heard: mpsc::Sender<Received>,
    state: Mutex<LinkState>,
    stop: CancellationToken,
    was_reached: AtomicBool,
}

/// What the server is shown, and what there is to do where it wants something else. Of all sessions.
#[derive(Clone)]
pub(super) struct LinkCredentials {
    pub(super) authorization: Option<Arc<Authorization>>,
    pub(super) login_point: Arc<LoginPoint>,
}

/// What is known of the session at one moment.
#[derive(Default)]
struct LinkState {
    /// Its name, if the server has given it one.
    session: Option<String>,
    /// The version that was agreed on in the handshake.
    version: Option<String>,
    /// Where to post, by the word of a server of 2024-11-05.
    post_url: Option<Url>,
    exchanges: Vec<Exchange>,
    /// Whether it is over, and which requests the server has surely not seen for that.
    is_over: bool,
    lost: Vec<RequestId>,
}

/// A request under way.
struct Exchange {
    id: RequestId,
    is_modern: bool,
    /// No connection could be made for it the last time, and it is not being tried again just now: nobody has seen it.
    is_unseen: bool,
    /// What the server has asked by the answer to it, the newest last.
    asked: Vec<RequestId>,
    end: CancellationToken,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(
        server: ServerUrl,
        http: Http,
        credentials: LinkCredentials,
        limits: McpLimits,
        heard: mpsc::Sender<Received>,
        tracker: TaskTracker,
    ) -> io::Result<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &server.headers {
            let unusable = || io::Error::other(format!("the header {name:?} cannot be sent as it is"));
            let name = HeaderName::try_from(name).map_err(|_| unusable())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| unusable())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let (state, stop, was_reached) = (Mutex::default(), CancellationToken::new(), AtomicBool::new(false));
        Ok(Self { server, limits, tracker, http, credentials, headers, heard, state, stop, was_reached })
    }

    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().expect("nobody panics while looking at a session's name")
    }

    /// Hands on what was heard. `false` if nobody listens any more.
    pub(super) async fn say(&self, heard: Received) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            said = self.heard.send(heard) => said.is_ok(),
        }
    }

    /// What the server is shown with each request, beside its headers.
    pub(super) fn authorization(&self) -> Option<&Arc<Authorization>> {
        self.credentials.authorization.as_ref()
    }

    /// Where it is found out what the server wants of people.
    pub(super) fn login_point(&self) -> &LoginPoint {
        &self.credentials.login_point
    }

    /// A POST of this message.
    pub(super) fn post(&self, outgoing: &Outgoing) -> Result<RequestBuilder, Refused> {
        let url = self.state().post_url.clone();
        let url = url.as_ref().unwrap_or(&self.server.url);
        let mut request = self.request(Method::POST, url, outgoing.version.as_deref())?;
        for (name, value) in outgoing.headers() {
            request = request.header(name, value);
        }
        request =
            request.header(ACCEPT, "application/json, text/event-stream").header(CONTENT_TYPE, "application/json");
        Ok(request.body(outgoing.text.clone()))
    }

    /// A GET of a stream, from after this event on.
    pub(super) fn get(&self, last_event: Option<&str>) -> Result<RequestBuilder, Refused> {
        let request = self.request(Method::GET, &self.server.url, None)?.header(ACCEPT, EVENT_STREAM);
        Ok(match last_event {
            Some(id) => request.header(LAST_EVENT_ID, id),
            None => request,
        })
    }

    fn request(&self, method: Method, url: &Url, version: Option<&str>) -> Result<RequestBuilder, Refused> {
        let mut request = self.http.request(method, url)?.headers(self.headers.clone());
        let state = self.state();
        let stands_alone = version.is_some();
        if let Some(version) = version.or(state.version.as_deref()) {
            request = request.header(VERSION, version);
        }
        if let Some(session) = state.session.as_ref().filter(|_| !stands_alone) {
            request = request.header(SESSION, session);
        }
        Ok(request)
    }

    /// Something has answered: the server, unless it is what stands before one that is away.
    pub(super) fn reached(&self, status: StatusCode) {
        let is_away =
            matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
        self.was_reached.fetch_or(!is_away, Ordering::Relaxed);
    }

    /// Takes the session's name from the answer to the handshake. `Err`: it cannot go along with requests.
    pub(super) fn begin_session(&self, response: &Response) -> Result<(), String> {
        let Some(session) = response.headers().get(SESSION) else { return Ok(()) };
        match session.to_str() {
            Ok(session) if session.len() <= SESSION_LENGTH_MAX => {
                self.state().session = Some(session.to_owned());
                Ok(())
            }
            Ok(_) => Err(format!("it names the session in more than {SESSION_LENGTH_MAX} bytes")),
            Err(_) => Err("it names the session in bytes that no header may have".to_owned()),
        }
    }

    /// The session is over before this request was seen. All that were not are told together, and the others have a moment to tell how
    /// they have ended: what is under way then, nobody knows.
    pub(super) async fn lose(&self, id: Option<RequestId>, broken: ConnectionError) {
        let is_first = {
            let mut state = self.state();
            state.lost.extend(id);
            let state = &mut *state;
            for unseen in state.exchanges.extract_if(.., |exchange| exchange.is_unseen) {
                unseen.end.cancel();
                state.lost.push(unseen.id);
            }
            !std::mem::replace(&mut state.is_over, true)
        };
        if !is_first {
            return;
        }
        let all_told = async {
            while !self.state().exchanges.is_empty() {
                tokio::time::sleep(LAST_WORDS_LOOK).await;
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS_WAIT, all_told).await;
        self.say(Received::Lost { ids: Vec::new(), broken }).await;
    }

    /// The requests that the server has surely not seen since the session is over.
    pub(super) fn lost(&self) -> Vec<RequestId> {
        std::mem::take(&mut self.state().lost)
    }

    /// Whether the session is over, so that nothing more need be sent in it.
    pub(super) fn is_over(&self) -> bool {
        self.state().is_over
    }

    /// Whether the server has answered anything.
    pub(super) fn was_reached(&self) -> bool {
        self.was_reached.load(Ordering::Relaxed)
    }

    /// Takes the version from a server's answer to the handshake.
    pub(super) fn agree(&self, reply: &[u8]) {
        #[derive(Deserialize)]
        struct Reply {
            result: Initialized,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Initialized {
            protocol_version: String,
        }
        let version = serde_json::from_slice::<Reply>(reply).map(|reply| reply.result.protocol_version);
        // One that cannot stand in a header is none that anybody speaks.
        if let Ok(version) = version
            && HeaderValue::try_from(&version).is_ok()
        {
            self.state().version = Some(version);
        }
    }

    /// Whether the session has a name, which the server may forget.
    pub(super) fn has_session(&self) -> bool {
        self.state().session.is_some()
    }

    /// Whether all that the server says comes by one stream, as in 2024-11-05.
    pub(super) fn has_post_url(&self) -> bool {
        self.state().post_url.is_some()
    }

    /// Where to post from now on, by the server's word: below its own origin only.
    pub(super) fn post_to(&self, endpoint: &str) -> Result<(), String> {
        let url =
            self.server.url.join(endpoint).map_err(|error| format!("its endpoint {endpoint:?} is no URL: {error}"))?;
        if url.origin() != self.server.url.origin() {
            return Err(format!("it wants messages posted to another server, {}", url.origin().ascii_serialization()));
        }
        self.state().post_url = Some(url);
        Ok(())
    }

    /// A request goes out. Returns what is canceled when nobody waits for it any more.
    pub(super) fn begin(&self, id: &RequestId, is_modern: bool) -> CancellationToken {
        let end = self.stop.child_token();
        self.state().exchanges.push(Exchange {
            id: id.clone(),
            is_modern,
            is_unseen: false,
            asked: Vec::new(),
            end: end.clone(),
        });
        end
    }

    /// No connection could be made for this request.
    pub(super) fn is_unseen(&self, id: &RequestId) {
        let mut state = self.state();
        state.exchanges.iter_mut().filter(|exchange| exchange.id == *id).for_each(|exchange| exchange.is_unseen = true);
    }

    /// It is tried again to bring a request to the server. `false`: it is over, and was told so.
    pub(super) fn tries_again(&self, id: &RequestId) -> bool {
        let mut state = self.state();
        let exchange = state.exchanges.iter_mut().find(|exchange| exchange.id == *id);
        exchange.map(|exchange| exchange.is_unseen = false).is_some()
    }

    /// Whether the server may be at work on a request. One of 2024-11-05 may be for as long as its stream goes on, which ends the session
    /// by itself.
    pub(super) fn is_at_work(&self) -> bool {
        let state = self.state();
        state.post_url.is_some() || state.exchanges.iter().any(|exchange| !exchange.is_unseen)
    }

    /// The server has asked this by the answer to a request.
    pub(super) fn asks(&self, id: &RequestId, asked: Vec<RequestId>) {
        if asked.is_empty() {
            return;
        }
        let mut state = self.state();
        let Some(exchange) = state.exchanges.iter_mut().find(|exchange| exchange.id == *id) else { return };
        exchange.asked.extend(asked);
        let too_many = exchange.asked.len().saturating_sub(ASKED_MAX);
        exchange.asked.drain(..too_many);
    }

    /// The request under way by whose answer the server has asked this, and what ends it.
    pub(super) fn asked_by(&self, asked: &RequestId) -> Option<(RequestId, CancellationToken)> {
        let state = self.state();
        let exchange = state.exchanges.iter().find(|exchange| exchange.asked.contains(asked))?;
        Some((exchange.id.clone(), exchange.end.clone()))
    }

    /// A request is over.
    pub(super) fn end(&self, id: &RequestId) {
        self.state().exchanges.retain(|exchange| exchange.id != *id);
    }

    /// What ends the request of this id, and whether that tells the server.
    pub(super) fn under_way(&self, id: &RequestId) -> Option<(CancellationToken, bool)> {
        let state = self.state();
        let exchange = state.exchanges.iter().find(|exchange| exchange.id == *id)?;
        Some((exchange.end.clone(), exchange.is_modern))
    }

    /// What is at the other end, for people.
    pub(super) fn peer(&self) -> String {
        self.server.shown()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Returns when it is closed.
    pub(super) async fn closed(&self) {
        self.stop.cancelled().await;
    }

    /// Ends all that is under way.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// What tells the server that the session is over.
    pub(super) fn delete(&self) -> Result<RequestBuilder, Refused> {
        self.request(Method::DELETE, &self.server.url, None)
    }
}
