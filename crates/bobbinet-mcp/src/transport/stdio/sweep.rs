//! What an earlier life may have left running: written down when it is started, ended when we start again.
//!
//! The shim ends its tree even when we are killed. This is for the day when somebody kills the shim too.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::{
        prctl,
        signal::Signal,
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use tokio::process::{Child, Command};

use super::procfs;

/// The variable by which a server's tree is known, whoever its processes' parents have become.
pub(crate) const MARK: &str = "BOBBINET_MCP_TREE";

/// How long we go on killing what does not die.
const SWEEP_MAX: Duration = Duration::from_secs(5);

/// Whether whoever loses his parent becomes a child of ours.
static ADOPTS: AtomicBool = AtomicBool::new(false);

/// The shims that we have started. A child of ours that is none of them was adopted.
static SHIMS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Makes this process the new parent of what a server leaves behind whose shim was killed, so that it can be found and ended
/// even where it has changed its session and its environment.
///
/// For a program that starts no other children than servers: any other would be taken for such.
///
/// # Errors
/// What the system says. Then only those are found that still carry their mark.
pub fn adopt_orphans() -> io::Result<()> {
    prctl::set_child_subreaper(true)?;
    ADOPTS.store(true, Ordering::Relaxed);
    Ok(())
}

/// The shims, for as long as nobody else may start or end one.
fn shims() -> MutexGuard<'static, BTreeSet<i32>> {
    SHIMS.lock().expect("nobody panics while holding a few numbers")
}

/// A shim in the list of those that we have started. Dropped, it is none any more.
#[derive(Debug)]
pub(crate) struct ListedShim(i32);

impl ListedShim {
    /// Starts a shim: nobody takes it for an adopted child between its start and its entry in the list.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<(Child, Self)> {
        let mut shims = shims();
        let shim = command.spawn()?;
        let pid = shim.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        shims.insert(pid);
        Ok((shim, Self(pid)))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0
    }
}

impl Drop for ListedShim {
    fn drop(&mut self) {
        shims().remove(&self.0);
    }
}

/// Ends whom we have adopted, and all who came of them. Blocks.
fn end_adopted() {
    if !ADOPTS.load(Ordering::Relaxed) {
        return;
    }
    let us = std::process::id().cast_signed();
    // Nobody starts a shim while they are told apart; they are ended without keeping anybody from it.
    let adopted: Vec<_> = {
        let known = shims();
        let all = procfs::all().into_iter();
        all.filter(|process| process.parent == us && !known.contains(&process.pid)).collect()
    };
    end(|| {
        let all = procfs::all();
        let is_adopted = |process: &&procfs::Process| {
            adopted.iter().any(|adopted| adopted.pid == process.pid && adopted.started == process.started)
        };
        let mut found = Vec::new();
        for process in all.iter().filter(is_adopted) {
            // The dead among them wait for us to take note.
            let _ = waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG));
            found.extend(procfs::descendants(process.pid, &all));
            found.extend((!process.is_zombie).then_some(process.pid));
        }
        found
    });
}

/// A server's tree, on disk for as long as it may live.
#[derive(Debug)]
pub(crate) struct ProcessRecord {
    path: PathBuf,
    mark: String,
}

impl ProcessRecord {
    /// Where an agent's folder keeps it.
    fn path(folder: &Path) -> PathBuf {
        folder.join("server.pid")
    }

    /// Writes down a tree: its mark before it is started, with its first process once there is one.
    pub(crate) fn write(folder: &Path, mark: &str, first: Option<i32>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = Self::path(folder);
        let process = first.and_then(procfs::one);
        let (pid, started) = process.map_or((0, 0), |process| (process.pid, process.started));
        let fresh = path.with_extension("new");
        fs::write(&fresh, format!("{mark} {pid} {started}\n"))?;
        fs::rename(&fresh, &path)?;
        Ok(Self { path, mark: mark.to_owned() })
    }

    /// Ends whatever is left of the tree, and forgets it. Blocks for some milliseconds.
    pub(crate) fn close(self) {
        end_marked(&self.mark);
        end_adopted();
        let _ = fs::remove_file(&self.path);
    }
}

/// Ends what an earlier life of this agent has left, and says how many processes that were. Blocks.
pub(crate) fn sweep(folder: &Path) -> usize {
    let path = ProcessRecord::path(folder);
    let Ok(text) = fs::read_to_string(&path) else { return 0 };
    let mut words = text.split_ascii_whitespace();
    let (mark, pid, started) = (words.next(), words.next(), words.next());
    let mut ended = 0;
    let first = pid.and_then(|pid| pid.parse().ok()).and_then(procfs::one);
    if let Some(first) = first.filter(|first| Some(first.started) == started.and_then(|ticks| ticks.parse().ok())) {
        ended += end_tree(first.pid);
    }
    ended += mark.map_or(0, end_marked);
    let _ = fs::remove_file(&path);
    ended
}

/// Kills a process and all its descendants.
pub(crate) fn end_tree(pid: i32) -> usize {
    end(|| {
        let all = procfs::all();
        let mut tree = procfs::descendants(pid, &all);
        tree.extend(all.iter().filter(|process| process.pid == pid && !process.is_zombie).map(|process| process.pid));
        tree
    })
}

/// Kills every process that carries the mark, and their descendants.
fn end_marked(mark: &str) -> usize {
    end(|| {
        let all = procfs::all();
        let marked = all.iter().filter(|process| !process.is_zombie && procfs::has_variable(process.pid, MARK, mark));
        let mut found = Vec::new();
        for process in marked {
            found.push(process.pid);
            found.extend(procfs::descendants(process.pid, &all));
        }
        found.sort_unstable();
        found.dedup();
        found
    })
}

fn end(mut find: impl FnMut() -> Vec<i32>) -> usize {
    let begun = Instant::now();
    let mut first = None;
    loop {
        let found = find();
        let count = *first.get_or_insert(found.len());
        if found.is_empty() || begun.elapsed() > SWEEP_MAX {
            return count;
        }
        for pid in found {
            procfs::signal(pid, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
