//! What is kept at once.

use bytes::Bytes;
use weft_core::{StreamId, Timestamp};

use crate::{Key, Record, Summary, Version};

/// One or several steps, kept whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// At most one for each stream.
    pub steps: Vec<Step>,
    /// The request that this answers, so that its repetition is found.
    pub idempotency: Option<Idempotency>,
}

impl Commit {
    /// A commit of one step.
    pub fn of(step: Step) -> Self {
        Self { steps: vec![step], idempotency: None }
    }
}

/// What happens to one stream, on the condition that it is still at `expected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which stream.
    pub stream: StreamId,
    /// Where the writer saw it: the number of its records so far. Zero for a stream that does not exist.
    pub expected: Version,
    /// What is appended. None: the step only guards.
    pub records: Vec<Record>,
    /// Cells that get a new value, or lose theirs, at the version that this step leads to.
    pub cells: Vec<(Key, Option<Bytes>)>,
    /// The new summary. `None` leaves it.
    pub summary: Option<Summary>,
}

/// A request that can be recognised when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Whose keys: tenant and caller, in whatever form.
    pub scope: String,
    /// The key that the caller chose.
    pub key: String,
    /// SHA-256 of what was asked, so that another request under the same key is refused.
    pub body_hash: [u8; 32],
    /// Until when it is remembered.
    pub expires: Timestamp,
    /// When it is now: a key that expired before this is free again.
    pub now: Timestamp,
}
