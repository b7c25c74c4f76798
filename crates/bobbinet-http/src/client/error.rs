//! Why a call came to nothing: a variant for each thing that its caller would do differently.

use std::time::Duration;

use bobbinet_outbound::Refused;
use bobbinet_wire::{ErrorKind, RemoteError, ReplyError};
use reqwest::Url;

use super::Way;

/// What proxies answer while an agent is away or busy (RFC 9110, section 15.6; RFC 6585, section 4).
const PASSING_STATUS: [u16; 4] = [429, 502, 503, 504];

/// What servers answer where there is nothing at a path, or not by this method.
const NOTHING_STATUS: [u16; 3] = [404, 405, 501];

/// The one refusal that may come after the request was sent on (RFC 9110, section 15.5.9).
const REQUEST_TIMEOUT: u16 = 408;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What was given is no URL of an agent.
    #[error("{0:?} is not the URL of an agent, such as http://127.0.0.1:7420/agents/files")]
    BadUrl(String),
    /// Nobody answers there, or the connection broke.
    #[error("calling {url}")]
    Unreachable {
        /// The address that nobody answers at.
        url: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// The guard of what goes out does not let the request go there.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Somebody answers there, but has no agent card for us.
    #[error("there is no agent card at {url}: {why}")]
    NoCard {
        /// Where it was looked for last.
        url: String,
        /// What was there instead.
        why: String,
    },
    /// There is a card, and it cannot be used.
    #[error("the agent card at {url} cannot be used: {why}")]
    BadCard {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The card is one of an agent that cannot be spoken to in our version and binding of A2A.
    #[error("the agent of {url} speaks {offered}, and this client {ours}")]
    NoInterface {
        /// Where the card is.
        url: String,
        /// What its agent speaks.
        offered: String,
        /// What we speak.
        ours: String,
    },
    /// The card sends its callers to another origin than its own, and nobody has said that it may.
    #[error("the agent card at {card} sends callers to {url}, which is another origin than its own")]
    OtherOrigin {
        /// Where the card is.
        card: String,
        /// Where it leads.
        url: String,
        /// The origin where it leads.
        origin: String,
        /// The origin of the card.
        card_origin: String,
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
        /// The agent that it was meant for.
        url: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request was sent, and nothing came back that tells what became of it: it may have been carried out.
    #[error("the outcome is unknown: the message was sent to {}, and no answer that can be read came back", .way.url())]
    OutcomeUnknown {
        /// Which way it was sent: the only one that the same may be sent again.
        way: Way,
        /// The task that the message was for, if it said one.
        task: Option<String>,
        /// The key under which the agent does the same message only once, if it says that it does.
        key: Option<String>,
        /// What came in place of an answer.
        #[source]
        source: Box<ClientError>,
    },
    /// Something answers, and not as an agent does: a proxy, a web page.
    #[error("{url} answers {status} with {what}, and not as an A2A agent does")]
    NotAnAgent {
        /// The address that was called.
        url: String,
        /// The HTTP status; over gRPC, the one that its code stands for.
        status: u16,
        /// What it says.
        what: String,
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
        /// The address that was called.
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
            Self::NotAnAgent { status, .. } => PASSING_STATUS.contains(status),
            Self::Rpc(error) => is_passing(error),
            Self::BadUrl(_)
            | Self::Refused(_)
            | Self::NoCard { .. }
            | Self::BadCard { .. }
            | Self::NoInterface { .. }
            | Self::OtherOrigin { .. }
            | Self::Unauthorized { .. }
            | Self::Credentials { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Protocol(_) => false,
        }
    }

    /// Whether the agent says that it does not stream, or not this task: it may be asked in another way.
    pub fn is_no_stream(&self) -> bool {
        match self {
            Self::Rpc(error) => {
                matches!(error.kind, Some(ErrorKind::UnsupportedOperation | ErrorKind::MethodNotFound))
            }
            // Over HTTP itself, what there is not has no path.
            Self::NotAnAgent { status, .. } => NOTHING_STATUS.contains(status),
            Self::BadUrl(_)
            | Self::Unreachable { .. }
            | Self::Refused(_)
            | Self::NoCard { .. }
            | Self::BadCard { .. }
            | Self::NoInterface { .. }
            | Self::OtherOrigin { .. }
            | Self::Unauthorized { .. }
            | Self::Credentials { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Protocol(_)
            | Self::Timeout { .. } => false,
        }
    }

    /// Whether nothing of the request has left this machine: then it may be sent again, whatever it does.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. } if source.is_connect()) || matches!(self, Self::Refused(_))
    }

    /// Whether the request may have been carried out all the same: it was sent, and no agent has said what became of it.
    pub fn leaves_outcome_open(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => !source.is_connect() && !source.is_builder(),
            // An answer that cannot be read may well be that of work that was done.
            Self::Timeout { .. } | Self::Protocol(_) | Self::OutcomeUnknown { .. } => true,
            // A proxy that gave up waiting has sent the request on; one that wants something else first has not.
            Self::NotAnAgent { status, .. } => !(300..500).contains(status) || *status == REQUEST_TIMEOUT,
            Self::Rpc(_)
            | Self::BadUrl(_)
            | Self::Refused(_)
            | Self::NoCard { .. }
            | Self::BadCard { .. }
            | Self::NoInterface { .. }
            | Self::OtherOrigin { .. }
            | Self::Unauthorized { .. }
            | Self::Credentials { .. } => false,
        }
    }
}

fn is_passing(error: &RemoteError) -> bool {
    matches!(error.kind, Some(ErrorKind::Unavailable | ErrorKind::ResourceExhausted))
}

impl From<ReplyError> for ClientError {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::Remote(remote) => Self::Rpc(remote),
            ReplyError::Malformed(why) => Self::Protocol(format!("the agent's answer could not be read: {why}")),
        }
    }
}

/// No answer: nobody there, or not in time.
pub(super) fn unreachable(url: &Url, timeout: Duration, source: reqwest::Error) -> ClientError {
    let source = source.without_url();
    if let Some(refused) = Refused::among(&source) {
        return ClientError::Refused(refused.clone());
    }
    if source.is_timeout() && !source.is_connect() {
        return ClientError::Timeout { url: url.to_string(), seconds: timeout.as_secs_f64() };
    }
    ClientError::Unreachable { url: url.to_string(), source }
}
