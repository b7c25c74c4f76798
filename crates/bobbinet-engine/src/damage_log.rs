//! Tasks whose damage was told of: each look finds it anew, and it is said once.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use bobbinet_core::TaskId;
use tracing::error;

/// Of how many damaged tasks it is remembered that they were told of; further ones are found by `bobbinet store check`.
const TOLD_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct DamageLog(Mutex<BTreeSet<TaskId>>);

impl DamageLog {
    /// Says what is wrong with a task, unless that was said.
    pub(crate) fn tell(&self, id: TaskId, why: &str, what: &'static str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX && told.insert(id) {
            error!(task = %id, why, "{what}");
        }
    }
}
