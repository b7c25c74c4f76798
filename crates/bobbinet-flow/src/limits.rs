//! What a flow may use. A definition that arrives in a message is hostile until shown otherwise, so everything has a bound.

/// The bounds of a definition and of its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a definition's text.
    pub document_bytes: usize,
    /// Tasks in a definition, at every depth.
    pub tasks: usize,
    /// Bytes of one expression. Its nesting is bounded by `expression_depth`.
    pub expression_bytes: usize,
    /// How deeply the terms of an expression are nested.
    pub expression_depth: usize,
    /// Units of work of one evaluation: a unit is a term that is entered, an element that is visited or 64 bytes that are copied.
    pub expression_work: u64,
    /// Bytes of any value that an expression makes, its parts counted as often as they stand in it.
    pub value_bytes: usize,
    /// How deeply a value that an expression makes is nested.
    pub value_depth: usize,
    /// Bytes of the caller's stack that an evaluation may use.
    pub expression_stack: usize,
    /// Parts of a value times parts of a schema that one check of the one against the other may be.
    pub schema_checks: u64,
    /// Steps that a run enters, loops included.
    pub steps: u64,
    /// Branches of one `fork` that run at once; the others wait for a place.
    pub fork_width: usize,
    /// Rounds of one `for`.
    pub iterations: usize,
    /// Tasks within tasks, functions included.
    pub depth: usize,
    /// Steps that follow one another without anything to wait for, in one call of `decide`. The rest follows by a timer of no length,
    /// so that nobody waits long for one flow.
    pub steps_at_once: u64,
    /// Units of work of all expressions of a run.
    pub run_work: u64,
    /// The same in one call of `decide`: what is more follows by a timer, likewise.
    pub work_at_once: u64,
    /// Events that one `listen` collects.
    pub events: usize,
    /// Bytes of one event that a step sends, in JSON.
    pub event_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 256 * 1024,
            tasks: 2_000,
            expression_bytes: 8 * 1024,
            expression_depth: 200,
            // 0.4 s of one busy core in a release build, for the worst program that we know (`tests/hostile.rs`).
            expression_work: 1_000_000,
            value_bytes: 16 * 1024 * 1024,
            value_depth: 128,
            // Half of what is left of a tokio worker's two megabytes in a deep call.
            expression_stack: 512 * 1024,
            // As long as the worst expression, about.
            schema_checks: 64_000_000,
            steps: 100_000,
            fork_width: 32,
            iterations: 10_000,
            depth: 64,
            steps_at_once: 1_000,
            // A minute of one core, about.
            run_work: 200_000_000,
            work_at_once: 1_000_000,
            events: 1_000,
            event_bytes: 256 * 1024,
        }
    }
}
