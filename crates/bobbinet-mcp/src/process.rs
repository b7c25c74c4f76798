//! One server process, behind its shim: started with a clean environment, ended for certain.

use std::{
    collections::VecDeque,
    env,
    ffi::OsString,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::sys::signal::Signal;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};
use tokio_util::task::TaskTracker;

use crate::{
    config::{Isolation, Launcher, McpConfig},
    exec::{HIDE, ISOLATION, NOT_ISOLATED, REQUIRED},
    procfs,
    sweep::{self, MARK, Record},
};

/// What every server gets of our environment. Locale variables (`LC_…`) come with it; everything else must be given.
const ENVIRONMENT: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR"];

/// Lines of standard error that are kept for whoever asks why the server died.
const TAIL_LINES: usize = 20;

/// Bytes that are kept of one line of standard error.
const TAIL_LINE_BYTES: usize = 512;

/// How long a server whose process has ended is still listened to: what it wrote last is in the pipe.
const LAST_LINES: Duration = Duration::from_millis(500);

/// How long the shim has beyond the grace it gives the server.
const SHIM_MARGIN: Duration = Duration::from_secs(2);

/// The last lines that a server wrote to its standard error.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<VecDeque<String>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().expect("nobody panics while holding a few lines");
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The lines, oldest first.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().expect("nobody panics while holding a few lines");
        lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    shim: Child,
    pid: i32,
    record: Option<Record>,
    tail: Arc<Tail>,
    stderr: JoinHandle<()>,
}

impl Server {
    /// Starts the server. What it says on standard error is read by a task of `tracker`.
    pub(crate) fn start(
        config: &McpConfig,
        launcher: &Launcher,
        folder: &Path,
        tracker: &TaskTracker,
    ) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let search = config.env.get("PATH").map(Into::into).or_else(|| env::var_os("PATH")).unwrap_or_default();
        if !is_runnable(&config.command, &search, config.cwd.as_deref()) {
            let text = format!("there is no program `{}` to run", config.command);
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let mark = fresh_mark(config);
        // Written before there is a process, so that no moment of ours leaves one that nobody knows of.
        Record::write(folder, &mark, None)?;
        let mut command = Command::new(&launcher.program);
        command
            .arg0("bobbinet-exec-mcp")
            .args(&launcher.args)
            .args(hiding(config.isolation, &launcher.hidden))
            .arg("--")
            .arg(&config.command)
            .args(&config.args)
            .env_clear()
            .envs(env::vars_os().filter(|(name, _)| is_passed_on(name.as_bytes())))
            .envs(&config.env)
            .env(MARK, &mark)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(folder) = &config.cwd {
            command.current_dir(folder);
        }
        let (mut shim, pid) = {
            let mut shims = sweep::shims();
            let shim = command.spawn()?;
            let pid = shim.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
            shims.insert(pid);
            (shim, pid)
        };
        let record = Record::write(folder, &mark, Some(pid))?;
        let missing = || io::Error::other("the process has no pipes");
        let stdin = shim.stdin.take().ok_or_else(missing)?;
        let stdout = shim.stdout.take().ok_or_else(missing)?;
        let stderr = shim.stderr.take().ok_or_else(missing)?;
        let tail = Arc::new(Tail::default());
        let stderr = tracker.spawn(read_stderr(config.name.clone(), mark, stderr, tail.clone()));
        Ok((Self { shim, pid, record: Some(record), tail, stderr }, stdin, stdout))
    }

    /// The shim's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// What it last wrote to its standard error.
    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Returns when its process has ended, and what it had still written had its time to be read. Its output may stay open
    /// beyond that: whoever else holds it.
    pub(crate) async fn ended(&mut self) {
        let _ = self.shim.wait().await;
        tokio::time::sleep(LAST_LINES).await;
    }

