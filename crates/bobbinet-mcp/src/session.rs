//! One life of a server: started, asked for its era, listed, spoken to, ended.

use std::{
    io,
    path::Path,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bobbinet_core::Json;
use rmcp::{
    RoleClient,
    model::{
        CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, ClientNotification, ClientRequest,
        CustomRequest, DiscoverRequest, DiscoverRequestParams, GetExtensions, GetMeta, ProtocolVersion, RequestId,
        RequestMetaObject, ServerJsonRpcMessage, ServerPeerInfo, ServerResult,
    },
    service::{ClientLifecycleMode, ClientServiceExt, Peer, PeerRequestOptions, RequestHandle, RunningService},
    transport::Transport,
};
use tokio::{
    process::{ChildStdin, ChildStdout},
    sync::mpsc,
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::{
    config::{Era, Launcher, McpConfig},
    handler::{Host, introduce},
    lane::Lane,
    mailbox::{Broken, Mailbox, Reply},
    process::Server,
    tap::{Outgoing, Seat, Tap},
    transport::Wire,
};

/// Cancellations that wait to be written. More than there are calls at a time.
const CANCELLATIONS_MAX: usize = 256;

/// The id of our own first question to a server. The library's ids are numbers.
const PROBE: &str = "bobbinet-era";

/// The error codes by which a server of the new era refuses (2026-07-28): it is one all the same.
const MODERN_REFUSALS: [i32; 3] = [-32_022, -32_021, -32_020];

/// A connection that calls go through. Shared by all of them.
#[derive(Debug)]
pub(crate) struct Link {
    peer: Peer<RoleClient>,
    pub(crate) tap: Arc<Tap>,
    cancellations: mpsc::Sender<i64>,
    pub(crate) info: Option<Arc<ServerPeerInfo>>,
}

/// A request on its way. Dropped without a reply, the server is told that nobody waits any more.
#[derive(Debug)]
pub(crate) struct Exchange {
    link: Arc<Link>,
    pub(crate) serial: u64,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Whether the server was told already.
    is_canceled: AtomicBool,
    // The library forgets its half when the reply's stand-in arrives, and grumbles if nobody is there to take it.
    _handle: RequestHandle<RoleClient>,
}

impl Exchange {
    /// Tells the server that nobody wants the result any more. The reply may still come.
    pub(crate) fn cancel(&self) {
        self.tell(self.link.tap.id_of(self.serial));
    }

    fn tell(&self, id: Option<i64>) {
        let Some(id) = id.filter(|_| !self.is_canceled.swap(true, Ordering::Relaxed)) else { return };
        // Full: the server takes nothing any more, and will be ended for it.
        let _ = self.link.cancellations.try_send(id);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.tell(self.link.tap.leave(self.serial));
    }
}

impl Link {
    /// Sends a request. `Err`: the server has surely not seen it.
    pub(crate) async fn send(
        self: &Arc<Self>,
        method: &str,
        seat: Option<Seat>,
        params: Json,
        meta: RequestMetaObject,
    ) -> Result<Exchange, Broken> {
        let (serial, mailbox) = self.tap.enter(seat)?;
        // The parameters travel beside the request, so that they go out as they came in.
        let mut request = CustomRequest::new(method, None);
        request.extensions_mut().insert(Outgoing { serial, params });
        *request.get_meta_mut() = meta;
        let sent = self
            .peer
            .send_request_with_option(ClientRequest::CustomRequest(request), PeerRequestOptions::no_options())
            .await;
        match sent {
            Ok(handle) => Ok(Exchange {
                link: self.clone(),
                serial,
                mailbox,
                is_canceled: AtomicBool::new(false),
                _handle: handle,
            }),
            Err(error) => {
                self.tap.leave(serial);
                Err(Broken::Died(error.to_string()))
            }
        }
    }

    /// Sends a request and waits for its reply. The caller bounds the time.
    pub(crate) async fn request(self: &Arc<Self>, method: &str, params: Json) -> Reply {
        match self.send(method, None, params, RequestMetaObject::new()).await {
            Ok(exchange) => exchange.mailbox.replied().await,
            Err(broken) => Reply::NotSent(broken),
        }
    }

    /// Whether the server speaks the era without a handshake: its questions name their calls.
    pub(crate) fn is_modern(&self) -> bool {
        self.info.as_ref().is_some_and(|info| !info.protocol_version.has_initialize())
    }
}

/// A live server with its connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) link: Arc<Link>,
    running: RunningService<RoleClient, Host>,
    server: Server,
}

/// Why a session could not begin.
#[derive(Debug)]
pub(crate) struct StartError {
    pub(crate) text: String,
    /// It was waited for in vain.
    is_timeout: bool,
    /// It kept silent when it was asked for its era: it may be an old one that does not answer what it does not know.
    pub(crate) was_silent: bool,
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self { text: error.to_string(), is_timeout: false, was_silent: false }
    }
}

