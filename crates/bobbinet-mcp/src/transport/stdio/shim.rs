//! The shim between us and a server: whatever the server starts, and however we end, nothing of it stays alive.
//!
//! It is the parent of the server and the subreaper of all that the server starts, so no descendant can slip away, not
//! even one that forked twice or began a session of its own. It ends them all when the server ends, when it is told
//! to, or when we are gone. That we are gone it learns from its standard error: the reading end is ours alone, and the
//! kernel closes it even after `kill -9`. (A parent-death signal would not do: it comes when the *thread* that started
//! the shim ends. Between shim and server, where there is one thread, it is the second belt.)

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Write,
    os::{fd::AsFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Child, Command, ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, dup2_stdin, dup2_stdout, getpid, getppid, setsid},
};

use super::{
    isolation::{self, Hidden, IsolationMeans},
    launcher::HIDE_FILE,
    procfs, rlimits,
    sweep::MARK,
};

/// The argument that makes the shim become the server, if its parent is still the one named.
const DIE_WITH: &str = "--die-with";

/// The argument that makes the shim try to hide the folders by mounts, and end.
const TRY: &str = "--try-isolation";

/// The argument before each folder that the server must not see.
pub(crate) const HIDE: &str = "--hide";

/// The argument before the one folder, in one of those, that it may see: its own.
pub(crate) const SHOW: &str = "--show";

/// The argument before the word that says whether a server may start that cannot be kept from seeing them.
pub(crate) const ISOLATION: &str = "--isolation";

/// The word after [`ISOLATION`] for a server that must not start without.
pub(crate) const REQUIRED: &str = "required";

/// How the line begins, after the mark, that tells with what the server is isolated.
pub(crate) const ISOLATED: &str = "isolated by";

/// How it begins where it is, but for some files, which follow.
pub(crate) const SEEN: &str = "isolated by Landlock, but for";

/// How it begins where it is not.
pub(crate) const NOT_ISOLATED: &str = "not isolated:";

/// How long the tree has to end by itself after it was told to.
const GRACE: Duration = Duration::from_millis(1_500);

/// How long we go on killing a tree that keeps growing, or that the kernel will not let go of.
const KILL_MAX: Duration = Duration::from_secs(10);

/// How often the shim looks whether its parent has changed: only in case that standard error is no pipe of ours.
const PARENT_CHECK_MS: u16 = 1_000;

/// Exit code for a command that is not there, as shells have it; one that cannot be run has one less.
const NOT_FOUND: u8 = 127;

/// Runs `prefix… -- command…` as the shim, and returns when the command and all that it started are gone.
///
/// Call it first thing in `main`, before any thread is started, with the arguments after the program's name: signals
/// are blocked for the calling thread only.
pub fn exec_mcp(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = args.into_iter().collect::<Vec<_>>();
    let Some(split) = args.iter().position(|arg| arg == "--") else {
        return fail("usage: exec-mcp -- COMMAND [ARGUMENT]...", 2);
    };
    let (prefix, command) = (&args[..split], &args[split + 1..]);
    let Some((program, arguments)) = command.split_first() else {
        return fail("usage: exec-mcp -- COMMAND [ARGUMENT]...", 2);
    };
    match prefix {
        [prefix @ .., flag] if flag == TRY => match isolation::by_mounts(&hidden(prefix)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => fail(&why, 1),
        },
        [prefix @ .., flag, parent] if flag == DIE_WITH => become_server(prefix, parent, program, arguments),
        prefix => guard(prefix, command),
    }
}

/// The second stage: dies with the shim, sees no more than it should, and becomes the server.
fn become_server(prefix: &[OsString], parent: &OsStr, program: &OsStr, arguments: &[OsString]) -> ExitCode {
    if let Err(why) = isolate(prefix) {
        return fail(&format!("the server is not started: isolation is required, and {why}"), 1);
    }
    // After it too, as to hide things may take another process.
    rlimits::limit(prefix);
    // After that, for a change of rights would undo it.
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return fail(&format!("cannot bind the server's life to ours: {error}"), 1);
    }
    let is_orphan = parent.to_str().and_then(|pid| pid.parse().ok()) != Some(getppid().as_raw());
    if is_orphan {
        return ExitCode::FAILURE;
    }
    // The first stage has blocked signals for itself, and `exec` would hand that on.
    if let Err(error) = SigSet::empty().thread_set_mask() {
        return fail(&format!("cannot give the server a clean signal mask: {error}"), 1);
    }
    let error = Command::new(program).args(arguments).exec();
    let code = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_FOUND - 1 };
    fail(&format!("cannot run {}: {error}", program.to_string_lossy()), code)
}

/// Hides what is to be hidden, and tells the node on standard error, before the server can write there.
fn isolate(prefix: &[OsString]) -> Result<(), String> {
    let hidden = hidden(prefix);
    if hidden.folders.is_empty() {
        return Ok(());
    }
    let is_required = values(prefix, ISOLATION).iter().any(|word| word.as_os_str() == REQUIRED);
    let (told, fault) = match isolation::hide(&hidden, || try_out(prefix)) {
        Ok(IsolationMeans::Mounts) => (format!("{ISOLATED} a mount namespace"), None),
        Ok(IsolationMeans::Landlock(seen)) if seen.is_empty() => (format!("{ISOLATED} Landlock"), None),
        Ok(IsolationMeans::Landlock(seen)) => {
            let seen: Vec<String> = seen.iter().map(|file| file.display().to_string()).collect();
            let seen = seen.join(", ");
            let why = format!("Landlock cannot hide what lies below the server's own folders: {seen}");
            (format!("{SEEN} {seen}"), Some(why))
        }
        Err(why) => (format!("{NOT_ISOLATED} {why}"), Some(why)),
    };
    // Whoever knows the mark is not the server yet.
    let mark = std::env::var(MARK).unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "{mark} {told}");
    fault.filter(|_| is_required).map_or(Ok(()), Err)
}

