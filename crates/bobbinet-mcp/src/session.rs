//! A session: a connection over some transport, the handshake over it, what the server declared, and requests.
//!
//! Knows no process and no pipe ([`crate::transport`] does), and no method but those of the protocol's own housekeeping:
//! `tools/list` and `tools/call` are callers of it, as are others to come.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bobbinet_core::Json;
use bobbinet_engine::{CallLog, CallName, Severity, watched};
use futures::FutureExt;
use rmcp::{
    RoleClient,
    model::{
        CancelledNotification, CancelledNotificationParam, ClientConfig, ClientNotification, RequestId,
        RequestMetaObject, ServerCapabilities, ServerPeerInfo,
    },
    service::{Peer, RunningService},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{
    config::McpConfig,
    elicitation_handler::{ElicitationHandler, client_config},
    exclusive_tools::{CallOwner, ExclusiveTools},
    handshake::{self, HandshakeError},
    in_flight::{InFlight, ToolCall},
    json_object::JsonObject,
    mailbox::{ConnectionError, Mailbox, Reply},
    opening::Opening,
    rpc_channel::{self, RpcChannel},
    server_changes::ServerChanges,
    server_log::{LogLevel, ServerLog},
    transport::{Connection, ConnectionParts, MessageSink, Transport},
};

/// Cancellations that wait to be written. More than there are calls at a time.
const CANCELLATIONS_MAX: usize = 256;

/// How long the library has to write what it still has, even where the server is given no time at all.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// The client of one session: what requests go through. Shared by all who make any.
#[derive(Debug)]
pub(crate) struct Client {
    sink: Arc<dyn MessageSink>,
    /// Of the writes that a server keeps waiting.
    tracker: TaskTracker,
    /// What goes with each request, in its `_meta`: who we are and what we offer, in the era without a handshake.
    meta: JsonObject,
    pub(crate) in_flight: Arc<InFlight>,
    cancellations: mpsc::Sender<i64>,
    info: ServerPeerInfo,
    /// The least grave line that the server was told to say for a log, by its place among all; more than all: none was.
    log_told: AtomicUsize,
}

/// What goes with a request beside its method and its parameters.
#[derive(Debug, Default)]
pub(crate) struct RequestOptions {
    /// For its `_meta`.
    pub(crate) meta: JsonObject,
    /// The call of a tool that it is, if it is one: then a question of the server may be its.
    pub(crate) call: Option<ToolCall>,
    /// For its headers, where the transport has such.
    pub(crate) headers: Vec<(String, String)>,
    /// The progress token of an answered request that it goes on with: what is said under that is its progress from now on.
    pub(crate) token: Option<i64>,
}

/// A request on its way. Dropped without a reply, the server is told that nobody waits any more.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    client: Arc<Client>,
    pub(crate) serial: u64,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Whether the server was told already.
    is_canceled: AtomicBool,
}

impl PendingRequest {
    /// The token that its progress is told under, if it goes on with no other request.
    pub(crate) fn token(&self) -> i64 {
        self.serial.cast_signed()
    }

    /// Tells the server that nobody wants the result any more. The reply may still come.
    pub(crate) fn cancel(&self) {
        self.queue_cancellation(self.client.in_flight.id_of(self.serial));
    }

    fn queue_cancellation(&self, id: Option<i64>) {
        let Some(id) = id.filter(|_| !self.is_canceled.swap(true, Ordering::Relaxed)) else { return };
        // Full: the server takes nothing any more, and will be ended for it.
        let _ = self.client.cancellations.try_send(id);
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.queue_cancellation(self.client.in_flight.end(self.serial));
    }
}

impl Client {
    /// Sends a request. `Err`: the server has surely not seen it. Past the protocol library, which would hand it from task to task.
    pub(crate) fn send(
        self: &Arc<Self>,
        method: &str,
        mut params: JsonObject,
        options: RequestOptions,
    ) -> Result<PendingRequest, ConnectionError> {
        let RequestOptions { meta, call, headers, token } = options;
        let (serial, mailbox) = self.in_flight.begin(call)?;
        let pending = PendingRequest { client: self.clone(), serial, mailbox, is_canceled: AtomicBool::new(false) };
        let id = serial.cast_signed();
        let token = token.unwrap_or(id);
        let mut own = self.meta.clone();
        own.merge(meta);
        own.set("progressToken", Json::of(&token));
        params.set("_meta", own.to_json());
        let message = rpc_channel::request_message(id, method, &params, headers);
        // Known before it is written: the reply cannot be faster.
        self.in_flight.sent(serial, id, Some(token));
        let (sink, in_flight) = (self.sink.clone(), self.in_flight.clone());
        let mut sending = Box::pin(rpc_channel::send_request(sink, in_flight, RequestId::Number(id), message));
        // Most are written at once. What has begun goes out whole, whoever is dropped meanwhile.
        if sending.as_mut().now_or_never().is_none() {
            self.tracker.spawn(watched("MCP request", sending));
        }
        Ok(pending)
    }

