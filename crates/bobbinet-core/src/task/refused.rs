//! The ways in which a command does not apply.

use super::Generation;

/// Why a command does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such task.
    #[error("the task does not exist")]
    Absent,
    /// There is one already.
    #[error("the task exists")]
    Present,
    /// It has ended.
    #[error("the task has ended")]
    Ended,
    /// It runs, or waits for its run, and takes no messages meanwhile.
    #[error("the task is at work and takes no messages until it asks or ends")]
    Busy,
    /// Whoever speaks is not the run that owns it now.
    #[error("another run owns the task")]
    Fenced,
    /// There is nothing to be done: it has been claimed, or its run is not lost.
    #[error("there is nothing to be done")]
    NothingToDo,
    /// The same answer has counted already. Whoever repeats it is told what came of the first.
    #[error("the answer was given before")]
    Repeated {
        /// Where in the log it stands.
        first: Generation,
    },
    /// Another answer was given under the same key.
    #[error("the key was used for another answer")]
    KeyReused,
    /// The message does not answer what was asked.
    #[error("the message does not answer the question: {0}")]
    BadAnswer(String),
    /// A bound is reached.
    #[error("{what} would exceed {max}")]
    Limit {
        /// What is bounded: the name of the limit.
        what: &'static str,
        /// The value of that limit.
        max: u64,
    },
}
