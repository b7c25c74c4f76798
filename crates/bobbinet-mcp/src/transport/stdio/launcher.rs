//! The program by which servers are started.

use std::{ffi::OsString, fmt, path::PathBuf, sync::Arc};

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
    /// The folder in which each server that is to run in one of its own has that, by its agent's name.
    pub own_folders: Option<PathBuf>,
    /// What a server gets in its environment beside what it is configured with, made anew for each start.
    pub fresh_env: FreshEnv,
}

/// Variables that are made anew for each start of a server, such as a token that ends.
#[derive(Clone)]
pub struct FreshEnv(Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>);

impl FreshEnv {
    /// Those that this makes. It is quick, and does not wait.
    pub fn new(make: impl Fn() -> Vec<(String, String)> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn make(&self) -> Vec<(String, String)> {
        (self.0)()
    }
}

impl Default for FreshEnv {
    fn default() -> Self {
        Self::new(Vec::new)
    }
}

impl fmt::Debug for FreshEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreshEnv").finish_non_exhaustive()
    }
}

impl Launcher {
    /// This very program, started with one more argument. It works also after its file was replaced or removed.
    pub fn this_program(argument: &str, hidden: Vec<PathBuf>) -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            args: vec![OsString::from(argument)],
            hidden,
            own_folders: None,
            fresh_env: FreshEnv::default(),
        }
    }

    /// The same for servers that run in this folder, each in one of its own that no other sees. It must be there.
    pub fn with_own_folders(mut self, folder: PathBuf) -> Self {
        self.hidden.push(folder.clone());
        self.own_folders = Some(folder);
        self
    }

    /// The same for servers that must not see these files either, each with the whole of its path. One that is not there when a server
    /// starts is passed over.
    pub fn with_hidden_files(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.args.extend(files.into_iter().flat_map(|file| [OsString::from(HIDE_FILE), file.into_os_string()]));
        self
    }

    /// The same for a server that gets these variables, too.
    pub fn with_fresh_env(self, fresh_env: FreshEnv) -> Self {
        Self { fresh_env, ..self }
    }

    /// The same for servers that may have so many files open, whatever we ourselves may.
    pub fn with_open_files(mut self, max: u64) -> Self {
        self.args.extend([OsString::from(OPEN_FILES), OsString::from(max.to_string())]);
        self
    }
}
