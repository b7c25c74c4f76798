//! What was seen from outside, and what stands in the store at the end: all that the checker judges by.

use std::collections::{BTreeMap, BTreeSet};

use bobbinet_core::{AgentName, Effect, Event, RunnerId, State, TaskId, Timestamp};

use crate::counter::{self, Answer, Change, CounterId};

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
    /// Of which agent: its number.
    pub(crate) agent: u64,
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
    /// What the reply's message is marked with, however often it is said; `None` for a cancel.
    pub(crate) message: Option<String>,
    pub(crate) acknowledged: Moment,
    /// The generation that its caller was shown when the task had settled.
    pub(crate) got: Option<u64>,
}

/// A reply that was said and refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) task: TaskId,
    /// What its message is marked with.
    pub(crate) message: String,
    pub(crate) asked: Moment,
    pub(crate) why: String,
}

/// What a caller asked for and was told that it is not there.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Task(TaskId),
    /// What was made of a request.
    Tag(String),
}

/// A task that was dropped: when, and by which process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forgotten {
    pub(crate) moment: Moment,
    pub(crate) process: u32,
}

/// A list that a caller got.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) owner: String,
    pub(crate) agent: u64,
    pub(crate) asked: Moment,
    pub(crate) answered: Moment,
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

/// A line of the calls that the tools keep: one execution.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    /// Of the request that has made its task.
    pub(crate) tag: String,
    pub(crate) task: TaskId,
    pub(crate) agent: AgentName,
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
pub(crate) struct Logged<E = Event> {
    /// Since when it is durable.
    pub(crate) durable: Moment,
    /// Which process kept it.
    pub(crate) process: u32,
    /// What that process's clock said.
    pub(crate) at: Timestamp,
    pub(crate) generation: Option<u64>,
    pub(crate) event: E,
    pub(crate) bytes: Vec<u8>,
}

/// A change that was asked of counters.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) change: Change,
    pub(crate) asked: Moment,
    pub(crate) answer: Answer,
    pub(crate) answered: Moment,
}

/// A counter that was shown to somebody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) id: CounterId,
    pub(crate) version: u64,
    pub(crate) value: i64,
    pub(crate) asked: Moment,
    pub(crate) answered: Moment,
}

/// What one follower of a counter was told, over all its connections.
#[derive(Clone, Debug)]
pub(crate) struct CountFollower {
    pub(crate) id: CounterId,
    /// Generation, the record's bytes, when.
    pub(crate) told: Vec<(u64, Vec<u8>, Moment)>,
}

/// What a process wrote to a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseWord {
    pub(crate) durable: Moment,
    pub(crate) process: u32,
    pub(crate) is_end: bool,
}

/// A time in which a process was paused, or cut off from the store: in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    pub(crate) process: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A task that no run owns, although a call slot is free for it.
pub(crate) type Orphan = TaskId;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) steps: u64,
    pub(crate) slots: usize,
    pub(crate) run_limit: u64,
    pub(crate) retention: u64,
    pub(crate) unserved_life: u64,
    pub(crate) submits: Vec<Submit>,
    /// The tags of requests whose callers wait for nothing but an outcome.
    pub(crate) for_outcome: BTreeSet<String>,
    pub(crate) reads: Vec<Read>,
    pub(crate) said: Vec<Said>,
    pub(crate) refusals: Vec<Refusal>,
    /// What was not found, and when that was said.
    pub(crate) missing: Vec<(Wanted, Moment)>,
    pub(crate) lists: Vec<List>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) executions: Vec<Execution>,
    /// Chunks of artifacts that a run was told are durable: the task and the chunk's text.
    pub(crate) added: Vec<(TaskId, String)>,
    /// What a stranger got to see of a task.
    pub(crate) leaks: Vec<(TaskId, &'static str)>,
    /// How fast each process's clock was when it started.
    pub(crate) clocks: BTreeMap<u32, u64>,
    /// Which agent each process did not have.
    pub(crate) absent: BTreeMap<u32, u64>,
    pub(crate) forgotten: BTreeMap<TaskId, Forgotten>,
    /// When each process died or stopped.
    pub(crate) deaths: BTreeMap<u32, Moment>,
    /// When a process had ended an engine that could not open, with what it had begun.
    pub(crate) unopened: Vec<(u32, Moment)>,
    /// When each process that was asked to stop was asked.
    pub(crate) drains: BTreeMap<u32, Moment>,
    /// What a process left behind when it had stopped, and what broke.
    pub(crate) faults: Vec<String>,
    /// Looked for every second, from 30 s after the last fault on.
    pub(crate) orphans: Vec<Vec<Orphan>>,
    /// When nobody called or followed any more.
    pub(crate) hung_up: Moment,
    /// Whether several processes live at a time.
    pub(crate) is_shared: bool,
    pub(crate) away: Vec<Away>,
    /// By the runner whose lease it is.
    pub(crate) leases: BTreeMap<RunnerId, Vec<LeaseWord>>,
    /// By their numbers, from 1.
    pub(crate) changes: Vec<Changed>,
    pub(crate) counts: Vec<Count>,
    pub(crate) count_followers: Vec<CountFollower>,
    pub(crate) counters: BTreeMap<CounterId, Vec<Logged<counter::Event>>>,
    /// Also of those that were forgotten.
    pub(crate) logs: BTreeMap<TaskId, Vec<Logged>>,
    pub(crate) end: Moment,
}