    /// Sends a request and waits for its reply. The caller bounds the time.
    pub(crate) async fn request(self: &Arc<Self>, method: &str, params: Json) -> Reply {
        let params = JsonObject::read(&params).unwrap_or_default();
        match self.send(method, params, RequestOptions::default()) {
            Ok(pending) => pending.mailbox.replied().await,
            Err(broken) => Reply::NotSent(broken),
        }
    }

    /// Who the server says it is, and in which version of the protocol it is spoken to.
    pub(crate) fn info(&self) -> &ServerPeerInfo {
        &self.info
    }

    /// What the server has declared that it offers: tools, resources, prompts and more.
    pub(crate) fn capabilities(&self) -> &ServerCapabilities {
        &self.info.capabilities
    }

    /// How grave what the server says for the log must be to be wanted, if it says anything for it.
    pub(crate) fn log_level(&self) -> Option<LogLevel> {
        self.capabilities().logging.as_ref().and_then(|_| LogLevel::wanted())
    }

    /// The same for a call that somebody may listen to.
    pub(crate) fn log_level_of(&self, call: &CallName, log: &CallLog) -> Option<Severity> {
        self.capabilities().logging.as_ref()?;
        let ours = LogLevel::wanted().and_then(|level| Severity::read(level.word()));
        ours.into_iter().chain(log.wanted(call)).min()
    }

    /// Has the server say for a log what somebody wants to hear of a call that is about to be made, where that is said for the whole session
    /// and nobody else has calls there.
    pub(crate) async fn want_log(self: &Arc<Self>, call: &CallName, owner: &CallOwner, log: &CallLog) {
        if self.is_modern() || self.capabilities().logging.is_none() || !self.in_flight.is_only(owner) {
            return;
        }
        let Some(wanted) = log.wanted(call) else { return };
        if self.log_told.fetch_min(wanted as usize, Ordering::Relaxed) > wanted as usize {
            let params = Json::from(&serde_json::json!({ "level": wanted.word() }));
            // Whatever it answers: what comes is told as far as it is wanted.
            let _ = timeout(WANT_LOG_WAIT, self.request("logging/setLevel", params)).await;
        }
    }

    /// Whether the server says when a resource changes that somebody follows.
    pub(crate) fn subscribes(&self) -> bool {
        self.capabilities().resources.as_ref().and_then(|resources| resources.subscribe) == Some(true)
    }

    /// Whether the server speaks the era without a handshake: its questions name their calls.
    pub(crate) fn is_modern(&self) -> bool {
        !self.info.protocol_version.has_initialize()
    }
}

/// One session with a server, from its handshake to its end.
#[derive(Debug)]
pub(crate) struct Session {
    client: Arc<Client>,
    running: RunningService<RoleClient, ElicitationHandler>,
    connection: Box<dyn Connection>,
}

/// Why a session could not begin.
#[derive(Debug)]
pub(crate) struct StartError {
    /// The reason, and below it what the server said at last.
    pub(crate) text: String,
    /// Whether there was a connection at all.
    pub(crate) was_connected: bool,
    /// The version to propose in its next life.
    pub(crate) version: Option<&'static str>,
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self { text: error.to_string(), was_connected: false, version: None }
    }
}

