//! Questions over many streams.

use std::sync::Arc;

use bobbinet_core::{StreamId, Timestamp};

use crate::{
    Summary, Version,
    page_token::{self, Filters},
};

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

impl Query {
    /// Whether this lists a stream of this summary.
    pub fn matches(&self, summary: &Summary) -> bool {
        fn is<T: PartialEq + ?Sized>(filter: Option<&T>, value: &T) -> bool {
            filter.is_none_or(|filter| filter == value)
        }
        *self.tenant == *summary.tenant
            && is(self.owner.as_deref(), &*summary.owner)
            && is(self.agent.as_deref(), &*summary.agent)
            && is(self.context.as_deref(), &*summary.context)
            && is(self.state.as_ref(), &summary.state)
            && self.status_since.is_none_or(|since| since <= summary.status_at)
    }
}

/// One page of a list, newest status first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The page.
    pub entries: Vec<(StreamId, Version, Summary)>,
    /// How many match in all.
    pub total: usize,
    /// What makes a token of an entry: which query this answers, and when each entry's stream began.
    pub(crate) filters: Filters,
    pub(crate) borns: Vec<u64>,
    /// Whether more match than there are here.
    pub(crate) has_more: bool,
}

impl Listing {
    /// Where the next page begins, if there is one. Opaque.
    pub fn next(&self) -> Option<String> {
        self.next_after(self.borns.len())
    }

    /// Where a page begins that goes on after so many of these entries; `None` if nothing follows, or if there are no such entries.
    pub fn next_after(&self, count: usize) -> Option<String> {
        let is_end = count >= self.borns.len() && !self.has_more;
        let last = count.checked_sub(1).filter(|_| !is_end)?;
        let ((_, _, summary), born) = self.entries.get(last).zip(self.borns.get(last))?;
        Some(page_token::write(self.filters, summary.status_at, *born))
    }
}

/// How many streams of one owner, of one agent and in one state there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Census {
    /// Whose installation.
    pub tenant: Arc<str>,
    /// Whose.
    pub owner: Arc<str>,
    /// Which agent's.
    pub agent: Arc<str>,
    /// In which state.
    pub state: u8,
    /// So many.
    pub count: usize,
}

/// Whose commits to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Whose installation; `None` for all.
    pub tenant: Option<String>,
    /// Of which context; `None` for all.
    pub context: Option<String>,
}

impl Scope {
    /// Whether a stream of this summary is in it. One without a summary is in the scope of all only.
    pub fn covers(&self, summary: Option<&Summary>) -> bool {
        let is = |filter: &Option<String>, value: fn(&Summary) -> &str| match filter {
            None => true,
            Some(filter) => summary.is_some_and(|summary| value(summary) == filter),
        };
        is(&self.tenant, |summary| &summary.tenant) && is(&self.context, |summary| &summary.context)
    }
}

/// A place in the order of all commits. Zero is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);

/// What followed a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// In the order of commits.
    pub entries: Vec<TailEntry>,
    /// Where to go on: also moves past what the scope left out, so a tail without entries is the end only if this is
    /// where it was asked from.
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
