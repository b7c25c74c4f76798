//! How often a server has said that something of it is another now: by what it says in any of its sessions, what was read before is old.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a server has said to have changed, counted for all sessions of an agent.
#[derive(Debug, Default)]
pub(crate) struct ServerChanges {
    lists: AtomicU64,
    resources: AtomicU64,
}

impl ServerChanges {
    /// One of its lists has changed: what it gave before may be there no more, or be something else.
    pub(crate) fn list_changed(&self) {
        self.lists.fetch_add(1, Ordering::AcqRel);
    }

    /// A resource has changed. It may be part of another, so that all of them are read anew.
    pub(crate) fn resource_changed(&self) {
        self.resources.fetch_add(1, Ordering::AcqRel);
    }

    /// How many of them what is read from a tool may show; or from a resource.
    pub(crate) fn seen_by(&self, is_resource: bool) -> u64 {
        let resources = if is_resource { self.resources.load(Ordering::Acquire) } else { 0 };
        self.lists.load(Ordering::Acquire) + resources
    }
}
