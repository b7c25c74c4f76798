//! What is known of a call before it is made, as far as others at the same time are concerned.

use std::{sync::Arc, time::Duration};

use bobbinet_core::Task;

/// Whose a call is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallOwner(Arc<str>);

impl CallOwner {
    pub(crate) fn of(task: &Task) -> Self {
        Self(format!("{}\n{}", task.tenant, task.owner).into())
    }

    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self(name.into())
    }
}

/// How a call gets on with others at the same time: whether it may ask its caller, or end its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConcurrencyClass {
    /// It never asks: by the operator's word, or because its era has other means.
    Silent,
    /// It only reads, and is not known to ask.
    ReadOnly,
    /// Nobody has said whether it asks.
    Unknown,
    /// It is known to ask.
    Interactive,
    /// The server has died under it: it runs alone, so that it takes nobody with it. That is over, waiting
    /// and running, after as long as the death is held against it: a long call does not keep everybody out to its end.
    CrashSuspect,
}

/// A call that wants to be made: all that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct CallProfile {
    pub(crate) owner: CallOwner,
    pub(crate) tool: String,
    pub(crate) class: ConcurrencyClass,
}

/// Why a call has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitReason {
    /// Somebody's call waits for the answer to its question.
    OpenQuestion,
    /// One that may ask is running, or this one may ask.
    Interactive,
    /// This one may ask, and so may a call of somebody else that was given up.
    Abandoned,
    /// One under which the server has died, or this one.
    CrashSuspect,
}

impl WaitReason {
    /// For the status of the task that waits: nothing of anybody else's call.
    pub(crate) fn words(self, hold: Duration) -> String {
        let why = match self {
            Self::OpenQuestion => format!(
                "another caller's call waits for an answer, and the MCP server does not say whose its questions are. \
                 That answer is waited for, but for no longer than {hold:?}"
            ),
            Self::Interactive => {
                "a call that may ask its caller runs without others beside it, since the MCP server does not say \
                 whose its questions are"
                    .to_owned()
            }
            Self::Abandoned => {
                "another caller's call was given up and may still ask, and the MCP server does not say whose its \
                 questions are. That is over within a minute"
                    .to_owned()
            }
            Self::CrashSuspect => "the MCP server has died under a call, which is now made alone".to_owned(),
        };
        format!("waiting for its turn: {why}")
    }
}
