//! What has not arrived: for the node's owner.

use std::sync::Arc;

use bobbinet_core::{TaskId, Timestamp};

use crate::Of;

/// How many are shown at a time.
pub const LETTERS_MAX: usize = 1_000;

/// A webhook whose receiver has not taken an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The task.
    pub task: TaskId,
    /// Whose it is.
    pub of: Of,
    /// The webhook's name.
    pub id: Arc<str>,
    /// The place that it leads to: what else stands in its URL may be secret.
    pub receiver: String,
    /// What is done about it.
    pub state: LetterState,
    /// What went wrong last.
    pub why: Arc<str>,
}

/// What is done about a webhook whose receiver has not taken an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterState {
    /// It is tried again.
    Retrying {
        /// How often it was tried, since the start of the node.
        attempts: u32,
        /// When it is tried next.
        next: Timestamp,
    },
    /// It is a dead letter.
    Dead {
        /// Since when.
        at: Timestamp,
    },
}

/// What has not arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letters {
    /// The dead ones, then those that are tried again.
    pub letters: Vec<Letter>,
    /// How many webhooks there are that have nothing to complain of, and will be told what happens.
    pub waiting: usize,
    /// How many are not shown.
    pub left_out: usize,
}
