//! A process and all that it has started, as the kernel tells it: so that the demo can say what has died.

use std::{collections::BTreeMap, fs};

/// A process for good: its number alone may be given to another one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) pid: i32,
    started: u64,
}

impl Process {
    /// Whether it lives. One that is dead and not yet waited for does not.
    pub(super) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.process == self && !stat.is_dead)
    }
}

/// The living descendants of a process, the process itself first.
pub(super) fn of(pid: i32) -> Vec<Process> {
    let mut children = BTreeMap::<i32, Vec<Stat>>::new();
    for stat in fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
    {
        children.entry(stat.parent).or_default().push(stat);
    }
    let mut family: Vec<Process> =
        stat(pid).filter(|stat| !stat.is_dead).map(|stat| stat.process).into_iter().collect();
    let mut next = vec![pid];
    while let Some(parent) = next.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            next.push(child.process.pid);
            if !child.is_dead {
                family.push(child.process);
            }
        }
    }
    family
}

struct Stat {
    process: Process,
    parent: i32,
    is_dead: bool,
}

/// See proc(5): the state is field 3 of `stat`, the parent field 4, the start field 22.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may have anything in it.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat { process: Process { pid, started }, parent, is_dead })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_family_is_found_and_its_dead_are_known() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let found = of(own).into_iter().find(|process| process.pid == pid).unwrap();
        assert!(found.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!found.is_alive());
        assert!(of(own).iter().all(|process| *process != found));
        assert_eq!(of(own)[0].pid, own);
    }
}
