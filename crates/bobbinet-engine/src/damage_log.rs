//! Tasks whose damage was logged: each look finds it anew, and it is logged once.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use bobbinet_core::TaskId;
use tracing::error;

/// Of how many damaged tasks it is remembered that they were logged; further ones are found by `bobbinet store check`.
const LOGGED_MAX: usize = 1_024;

/// The damaged tasks that are in the process's log already.
#[derive(Debug, Default)]
pub(crate) struct DamageLog(Mutex<BTreeSet<TaskId>>);

impl DamageLog {
    /// Logs what is wrong with a task, unless that was done before.
    pub(crate) fn log_once(&self, id: TaskId, why: &str, what: &'static str) {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < LOGGED_MAX && logged.insert(id) {
            error!(task = %id, why, "{what}");
        }
    }
}
