//! Claims of this process that are in the log or not: the store could not say. No run was begun for them.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bobbinet_core::{Claim, TaskId};

/// How many are remembered. A store that is away for longer leaves more, and then none of them counts: what has lost its
/// run is taken over as from a process that died.
const DOUBTS_MAX: usize = 1_024;

/// The claims in doubt of each task, until a commit for the task is known to be kept. More than one where a claim in doubt was taken
/// over, and that is in doubt too: the log says which of them is there.
#[derive(Debug, Default)]
pub(crate) struct UncertainClaims {
    claims: Mutex<BTreeMap<TaskId, Vec<Claim>>>,
    /// Whether there may be any: hardly ever, and every commit asks.
    is_any: AtomicBool,
}

impl UncertainClaims {
    /// The commit of this claim may have been kept.
    pub(crate) fn note(&self, id: TaskId, claim: Claim) {
        let mut claims = self.claims();
        if claims.len() >= DOUBTS_MAX {
            claims.clear();
        }
        // What is tried again claims the same again, so there are no more than what the log has and the next one.
        let of_task = claims.entry(id).or_default();
        if !of_task.contains(&claim) {
            of_task.push(claim);
        }
        self.is_any.store(true, Ordering::Relaxed);
    }

    /// A commit for the task was kept, and whoever made it knows what follows.
    pub(crate) fn clear(&self, id: &TaskId) {
        if self.is_any.load(Ordering::Relaxed) {
            let mut claims = self.claims();
            claims.remove(id);
            self.is_any.store(!claims.is_empty(), Ordering::Relaxed);
        }
    }

    /// Whether this claim is in doubt, and so has never had a run.
    pub(crate) fn has(&self, id: &TaskId, claim: Claim) -> bool {
        self.is_any.load(Ordering::Relaxed) && self.claims().get(id).is_some_and(|claims| claims.contains(&claim))
    }

    fn claims(&self) -> MutexGuard<'_, BTreeMap<TaskId, Vec<Claim>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