fn hidden(prefix: &[OsString]) -> Hidden {
    Hidden::new(values(prefix, HIDE), &values(prefix, HIDE_FILE)).showing(values(prefix, SHOW).pop())
}

/// What follows a flag, each time it is there.
fn values(prefix: &[OsString], flag: &str) -> Vec<PathBuf> {
    let pairs = prefix.iter().zip(prefix.iter().skip(1));
    pairs.filter(|(name, _)| **name == flag).map(|(_, value)| PathBuf::from(value)).collect()
}

/// Whether a process that is good for nothing else could hide the folders by mounts.
fn try_out(prefix: &[OsString]) -> Result<(), String> {
    let tried = Command::new("/proc/self/exe").args(prefix).args([TRY, "--", "-"]).output();
    let tried = tried.map_err(|error| format!("a mount namespace could not be tried: {error}"))?;
    if tried.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&tried.stderr);
    Err(why.trim().trim_start_matches("bobbinet exec-mcp: ").to_owned())
}

/// The first stage: starts the second, and waits for one of the reasons to end it all.
fn guard(prefix: &[OsString], command: &[OsString]) -> ExitCode {
    // Fails only for the leader of a process group, who has one of its own already.
    let _ = setsid();
    if let Err(error) = prctl::set_child_subreaper(true) {
        return fail(&format!("cannot adopt the server's descendants: {error}"), 1);
    }
    let signals = match listen() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot listen to signals: {error}"), 1),
    };
    let parent = getppid();
    let started = Command::new("/proc/self/exe")
        .args(prefix)
        .args([OsStr::new(DIE_WITH), OsStr::new(&getpid().to_string()), OsStr::new("--")])
        .args(command)
        .spawn();
    let server = match started {
        Ok(server) => server,
        Err(error) => return fail(&format!("cannot start the second stage: {error}"), 1),
    };
    // The pipes are the server's alone, so that each side learns when the other closes them.
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = dup2_stdin(&null);
        let _ = dup2_stdout(&null);
    }
    let ended = watch(&server, &signals, parent);
    end_all();
    match ended {
        Some(status) => ExitCode::from(code_of(status)),
        None => ExitCode::FAILURE,
    }
}

/// The signals we wait for come as reads. The second stage undoes the blocking for the server.
fn listen() -> nix::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block()?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Returns when the server has ended, with its status, or when it is to be ended.
fn watch(server: &Child, signals: &SignalFd, parent: Pid) -> Option<ExitStatus> {
    let lifeline = std::io::stderr();
    let mut told_at = None::<Instant>;
    loop {
        let timeout = match told_at {
            Some(at) => PollTimeout::try_from(GRACE.saturating_sub(at.elapsed())).unwrap_or(PARENT_CHECK_MS.into()),
            None => PARENT_CHECK_MS.into(),
        };
        let mut fds =
            [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(lifeline.as_fd(), PollFlags::empty())];
        let _ = poll(&mut fds, timeout);
        let is_cut = fds[1].revents().is_some_and(|it| it.intersects(PollFlags::POLLERR | PollFlags::POLLHUP));
        let is_orphan = getppid() != parent;
        if is_cut || is_orphan {
            return None;
        }
        while let Ok(Some(signal)) = signals.read_signal() {
            let is_child = i32::try_from(signal.ssi_signo) == Ok(Signal::SIGCHLD as i32);
            if !is_child {
                told_at.get_or_insert_with(Instant::now);
                for pid in procfs::descendants(getpid().as_raw(), &procfs::all()) {
                    procfs::signal(pid, Signal::SIGTERM);
                }
            }
        }
        if let Some(status) = reap(Some(server)) {
            return Some(status);
        }
        if told_at.is_some_and(|at| at.elapsed() >= GRACE) {
            return None;
        }
    }
}

/// Waits for whoever has died. Returns the server's status if it is among them.
fn reap(server: Option<&Child>) -> Option<ExitStatus> {
    use std::os::unix::process::ExitStatusExt;
    let server = server.and_then(|child| i32::try_from(child.id()).ok());
    let mut found = None;
    loop {
        // Not `Child::try_wait`: the adopted ones have to be waited for too.
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if Some(pid.as_raw()) == server => {
                found = Some(ExitStatus::from_raw(code << 8));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if Some(pid.as_raw()) == server => {
                found = Some(ExitStatus::from_raw(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return found,
            Ok(_) => {}
        }
    }
}

/// Kills all descendants, again and again until there is none.
fn end_all() {
    let begun = Instant::now();
    while begun.elapsed() < KILL_MAX {
        for pid in procfs::descendants(getpid().as_raw(), &procfs::all()) {
            procfs::signal(pid, Signal::SIGKILL);
        }
        reap(None);
        // As the subreaper we have a child for as long as we have a descendant.
        let nobody_is_left = waitpid(None, Some(WaitPidFlag::WNOHANG)) == Err(nix::errno::Errno::ECHILD);
        if nobody_is_left {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn code_of(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

fn fail(why: &str, code: u8) -> ExitCode {
    // Not `eprintln!`: it panics when nobody reads.
    let _ = writeln!(std::io::stderr(), "bobbinet exec-mcp: {why}");
    ExitCode::from(code)
}
