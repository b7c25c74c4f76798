//! What was seen from outside, and what stands in the store at the end: all that the checker judges by.

use std::collections::BTreeMap;

use bobbinet_core::{Effect, Event, State, TaskId};

/// A point in the order of everything, and the simulated time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) step: u64,
    pub(crate) millis: u64,
}

/// A request that was to become a task.
#[derive(Clone, Debug)]
pub(crate) struct Submit {
    /// In the message, to find its tasks by.
    pub(crate) tag: String,
    pub(crate) owner: String,
    /// The idempotency key.
    pub(crate) has_key: bool,
    /// The task and when it was acknowledged.
    pub(crate) acknowledged: Option<(TaskId, Moment)>,
}

/// Something that a caller was told of a task as it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) task: TaskId,
    pub(crate) asked: Moment,
    pub(crate) answered: Moment,
    pub(crate) generation: u64,
    pub(crate) state: State,
}

/// An acknowledged reply or cancel.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) task: TaskId,
    /// The reply's message; `None` for a cancel.
    pub(crate) message: Option<String>,
    pub(crate) acknowledged: Moment,
}

/// A list that a caller got.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) owner: String,
    pub(crate) asked: Moment,
    pub(crate) tasks: Vec<TaskId>,
}

/// What one subscriber was told, over all its connections.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    pub(crate) task: TaskId,
    /// The generation it began after; `None` while it was not let in.
    pub(crate) after: Option<u64>,
    /// Generation, the record's bytes, when.
    pub(crate) told: Vec<(u64, Vec<u8>, Moment)>,
    pub(crate) is_over: bool,
    /// It was told that its cursor is none of this log.
    pub(crate) was_resynced: bool,
}

/// How a call came to its end, as its tool knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    Completed,
    Refused,
    Failed,
    Rejected,
    Unknown,
    Declined,
    Panicked,
}

/// A line of the ledger that the tools keep: one execution.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    pub(crate) task: TaskId,
    pub(crate) call: u32,
    pub(crate) attempt: u32,
    pub(crate) effect: Effect,
    pub(crate) process: u32,
    pub(crate) began: Moment,
    /// When it first asked its caller: from then on its slot may be another's.
    pub(crate) asked: Option<Moment>,
    pub(crate) ended: Option<Moment>,
    pub(crate) returned: Option<Returned>,
}

/// A record of the store.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Since when it is durable.
    pub(crate) durable: Moment,
    pub(crate) generation: Option<u64>,
    pub(crate) event: Event,
    pub(crate) bytes: Vec<u8>,
}

/// A task that no run owns, although a call slot is free for it.
pub(crate) type Orphan = TaskId;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) steps: u64,
    pub(crate) slots: usize,
    pub(crate) run_limit: u64,
    pub(crate) submits: Vec<Submit>,
    pub(crate) reads: Vec<Read>,
    pub(crate) said: Vec<Said>,
    pub(crate) lists: Vec<List>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) executions: Vec<Execution>,
    /// Chunks of artifacts that a run was told are durable: the task and the chunk's text.
    pub(crate) added: Vec<(TaskId, String)>,
    /// What a stranger got to see of a task.
    pub(crate) leaks: Vec<(TaskId, &'static str)>,
    /// When each process died or stopped.
    pub(crate) deaths: BTreeMap<u32, Moment>,
    /// When each process that was asked to stop was asked.
    pub(crate) drains: BTreeMap<u32, Moment>,
    /// What a process left behind when it had stopped, and what broke.
    pub(crate) faults: Vec<String>,
    /// Looked for every second, from 30 s after the last fault on.
    pub(crate) orphans: Vec<Vec<Orphan>>,
    pub(crate) logs: BTreeMap<TaskId, Vec<Logged>>,
    pub(crate) end: Moment,
}
