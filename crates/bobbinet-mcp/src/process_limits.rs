//! What a server that is started may take of the machine: the limits of its process, and of each that it starts.

use serde::{Deserialize, Serialize};

/// The limits of a server's processes, each on its own (`setrlimit`). Nothing: as the node's own are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessLimits {
    /// Files that a process may have open. Nothing: as many as programs that the node's own user starts.
    pub open_files: Option<u64>,
    /// Processes and threads that the user may have while the server starts another one: the system counts all of that user's,
    /// whoever has started them, and none of the superuser's.
    pub processes: Option<u64>,
    /// Bytes of memory that a process may write to (`RLIMIT_DATA`). Not its address space: JavaScript and WebAssembly set aside much more
    /// of that than they ever use.
    pub memory: Option<u64>,
    /// Bytes of the longest file that it may write. One that writes more is ended by the system.
    pub file_size: Option<u64>,
    /// Bytes of the image of its memory that is left where it crashes. There are secrets in it.
    pub core: Option<u64>,
}

impl Default for ProcessLimits {
    fn default() -> Self {
        Self {
            open_files: None,
            // More than a user has who works with many programs, and less than a machine can bear.
            processes: Some(16_384),
            // Databases and browsers take what there is.
            memory: None,
            file_size: Some(64 << 30),
            core: Some(0),
        }
    }
}

impl ProcessLimits {
    /// Those that are said, by their names.
    pub(crate) fn said(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { open_files, processes, memory, file_size, core } = self;
        let all =
            [(OPEN_FILES, open_files), (PROCESSES, processes), (MEMORY, memory), (FILE_SIZE, file_size), (CORE, core)];
        all.into_iter().filter_map(|(name, max)| Some((name, (*max)?)))
    }
}

/// The names of the limits.
pub(crate) const OPEN_FILES: &str = "open_files";
pub(crate) const PROCESSES: &str = "processes";
pub(crate) const MEMORY: &str = "memory";
pub(crate) const FILE_SIZE: &str = "file_size";
pub(crate) const CORE: &str = "core";
