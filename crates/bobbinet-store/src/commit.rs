//! What is kept at once.

use bobbinet_core::{StreamId, Timestamp};
use bytes::Bytes;

use crate::{CommitError, INLINE_MAX, Key, Record, Summary, Version};

/// The most steps that one commit may have.
pub const STEPS_MAX: usize = 256;

/// The most records that one step may have. More is more commits.
pub const STEP_RECORDS_MAX: usize = 4_096;

/// The most bytes that one commit may have in its log: records, cells and their names, those that are kept as blobs not
/// counted. Four times what a whole task may hold. More is more commits, and there is no value that a store has to take
/// apart into more than its parts have numbers.
pub const COMMIT_BYTES_MAX: usize = 64 << 20;

/// What a record or a cell takes beside its value, at most, in bytes.
const VALUE_OVERHEAD: usize = 64;

/// The highest version that a stream may have.
pub const VERSION_MAX: u64 = u32::MAX as u64;

/// The longest name of a cell, and of a reader, in bytes.
pub const KEY_LENGTH_MAX: usize = 512;

/// The longest id of a stream in bytes: an id of the core with its kind, and room for a tenant and an owner before it.
pub const STREAM_LENGTH_MAX: usize = 512;

/// The longest text in a summary, and the longest scope or key of an idempotency, in bytes: two of the core's longest ids in the
/// script that takes the most, and an agent's name.
pub const TEXT_LENGTH_MAX: usize = 8 << 10;

/// How many idempotency keys a store remembers at a time: at a hundred bytes each, a hundred megabytes on the disk.
pub const IDEMPOTENCY_KEYS_MAX: usize = 1_000_000;

/// Which part of them one scope may have, so that nobody has all of them.
pub const IDEMPOTENCY_SCOPE_SHARE: usize = 2;

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

    /// What every store asks first: could this be kept at all?
    ///
    /// # Errors
    /// [`CommitError::Malformed`], with what is wrong.
    pub fn check(&self) -> Result<(), CommitError> {
        let malformed = |what| Err(CommitError::Malformed(what));
        if self.steps.is_empty() {
            return malformed("no steps");
        }
        if self.steps.len() > STEPS_MAX {
            return malformed("too many steps");
        }
        if self.steps.len() > 1 {
            let mut streams: Vec<&StreamId> = self.steps.iter().map(|step| &step.stream).collect();
            streams.sort_unstable();
            if streams.windows(2).any(|pair| pair[0] == pair[1]) {
                return malformed("two steps for one stream");
            }
        }
        let long = |asked: &Idempotency| asked.scope.len().max(asked.key.len()) > TEXT_LENGTH_MAX;
        if self.idempotency.as_ref().is_some_and(long) {
            return malformed("an idempotency key that is too long");
        }
        if let Some(fault) = self.steps.iter().find_map(Step::fault) {
            return malformed(fault);
        }
        let bytes = self.steps.iter().map(Step::bytes).fold(0, usize::saturating_add);
        if bytes > COMMIT_BYTES_MAX { malformed("more bytes than one commit may have") } else { Ok(()) }
    }
}

/// What happens to one stream, on the condition that it is still at `expected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The stream that it extends, or begins.
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

impl Step {
    /// About how many bytes it adds to the log, and no fewer than it does.
    fn bytes(&self) -> usize {
        let value = |value: &Bytes| if value.len() > INLINE_MAX { 0 } else { value.len() };
        let records = self.records.iter().map(|record| value(&record.body) + VALUE_OVERHEAD);
        let cells =
            self.cells.iter().map(|(key, cell)| 3 * key.0.len() + cell.as_ref().map_or(0, value) + VALUE_OVERHEAD);
        records.chain(cells).fold(VALUE_OVERHEAD + self.stream.as_bytes().len(), usize::saturating_add)
    }

    fn fault(&self) -> Option<&'static str> {
        if self.stream.as_bytes().is_empty() {
            return Some("a stream without an id");
        }
        if self.stream.as_bytes().len() > STREAM_LENGTH_MAX {
            return Some("a stream's id that is too long");
        }
        if self.records.is_empty() && (!self.cells.is_empty() || self.summary.is_some()) {
            return Some("a change without a record");
        }
        if self.records.len() > STEP_RECORDS_MAX {
            return Some("too many records in one step");
        }
        if self.expected.0.checked_add(self.records.len() as u64).is_none_or(|version| version > VERSION_MAX) {
            return Some("a version beyond the last one");
        }
        if self.cells.iter().any(|(key, _)| key.0.len() > KEY_LENGTH_MAX) {
            return Some("a cell's key that is too long");
        }
        let mut keys: Vec<&Key> = self.cells.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Some("one cell twice in one step");
        }
        let texts = |summary: &Summary| {
            let Summary { tenant, owner, agent, context, state: _, status_at: _, due: _ } = summary;
            [tenant.len(), owner.len(), agent.len(), context.len()]
        };
        let long = |summary| texts(summary).into_iter().any(|length| length > TEXT_LENGTH_MAX);
        self.summary.as_ref().is_some_and(long).then_some("a summary's text that is too long")
    }
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