impl Session {
    /// Starts a server and brings it to where it can be called. Everything is bounded by the limits' patience.
    pub(crate) async fn start(
        config: &McpConfig,
        launcher: &Launcher,
        folder: &Path,
        era: Era,
        lane: Arc<Lane>,
        tracker: &TaskTracker,
    ) -> Result<Self, StartError> {
        let (server, stdin, stdout) = Server::start(config, launcher, folder, tracker)?;
        let tap = Arc::new(Tap::new(config.limits.clone(), lane));
        match connect(config, era, tap.clone(), stdin, stdout).await {
            Ok(running) => {
                let (cancellations, canceled) = mpsc::channel(CANCELLATIONS_MAX);
                let peer = running.peer().clone();
                tracker.spawn(tell(peer.clone(), canceled, tap.clone()));
                let info = peer.peer_info();
                let link = Arc::new(Link { peer, tap, cancellations, info });
                if link.is_modern() {
                    tracker.spawn(listen(link.clone()));
                }
                Ok(Self { link, running, server })
            }
            Err(mut error) => {
                let broken = tap.broken();
                let tail = server.tail().text();
                let status = server.stop(Duration::ZERO).await;
                if let Some(Broken::Garbage(why)) = broken {
                    error.text = why;
                } else if let Some(status) = status.filter(|_| !error.is_timeout) {
                    error.text = format!("it ended with {status} before it was ready");
                }
                if !tail.is_empty() {
                    tracing::warn!(agent = config.name, why = error.text, "server's last words:\n{tail}");
                }
                Err(error)
            }
        }
    }

    /// The process that stands for the server's tree.
    pub(crate) fn pid(&self) -> i32 {
        self.server.pid()
    }

    /// Returns when the server's process has ended, even if others hold its output open.
    pub(crate) async fn ended(&mut self) {
        self.server.ended().await;
    }

    /// What the server last wrote to its standard error.
    pub(crate) fn last_words(&self) -> String {
        self.server.tail().text()
    }

    /// Ends the session: input closed, then told, then killed. Returns when nothing of the server is left.
    pub(crate) async fn stop(self, grace: Duration) -> Option<ExitStatus> {
        let Self { link, running, server } = self;
        link.tap.close(Broken::Died("it was ended".to_owned()));
        drop(link);
        // Closes the pipe, after the library has had its chance to write what it still has.
        let _ = timeout(grace.max(Duration::from_secs(1)), running.cancel()).await;
        server.stop(grace).await
    }
}

/// Brings the connection up. Dropped, it is closed, and the shim ends the server.
async fn connect(
    config: &McpConfig,
    era: Era,
    tap: Arc<Tap>,
    stdin: ChildStdin,
    stdout: ChildStdout,
) -> Result<RunningService<RoleClient, Host>, StartError> {
    let patience = config.limits.start_patience();
    let mut wire = Wire::new(stdout, stdin, config.limits.line_bytes_max, tap.clone());
    let is_modern = match era {
        Era::Modern => true,
        Era::Legacy => false,
        Era::Auto => match timeout(patience, probe(&mut wire)).await {
            Ok(Ok(is_modern)) => is_modern,
            Ok(Err(error)) => return Err(StartError { text: error, is_timeout: false, was_silent: false }),
            Err(_) => {
                let text = format!("it did not answer its first request within {patience:?}");
                return Err(StartError { text, is_timeout: true, was_silent: true });
            }
        },
    };
    let mode = if is_modern {
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
    } else {
        ClientLifecycleMode::Initialize
    };
    match timeout(patience, Host { tap }.serve_with_lifecycle(wire, mode)).await {
        Ok(Ok(running)) => Ok(running),
        Ok(Err(error)) => {
            let text = format!("it could not be agreed with: {error}");
            Err(StartError { text, is_timeout: false, was_silent: false })
        }
        Err(_) => {
            let text = format!("it did not finish its handshake within {patience:?}");
            Err(StartError { text, is_timeout: true, was_silent: false })
        }
    }
}

/// Asks a server for its era: whatever is not an answer of the new one means the old one.
///
/// Not the library's own probe: its patience is ten seconds, and a server that needs eleven is then lost for good.
async fn probe<T: Transport<RoleClient>>(wire: &mut T) -> Result<bool, String> {
    let me = introduce();
    let mut discover = DiscoverRequest::new(DiscoverRequestParams {});
    let meta = RequestMetaObject::with_client_context(ProtocolVersion::V_2026_07_28, me.client_info, me.capabilities);
    discover.extensions.insert(meta);
    let id = RequestId::String(PROBE.into());
    let request = ClientJsonRpcMessage::request(ClientRequest::DiscoverRequest(discover), id.clone());
    wire.send(request).await.map_err(|error| error.to_string())?;
    loop {
        match wire.receive().await {
            None => return Err("it closed its output before it answered".to_owned()),
            Some(ServerJsonRpcMessage::Response(response)) if response.id == id => {
                return Ok(matches!(response.result, ServerResult::DiscoverResult(_)));
            }
            Some(ServerJsonRpcMessage::Error(error)) if error.id.as_ref().is_none_or(|it| *it == id) => {
                return Ok(MODERN_REFUSALS.contains(&error.error.code.0));
            }
            Some(_) => {}
        }
    }
}

/// Tells the server of calls that nobody waits for any more, until the connection is over.
async fn tell(peer: Peer<RoleClient>, mut canceled: mpsc::Receiver<i64>, tap: Arc<Tap>) {
    loop {
        let id = tokio::select! {
            biased;
            () = tap.ended() => return,
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

/// Subscribes to changes of the tool list, where the era knows no such message without being asked (2026-07-28).
///
/// The changes themselves come through the tap. The reply comes only when the subscription is over.
async fn listen(link: Arc<Link>) {
    let offers = link.info.as_ref().and_then(|info| info.capabilities.tools.as_ref()?.list_changed) == Some(true);
    if !offers {
        return;
    }
    let params = Json::from(&serde_json::json!({"notifications": {"toolsListChanged": true}}));
    let tap = link.tap.clone();
    tokio::select! {
        biased;
        () = tap.ended() => {}
        _ = link.request("subscriptions/listen", params) => {}
    }
}
