//! Transports: how a connection to an MCP server is made, by what it is seen to be alive, and how it is ended.
//!
//! A session knows these traits and nothing below them. There is [`stdio`], a child process and its pipes, and [`http`], a server
//! that is merely reached. What only a process has (a pulse, an exit status, last words on standard error, a tree that must be
//! swept away) stands behind methods whose defaults say what they mean to the other.
//!
//! Not the protocol library's trait of the same name: that one is a connection that exists, and carries typed messages.
//! Here a connection is made, again and again, and carries messages as bytes, so that values stay as they came.

pub(crate) mod http;
#[cfg(test)]
pub(crate) mod memory;
pub(crate) mod stdio;

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use rmcp::model::RequestId;

use crate::{
    authorization::Authorization,
    login::LoginNeeded,
    mailbox::{ConnectionError, Reply},
    secrets::Secrets,
};

/// A way to one MCP server. Each connection that it makes is the beginning of one session.
#[async_trait]
pub(crate) trait Transport: fmt::Debug + Send + Sync {
    /// Makes a connection. `folder` is the session's own, for what must be known of it after a crash of ours.
    ///
    /// # Errors
    /// There is no connection, and nothing that would have to be ended.
    async fn connect(&self, folder: &Path) -> io::Result<ConnectionParts>;

    /// What somebody has to do before the server takes calls, if it has said so last.
    fn login(&self) -> Option<LoginNeeded> {
        None
    }

    /// Returns when that was done, as far as it is seen here. Safe to drop.
    async fn logged_in(&self, _login: &LoginNeeded) {
        std::future::pending().await
    }

    /// Somebody says that it was done, or time has passed: what the server said last counts no more.
    fn forget_login(&self) {}

    /// What somebody logs in to that the server takes calls, if there is such a thing.
    fn account(&self) -> Option<Arc<Authorization>> {
        None
    }

    /// Ends what a connection of this folder has left running that nobody holds any more, perhaps in an earlier life of
    /// ours. Returns how many processes that were.
    async fn clean_up(&self, _folder: &Path) -> usize {
        0
    }
}

/// A connection, in the three parts that are used apart from each other.
#[derive(Debug)]
pub(crate) struct ConnectionParts {
    pub(crate) messages: Box<dyn MessageSource>,
    pub(crate) sink: Arc<dyn MessageSink>,
    pub(crate) connection: Box<dyn Connection>,
    /// What the server was given that is not to be repeated.
    pub(crate) secrets: Secrets,
}

/// The life of a connection, apart from what is said over it.
#[async_trait]
pub(crate) trait Connection: fmt::Debug + Send + Sync {
    /// What is at the other end, for the log.
    fn peer(&self) -> String;

    /// Returns when the server has not shown that it is at work for `rest`, but at the latest `limit` after it was connected
    /// to. Signs of work are looked for while [`Connection::given_up`] is waited for. Where they cannot be seen, the
    /// server is at rest from this call on.
    async fn at_rest(&self, rest: Duration, limit: Duration) {
        tokio::time::sleep(rest.min(limit)).await;
    }

    /// Returns when a server that has not answered yet is not worth waiting for any more, with the words for it: after
    /// `patience` without a sign of life, or after `limit`.
    async fn given_up(&self, patience: Duration, limit: Duration) -> String {
        tokio::time::sleep(patience.min(limit)).await;
        format!("it was not ready within {:?}", patience.min(limit))
    }

    /// Returns when the server is gone, also if its messages do not end. Safe to drop.
    async fn gone(&mut self) {
        std::future::pending().await
    }

    /// Whether there was a server at the other end at all. One that nobody could reach says nothing of how it wants to be spoken to.
    fn was_reached(&self) -> bool {
        true
    }

    /// Whether its end may be what the server has to say to how it was spoken to: a process may end of a version that it does not know. Of
    /// what stands before a URL nobody learns that.
    fn ends_of_words(&self) -> bool {
        true
    }

    /// How the server has ended by itself ("with exit status: 1"), if it does so within a moment. Asked before
    /// [`Connection::close`]: how somebody ends whom we have ended says nothing.
    async fn own_end(&mut self) -> Option<String> {
        None
    }

    /// Why it is over, and below it what the server said at last, if that is heard. Also after it was closed.
    async fn explain(&self, why: &str) -> String {
        why.to_owned()
    }

    /// Ends the connection: the server has `grace` to end by itself. Its [`MessageSink`] must be closed before. Returns when
    /// nothing of it is left.
    async fn close(&mut self, grace: Duration);
}

/// The messages of a server, one by one.
#[async_trait]
pub(crate) trait MessageSource: fmt::Debug + Send {
    /// The next. Nothing is lost by a drop.
    async fn next(&mut self) -> Received;

    /// Takes a message's buffer back, to be used again.
    fn recycle(&mut self, _buffer: Vec<u8>) {}
}

/// What came of reading from a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The bytes of what should be one JSON-RPC message, or several in an array.
    Message(Vec<u8>),
    /// The same, in the answer to this request of ours.
    InAnswer { id: RequestId, message: Vec<u8> },
    /// A message of more than so many bytes, which is dropped. It was the reply to these requests, as far as can be seen.
    TooLong { ids: Vec<RequestId>, bytes: usize },
    /// Of the same message, so many bytes more.
    StillTooLong { bytes: usize },
    /// What became of one request of ours, by the transport's own word.
    Reply { id: RequestId, reply: Reply },
    /// There is no more, for this reason.
    End(String),
    /// There is no more, for this reason; and these requests have surely not been seen by the server.
    Lost { ids: Vec<RequestId>, broken: ConnectionError },
}

/// One JSON-RPC message of ours.
#[derive(Debug)]
pub(crate) struct OutgoingMessage {
    pub(crate) text: Vec<u8>,
    /// What is said of it outside, where the transport has headers.
    pub(crate) headers: Vec<(String, String)>,
}

impl From<Vec<u8>> for OutgoingMessage {
    fn from(text: Vec<u8>) -> Self {
        Self { text, headers: Vec::new() }
    }
}

/// Where messages to a server go.
#[async_trait]
pub(crate) trait MessageSink: fmt::Debug + Send + Sync {
    /// Sends one JSON-RPC message. Where each goes by itself, what becomes of a request is told by the [`MessageSource`]. After an
    /// error the server has surely not seen all of it.
    async fn send(&self, message: OutgoingMessage) -> io::Result<()>;

    /// Lets the server know that nothing more will come.
    async fn close(&self);
}
