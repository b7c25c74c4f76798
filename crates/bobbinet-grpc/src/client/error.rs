//! Why a call came to nothing: a variant for each thing that its caller would do differently.

use std::{error::Error as _, time::Duration};

use bobbinet_outbound::Refused;
use bobbinet_wire::{ErrorKind, RemoteError};
use tonic::{Code, Status};

use super::channel::Broken;
use crate::status;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What was given is no address of an agent.
    #[error("{0:?} is not the address of an agent over gRPC, such as agents.example.com:443 or http://127.0.0.1:7420")]
    BadTarget(String),
    /// The guard of what goes out does not let the request go there.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No client can be made, for want of TLS.
    #[error("calling {target}")]
    Unusable {
        /// The address that was to be called.
        target: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// Nobody answers there, or the connection broke.
    #[error("calling {target}")]
    Unreachable {
        /// The address that nobody answers at.
        target: String,
        /// What went wrong.
        #[source]
        source: Box<Status>,
        /// Whether nothing of the request has left this machine.
        is_unsent: bool,
    },
    /// It took too long.
    #[error("{target} did not answer within {} s", .after.as_secs_f64())]
    Timeout {
        /// The address that was called.
        target: String,
        /// How long it had.
        after: Duration,
    },
    /// There is nothing to show it who calls.
    #[error(transparent)]
    Credentials(#[from] bobbinet_http::ClientError),
    /// The agent said no.
    #[error("{0}")]
    Rpc(RemoteError),
    /// What the agent says is not what A2A says it should.
    #[error("{0}")]
    Protocol(String),
    /// In this version of A2A there is no such operation over gRPC.
    #[error("A2A 0.3 cannot {0} over gRPC")]
    NotSpoken(&'static str),
}

/// What went wrong on the way, if that is what a status is about.
fn broken(status: &Status) -> Option<&Broken> {
    let mut next = status.source();
    while let Some(error) = next {
        if let Some(broken) = error.downcast_ref::<Broken>() {
            return Some(broken);
        }
        next = error.source();
    }
    None
}

impl ClientError {
    /// Why there is no channel.
    pub(super) fn of_channel(target: &str, broken: Broken) -> Self {
        let target = target.to_owned();
        match broken {
            Broken::Refused(refused) => Self::Refused(refused),
            Broken::Sent(source) => Self::Unusable { target, source },
            Broken::Request(_) => Self::BadTarget(target),
        }
    }

    /// What a status of this agent says.
    pub(super) fn of(target: &str, status: Status) -> Self {
        let broken = broken(&status);
        if let Some(refused) = broken.and_then(Broken::refused) {
            return Self::Refused(refused.clone());
        }
        let is_unsent = broken.is_some_and(Broken::is_unsent);
        // Whatever the agent itself says has no cause here.
        if status.source().is_some() || status.code() == Code::Unknown {
            return Self::Unreachable { target: target.to_owned(), source: Box::new(status), is_unsent };
        }
        Self::Rpc(status::read(&status))
    }

    /// Whether the same again may well work: nobody was there, or was too busy.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Rpc(error) => matches!(error.kind, Some(ErrorKind::Unavailable | ErrorKind::ResourceExhausted)),
            Self::BadTarget(_)
            | Self::Refused(_)
            | Self::Unusable { .. }
            | Self::Credentials(_)
            | Self::Protocol(_)
            | Self::NotSpoken(_) => false,
        }
    }

    /// Whether nothing of the request has left this machine: then it may be sent again, whatever it does.
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::Unreachable { is_unsent, .. } => *is_unsent,
            Self::Refused(_)
            | Self::BadTarget(_)
            | Self::Unusable { .. }
            | Self::Credentials(_)
            | Self::NotSpoken(_) => true,
            Self::Timeout { .. } | Self::Rpc(_) | Self::Protocol(_) => false,
        }
    }

    /// Whether the request may have been carried out all the same: it was sent, and no agent has said what became of it.
    pub fn leaves_outcome_open(&self) -> bool {
        match self {
            Self::Unreachable { is_unsent, .. } => !is_unsent,
            Self::Timeout { .. } | Self::Protocol(_) => true,
            Self::Rpc(_)
            | Self::Refused(_)
            | Self::BadTarget(_)
            | Self::Unusable { .. }
            | Self::Credentials(_)
            | Self::NotSpoken(_) => false,
        }
    }

    /// Whether the task has ended, so that there is nothing to follow.
    pub(super) fn is_no_stream(&self) -> bool {
        matches!(self, Self::Rpc(RemoteError { kind: Some(ErrorKind::UnsupportedOperation), .. }))
    }
}
