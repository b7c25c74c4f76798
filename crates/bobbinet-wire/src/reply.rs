//! What a client learns from an answer without a result, in any version of A2A.

use crate::error::{ErrorKind, FieldViolation};

/// Why an answer holds no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The agent said no.
    #[error("{0}")]
    Remote(RemoteError),
    /// The agent's answer is not what the specification says it is.
    #[error("the agent's answer could not be read: {0}")]
    Malformed(String),
}

/// An error as an agent told it.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RemoteError {
    /// The class of the error, if it is one that we know.
    pub kind: Option<ErrorKind>,
    /// The JSON-RPC code.
    pub code: i64,
    /// The reason of its `ErrorInfo`, if it has one.
    pub reason: Option<String>,
    /// What it says went wrong.
    pub message: String,
    /// What it advises: in the metadata of its `ErrorInfo`, if it is an agent of ours.
    pub hint: Option<String>,
    /// The fields it does not like.
    pub violations: Vec<FieldViolation>,
}
