//! Where an agent is reached, as its cards list it, and the forms that a card has.

use crate::protocol::{Transport, Version};

/// Which clients a card is written for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CardForm {
    /// Those of 1.0, and nothing that 1.0 does not know.
    V1_0,
    /// Those of 0.3.
    V0_3,
    /// Both: each finds all that it looks for, and more.
    #[default]
    Hybrid,
}

impl CardForm {
    /// Whether a client of 1.0 can read it.
    pub fn has_1_0(self) -> bool {
        match self {
            Self::V1_0 | Self::Hybrid => true,
            Self::V0_3 => false,
        }
    }

    /// Whether a client of 0.3 can read it.
    pub fn has_0_3(self) -> bool {
        match self {
            Self::V0_3 | Self::Hybrid => true,
            Self::V1_0 => false,
        }
    }
}

/// One way to reach an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardInterface {
    /// The URL that takes requests; of gRPC in 1.0, host and port.
    pub url: String,
    /// How they travel.
    pub transport: Transport,
    /// In which version.
    pub version: Version,
    /// What each request must say as `tenant`, if anything.
    pub tenant: Option<String>,
}

impl CardInterface {
    /// Without a tenant.
    pub fn new(url: impl Into<String>, transport: Transport, version: Version) -> Self {
        Self { url: url.into(), transport, version, tenant: None }
    }
}
