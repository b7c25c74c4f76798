//! Every bound of a task, with its name and its reason. Each is met by a typed error, never by a silent cut.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest id, in characters, so that a name in any script has the same room: long enough for URLs and for ids made of
/// several, short enough to stand in an index for each task. The specification says only that an id is a text.
pub const ID_LENGTH_MAX: usize = 512;

/// The longest name of an agent, in characters, all of them ASCII: it names a folder too, and 255 bytes are the most for that.
pub const AGENT_NAME_LENGTH_MAX: usize = 128;

/// A child that begins tasks itself is given this part of what is left of its parent's budget: so small that a loop of flows gets through
/// some hundred and fifty of them, so large that flows may call flows that call flows.
pub const CHILD_BUDGET_SHARE: u32 = 16;

/// The longest name that a run gives to a child, in bytes: there may be a thousand in a task's memory.
pub const CHILD_NAME_LENGTH_MAX: usize = 512;

/// How often one run makes a call of a tool that may run again, because its server died under it.
/// A server that dies three times over one request will die a fourth time.
pub const ATTEMPTS_MAX: u32 = 3;

/// How often in a row a call may be taken over from a dead process before it counts as what kills them.
/// Whatever else ails a node does not meet the same call four times, with pauses in between.
pub const TAKEOVERS_MAX: u32 = 3;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The bounds that a node's operator may change. The defaults are these notes' starting numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Messages in one task's history.
    pub history_max: usize,
    /// Artifacts of one task.
    pub artifacts_max: usize,
    /// Records in one task's log; what is left is kept for its end.
    pub events_max: u64,
    /// Bytes of messages and artifacts that one task keeps.
    pub task_bytes_max: usize,
    /// Tasks that run or wait for a call slot, on this node. At this limit, and at each of those that follow, new tasks are
    /// refused. An answer to a task never is: it may bring more to run than there may be new ones.
    pub tasks_open_max: usize,
    /// The same of one tenant's.
    pub tasks_open_per_tenant_max: usize,
    /// The same of one owner's: with room left for the others of its tenant.
    pub tasks_open_per_owner_max: usize,
    /// Tasks that wait for their callers, on this node. Those at work when it is reached may still ask.
    pub tasks_parked_max: usize,
    /// The same of one tenant's.
    pub tasks_parked_per_tenant_max: usize,
    /// The same of one owner's.
    pub tasks_parked_per_owner_max: usize,
    /// Finished tasks that are kept, on this node, until retention makes room.
    pub tasks_stored_max: usize,
    /// The same of one tenant's.
    pub tasks_stored_per_tenant_max: usize,
    /// The same of one owner's.
    pub tasks_stored_per_owner_max: usize,
    /// How long a task waits for an answer of its caller, in milliseconds. Then it fails, saying so.
    pub question_life_ms: u64,
    /// How long a task waits for its agent, which is no longer configured, to come back, in milliseconds. Then it fails.
    pub unserved_life_ms: u64,
    /// How long a finished task is kept, in milliseconds.
    pub retention_ms: u64,
    /// How long one run may work, in milliseconds. Waiting for an answer does not count.
    pub run_limit_ms: u64,
    /// How long a question of a live MCP call is held open, in milliseconds.
    pub ask_hold_max_ms: u64,
    /// Tasks kept ready in memory.
    pub hot_tasks_max: usize,
    /// Bytes of tasks kept ready in memory.
    pub hot_bytes_max: usize,
    /// Subscribers of one task.
    pub followers_max: usize,
    /// Tasks that the run of one task may begin.
    pub children_max: usize,
    /// Tasks that may be begun beneath one, in all: by its run, by theirs, and so on.
    pub descendants_max: u32,
    /// Bytes of one event of a tenant, in JSON.
    pub event_bytes_max: usize,
    /// Events of a tenant that are kept; the oldest make room. Whoever has not heard them by then is told so.
    pub events_kept_max: usize,
    /// Bytes of those.
    pub events_kept_bytes_max: usize,
    /// How long an event is kept, in milliseconds. As long as it is kept, a repeat of it is dropped.
    pub events_kept_ms: u64,
    /// How many flows an event may have come through: what one sends because of another's, and so on.
    pub event_hops_max: u32,
    /// Webhooks of one task.
    pub webhooks_per_task_max: usize,
    /// Webhooks of one owner that still have something to tell.
    pub webhooks_per_owner_max: usize,
    /// The same of all owners.
    pub webhooks_max: usize,
    /// How long a receiver is given for its answer, in milliseconds.
    pub webhook_timeout_ms: u64,
    /// How long it is tried to tell a receiver of an event, in milliseconds. Then its webhook is a dead letter. Only time while the node
    /// runs counts, from the first try after each start on, over all its starts; of a start that ends with a kill, about the last twenty
    /// minutes at most are not counted.
    pub webhook_retry_ms: u64,
    /// Notifications that are on their way at a time.
    pub webhooks_in_flight_max: usize,
    /// The same of one owner's tasks.
    pub webhooks_in_flight_per_owner_max: usize,
    /// The same to one receiver.
    pub webhooks_in_flight_per_receiver_max: usize,
    /// Bytes of the large ones among them.
    pub webhooks_in_flight_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            history_max: 500,
            artifacts_max: 1_000,
            events_max: 50_000,
            task_bytes_max: 64 << 20,
            // An owner who is alone on a node can use nine tenths of what one tenant has, and nobody can use all of it.
            tasks_open_max: 100_000,
            tasks_open_per_tenant_max: 10_000,
            tasks_open_per_owner_max: 9_000,
            tasks_parked_max: 1_000_000,
            tasks_parked_per_tenant_max: 100_000,
            tasks_parked_per_owner_max: 10_000,
            tasks_stored_max: 1_000_000,
            tasks_stored_per_tenant_max: 900_000,
            tasks_stored_per_owner_max: 810_000,
            question_life_ms: 30 * DAY_MS,
            unserved_life_ms: 7 * DAY_MS,
            retention_ms: 30 * DAY_MS,
            // Durable work may take hours; an MCP server's silence has a bound of its own.
            run_limit_ms: DAY_MS,
            ask_hold_max_ms: 10 * 60 * 1_000,
            hot_tasks_max: 1_024,
            hot_bytes_max: 16 << 20,
            followers_max: 32,
            children_max: 10_000,
            descendants_max: 50_000,
            // CloudEvents asks for 64 KiB at least.
            event_bytes_max: 256 << 10,
            events_kept_max: 10_000,
            events_kept_bytes_max: 16 << 20,
            events_kept_ms: 7 * DAY_MS,
            event_hops_max: 16,
            webhooks_per_task_max: 10,
            // Each that waits takes some kilobytes of memory.
            webhooks_per_owner_max: 10_000,
            webhooks_max: 20_000,
            // The specification recommends 10 to 30 seconds.
            webhook_timeout_ms: 15 * 1_000,
            webhook_retry_ms: DAY_MS,
            webhooks_in_flight_max: 128,
            // Whoever has receivers that take their time leaves half of them to the others.
            webhooks_in_flight_per_owner_max: 64,
            webhooks_in_flight_per_receiver_max: 8,
            webhooks_in_flight_bytes_max: 64 << 20,
        }
    }
}

impl Limits {
    /// How long a finished task is kept.
    pub fn retention(&self) -> Duration {
        Duration::from_millis(self.retention_ms)
    }

    /// How long a task waits for an answer.
    pub fn question_life(&self) -> Duration {
        Duration::from_millis(self.question_life_ms)
    }

    /// How long a task waits for an agent that is not configured.
    pub fn unserved_life(&self) -> Duration {
        Duration::from_millis(self.unserved_life_ms)
    }

    /// How long an event is kept.
    pub fn events_kept(&self) -> Duration {
        Duration::from_millis(self.events_kept_ms)
    }

    /// How long a receiver of a webhook is given for its answer.
    pub fn webhook_timeout(&self) -> Duration {
        Duration::from_millis(self.webhook_timeout_ms)
    }

    /// How long it is tried to tell a receiver of an event, while the node runs.
    pub fn webhook_retry(&self) -> Duration {
        Duration::from_millis(self.webhook_retry_ms)
    }

    /// How long one run may work.
    pub fn run_limit(&self) -> Duration {
        Duration::from_millis(self.run_limit_ms)
    }

    /// How long a question of a live call is held open.
    pub fn ask_hold_max(&self) -> Duration {
        Duration::from_millis(self.ask_hold_max_ms)
    }
}
