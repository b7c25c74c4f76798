//! The program by which servers are started.

use std::{ffi::OsString, path::PathBuf};

/// The argument before each file that it must not see. They count only where there are such folders.
pub(crate) const HIDE_FILE: &str = "--hide-file";

/// The argument of [`exec_mcp`](crate::exec_mcp) that says how many files a server may have open.
pub(crate) const OPEN_FILES: &str = "--open-files";

/// The program that stands between us and a server: it is started as `program args… -- command…`.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// A program that calls [`exec_mcp`](crate::exec_mcp) with the arguments it was started with.
    pub program: PathBuf,
    /// What comes before `--`.
    pub args: Vec<OsString>,
    /// Folders that servers must not see, each with the whole of its path. Without any, nothing is hidden.
    pub hidden: Vec<PathBuf>,
}

impl Launcher {
    /// This very program, started with one more argument. It works also after its file was replaced or removed.
    pub fn this_program(argument: &str, hidden: Vec<PathBuf>) -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), args: vec![OsString::from(argument)], hidden }
    }

    /// The same for servers that must not see these files either, each with the whole of its path. One that is not there when a server
    /// starts is passed over.
    pub fn with_hidden_files(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.args.extend(files.into_iter().flat_map(|file| [OsString::from(HIDE_FILE), file.into_os_string()]));
        self
    }

    /// The same for servers that may have so many files open, whatever we ourselves may.
    pub fn with_open_files(mut self, max: u64) -> Self {
        self.args.extend([OsString::from(OPEN_FILES), OsString::from(max.to_string())]);
        self
    }
}
