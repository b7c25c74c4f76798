//! How much may be at work at a time. Each bound is met by an error that names it, never by a hang.

use serde::{Deserialize, Serialize};

/// The bounds that a node's operator may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayLimits {
    /// Requests at work at a time, leaving out those that only wait.
    pub requests_max: usize,
    /// The same of one caller, unless the configuration gives it another number.
    pub requests_per_caller_max: usize,
    /// Requests of one caller that begin in a second, unless the configuration gives it another number.
    pub requests_per_second_per_caller_max: u64,
    /// Blocking sends that wait for their tasks.
    pub waits_max: usize,
    /// The same of one caller.
    pub waits_per_caller_max: usize,
    /// Streams open at a time.
    pub streams_max: usize,
    /// Streams of one caller open at a time.
    pub streams_per_caller_max: usize,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            requests_max: 512,
            // Two callers who ask without end are not all there are.
            requests_per_caller_max: 192,
            requests_per_second_per_caller_max: 10_000,
            waits_max: 4_096,
            waits_per_caller_max: 2_048,
            streams_max: 4_096,
            streams_per_caller_max: 256,
        }
    }
}
