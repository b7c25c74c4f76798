//! How much may be at work at a time. Each bound is met by an error that names it, never by a hang.

use serde::{Deserialize, Serialize};

/// The bounds that a node's operator may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayLimits {
    /// Requests at work at a time, leaving out those that only wait.
    pub requests_max: usize,
    /// Blocking sends that wait for their tasks.
    pub waits_max: usize,
    /// Streams open at a time.
    pub streams_max: usize,
    /// Streams of one caller open at a time.
    pub streams_per_caller_max: usize,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self { requests_max: 512, waits_max: 4_096, streams_max: 4_096, streams_per_caller_max: 256 }
    }
}
