//! On what it was measured, and with which versions.

use std::{fs, path::Path, process::Command};

use serde::Serialize;

/// The machine, as far as it makes a difference.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    /// File system and device of the data folders.
    pub(crate) disk: String,
    /// Work that was waiting for a core when the run began, over the last minute. Above a few tenths, something else
    /// was running, and the numbers are worth less.
    pub(crate) load_before: String,
    /// Each tool or program and its version.
    pub(crate) versions: Vec<(String, String)>,
}

impl Machine {
    pub(crate) fn look(data: &Path, root: &Path) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kibibytes: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        let version = |program: &str, arguments: &[&str]| (program.to_owned(), output(program, arguments, root));
        Self {
            processor: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_gib: kibibytes / f64::from(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            disk: disk(data),
            load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            versions: vec![
                (
                    "bobbinet".to_owned(),
                    format!(
                        "{} {}",
                        env!("CARGO_PKG_VERSION"),
                        output("git", &["describe", "--always", "--dirty"], root)
                    ),
                ),
                version("rustc", &["--version"]),
                version("python3", &["--version"]),
                version("node", &["--version"]),
            ],
        }
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn output(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    output.ok().map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The mount that a folder is on: the longest one that it begins with.
fn disk(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = read("/proc/mounts");
    let found = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?, words.next()?))
        })
        .filter(|(_, mount, _)| folder.starts_with(mount))
        .max_by_key(|(_, mount, _)| mount.len());
    found.map_or_else(|| "unknown".to_owned(), |(device, _, kind)| format!("{kind} on {device}"))
}
