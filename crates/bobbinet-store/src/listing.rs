//! One page of a list, which knows where the next one begins.

use bobbinet_core::StreamId;

use crate::{
    Summary, Version,
    page_token::{self, Filters},
};

/// One page of a list, newest status first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The streams of this page, each with its version.
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
