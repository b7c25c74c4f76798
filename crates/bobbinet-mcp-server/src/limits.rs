//! Every bound of this door that is not one of HTTP or of the gateway, with its name and its reason.

use std::time::Duration;

/// The bounds of the MCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServerLimits {
    /// Sessions of older revisions, all callers together; 503 beyond.
    pub sessions_max: usize,
    /// Sessions of one caller. One beyond takes the place of his that was idle for the longest: few hosts say goodbye.
    pub sessions_per_caller_max: usize,
    /// How long a session may do nothing: 404 after that, and the host begins another.
    pub session_idle: Duration,
    /// Calls of one session at work at a time; an error beyond.
    pub calls_per_session_max: usize,
    /// Messages of one batch (2025-03-26); an error beyond.
    pub batch_max: usize,
    /// Bytes of what a `resource_link` leads to that is still given as a resource. What is larger is fetched from its URL, in ranges.
    pub linked_bytes_max: u64,
    /// Bytes of a result with a structured one that has gone by reference and is given in it all the same, where its tool has promised one.
    /// What is larger is an error with a link: of the official SDKs, Python's takes no event of more than 1 MiB unless it is told to.
    pub structured_bytes_max: u64,
    /// How many of those are in memory at a time, all callers together; others wait.
    pub linked_reads_max: usize,
    /// Tools of one page of the list.
    pub page_tools_max: usize,
    /// Bytes of one page of the list, roughly. A single tool may be larger.
    pub page_bytes_max: usize,
    /// How long after the node's start a list waits for agents that were never seen; later ones wait for nobody. Most hosts list once, when they start, and give it a minute; many do not
    /// look again when they are told that there are more tools.
    pub start_wait: Duration,
    /// How long a list of tools may be taken from a cache (2026-07-28).
    pub list_ttl: Duration,
    /// How long a host that knows tasks waits for a call before it gets the task's name in place of its result.
    pub task_after: Duration,
    /// How often such a host should look at a task.
    pub task_poll: Duration,
    /// Tasks of one page of the list.
    pub page_tasks_max: u32,
    /// How often it is looked whether the lists of a host that listens have changed.
    pub list_watch: Duration,
    /// Resources that one session, or one stream, is told the changes of; an error beyond.
    pub watched_max: usize,
    /// Streams that listen for changes of lists, all callers together; refused beyond.
    pub listeners_max: usize,
    /// The same of one caller: one for each session that he may have.
    pub listeners_per_caller_max: usize,
    /// How long an answer may take and still be plain JSON. One that takes longer is a stream, which shows that it lives.
    pub plain_answer: Duration,
}

impl Default for McpServerLimits {
    fn default() -> Self {
        Self {
            sessions_max: 16_384,
            sessions_per_caller_max: 256,
            session_idle: Duration::from_secs(24 * 60 * 60),
            calls_per_session_max: 256,
            batch_max: 64,
            linked_bytes_max: 16 << 20,
            structured_bytes_max: 896 << 10,
            linked_reads_max: 4,
            page_tools_max: 1_000,
            page_bytes_max: 2 << 20,
            start_wait: Duration::from_secs(15),
            list_ttl: Duration::from_secs(10),
            task_after: Duration::from_millis(500),
            task_poll: Duration::from_millis(500),
            page_tasks_max: 50,
            list_watch: Duration::from_millis(250),
            watched_max: 64,
            listeners_max: 4_096,
            listeners_per_caller_max: 256,
            plain_answer: Duration::from_millis(100),
        }
    }
}

impl McpServerLimits {
    /// How long a list may be taken from a cache, in the words of a result.
    pub(crate) fn list_ttl_ms(&self) -> u64 {
        u64::try_from(self.list_ttl.as_millis()).unwrap_or(u64::MAX)
    }
}
