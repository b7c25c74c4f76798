//! What is spoken with an agent: a version of A2A over a binding, as cards name them.

use std::fmt;

/// A version of A2A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.0.
    V1_0,
    /// 0.3, and 0.2, of which it has all methods.
    V0_3,
}

/// What carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// JSON-RPC 2.0 over HTTP.
    JsonRpc,
    /// The methods and paths of HTTP.
    HttpJson,
    /// gRPC.
    Grpc,
}

/// What is spoken with an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Protocol {
    /// In which version of A2A.
    pub version: Version,
    /// Over what.
    pub transport: Transport,
}

impl Version {
    /// All that are spoken here, the best first.
    pub const ALL: [Self; 2] = [Self::V1_0, Self::V0_3];

    /// As the `A2A-Version` header has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V0_3 => "0.3",
        }
    }

    /// The one that a card means. A patch number is not to matter.
    pub fn of(text: &str) -> Option<Self> {
        let is_before = text == "0.2" || text.starts_with("0.2.");
        Self::ALL.into_iter().find(|version| version.is(text)).or(is_before.then_some(Self::V0_3))
    }

    /// Whether a text names it, with a patch number or without: that has no say (specification section 3.6).
    pub fn is(self, text: &str) -> bool {
        text.strip_prefix(self.name()).is_some_and(|patch| patch.is_empty() || patch.starts_with('.'))
    }
}

impl Transport {
    /// All that may be spoken here.
    pub const ALL: [Self; 3] = [Self::JsonRpc, Self::HttpJson, Self::Grpc];

    /// As cards call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonRpc => "JSONRPC",
            Self::HttpJson => "HTTP+JSON",
            Self::Grpc => "GRPC",
        }
    }

    /// The one that a card means.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.name() == text)
    }
}

impl Protocol {
    /// What a version and a binding are, as a card names them, if it is spoken here.
    pub fn of(version: &str, binding: &str) -> Option<Self> {
        Some(Self { version: Version::of(version)?, transport: Transport::of(binding)? })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "A2A {} over {}", self.version.name(), self.transport.name())
    }
}