impl Session {
    /// Connects to a server and brings it to where it can be asked. It is waited for as long as it shows life, within the
    /// limits' bounds. `folder` is the session's own. Dropped, the connection is lost, and
    /// [`Transport::clean_up`] ends what it may have left.
    pub(crate) async fn open(
        transport: &dyn Transport,
        folder: &Path,
        opening: &Opening,
        config: &McpConfig,
        exclusive_tools: Arc<ExclusiveTools>,
        changes: Arc<ServerChanges>,
        tracker: &TaskTracker,
    ) -> Result<Self, StartError> {
        let ConnectionParts { messages, sink, mut connection, secrets } = transport.connect(folder).await?;
        let (limits, me) = (&config.limits, client_config(config));
        let in_flight = Arc::new(InFlight::new(limits.clone(), exclusive_tools, changes));
        let mut channel = RpcChannel::new(
            messages,
            sink.clone(),
            in_flight.clone(),
            ServerLog::new(&config.name, secrets, config.call_log.clone()),
        );
        let agreed = tokio::select! {
            biased;
            agreed = handshake::negotiate(&mut channel, opening, &*connection, &me) => agreed,
            text = connection.given_up(limits.start_patience(), limits.start_limit()) => {
                Err(HandshakeError { text, version: None, is_gone: false })
            }
        };
        match agreed {
            Ok(info) => {
                let host = ElicitationHandler::new(config, in_flight.clone());
                let running = rmcp::service::serve_directly(host, channel, Some(info.clone()));
                let (cancellations, canceled) = mpsc::channel(CANCELLATIONS_MAX);
                let peer = running.peer().clone();
                tracker.spawn(watched("MCP cancellations", send_cancellations(peer, canceled, in_flight.clone())));
                let (meta, tracker) = (meta_of_each_request(&info, &me), tracker.clone());
                let log_told = AtomicUsize::new(usize::MAX);
                let client = Client { sink, tracker: tracker.clone(), meta, in_flight, cancellations, info, log_told };
                let client = Arc::new(client);
                if client.is_modern() {
                    tracker.spawn(watched("MCP subscription", listen(client.clone())));
                } else {
                    tracker.spawn(watched("MCP log level", set_log_level(client.clone())));
                }
                Ok(Self { client, running, connection })
            }
            Err(HandshakeError { mut text, version, is_gone }) => {
                // Its own reason for ending, before we end it.
                let own_end = if is_gone { connection.own_end().await } else { None };
                drop(channel);
                connection.close(Duration::ZERO).await;
                if let Some(end) = own_end {
                    text = format!("it ended with {end} before it was ready");
                }
                let was_connected = connection.was_reached();
                Err(StartError { text: connection.explain(&text).await, was_connected, version })
            }
        }
    }

    /// What its requests go through.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The life of its connection.
    pub(crate) fn connection(&self) -> &dyn Connection {
        &*self.connection
    }

    /// The same, to wait for its end.
    pub(crate) fn connection_mut(&mut self) -> &mut dyn Connection {
        &mut *self.connection
    }

    /// Ends the session: input closed, then told, then ended by force. Returns when nothing of the server is left, with the
    /// connection, which can still say why it was over.
    pub(crate) async fn close(self, grace: Duration) -> Box<dyn Connection> {
        let Self { client, running, mut connection } = self;
        client.in_flight.close(ConnectionError::Died("it was ended".to_owned()));
        drop(client);
        // Closes the channel, after the library has had its chance to write what it still has.
        let _ = timeout(grace.max(FLUSH_WAIT), running.cancel()).await;
        connection.close(grace).await;
        connection
    }
}

/// What the era without a handshake wants with each request (2026-07-28, basic, `_meta`).
fn meta_of_each_request(info: &ServerPeerInfo, me: &ClientConfig) -> JsonObject {
    if info.protocol_version.has_initialize() {
        return JsonObject::default();
    }
    let (version, me) = (info.protocol_version.clone(), me.clone());
    let meta = RequestMetaObject::with_client_context(version, me.client_info, me.capabilities);
    JsonObject::read(&Json::of(&meta)).unwrap_or_default()
}

/// Tells the server of calls that nobody waits for any more, until the connection is over.
async fn send_cancellations(peer: Peer<RoleClient>, mut canceled: mpsc::Receiver<i64>, in_flight: Arc<InFlight>) {
    loop {
        let id = tokio::select! {
            biased;
            () = in_flight.ended() => return,
            id = canceled.recv() => match id {
                Some(id) => id,
                None => return,
            },
        };
        let reason = Some("nobody waits for it any more".to_owned());
        let params = CancelledNotificationParam::new(Some(RequestId::Number(id)), reason);
        let notification = CancelledNotification::new(params);
        if peer.send_notification(ClientNotification::CancelledNotification(notification)).await.is_err() {
            return;
        }
    }
}

