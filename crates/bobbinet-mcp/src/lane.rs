//! Who may call at the same time as whom. A question of a server names no call, so a tool that asks runs alone.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard},
};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The lane of one server, and the tools known to ask.
#[derive(Debug)]
pub(crate) struct Lane {
    interactive: Mutex<BTreeSet<String>>,
    // Fair: a tool that needs the lane alone gets it before calls that came later.
    road: RwLock<()>,
}

/// A place on the road, while it is held. Held, not read.
#[derive(Debug)]
#[expect(dead_code, reason = "guards are kept for what their drop does")]
pub(crate) enum Place<'a> {
    Among(RwLockReadGuard<'a, ()>),
    Alone(RwLockWriteGuard<'a, ()>),
}

impl Lane {
    pub(crate) fn new(interactive: impl IntoIterator<Item = String>) -> Self {
        Self { interactive: Mutex::new(interactive.into_iter().collect()), road: RwLock::new(()) }
    }

    fn interactive(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.interactive.lock().expect("nobody panics while holding a few names")
    }

    /// Whether this tool is known to ask.
    pub(crate) fn is_interactive(&self, tool: &str) -> bool {
        self.interactive().contains(tool)
    }

    /// These tools were in flight when a question came: from now on each runs alone.
    pub(crate) fn learn(&self, tools: impl IntoIterator<Item = String>) {
        self.interactive().extend(tools);
    }

    /// Waits until the tool may be called.
    pub(crate) async fn enter(&self, tool: &str) -> Place<'_> {
        let is_interactive = self.interactive().contains(tool);
        if is_interactive {
            return Place::Alone(self.road.write().await);
        }
        let place = self.road.read().await;
        // It may have been learned while this call waited.
        if self.interactive().contains(tool) {
            drop(place);
            return Place::Alone(self.road.write().await);
        }
        Place::Among(place)
    }
}
