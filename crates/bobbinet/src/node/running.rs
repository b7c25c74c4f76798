//! Nodes that run on this machine, for the command line to find: each writes who it is into its data folder, and where
//! that folder is into a folder of its user's.

use std::{
    collections::BTreeMap,
    env, fs, io,
    net::SocketAddr,
    path::{self, Path, PathBuf},
};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use serde::{Deserialize, Serialize};

use crate::config::DATA;

/// Where a running node says who it is, in its data folder.
const FILE: &str = "node.json";

/// Nodes of one user that are looked at. Each is a process; nobody runs this many.
const NODES_MAX: usize = 64;

/// What a running node says of itself. There is no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// The node's process.
    pub(crate) pid: i32,
    /// When that process was started, in the kernel's own count: tells it from a later one of the same number.
    pub(crate) started: Option<u64>,
    /// Its data folder.
    pub(crate) data: PathBuf,
    /// The folder that it was started in: whoever works there means this node.
    pub(crate) folder: PathBuf,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// What it is reached at from this machine, such as `http://127.0.0.1:7420`.
    pub(crate) url: String,
    /// Its agents' URLs, by name; the one to prefer.
    pub(crate) agents: BTreeMap<String, String>,
    /// All the origins that tokens may be made for.
    pub(crate) origins: Vec<String>,
}

/// A node's word that it starts or runs; taken back when dropped.
#[derive(Debug)]
pub(crate) struct Announcement {
    files: Vec<PathBuf>,
}

/// Where the data of a node is, in a file of its user's that is named after its process.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pointer {
    /// When the process was started.
    started: Option<u64>,
    data: PathBuf,
    folder: PathBuf,
}

impl Announcement {
    /// Says that a node is about to run: whoever calls it waits for it. Whoever cannot write his user's folder is found
    /// by his data folder alone, once he runs.
    pub(crate) fn begin(data: &Path) -> Self {
        let written = user_folder().and_then(|folder| {
            sweep(&folder);
            let file = folder.join(std::process::id().to_string());
            let started = started(i32::try_from(std::process::id()).ok()?);
            let pointer = Pointer { started, data: path::absolute(data).ok()?, folder: here()? };
            let text = serde_json::to_vec(&pointer).ok()?;
            fs::create_dir_all(&folder).and_then(|()| replace(&file, &text)).ok().map(|()| file)
        });
        Self { files: written.into_iter().collect() }
    }

    /// Says that the node runs.
    pub(crate) fn ready(&mut self, running: &Running) -> io::Result<()> {
        let file = running.data.join(FILE);
        replace(&file, &serde_json::to_vec_pretty(running)?)?;
        self.files.push(file);
        Ok(())
    }
}

/// Whose node is meant where none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of this data folder.
    Data(PathBuf),
    /// Those of the working folder.
    Here,
    /// Any of this user's.
    Anyone,
}

/// Whether such a node is starting, and does not say yet where it is.
pub(crate) fn is_starting(whose: &Whose) -> bool {
    let is_meant = |pointer: &Pointer| match whose {
        Whose::Data(data) => path::absolute(data).is_ok_and(|data| data == pointer.data),
        Whose::Here => here().is_some_and(|here| here == pointer.folder),
        Whose::Anyone => true,
    };
    announced().iter().any(|pointer| is_meant(pointer) && Running::at(&pointer.data).is_none())
}

/// The working folder.
pub(crate) fn here() -> Option<PathBuf> {
    env::current_dir().and_then(|folder| folder.canonicalize()).ok()
}

impl Running {
    /// The node that runs on this data folder.
    pub(crate) fn at(data: &Path) -> Option<Self> {
        let running: Self = serde_json::from_slice(&fs::read(data.join(FILE)).ok()?).ok()?;
        let folder = data.canonicalize().ok()?;
        // A folder that was copied brings a file along that is not about it.
        (running.data == folder && running.is_alive()).then_some(running)
    }

    /// All nodes of this user, the one of the working directory first.
    pub(crate) fn all() -> Vec<Self> {
        let mut nodes: Vec<Self> = Self::at(Path::new(DATA)).into_iter().collect();
        for Pointer { data, .. } in announced() {
            if let Some(node) = Self::at(&data)
                && !nodes.contains(&node)
            {
                nodes.push(node);
            }
        }
        nodes
    }