/// How long a server may take to answer that it has heard how much to log. Nothing waits for it.
const LOG_LEVEL_WAIT: Duration = Duration::from_secs(10);

/// The same, where a call waits for it.
const WANT_LOG_WAIT: Duration = Duration::from_secs(1);

/// Has the server say for the log what is written there, and no more; where each request says so by itself, nothing is to be done.
async fn set_log_level(client: Arc<Client>) {
    let Some(level) = client.log_level() else { return };
    let told = Severity::read(level.word()).map_or(usize::MAX, |severity| severity as usize);
    if client.log_told.fetch_min(told, Ordering::Relaxed) <= told {
        return;
    }
    let params = Json::from(&serde_json::json!({ "level": level.word() }));
    let in_flight = client.in_flight.clone();
    tokio::select! {
        biased;
        () = in_flight.ended() => {}
        // Whatever it answers: what comes is written as far as it is wanted.
        _ = timeout(LOG_LEVEL_WAIT, client.request("logging/setLevel", params)) => {}
    }
}

/// The first pause before a subscription that has broken off is made again; each further one in a row doubles it.
const LISTEN_AGAIN_FIRST: Duration = Duration::from_secs(1);

/// The longest such pause. A subscription that has lasted as long was none of those in a row.
const LISTEN_AGAIN_MAX: Duration = Duration::from_secs(60);

/// Subscribes to changes of the lists, where the era knows no such message without being asked (2026-07-28).
///
/// The changes themselves come through what reads along (`in_flight`). The reply comes only when the subscription is over. Over HTTP it may break
/// off while the session goes on: what has changed meanwhile nobody was told, so it counts as a change.
async fn listen(client: Arc<Client>) {
    let declared = client.capabilities();
    let changes = [
        ("toolsListChanged", declared.tools.as_ref().and_then(|tools| tools.list_changed)),
        ("resourcesListChanged", declared.resources.as_ref().and_then(|resources| resources.list_changed)),
        ("promptsListChanged", declared.prompts.as_ref().and_then(|prompts| prompts.list_changed)),
    ];
    let told = changes.into_iter().filter(|(_, is_told)| *is_told == Some(true));
    let told = told.map(|(name, _)| (name.to_owned(), Json::of(&true))).collect::<JsonObject>();
    if told.is_empty() {
        return;
    }
    let params = [("notifications".to_owned(), told.to_json())].into_iter().collect::<JsonObject>().to_json();
    let in_flight = client.in_flight.clone();
    let mut pause = LISTEN_AGAIN_FIRST;
    let listening = async {
        loop {
            let begun = Instant::now();
            if matches!(client.request("subscriptions/listen", params.clone()).await, Reply::Error(_)) {
                return;
            }
            pause = if begun.elapsed() > LISTEN_AGAIN_MAX { LISTEN_AGAIN_FIRST } else { pause };
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LISTEN_AGAIN_MAX);
            client.in_flight.change_lists();
        }
    };
    tokio::select! {
        biased;
        () = in_flight.ended() => {}
        () = listening => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::ProtocolEra, transport::memory::MemoryTransport};

    #[tokio::test]
    async fn a_session_over_any_transport_knows_what_was_declared_and_makes_any_request() {
        let (transport, tracker) = (MemoryTransport::default(), TaskTracker::new());
        let opening = Opening::first(ProtocolEra::Auto, None);
        let config = McpConfig::new("a", "", &[]);
        let exclusive_tools = Arc::new(ExclusiveTools::of(&config));
        let session =
            Session::open(&transport, Path::new("one"), &opening, &config, exclusive_tools, Arc::default(), &tracker)
                .await
                .expect("it answers");
        let client = session.client().clone();
        let declared = client.capabilities();
        assert!(declared.tools.is_some() && declared.completions.is_some() && declared.prompts.is_none());
        assert_eq!(declared.resources.as_ref().and_then(|resources| resources.subscribe), Some(true));
        for (method, expected) in [("prompts/list", "{}"), ("resources/read", r#"{"contents":[{"text":"one 0"}]}"#)] {
            let reply = client.request(method, Json::of(&())).await;
            assert_eq!(reply, Reply::Result(Json::parse(expected).unwrap()), "{method}");
        }
        let connection = session.close(Duration::ZERO).await;
        assert_eq!(connection.explain("it was ended").await, "it was ended");
        assert!(matches!(client.request("tools/list", Json::of(&())).await, Reply::NotSent(_)));
    }
}
