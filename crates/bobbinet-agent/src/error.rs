//! Why an agent is not served.

use std::{net::SocketAddr, path::PathBuf};

use bobbinet_auth::{KeysError, MintError};
use bobbinet_core::IdError;
use bobbinet_engine::EngineError;
use bobbinet_http::SetupError;
use bobbinet_store::OpenError;

/// Why an agent is not served, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A name on its card cannot be one.
    #[error("the agent's card cannot be served")]
    Card(#[source] IdError),
    /// The keys in its data folder cannot be read, or made.
    #[error("the keys in {} cannot be used", .folder.display())]
    Keys {
        /// The data folder.
        folder: PathBuf,
        /// Why not.
        source: KeysError,
    },
    /// The store in its data folder cannot be opened.
    #[error("the store in {} cannot be opened", .folder.display())]
    Store {
        /// The data folder.
        folder: PathBuf,
        /// Why not.
        source: OpenError,
    },
    /// What the store has cannot be taken up.
    #[error("the tasks that are kept cannot be taken up")]
    Engine(#[source] EngineError),
    /// The address cannot be listened at.
    #[error("{address} cannot be listened at")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Nothing can be sent from here.
    #[error("webhooks cannot be told from here")]
    Outbound(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server cannot be set up so.
    #[error("the server cannot be set up")]
    Setup(#[source] SetupError),
    /// Anybody may call it, and from anywhere.
    #[error("an agent that is open to everybody listens on loopback only, and {0} is not")]
    Open(SocketAddr),
    /// No token could be made.
    #[error("no token was made")]
    Token(#[source] MintError),
    /// The process cannot be told when to stop, or has no threads.
    #[error("the process cannot be set up")]
    Process(#[source] std::io::Error),
}
