//! What it means to run a tool twice.

use serde::{Deserialize, Serialize};

/// The effect class of a skill, declared by the operator; a server's own hints count only where they are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Changes nothing. May run again.
    ReadOnly,
    /// Changes the same thing to the same value. May run again.
    Idempotent,
    /// Drops repeats that carry the same key. May run again with that key.
    Keyed,
    /// Anything else. Runs at most once; an unknown outcome asks.
    #[default]
    AtMostOnce,
}

impl Effect {
    /// Whether a call whose outcome is unknown may simply be made again.
    pub fn may_run_again(self) -> bool {
        match self {
            Self::ReadOnly | Self::Idempotent | Self::Keyed => true,
            Self::AtMostOnce => false,
        }
    }

    /// The word for it, as configuration and cards spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Idempotent => "idempotent",
            Self::Keyed => "keyed",
            Self::AtMostOnce => "at-most-once",
        }
    }
}
