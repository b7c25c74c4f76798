//! One server process, behind its shim: started with a clean environment, ended for certain.

use std::{
    env,
    ffi::OsString,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use nix::sys::signal::Signal;
use sha2::{Digest, Sha256};
use tokio::{
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};
use tokio_util::task::TaskTracker;

use super::{
    launcher::Launcher,
    procfs,
    pulse::{Pulse, PulseReader},
    rlimits::LIMIT,
    shim::{HIDE, ISOLATION, REQUIRED, SHOW},
    start_place,
    stderr::{StderrTail, read_stderr},
    sweep::{self, ListedShim, MARK, ProcessRecord},
};
use crate::{
    config::{Isolation, ServerCommand, WorkFolder},
    process_limits::ProcessLimits,
    secrets::{self, Secrets},
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

/// How long a server whose process has ended is still listened to: what it wrote last is in the pipe.
const LAST_LINES: Duration = Duration::from_millis(500);

/// How long a server whose output is closed has to end by itself, so that its own status is told and not that of our signal.
const END_WAIT: Duration = Duration::from_secs(1);

/// How long the shim has beyond the grace it gives the server.
const SHIM_MARGIN: Duration = Duration::from_secs(2);

/// A server's process, and the shim that it runs behind.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    shim: Child,
    pid: i32,
    /// For as long as it is a child of ours.
    listed: Option<ListedShim>,
    record: Option<ProcessRecord>,
    pulse: Arc<Pulse>,
    tail: Arc<StderrTail>,
    stderr: JoinHandle<()>,
    secrets: Secrets,
}

/// What a server gets that it is not to repeat: what it is configured with, what was made for this start, and the password of a proxy.
fn secrets_of(server: &ServerCommand, fresh: &[(String, String)]) -> Secrets {
    let passed_on = env::vars_os().filter(|(name, _)| is_passed_on(name.as_bytes()));
    let passwords = passed_on.filter_map(|(_, value)| secrets::password(value.to_str()?));
    let given = server.env.values().cloned().chain(server.env.values().filter_map(|value| secrets::password(value)));
    Secrets::of(given.chain(secrets::of_arguments(&server.args)).chain(secrets::of_variables(fresh)).chain(passwords))
}

impl ServerProcess {
    /// Starts the server. What it says on standard error is read by a task of `tracker`.
    pub(crate) fn start(
        agent: &str,
        server: &ServerCommand,
        launcher: &Launcher,
        folder: &Path,
        tracker: &TaskTracker,
    ) -> io::Result<(Self, ChildStdin, PulseReader<ChildStdout>)> {
        let work_folder = start_place::folder(agent, &server.cwd, launcher)?;
        let shown = work_folder.as_ref().filter(|_| server.cwd == WorkFolder::Own);
        let search = server.env.get("PATH").map(Into::into).or_else(|| env::var_os("PATH")).unwrap_or_default();
        if !is_runnable(&server.command, &search, work_folder.as_deref()) {
            let text = format!("there is no program `{}` to run", server.command);
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let mark = fresh_mark(agent);
        // Written before there is a process, so that no moment of ours leaves one that nobody knows of.
        ProcessRecord::write(folder, &mark, None)?;
        let fresh = launcher.fresh_env.make();
        let secrets = secrets_of(server, &fresh);
        let mut command = Command::new(&launcher.program);
        command
            .arg0("bobbinet-exec-mcp")
            .args(&launcher.args)
            .args(hiding(server.isolation, &launcher.hidden))
            .args(shown.into_iter().flat_map(|folder| [SHOW.as_ref(), folder.as_os_str()]))
            .args(limiting(&server.rlimits))
            .arg("--")
            .arg(&server.command)
            .args(&server.args)
            .env_clear()
            .envs(env::vars_os().filter(|(name, _)| is_passed_on(name.as_bytes())))
            .envs(fresh)
            .envs(&server.env)
            .env(MARK, &mark)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(folder) = &work_folder {
            command.current_dir(folder);
        }
        tell_withheld(agent, server);
        let (mut shim, listed) = ListedShim::spawn(&mut command)?;
        let pid = listed.pid();
        let record = ProcessRecord::write(folder, &mark, Some(pid))?;
        let missing = || io::Error::other("the process has no pipes");
        let stdin = shim.stdin.take().ok_or_else(missing)?;
        let stdout = shim.stdout.take().ok_or_else(missing)?;
        let stderr = shim.stderr.take().ok_or_else(missing)?;
        let pulse = Arc::new(Pulse::new());
        let stdout = PulseReader::new(stdout, pulse.clone());
        let tail = Arc::new(StderrTail::new(secrets.clone()));
        let stderr = PulseReader::new(stderr, pulse.clone());
        let stderr = tracker.spawn(read_stderr(agent.to_owned(), mark, stderr, tail.clone()));
        let process = Self { shim, pid, listed: Some(listed), record: Some(record), pulse, tail, stderr, secrets };
        Ok((process, stdin, stdout))
    }

    /// The shim's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// What it was given that is not to be repeated.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// What it last wrote to its standard error.
    pub(crate) fn tail(&self) -> &Arc<StderrTail> {
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
    pub(crate) async fn own_status(&mut self) -> Option<ExitStatus> {
        self.wait(END_WAIT).await
    }

    /// Ends the server and all that it started. Its standard input must be closed: a polite server ends at that.
    ///
    /// Returns when nothing of it is left, at the latest some seconds after twice the grace.
    pub(crate) async fn stop(&mut self, grace: Duration) {
        let mut status = self.wait(grace).await;
        if status.is_none() && self.shim.id().is_some() {
            procfs::signal(self.pid, Signal::SIGTERM);
            status = self.wait(grace + SHIM_MARGIN).await;
        }
        if status.is_none() && self.shim.id().is_some() {
            let pid = self.pid;
            let _ = tokio::task::spawn_blocking(move || sweep::end_tree(pid)).await;
            self.wait(SHIM_MARGIN).await;
        }
        self.stderr.abort();
        if let Some(record) = self.record.take() {
            let _ = tokio::task::spawn_blocking(move || record.close()).await;
        }
        self.listed = None;
    }

    async fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(patience, self.shim.wait()).await.ok()?.ok()
    }
}

/// A server that is dropped instead of stopped loses its lifeline, and its shim ends it. Its record stays for the sweep.
impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.stderr.abort();
    }
}

/// A text that nothing else on this machine has in its environment.
fn fresh_mark(agent: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    let mut hash = Sha256::new();
    hash.update(agent.as_bytes());
    for round in 0..2_u64 {
        hash.update(RandomState::new().hash_one((round, std::process::id())).to_le_bytes());
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn is_passed_on(name: &[u8]) -> bool {
    let is_of = |family: &&str| name.starts_with(family.as_bytes());
    ENVIRONMENT.iter().any(|known| known.as_bytes() == name) || ENVIRONMENT_FAMILIES.iter().any(is_of)
}

fn tell_withheld(agent: &str, server: &ServerCommand) {
    let is_missing = |name: &&str| env::var_os(name).is_some() && !server.env.contains_key(*name);
    let names = WITHHELD.into_iter().filter(is_missing).collect::<Vec<_>>();
    if !names.is_empty() {
        let names = names.join(", ");
        tracing::info!(agent, names, "the server does not get these variables: give them by name if it needs them");
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

/// What the shim is told of how much the server may take.
fn limiting(limits: &ProcessLimits) -> Vec<OsString> {
    limits.said().flat_map(|(name, max)| [LIMIT.into(), format!("{name}={max}").into()]).collect()
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
}
