//! One server process, behind its shim: started with a clean environment, ended for certain.

use std::{
    collections::VecDeque,
    env,
    ffi::OsString,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use nix::sys::signal::Signal;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Isolation, Launcher, McpConfig},
    exec::{HIDE, ISOLATION, NOT_ISOLATED, REQUIRED},
    procfs,
    pulse::{Felt, Pulse},
    sweep::{self, MARK, Record},
};

/// What every server gets of our environment, if it is set there; everything else must be given to it by name.
///
/// Who the user is and where things are; how to speak to people; how to reach the network from behind a proxy, and whom
/// to believe there. What holds a secret as a rule (a token, the address of a package index) is not among them.
const ENVIRONMENT: [&str; 30] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "TERM",
    "LANG",
    "LANGUAGE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "NODE_USE_SYSTEM_CA",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "PIP_CERT",
    "npm_config_cafile",
    "NPM_CONFIG_CAFILE",
];

/// Families of variables that every server gets: the locale's, and where a desktop keeps its files.
const ENVIRONMENT_FAMILIES: [&str; 2] = ["LC_", "XDG_"];

/// Variables that change how a server is fetched or runs, and are not passed on: whoever has set one here and did not give
/// it is told, as it would otherwise be missing in silence.
const WITHHELD: [&str; 14] = [
    "NODE_OPTIONS",
    "NODE_PATH",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PYTHONPATH",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "VIRTUAL_ENV",
    "JAVA_HOME",
    "LD_LIBRARY_PATH",
];

/// Lines of standard error that are kept for whoever asks why the server died.
const TAIL_LINES: usize = 20;

/// Bytes that are kept of one line of standard error.
const TAIL_LINE_BYTES: usize = 512;

/// How long a server whose process has ended is still listened to: what it wrote last is in the pipe.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Bytes of standard error that go into an error which a caller sees: its end, where the reason stands.
const LAST_WORDS_BYTES: usize = 1_000;

/// How long the end of standard error is waited for when a server is gone: the shim closes it some milliseconds later.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(300);

/// A variable's value that is shorter is no secret, but a word like any other.
const SECRET_LENGTH_MIN: usize = 6;

/// How long a server whose output is closed has to end by itself, so that its own status is told and not that of our signal.
const END_WAIT: Duration = Duration::from_secs(1);

/// How long the shim has beyond the grace it gives the server.
const SHIM_MARGIN: Duration = Duration::from_secs(2);

/// The last lines that a server wrote to its standard error.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: Mutex<VecDeque<String>>,
    /// The newest line that speaks of an error: some programs print it, and then how they are used, at length.
    error: Mutex<Option<String>>,
    /// Nothing more will come.
    ended: CancellationToken,
    /// The values of variables that it was given: they are not to be repeated.
    secrets: Vec<String>,
}

impl Tail {
    fn new(config: &McpConfig) -> Self {
        let mut secrets: Vec<String> =
            config.env.values().filter(|value| value.len() >= SECRET_LENGTH_MIN).cloned().collect();
        // One may be part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets, ..Self::default() }
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().expect("nobody panics while holding a few lines")
    }

    fn error(&self) -> MutexGuard<'_, Option<String>> {
        self.error.lock().expect("nobody panics while holding a line")
    }

    fn push(&self, line: String) {
        let speaks_of_error = ["error", "fatal", "panic"]
            .iter()
            .any(|word| line.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes())));
        if speaks_of_error {
            *self.error() = Some(line.clone());
        }
        let mut lines = self.lines();
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// What it said at last, oldest line first, without the values of the variables that it was given. Waits a moment for
    /// the end of it.
    pub(crate) async fn last_words(&self) -> String {
        let _ = tokio::time::timeout(LAST_WORDS_WAIT, self.ended.cancelled()).await;
        let mut text = self.lines().iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        let error = self.error().clone().unwrap_or_default();
        let mut error = error.trim().to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "…");
            error = error.replace(secret.as_str(), "…");
        }
        let start = text.ceil_char_boundary(text.len().saturating_sub(LAST_WORDS_BYTES));
        // From the beginning of a line, if there is one.
        let start = if start > 0 { text[start..].find('\n').map_or(start, |end| start + end + 1) } else { 0 };
        let end = &text[start..];
        match (end.contains(&error), start) {
            (true, 0) => text,
            (true, _) => format!("…\n{end}"),
            (false, _) => format!("{error}\n…\n{end}"),
        }
    }

    /// Why a server ended, and below it what it said at last.
    pub(crate) async fn explain(&self, why: &str) -> String {
        let words = self.last_words().await;
        if words.is_empty() { why.to_owned() } else { format!("{why}. Its last words:\n{words}") }
    }
}

