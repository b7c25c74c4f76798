//! Questions over many streams.

use weft_core::{StreamId, Timestamp};

use crate::{Summary, Version};

/// Which streams to list. A field that is `None` does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Whose installation. Always said: no list crosses tenants.
    pub tenant: String,
    /// Whose.
    pub owner: Option<String>,
    /// Which agent's.
    pub agent: Option<String>,
    /// Of which context.
    pub context: Option<String>,
    /// In which state.
    pub state: Option<u8>,
    /// With a status no older than this.
    pub status_since: Option<Timestamp>,
    /// How many to give at most.
    pub page_size: usize,
    /// Where the page before ended: what its [`Listing::next`] said. A text that is none is refused.
    pub page_token: Option<String>,
}

/// One page of a list, newest status first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The page.
    pub entries: Vec<(StreamId, Version, Summary)>,
    /// How many match in all.
    pub total: usize,
    /// Where the next page begins, if there is one. Opaque.
    pub next: Option<String>,
}

/// Whose commits to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Whose installation; `None` for all.
    pub tenant: Option<String>,
    /// Of which context; `None` for all.
    pub context: Option<String>,
}

/// A place in the order of all commits. Zero is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);

/// What followed a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// In the order of commits.
    pub entries: Vec<TailEntry>,
    /// Where to go on: also moves past what the scope left out.
    pub next: Cursor,
}

/// One step of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailEntry {
    /// Which stream grew.
    pub stream: StreamId,
    /// To which version.
    pub version: Version,
}
