//! Why a call of a peer came to nothing, for whoever asked for it.

use bobbinet_core::{Fault, Json, Outcome};
use bobbinet_http::ClientError;
use bobbinet_wire::ErrorKind;

use crate::{causes::in_full, config::PeerConfig};

/// What kind of failure an error is, for what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was sent. It may be sent again, elsewhere too.
    Unsent,
    /// The peer says that it does not take it now: not done, and may be sent again.
    Busy,
    /// The peer does not know us.
    Unauthorized,
    /// The peer says no.
    Refused,
    /// Nobody knows whether it was done.
    Unknown,
}

pub(crate) fn kind_of(error: &ClientError) -> Failure {
    match error {
        ClientError::Unauthorized { .. } => Failure::Unauthorized,
        ClientError::Rpc(_) if error.is_passing() => Failure::Busy,
        // It was tried before, and that try may have been carried out.
        ClientError::OutcomeUnknown { .. } => Failure::Unknown,
        _ if error.is_unsent() => Failure::Unsent,
        _ if error.leaves_outcome_open() => Failure::Unknown,
        _ if error.is_passing() => Failure::Busy,
        ClientError::BadUrl(_)
        | ClientError::NoCard { .. }
        | ClientError::BadCard { .. }
        | ClientError::NoInterface { .. }
        | ClientError::OtherOrigin { .. }
        // Whoever gives this node its credentials is away: the peer was not asked.
        | ClientError::Credentials { .. } => Failure::Unsent,
        ClientError::Rpc(_)
        | ClientError::NotAnAgent { .. }
        | ClientError::Refused(_)
        | ClientError::Unreachable { .. }
        | ClientError::Protocol(_)
        | ClientError::Timeout { .. } => Failure::Refused,
    }
}

/// Whether the peer says that it has no such task.
pub(crate) fn is_forgotten(error: &ClientError) -> bool {
    matches!(error, ClientError::Rpc(remote) if remote.kind == Some(ErrorKind::TaskNotFound))
}

/// A fault that says which peer it is about.
pub(crate) fn of_peer(config: &PeerConfig, code: &'static str, what: &str) -> Fault {
    let data = serde_json::json!({ "peer": config.url });
    let text = format!("peer {} ({}): {what}", config.name, config.url);
    Fault { data: Some(Json::from(&data)), ..Fault::new(code, text) }
}

/// Why it came to nothing, for whoever asked: where this node gets its credentials, or keeps its secrets, is not his business.
pub(crate) fn told(error: &ClientError) -> String {
    if matches!(error, ClientError::Credentials { .. }) {
        return "this node could get nothing to show who calls: its log says why".to_owned();
    }
    in_full(error)
}

/// What came of a message that the peer did not take, or that was not sent.
pub(crate) fn not_taken(config: &PeerConfig, error: &ClientError) -> Outcome {
    let why = told(error);
    match kind_of(error) {
        Failure::Unsent => {
            let text = format!("nothing was sent: {why}. See whether it runs: bobbinet peers test {}", config.name);
            Outcome::Failed(of_peer(config, "peer-unreachable", &text))
        }
        Failure::Busy => Outcome::Failed(of_peer(config, "peer-busy", &format!("it takes nothing now: {why}"))),
        Failure::Unauthorized => {
            let text = format!("it does not let this node in: {why}. See `auth` of the peer in the configuration");
            Outcome::Failed(of_peer(config, "peer-unauthorized", &text))
        }
        Failure::Refused => match error {
            ClientError::Rpc(remote)
                if matches!(
                    remote.kind,
                    Some(ErrorKind::InvalidParams | ErrorKind::ContentTypeNotSupported | ErrorKind::InvalidRequest)
                ) =>
            {
                Outcome::Rejected(of_peer(config, "peer-rejected", &why))
            }
            ClientError::Rpc(_)
            | ClientError::BadUrl(_)
            | ClientError::Unreachable { .. }
            | ClientError::Refused(_)
            | ClientError::NoCard { .. }
            | ClientError::BadCard { .. }
            | ClientError::NoInterface { .. }
            | ClientError::OtherOrigin { .. }
            | ClientError::Unauthorized { .. }
            | ClientError::Credentials { .. }
            | ClientError::OutcomeUnknown { .. }
            | ClientError::NotAnAgent { .. }
            | ClientError::Protocol(_)
            | ClientError::Timeout { .. } => Outcome::Failed(of_peer(config, "peer-refused", &why)),
        },
        Failure::Unknown => unknown(config, &why, true),
    }
}

/// What came of a message of which nobody knows whether it was carried out.
pub(crate) fn unknown(config: &PeerConfig, why: &str, again: bool) -> Outcome {
    let text = format!("the message was sent, and nobody knows what became of it: {why}");
    Outcome::Unknown { fault: of_peer(config, "peer-outcome-unknown", &text), again }
}
