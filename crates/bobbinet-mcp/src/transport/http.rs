//! MCP over HTTP: the streamable transport, with sessions and without, and the HTTP+SSE that came before it.
//!
//! There is no connection: each message goes out by itself, and a session is a word that goes with all of them ([`link`]). One request
//! is followed from its POST to its reply ([`exchange`]); what the server says unasked comes by a stream of its own ([`listening`]).
//! What the transport must know of a message is read from it ([`outgoing`]). Where the server wants a token, it is got and got anew by
//! [`Authorization`], and goes along with whatever is sent ([`sending`]).
//!
//! Only what surely did not reach the server is sent again from here: a connection that could not be made, a session that the server
//! does not know any more. Everything else is the call's to decide.

mod answering;
mod answers;
mod exchange;
mod link;
mod listening;
mod login_point;
mod outgoing;
mod sending;

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_engine::watched;
use bobbinet_outbound::Guard;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use self::{
    link::{Link, LinkCredentials},
    login_point::LoginPoint,
    outgoing::Outgoing,
};
use crate::{
    authorization::Authorization,
    config::{McpConfig, McpLimits, ServerUrl},
    login::{LoginNeeded, LoginWatch},
    secrets::{self, Secrets},
    transport::{Connection, ConnectionParts, MessageSink, MessageSource, OutgoingMessage, Received, Transport},
};

/// Messages of the server that wait to be looked at, over all its streams. A server that says more is made to wait.
const MESSAGES_MAX: usize = 4;

/// How long the end of a session may take to be told.
const DELETE_WAIT: Duration = Duration::from_secs(2);

/// Reaches a server by its URL.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    server: ServerUrl,
    limits: McpLimits,
    guard: Guard,
    /// What all its sessions are shown to the server with.
    authorization: Option<Arc<Authorization>>,
    login: Arc<LoginWatch>,
    login_point: Arc<LoginPoint>,
    /// Of the tasks that send and hear.
    tracker: TaskTracker,
}

impl HttpTransport {
    /// For this server of the configuration's.
    pub(crate) fn new(config: &McpConfig, server: ServerUrl, guard: Guard, tracker: TaskTracker) -> Self {
        let authorization = server.auth.as_ref().map(|auth| config.logins.account(auth, &server.url, &guard));
        let login = Arc::new(LoginWatch::default());
        let point = LoginPoint::new(
            server.url.clone(),
            authorization.clone(),
            server.auth.clone(),
            guard.clone(),
            login.clone(),
        );
        let (limits, login_point) = (config.limits.clone(), Arc::new(point));
        Self { server, limits, guard, authorization, login, login_point, tracker }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    fn login(&self) -> Option<LoginNeeded> {
        let mut needed = self.login.needed()?;
        needed.is_done = self.authorization.as_ref().is_some_and(|it| it.logins() > needed.logins);
        Some(needed)
    }

    async fn logged_in(&self, login: &LoginNeeded) {
        match &self.authorization {
            Some(authorization) => authorization.logged_in_after(login.logins).await,
            None => std::future::pending().await,
        }
    }

    fn forget_login(&self) {
        self.login.forget();
    }

    async fn connect(&self, _folder: &Path) -> io::Result<ConnectionParts> {
        let http = self.guard.http(&self.server.url).map_err(io::Error::other)?;
        let (heard, messages) = mpsc::channel(MESSAGES_MAX);
        let credentials =
            LinkCredentials { authorization: self.authorization.clone(), login_point: self.login_point.clone() };
        let server = self.server.clone();
        let secrets = Secrets::of(secrets::of_headers(server.headers.values()));
        let link = Link::new(server, http, credentials, self.limits.clone(), heard, self.tracker.clone())?;
        let link = Arc::new(link);
        Ok(ConnectionParts {
            messages: Box::new(HttpSource { messages, link: link.clone() }),
            sink: Arc::new(HttpSink { link: link.clone() }),
            connection: Box::new(HttpConnection { link }),
            secrets,
        })
    }
}

/// What all exchanges and streams of a session have brought.
#[derive(Debug)]
struct HttpSource {
    messages: mpsc::Receiver<Received>,
    link: Arc<Link>,
}

#[async_trait]
impl MessageSource for HttpSource {
    async fn next(&mut self) -> Received {
        match self.messages.recv().await {
            // At the last moment: whatever comes to a session that is over is not seen either.
            Some(Received::Lost { broken, .. }) => Received::Lost { ids: self.link.lost(), broken },
            Some(received) => received,
            None => Received::End("its connection was closed".to_owned()),
        }
    }
}

/// Sends each message by itself.
struct HttpSink {
    link: Arc<Link>,
}

impl fmt::Debug for HttpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSink").finish_non_exhaustive()
    }
}

