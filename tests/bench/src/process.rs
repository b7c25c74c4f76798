//! What the kernel says of a process: processor time, memory, children.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// Ticks a second in `/proc/PID/stat`. Fixed in the kernel's interface, whatever its own timer does.
const TICKS: u64 = 100;

/// The processor time that a process and its living descendants have used so far.
pub(crate) fn time_of_tree(pid: u32) -> Duration {
    tree(pid).into_iter().map(time_of_one).sum()
}

/// The processor time that a process has used so far, by all its threads.
pub(crate) fn time_of_one(pid: u32) -> Duration {
    stat(pid).map(|stat| stat.used).unwrap_or_default()
}

/// The memory that these processes hold now, in bytes.
pub(crate) fn resident(pids: &[u32]) -> u64 {
    let of_one = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kibibytes << 10)
    };
    pids.iter().filter_map(of_one).sum()
}

/// The memory of these processes in bytes, where what several processes share counts by shares (PSS).
pub(crate) fn proportional(pids: &[u32]) -> u64 {
    let of_one = |pid: &u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kibibytes << 10)
    };
    pids.iter().filter_map(of_one).sum()
}

/// Those that a process has started itself and that have not ended.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    tree(parent).into_iter().filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent)).collect()
}

/// A process and all below it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

struct Stat {
    parent: u32,
    used: Duration,
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(text: &str) -> Option<Stat> {
    // The name in parentheses may hold anything, parentheses and spaces included: count from the last one.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, used: Duration::from_millis(ticks * 1000 / TICKS) })
}

/// Which core the servers run on and which one the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// The servers'.
    pub(crate) server: usize,
    /// The load generator's. The same one on a machine that has only one.
    pub(crate) load: usize,
}

impl Cores {
    /// The first two that this process may use.
    pub(crate) fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("asking which cores there are")?;
        let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        let server = cores.next().context("no core to run on")?;
        Ok(Self { server, load: cores.next().unwrap_or(server) })
    }

    /// Ties this thread, and what it starts from now on, to a core.
    pub(crate) fn pin(core: usize) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(core).with_context(|| format!("naming core {core}"))?;
        sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("moving to core {core}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_from_its_last_parenthesis() {
        let line = "7 (a) b (c)) S 3 7 7 0 -1 4 1 0 0 0 150 50 0 0 20 0 1 0 99 1 1";
        let stat = parse(line).unwrap();
        assert_eq!((stat.parent, stat.used), (3, Duration::from_secs(2)));
    }

    #[test]
    fn a_process_is_in_its_own_tree_and_holds_memory() {
        let pid = std::process::id();
        assert!(tree(pid).contains(&pid));
        assert!(resident(&[pid]) > 1 << 20 && proportional(&[pid]) > 1 << 18);
    }
}
