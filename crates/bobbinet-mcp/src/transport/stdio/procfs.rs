//! Which processes there are, whose children they are, and since when: read from `/proc`.

use std::{collections::BTreeMap, fs};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// One process, as `/proc/<pid>/stat` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Dead, but not yet waited for by its parent.
    pub(crate) is_zombie: bool,
    /// When it began, in clock ticks since boot. With the pid it names a process for good.
    pub(crate) started: u64,
    /// The processor time that it has used, and its children that are gone, in clock ticks.
    pub(crate) ticks: u64,
}

/// All processes that can be seen.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(one).collect()
}

/// The process with this id, if there is one.
pub(crate) fn one(pid: i32) -> Option<Process> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(pid: i32, stat: &str) -> Option<Process> {
    // The second field is the program's name in parentheses, and may itself contain spaces and parentheses.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let is_zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    // The parent is field 4 of proc(5), the times used are fields 14 to 17, the start time is field 22.
    let mut ticks = 0_u64;
    for field in [fields.nth(9)?, fields.next()?, fields.next()?, fields.next()?] {
        ticks = ticks.saturating_add(field.parse().unwrap_or(0));
    }
    let started = fields.nth(4)?.parse().ok()?;
    Some(Process { pid, parent, is_zombie, started, ticks })
}

/// The living descendants of the process `of`, nearest first.
pub(crate) fn descendants(of: i32, all: &[Process]) -> Vec<i32> {
    let mut children = BTreeMap::<i32, Vec<&Process>>::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut next = vec![of];
    while let Some(parent) = next.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            next.push(child.pid);
            if !child.is_zombie {
                found.push(child.pid);
            }
        }
    }
    found
}

/// Whether the process was started with this variable in its environment. `false` for somebody else's process.
pub(crate) fn has_variable(pid: i32, name: &str, value: &str) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let wanted = format!("{name}={value}");
    environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
}

/// Sends a signal. A process that is gone, or not ours, is left out: there is nothing more that we could do.
pub(crate) fn signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let rest = "S 7 1 1 0 -1 4194560 1 0 0 0 30 4 5 3 20 0 1 0 4711 1 1";
        for name in ["(sh)", "(a b)", "(x) R 1 (y)"] {
            let process = parse(9, &format!("9 {name} {rest}")).unwrap();
            assert_eq!(process, Process { pid: 9, parent: 7, is_zombie: false, started: 4711, ticks: 42 });
        }
        assert_eq!(parse(9, "9 (sh"), None);
    }

    #[test]
    fn descendants_are_found_at_every_depth() {
        let process = |pid, parent| Process { pid, parent, is_zombie: pid == 5, started: 0, ticks: 0 };
        let all = [process(2, 1), process(3, 2), process(4, 3), process(5, 2), process(6, 5), process(7, 1)];
        let mut found = descendants(2, &all);
        found.sort_unstable();
        assert_eq!(found, [3, 4, 6]);
    }

    #[test]
    fn we_see_ourselves() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(all().iter().any(|process| process.pid == pid && process.started > 0));
        assert!(!has_variable(pid, "BOBBINET_NO_SUCH_VARIABLE", "1"));
    }
}
