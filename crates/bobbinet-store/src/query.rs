//! Questions over many streams.

use std::sync::Arc;

use bobbinet_core::{StreamId, Timestamp};

use crate::{Summary, Version};

/// Which streams to list. A field that is `None` does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The installation. Always said: no list crosses tenants.
    pub tenant: String,
    /// The caller whose streams these are.
    pub owner: Option<String>,
    /// The agent that works on them.
    pub agent: Option<String>,
    /// Streams of this context only.
    pub context: Option<String>,
    /// Streams whose summary has this state.
    pub state: Option<u8>,
    /// With a status no older than this.
    pub status_since: Option<Timestamp>,
    /// How many to give at most.
    pub page_size: usize,
    /// Where the page before ended: what its [`crate::Listing::next`] said. A text that is none is refused.
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

/// How many streams of one owner, of one agent and in one state there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Census {
    /// The installation that the streams belong to.
    pub tenant: Arc<str>,
    /// The caller whose streams are counted.
    pub owner: Arc<str>,
    /// The agent that works on them.
    pub agent: Arc<str>,
    /// The state that they are all in.
    pub state: u8,
    /// How many streams there are.
    pub count: usize,
}

/// Whose commits to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The installation; `None` for all.
    pub tenant: Option<String>,
    /// The context; `None` for all.
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
    /// The version that it has reached.
    pub version: Version,
}