#[async_trait]
impl MessageSink for HttpSink {
    async fn send(&self, message: OutgoingMessage) -> io::Result<()> {
        let link = &self.link;
        if link.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let outgoing = Outgoing::read(message)?;
        match (&outgoing.id, outgoing.method.as_deref()) {
            (Some(id), Some(_)) => {
                // Known before anybody can cancel it.
                let end = link.begin(id, outgoing.is_modern());
                let (id, link) = (id.clone(), link.clone());
                link.tracker.clone().spawn(watched("MCP request", exchange::run(link, id, end, outgoing)));
            }
            (Some(_), None) => {
                link.tracker.spawn(watched("MCP answer", answering::answer(link.clone(), outgoing)));
            }
            // What comes after it must find the server told.
            (None, Some("notifications/initialized")) => {
                exchange::tell(link, &outgoing).await;
                link.tracker.spawn(watched("MCP stream", listening::listen(link.clone())));
            }
            (None, Some("notifications/cancelled")) => {
                link.tracker.spawn(watched("MCP cancellation", exchange::cancel(link.clone(), outgoing)));
            }
            (None, _) => {
                let link = link.clone();
                let told = async move { exchange::tell(&link, &outgoing).await };
                self.link.tracker.spawn(watched("MCP message", told));
            }
        }
        Ok(())
    }

    async fn close(&self) {}
}

/// The life of a session over HTTP: from its first request to its `DELETE`.
struct HttpConnection {
    link: Arc<Link>,
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnection").finish_non_exhaustive()
    }
}

#[async_trait]
impl Connection for HttpConnection {
    fn peer(&self) -> String {
        self.link.peer()
    }

    fn was_reached(&self) -> bool {
        self.link.was_reached()
    }

    fn ends_of_words(&self) -> bool {
        false
    }

    async fn close(&mut self, grace: Duration) {
        let link = &self.link;
        link.stop();
        if grace.is_zero() || !link.has_session() {
            return;
        }
        // It may not permit that (405), and may be gone: nothing depends on it.
        let _ = tokio::time::timeout(grace.min(DELETE_WAIT), sending::send(link, || link.delete())).await;
    }
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        self.link.stop();
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_outbound::OutboundLimits;
    use rmcp::model::RequestId;

    use super::*;
    use crate::mailbox::ConnectionError;

    #[tokio::test]
    async fn whatever_comes_to_a_session_that_is_over_is_surely_not_seen() {
        let guard = Guard::new([], OutboundLimits::default()).unwrap().without_redirects().unwrap().trusting_loopback();
        let server = ServerUrl::new("http://127.0.0.1:1/mcp".parse().unwrap());
        let config = McpConfig::new("a", "", &[]);
        let transport = HttpTransport::new(&config, server, guard, TaskTracker::new());
        let ConnectionParts { mut messages, sink, connection, .. } = transport.connect(Path::new("a")).await.unwrap();
        let send = async |id: i64| {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"x"}}}}"#);
            sink.send(text.into_bytes().into()).await.unwrap();
        };
        send(1).await;
        // It was tried, and the session is over; nobody has heard of that yet.
        tokio::time::sleep(Duration::from_secs(3)).await;
        send(2).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let Received::Lost { ids, broken: ConnectionError::Died(_) } = messages.next().await else {
            panic!("not lost")
        };
        assert_eq!(ids, [1, 2].map(RequestId::Number));
        drop(connection);
    }
}
