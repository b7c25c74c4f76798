//! What flows of a node may use, beside what bounds each definition and run ([`bobbinet_flow::limits::Limits`]).

/// The bounds of flows as agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowLimits {
    /// Runs of one flow that compute at the same time. Runs that wait for something do not count.
    pub computing_max: usize,
    /// Bytes of a step's output that are kept in the run's own record; a larger one is read from the task that gave it.
    pub inline_output_bytes: usize,
    /// Characters of a step's news for people.
    pub progress_text_max: usize,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self { computing_max: 64, inline_output_bytes: 16 * 1024, progress_text_max: 500 }
    }
}
