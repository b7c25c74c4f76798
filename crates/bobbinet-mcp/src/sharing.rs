//! What callers share of a server, by the operator's word.

use serde::{Deserialize, Serialize};

/// What callers share of a server: its sessions, and who may change something at the same time as whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Which calls are made in one session, and so see what one another leave in the server's memory.
    pub session: SessionScope,
    /// Which calls that may change something run at the same time. Nothing said: [`Sharing::effective_writes`].
    pub writes: Option<WriteSharing>,
    /// What becomes of a context whose session is lost.
    pub on_lost: LostSession,
}

/// What becomes of a context whose session is lost, and what the server kept in it: with its server, since nobody has used it for a while, or
/// with the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LostSession {
    /// Its calls fail, and say so. Whoever goes on with an empty state and does not know it believes what is not so.
    #[default]
    Fail,
    /// Another session is begun for it.
    New,
}

impl Sharing {
    /// Whether the loss of a session is told: where it is a context's, since its caller can begin another.
    pub fn tells_loss(&self, is_stateless: bool) -> bool {
        let fails = match self.on_lost {
            LostSession::Fail => true,
            LostSession::New => false,
        };
        fails && !is_stateless && self.session == SessionScope::PerContext
    }

    /// Which calls that may change something run at the same time, if nobody has said it: one at a time, as nothing says that
    /// a server stands more, and what it loses it loses in silence. One that keeps nothing has nothing to lose.
    pub fn effective_writes(&self, is_stateless: bool) -> &WriteSharing {
        match &self.writes {
            Some(said) => said,
            None if is_stateless => &WriteSharing::Concurrent,
            None => &WriteSharing::OneAtATime,
        }
    }
}

/// Which calls share a session with a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionScope {
    /// All of them.
    #[default]
    Shared,
    /// Those of one caller in one of his contexts.
    PerContext,
    /// Those of one caller.
    PerCaller,
    /// None: each task has a session to itself.
    PerTask,
}

impl SessionScope {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::PerContext => "per-context",
            Self::PerCaller => "per-caller",
            Self::PerTask => "per-task",
        }
    }
}

/// Which calls run at the same time, of those that may change something: all whose effect is not read-only, unless it is nobody's but
/// the server's own word that they only read. That word is enough here, as it is for no repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteSharing {
    /// None: one at a time.
    OneAtATime,
    /// Those with different values at this JSON pointer (RFC 6901) into their arguments. A call without a value there runs alone.
    By(String),
    /// All.
    Concurrent,
}