    /// The node that a URL leads to.
    pub(crate) fn of(url: &str) -> Option<Self> {
        Self::all().into_iter().find(|node| node.is_at(url))
    }

    /// Whether it belongs to the working folder: it was started there, or its data is where a node's is by default.
    pub(crate) fn is_here(&self) -> bool {
        let is_default = || Path::new(DATA).canonicalize().is_ok_and(|data| data == self.data);
        here().is_some_and(|here| here == self.folder) || is_default()
    }

    /// The agent that a URL leads to, by the path of its URL.
    pub(crate) fn agent_at(&self, url: &str) -> Option<&str> {
        let path = |url: &str| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            rest.split_once('/').map(|(_, path)| path.trim_end_matches('/').to_owned()).unwrap_or_default()
        };
        let agents = self.is_at(url).then_some(&self.agents)?;
        agents.iter().find(|(_, own)| path(own) == path(url)).map(|(name, _)| name.as_str())
    }

    /// Whether a URL leads to this node.
    pub(crate) fn is_at(&self, url: &str) -> bool {
        self.origins.iter().any(|origin| {
            url.strip_prefix(origin.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
        })
    }

    /// What asks this node, and nobody else. Its certificate is made out for other names than the machine has for itself; that its
    /// process listens there was looked at, which says more.
    pub(crate) fn http(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(self.url.starts_with("https://"))
    }

    fn is_alive(&self) -> bool {
        is_there(self.pid) && (self.started.is_none() || self.started == started(self.pid))
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        for file in &self.files {
            // What is left behind is recognised by its process, which is gone.
            fs::remove_file(file).ok();
        }
    }
}

/// When a process was started, in clock ticks since the machine was: field 22 of its `stat`.
pub(crate) fn started(pid: i32) -> Option<u64> {
    field_of_stat(pid, 22)?.parse().ok()
}

/// A field of a process's `stat`, from the third on, as the kernel counts them.
fn field_of_stat(pid: i32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may have anything in it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(number - 3).map(str::to_owned)
}

fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, content)?;
    fs::rename(&new, file)
}

/// What living nodes of this user have announced.
fn announced() -> Vec<Pointer> {
    let living = pointers(user_folder().as_deref()).into_iter().filter(|(pid, _)| is_there(*pid));
    let read = |(pid, file): (i32, PathBuf)| {
        let pointer: Pointer = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        (pointer.started.is_none() || pointer.started == started(pid)).then_some(pointer)
    };
    living.take(NODES_MAX).filter_map(read).collect()
}

/// Takes away what nodes have left behind that were killed.
fn sweep(folder: &Path) {
    for (_, file) in pointers(Some(folder)).into_iter().filter(|(pid, _)| !is_there(*pid)) {
        fs::remove_file(file).ok();
    }
}

/// The files in which nodes have said where their data is, by their processes.
fn pointers(folder: Option<&Path>) -> Vec<(i32, PathBuf)> {
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let pointer = |entry: fs::DirEntry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()));
    let mut pointers: Vec<(i32, PathBuf)> = entries.filter_map(pointer).collect();
    pointers.sort();
    pointers
}

/// Whether a process has this number. One that has ended has it until somebody asks how it ended, and in many a
/// container nobody does.
fn is_there(pid: i32) -> bool {
    let has_number = matches!(kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM));
    has_number && field_of_stat(pid, 3).is_none_or(|state| state != "Z")
}

/// A folder of the user's, gone when he logs out if there is one of that kind.
fn user_folder() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_RUNTIME_DIR")
        .or_else(|| absolute("XDG_STATE_HOME"))
        .or_else(|| env::home_dir().map(|home| home.join(".local/state")))
        .map(|folder| folder.join("bobbinet/nodes"))
}

#[cfg(test)]
mod tests {
    use std::{
        process::Command,
        thread::sleep,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn a_process_that_has_ended_is_gone_though_nobody_asked_how() {
        assert!(is_there(i32::try_from(std::process::id()).unwrap()));
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let patience = Instant::now() + Duration::from_secs(30);
        while is_there(pid) {
            assert!(Instant::now() < patience, "it is still there");
            sleep(Duration::from_millis(5));
        }
        assert!(kill(Pid::from_raw(pid), None).is_ok(), "its number is taken as long as nobody has asked");
        child.wait().unwrap();
    }
}