    /// Ends the server and all that it started. Its standard input must be closed: a polite server ends at that.
    ///
    /// Returns when nothing of it is left, at the latest some seconds after twice the grace.
    pub(crate) async fn stop(mut self, grace: Duration) -> Option<ExitStatus> {
        let mut status = self.wait(grace).await;
        if status.is_none() && self.shim.id().is_some() {
            procfs::signal(self.pid, Signal::SIGTERM);
            status = self.wait(grace + SHIM_MARGIN).await;
        }
        if status.is_none() && self.shim.id().is_some() {
            let pid = self.pid;
            let _ = tokio::task::spawn_blocking(move || sweep::end_tree(pid)).await;
            status = self.wait(SHIM_MARGIN).await;
        }
        self.stderr.abort();
        if let Some(record) = self.record.take() {
            let _ = tokio::task::spawn_blocking(move || record.close()).await;
        }
        status
    }

    async fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(patience, self.shim.wait()).await.ok()?.ok()
    }
}

/// A server that is dropped instead of stopped loses its lifeline, and its shim ends it. Its record stays for the sweep.
impl Drop for Server {
    fn drop(&mut self) {
        sweep::shims().remove(&self.pid);
        self.stderr.abort();
    }
}

/// A text that nothing else on this machine has in its environment.
fn fresh_mark(config: &McpConfig) -> String {
    use std::hash::{BuildHasher, RandomState};
    let mut hash = Sha256::new();
    hash.update(config.name.as_bytes());
    for round in 0..2_u64 {
        hash.update(RandomState::new().hash_one((round, std::process::id())).to_le_bytes());
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn is_passed_on(name: &[u8]) -> bool {
    ENVIRONMENT.iter().any(|known| known.as_bytes() == name) || name.starts_with(b"LC_")
}

/// Whether there is such a program: asked before the shim is, whose words nobody reads.
fn is_runnable(command: &str, search: &std::ffi::OsStr, folder: Option<&Path>) -> bool {
    if command.contains('/') {
        let from = folder.map_or_else(|| Path::new(".").to_owned(), Path::to_owned);
        return from.join(command).is_file();
    }
    env::split_paths(search).any(|folder| folder.join(command).is_file())
}

/// What the shim is told to hide, and how much that matters.
fn hiding(isolation: Isolation, hidden: &[PathBuf]) -> Vec<OsString> {
    let mut words = match isolation {
        Isolation::Off => return Vec::new(),
        Isolation::Auto => Vec::new(),
        Isolation::Required => vec![ISOLATION.into(), REQUIRED.into()],
    };
    words.extend(hidden.iter().flat_map(|folder| [HIDE.into(), folder.clone().into_os_string()]));
    words
}

/// Whether a first line of standard error is the shim's, on isolation: it begins with the mark that nobody else knows yet.
fn is_told(name: &str, mark: &str, line: &[u8]) -> bool {
    let Some(told) = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(mark)) else { return false };
    match told.trim_start().strip_prefix(NOT_ISOLATED) {
        Some(why) => tracing::warn!(
            agent = name,
            "not isolated: the MCP server could read this node's keys and store:{why}. Say `isolation: required` to start \
             no such server, or `isolation: off` if that is how it should be"
        ),
        None => tracing::debug!(agent = name, "the MCP server is{told}"),
    }
    true
}

/// Reads standard error to its end: a server that cannot write would stop.
async fn read_stderr(name: String, mark: String, stderr: ChildStderr, tail: Arc<Tail>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut is_first = true;
    loop {
        let (taken, is_whole) = match stderr.fill_buf().await {
            Ok(bytes) if !bytes.is_empty() => match bytes.iter().position(|&byte| byte == b'\n') {
                Some(end) => (keep(&mut line, &bytes[..end]) + 1, true),
                None => (keep(&mut line, bytes), false),
            },
            Ok(_) | Err(_) => break,
        };
        stderr.consume(taken);
        if is_whole && std::mem::take(&mut is_first) && is_told(&name, &mark, &line) {
            line.clear();
        } else if is_whole {
            say(&name, &tail, &mut line);
        }
    }
    say(&name, &tail, &mut line);
}

/// Appends as much as there is room for. Returns how much was given.
fn keep(line: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let room = TAIL_LINE_BYTES.saturating_sub(line.len()).min(bytes.len());
    line.extend_from_slice(&bytes[..room]);
    bytes.len()
}

fn say(name: &str, tail: &Tail, line: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    line.clear();
    if !text.is_empty() {
        tracing::debug!(agent = name, line = %text, "server's standard error");
        tail.push(text);
    }
}
