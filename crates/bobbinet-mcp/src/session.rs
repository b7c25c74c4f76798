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
use bobbinet_engine::watched;
use rmcp::{
    RoleClient,
    model::{
        CancelledNotification, CancelledNotificationParam, ClientNotification, ClientRequest, CustomRequest,
        GetExtensions, GetMeta, RequestId, RequestMetaObject, ServerPeerInfo,
    },
    service::{Peer, PeerRequestOptions, RequestHandle, RunningService},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{
    config::{Launcher, McpConfig},
    handler::Host,
    handshake::{self, Opening, Refusal},
    in_flight::{InFlight, Outgoing, Seat},
    lane::Lane,
    mailbox::{Broken, Mailbox, Reply},
    process::{Server, Tail},
    transport::Wire,
};

/// Cancellations that wait to be written. More than there are calls at a time.
const CANCELLATIONS_MAX: usize = 256;

/// A connection that calls go through. Shared by all of them.
#[derive(Debug)]
pub(crate) struct Link {
    peer: Peer<RoleClient>,
    pub(crate) in_flight: Arc<InFlight>,
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
        self.tell(self.link.in_flight.id_of(self.serial));
    }

    fn tell(&self, id: Option<i64>) {
        let Some(id) = id.filter(|_| !self.is_canceled.swap(true, Ordering::Relaxed)) else { return };
        // Full: the server takes nothing any more, and will be ended for it.
        let _ = self.link.cancellations.try_send(id);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.tell(self.link.in_flight.leave(self.serial));
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
        let (serial, mailbox) = self.in_flight.enter(seat)?;
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
                self.in_flight.leave(serial);
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
    /// The reason, and below it what the server said at last.
    pub(crate) text: String,
    /// Whether there was a process at all.
    pub(crate) was_started: bool,
    /// The version to propose in its next life.
    pub(crate) version: Option<&'static str>,
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self { text: error.to_string(), was_started: false, version: None }
    }
}

impl Session {
    /// Starts a server and brings it to where it can be called. It is waited for as long as it shows life, within the
    /// limits' bounds.
    pub(crate) async fn start(
        config: &McpConfig,
        launcher: &Launcher,
        folder: &Path,
        opening: &Opening,
        lane: Arc<Lane>,
        tracker: &TaskTracker,
    ) -> Result<Self, StartError> {
        let (mut server, stdin, stdout) = Server::start(config, launcher, folder, tracker)?;
        let in_flight = Arc::new(InFlight::new(config.limits.clone(), lane));
        let tail = server.tail().clone();
        let mut wire =
            Wire::new(stdout, stdin, config.limits.line_bytes_max, in_flight.clone()).with_tail(tail.clone());
        let (patience, limit) = (config.limits.start_patience(), config.limits.start_limit());
        let agreed = tokio::select! {
            biased;
            agreed = handshake::agree(&mut wire, opening, server.pulse()) => agreed,
            text = server.pulse().given_up(server.pid(), patience, limit) => {
                Err(Refusal { text, version: None, is_gone: false })
            }
        };
        match agreed {
            Ok(info) => {
                let running = rmcp::service::serve_directly(Host { in_flight: in_flight.clone() }, wire, Some(info));
                let (cancellations, canceled) = mpsc::channel(CANCELLATIONS_MAX);
                let peer = running.peer().clone();
                tracker.spawn(watched("MCP cancellations", tell(peer.clone(), canceled, in_flight.clone())));
                let info = peer.peer_info();
                let link = Arc::new(Link { peer, in_flight, cancellations, info });
                if link.is_modern() {
                    tracker.spawn(watched("MCP subscription", listen(link.clone())));
                }
                Ok(Self { link, running, server })
            }
            Err(Refusal { mut text, version, is_gone }) => {
                // Its own reason for ending, before we end it.
                let status = if is_gone { server.own_end().await } else { None };
                drop(wire);
                server.stop(Duration::ZERO).await;
                if let Some(status) = status {
                    text = format!("it ended with {status} before it was ready");
                }
                Err(StartError { text: tail.explain(&text).await, was_started: true, version })
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

    /// Where the server's last words are.
    pub(crate) fn tail(&self) -> &Arc<Tail> {
        self.server.tail()
    }

    /// How the server has ended by itself, if it does so within a moment.
    pub(crate) async fn own_end(&mut self) -> Option<ExitStatus> {
        self.server.own_end().await
    }

    /// Ends the session: input closed, then told, then killed. Returns when nothing of the server is left.
    pub(crate) async fn stop(self, grace: Duration) -> Option<ExitStatus> {
        let Self { link, running, server } = self;
        link.in_flight.close(Broken::Died("it was ended".to_owned()));
        drop(link);
        // Closes the pipe, after the library has had its chance to write what it still has.
        let _ = timeout(grace.max(Duration::from_secs(1)), running.cancel()).await;
        server.stop(grace).await
    }
}

/// Tells the server of calls that nobody waits for any more, until the connection is over.
async fn tell(peer: Peer<RoleClient>, mut canceled: mpsc::Receiver<i64>, in_flight: Arc<InFlight>) {
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

/// Subscribes to changes of the tool list, where the era knows no such message without being asked (2026-07-28).
///
/// The changes themselves come through what reads along (`in_flight`). The reply comes only when the subscription is over.
async fn listen(link: Arc<Link>) {
    let offers = link.info.as_ref().and_then(|info| info.capabilities.tools.as_ref()?.list_changed) == Some(true);
    if !offers {
        return;
    }
    let params = Json::from(&serde_json::json!({"notifications": {"toolsListChanged": true}}));
    let in_flight = link.in_flight.clone();
    tokio::select! {
        biased;
        () = in_flight.ended() => {}
        _ = link.request("subscriptions/listen", params) => {}
    }
}
