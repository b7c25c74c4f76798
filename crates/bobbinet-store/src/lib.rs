//! Keeps streams: the [`Store`] trait, the embedded store on sled, a store in memory for tests, and the one conformance suite
//! that every store passes.
//!
//! A stream is an opaque id, a version and records. A store understands nothing but [`Summary`]: it compares numbers
//! and keeps bytes, and must not know what a task, an agent or a caller is. **The log is the truth, a wake-up is only a hint,
//! every reader reads by cursor.**
//!
//! Begin with [`Store`], then [`MemoryStore`], which is written to be obviously right. The embedded store is `sled/`, with a map of
//! its folder in `sled/mod.rs`.

pub mod blobs;
mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
pub mod failpoint;
mod listing;
mod memory;
mod page_token;
mod query;
mod sled;
mod stream;
mod wakes;

use async_trait::async_trait;

pub use bobbinet_core::{StreamId, Timestamp};
pub use commit::{
    COMMIT_BYTES_MAX, Commit, IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_SCOPE_SHARE, Idempotency, KEY_LENGTH_MAX,
    STEP_RECORDS_MAX, STEPS_MAX, STREAM_LENGTH_MAX, Step, TEXT_LENGTH_MAX, VERSION_MAX,
};
pub use error::{CommitError, StoreError};
pub use listing::Listing;
pub use memory::MemoryStore;
pub use query::{Census, Cursor, Query, Scope, Tail, TailEntry};
pub use sled::{
    CACHE_BYTES, CheckReport, Durability, ExportCounts, ExportError, FREE_SPACE_MIN, OpenError, STORE_FOLDER,
    SledOptions, SledStore, TornTail, check, export, make_folder, salvage,
};
pub use stream::{Cell, Key, Loaded, Page, Record, Summary, Version};

/// The largest value that goes into a record's own place; what is larger goes first to a blob. In bytes.
pub const INLINE_MAX: usize = 64 << 10;

/// How late [`Store::changed`] may be when a hint was lost.
pub const WAKE_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// What keeps streams: appends to them, reads them back, lists them, and says when they grow.
///
/// Dropping the future of any call is safe; of a dropped `commit` it is not known whether it was kept.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// Keeps one commit, whole or not at all, over several streams if need be. When this returns `Ok`, it survives a
    /// crash, and only then does any reader see it.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if a stream is not where the writer saw it; nothing is kept then.
    /// [`CommitError::Duplicate`] if the idempotency key is known, [`CommitError::Full`] if there is no room for a new one. After [`CommitError::Unavailable`] the writer does
    /// not know whether it was kept, and must load again.
    async fn commit(&self, commit: Commit) -> Result<(), CommitError>;

    /// Whether other processes may write to it while this one has it open. Where none can, whoever else has claimed something is
    /// dead, and what this process knows is the newest there is.
    fn is_shared(&self) -> bool;

    /// What the store knows of a stream without reading it, and its version, or `None` if there is no such stream or it has no summary.
    /// As quick for a stream that is there as for one that is not, so that whoever may not see it learns nothing.
    async fn summary(&self, id: &StreamId) -> Result<Option<(Version, Summary)>, StoreError>;

    /// The stream's summary, its version, its newest cells and its records, or `None` if there is no such stream.
    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError>;

    /// What [`Store::load`] says of each of these streams, in their order: one that is damaged says so for itself alone. Ends with the
    /// one that makes it `bytes_max` or more in all ([`Loaded::bytes`]), so the first is always there. A store that reads what lies
    /// together only once does better than this. The streams are not all from one moment.
    async fn load_all(&self, ids: &[StreamId], bytes_max: usize) -> Vec<Result<Option<Loaded>, StoreError>> {
        let (mut all, mut bytes) = (Vec::with_capacity(ids.len()), 0);
        for id in ids {
            let loaded = self.load(id).await;
            bytes += loaded.as_ref().ok().and_then(Option::as_ref).map_or(0, Loaded::bytes);
            all.push(loaded);
            if bytes >= bytes_max {
                break;
            }
        }
        all
    }

    /// At most `limit` records after version `after`, in order.
    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError>;

    /// The cells whose keys begin with `prefix`, as they stood at version `at`, in the order of their keys.
    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError>;

    /// Summaries that match, newest status first, with the exact number of all that match.
    async fn list(&self, query: &Query) -> Result<Listing, StoreError>;

    /// How many streams there are of each owner, agent and state, in no particular order. The node's view: it is asked at
    /// the start and after faults, never for a caller.
    async fn census(&self) -> Result<Vec<Census>, StoreError>;

    /// Streams whose summary has a `due` at or before `before`, earliest first.
    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError>;

    /// Which streams grew, in the order of their commits, after a cursor. A stream that was forgotten is left out.
    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError>;

    /// Returns once the log may have grown past `after`: perhaps early, at most [`WAKE_MAX`] late even if a hint is lost.
    async fn changed(&self, id: &StreamId, after: Version);

    /// Keeps how far a named reader of a stream has come. A reader that never came far is not known: a mark at zero
    /// takes its name out again. A mark for a stream that does not exist is not kept.
    async fn mark(&self, id: &StreamId, reader: &str, at: Version) -> Result<(), StoreError>;

    /// The named readers of a stream and how far they have come, in the order of their names.
    async fn marks(&self, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError>;

    /// Drops records up to and including version `before`; a reader that comes later is told [`Page::Trimmed`].
    async fn trim(&self, id: &StreamId, before: Version) -> Result<(), StoreError>;

    /// Drops a stream with all that belongs to it: records, cells, marks, blobs that nothing else names.
    async fn forget(&self, id: &StreamId) -> Result<(), StoreError>;

    /// Whether the store is able to keep what it is given, and why not if it is not.
    fn health(&self) -> Result<(), String>;
}
