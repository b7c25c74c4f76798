//! Why a call came to nothing: a variant for each thing that its caller would do differently.

use bobbinet_wire::v1_0::client::{RemoteError, ReplyError};

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What was given is no URL of an agent.
    #[error("{0:?} is not the URL of an agent, such as http://127.0.0.1:7420/agents/files")]
    BadUrl(String),
    /// Nobody answers there, or the connection broke.
    #[error("calling {url}")]
    Unreachable {
        /// Where.
        url: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// Somebody answers there, but has no agent card for us.
    #[error("there is no agent card at {url}: {why}")]
    NoCard {
        /// Where it was looked for last.
        url: String,
        /// What was there instead.
        why: String,
    },
    /// The agent does not let us in.
    #[error("{message}")]
    Unauthorized {
        /// What it says.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// There is nothing to show it who calls.
    #[error("getting credentials for {url}")]
    Credentials {
        /// For whom.
        url: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The agent said no.
    #[error("{0}")]
    Rpc(RemoteError),
    /// What the agent, or its card, says is not what A2A says it should.
    #[error("{0}")]
    Protocol(String),
    /// It took too long.
    #[error("{url} did not answer within {seconds} s")]
    Timeout {
        /// Who.
        url: String,
        /// How long it had.
        seconds: f64,
    },
}

impl ClientError {
    /// Whether the same again may well work: nobody was there, or was too busy.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Rpc(error) => is_passing(error),
            Self::BadUrl(_)
            | Self::NoCard { .. }
            | Self::Unauthorized { .. }
            | Self::Credentials { .. }
            | Self::Protocol(_) => false,
        }
    }
}

fn is_passing(error: &RemoteError) -> bool {
    use bobbinet_wire::ErrorKind::{ResourceExhausted, Unavailable};
    error.kind().is_some_and(|kind| kind == Unavailable || kind == ResourceExhausted)
}

impl From<ReplyError> for ClientError {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::Remote(remote) => Self::Rpc(remote),
            ReplyError::Malformed(why) => Self::Protocol(format!("the agent's answer could not be read: {why}")),
        }
    }
}
