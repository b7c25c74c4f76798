//! A run whose work is done somewhere else, where the next process finds it.

use crate::{Run, lifecycle::Idle};

/// While this lives, a node that stops does not wait for a run.
#[derive(Debug)]
pub struct WorksElsewhere {
    _idle: Idle,
}

impl Run {
    /// Says that its work is done elsewhere: a node that stops need not wait for it, as whoever goes on with it loses nothing. Its slot
    /// and its time are those of any run. Not to be held while the run asks something or waits for a child, which say the same.
    pub fn works_elsewhere(&self) -> WorksElsewhere {
        WorksElsewhere { _idle: Idle::begin(self.host.lifecycle()) }
    }
}