/// The first line of what [`Tail::explain`] says: for those who are nobody to the server.
pub(crate) fn headline(why: &str) -> &str {
    let line = why.lines().next().unwrap_or_default();
    line.strip_suffix(". Its last words:").unwrap_or(line)
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    shim: Child,
    pid: i32,
    record: Option<Record>,
    pulse: Arc<Pulse>,
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
    ) -> io::Result<(Self, ChildStdin, Felt<ChildStdout>)> {
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
        tell_withheld(config);
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
        let pulse = Arc::new(Pulse::new());
        let stdout = Felt::new(stdout, pulse.clone());
        let tail = Arc::new(Tail::new(config));
        let stderr = Felt::new(stderr, pulse.clone());
        let stderr = tracker.spawn(read_stderr(config.name.clone(), mark, stderr, tail.clone()));
        Ok((Self { shim, pid, record: Some(record), pulse, tail, stderr }, stdin, stdout))
    }

    /// The shim's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// What it last wrote to its standard error.
    pub(crate) fn tail(&self) -> &Arc<Tail> {
        &self.tail
    }

    /// Returns when its process has ended, and what it had still written had its time to be read. Its output may stay open
    /// beyond that: whoever else holds it.
    pub(crate) async fn ended(&mut self) {
        let _ = self.shim.wait().await;
        tokio::time::sleep(LAST_LINES).await;
    }

    /// Whether it is at work.
    pub(crate) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// How it has ended by itself, if it does so within a moment. Asked before it is ended: the status of a process that we
    /// have killed says nothing about it.
    pub(crate) async fn own_end(&mut self) -> Option<ExitStatus> {
        self.wait(END_WAIT).await
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
    let is_of = |family: &&str| name.starts_with(family.as_bytes());
    ENVIRONMENT.iter().any(|known| known.as_bytes() == name) || ENVIRONMENT_FAMILIES.iter().any(is_of)
}

fn tell_withheld(config: &McpConfig) {
    let is_missing = |name: &&str| env::var_os(name).is_some() && !config.env.contains_key(*name);
    let names = WITHHELD.into_iter().filter(is_missing).collect::<Vec<_>>();
    if !names.is_empty() {
        let names = names.join(", ");
        tracing::info!(
            agent = config.name,
            names,
            "the server does not get these variables: give them by name if it needs them"
        );
    }
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
async fn read_stderr(name: String, mark: String, stderr: Felt<ChildStderr>, tail: Arc<Tail>) {
    // Also when this is dropped.
    let _ended = tail.ended.clone().drop_guard();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_gets_what_it_needs_to_reach_the_network_and_no_secret() {
        for name in ["PATH", "HTTPS_PROXY", "https_proxy", "NODE_EXTRA_CA_CERTS", "XDG_CONFIG_HOME", "LC_ALL", "TERM"] {
            assert!(is_passed_on(name.as_bytes()), "{name}");
        }
        for name in ["AWS_SECRET_ACCESS_KEY", "BOBBINET_BEARER", "PIP_INDEX_URL", "MY_XDG_X", "SSH_AUTH_SOCK", ""] {
            assert!(!is_passed_on(name.as_bytes()), "{name}");
        }
        assert!(WITHHELD.iter().all(|name| !is_passed_on(name.as_bytes())));
    }

    #[tokio::test]
    async fn last_words_are_few_and_keep_secrets() {
        let mut config = McpConfig::new("a", "x", &[]);
        config.env.insert("TOKEN".to_owned(), "hunter22".to_owned());
        config.env.insert("PORT".to_owned(), "80".to_owned());
        let tail = Tail::new(&config);
        tail.ended.cancel();
        assert_eq!(tail.explain("it ended").await, "it ended");
        tail.push("port 80 with hunter22".to_owned());
        tail.push("bye".to_owned());
        let text = tail.explain("it ended").await;
        assert_eq!(text, "it ended. Its last words:\nport 80 with …\nbye");
        assert_eq!(headline(&text), "it ended");
        tail.push("Error: unknown command \"stdoi\"".to_owned());
        for number in 0..100 {
            tail.push(format!("--flag-{number} {}", "ä".repeat(100)));
        }
        let words = tail.last_words().await;
        assert!(words.starts_with("Error: unknown command \"stdoi\"\n…\n--flag-9") && words.ends_with('ä'), "{words}");
        assert!(words.len() <= LAST_WORDS_BYTES + TAIL_LINE_BYTES + "\n…\n".len(), "{}", words.len());
    }
}
