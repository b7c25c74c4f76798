//! Nothing that a server starts outlives it, nor us, whoever is killed.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use bobbinet_core::State;
use bobbinet_engine::Agent;
use bobbinet_mcp::McpAgent;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::lab::{self, Lab, PATIENCE, say, until};

fn is_alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // A zombie is dead: it only waits to be noticed.
    !stat[stat.rfind(')').unwrap()..].starts_with(") Z")
}

/// The server and its three sleepers, as they have written themselves down.
fn pids(notes: &Path) -> Vec<i32> {
    let text = fs::read_to_string(notes.join("pids")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn server(notes: &Path) -> i32 {
    fs::read_to_string(notes.join("server")).unwrap().trim().parse().unwrap()
}

async fn all_end(what: &str, pids: &[i32]) {
    assert_eq!(pids.len(), 4, "{what}");
    until(what, || !pids.iter().any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn a_shutdown_leaves_nothing_behind() {
    let lab = Lab::new(&["forks"]).await.ready().await;
    assert_eq!(lab.send("forks", say("do")).await.state, State::Completed);
    let pids = pids(&lab.notes("forks"));
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let folder = lab.close().await;
    // Not in a while: when the shutdown has returned.
    assert_eq!(pids.iter().filter(|pid| is_alive(**pid)).count(), 0);
    assert!(!folder.path().join("forks/agent/server.pid").exists());
}

#[tokio::test]
async fn a_shutdown_in_the_middle_of_a_start_leaves_nothing_behind() {
    let lab = Lab::new(&["boot-hangs"]).await;
    let notes = lab.notes("boot-hangs");
    until("the server has forked", || pids(&notes).len() == 4).await;
    let _folder = lab.close().await;
    assert_eq!(pids(&notes).iter().filter(|pid| is_alive(**pid)).count(), 0);
}

#[tokio::test]
async fn a_server_that_dies_takes_its_children_along() {
    let lab = Lab::new(&["forks"]).await.ready().await;
    lab.send("forks", say("do")).await;
    let pids = pids(&lab.notes("forks"));
    kill(Pid::from_raw(server(&lab.notes("forks"))), Signal::SIGKILL).unwrap();
    all_end("the children of a dead server", &pids).await;
    let again = || lab.send("forks", say("echo text=again"));
    let mut told = again().await;
    if lab::view(&told) == "input-required: server-died" {
        // It came to the old one's pipe before its end was noticed, and nobody knows whether it was read.
        told = again().await;
    }
    assert_eq!(lab::view(&told), "completed: again");
    lab.close().await;
}

#[tokio::test]
async fn a_shim_that_is_killed_strands_nobody_while_we_live() {
    for mode in ["boot-forks", "boot-forks-unmarked"] {
        let folder = tempfile::tempdir().unwrap();
        let mut victim = victim(mode, folder.path()).await;
        let pids = pids(folder.path());
        assert!(pids.iter().all(|pid| is_alive(*pid)), "{mode}");
        kill(Pid::from_raw(shim(folder.path())), Signal::SIGKILL).unwrap();
        until("the tree of a shim that was killed", || !pids.iter().any(|pid| is_alive(*pid))).await;
        // And a new one is started in its place.
        until("the next server", || shim_of(folder.path()).is_some_and(is_alive)).await;
        victim.kill().unwrap();
        victim.wait().unwrap();
    }
}

/// Not a test of its own: a process of ours that is killed by the tests below.
#[tokio::test]
async fn helper_that_is_killed() {
    let Ok(notes) = std::env::var("BOBBINET_TEST_KILLED_IN") else { return };
    let notes = Path::new(&notes);
    let mode = std::env::var("BOBBINET_TEST_MODE").unwrap();
    // As a node does, which has no other children.
    bobbinet_mcp::adopt_orphans().unwrap();
    let agent = McpAgent::start(lab::config(&mode, notes), lab::launcher(), &lab::guard(), notes.join("agent"));
    agent.wait_ready(PATIENCE).await.unwrap();
    println!("ready");
    std::future::pending::<()>().await;
}

/// A process of ours with a server that has forked, up and running.
async fn victim(mode: &str, notes: &Path) -> Child {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tree::helper_that_is_killed", "--nocapture"])
        .env("BOBBINET_TEST_KILLED_IN", notes)
        .env("BOBBINET_TEST_MODE", mode)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(victim.stdout.take().unwrap());
    let is_ready = tokio::task::spawn_blocking(move || stdout.lines().any(|line| line.unwrap().contains("ready")));
    assert!(tokio::time::timeout(PATIENCE, is_ready).await.unwrap().unwrap());
    victim
}

fn shim(notes: &Path) -> i32 {
    shim_of(notes).unwrap()
}

fn shim_of(notes: &Path) -> Option<i32> {
    let record = fs::read_to_string(notes.join("agent/server.pid")).ok()?;
    record.split(' ').nth(1)?.parse().ok()
}

#[tokio::test]
async fn nothing_is_left_when_we_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut victim = victim("boot-forks", folder.path()).await;
    let shim = shim(folder.path());
    let pids = pids(folder.path());
    assert!(pids.iter().all(|pid| is_alive(*pid)) && is_alive(shim));
    victim.kill().unwrap();
    victim.wait().unwrap();
    all_end("the tree of a process that was killed", &pids).await;
    until("the shim", || !is_alive(shim)).await;
}

#[tokio::test]
async fn what_is_left_when_the_shim_is_killed_too_is_swept_at_the_next_start() {
    sweeps_what_is_left_in("").await;
}

#[tokio::test]
async fn so_is_what_is_left_of_a_session_of_somebodys_own_and_of_a_replica_that_there_is_no_more() {
    sweeps_what_is_left_in("sessions/7").await;
    sweeps_what_is_left_in("replica-3").await;
}

/// The next life finds the server's record in this folder of the agent's.
async fn sweeps_what_is_left_in(place: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut victim = victim("boot-forks", folder.path()).await;
    let shim = shim(folder.path());
    let pids = pids(folder.path());
    // Stopped first, so that neither sees the other die.
    kill(Pid::from_raw(shim), Signal::SIGSTOP).unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    kill(Pid::from_raw(shim), Signal::SIGKILL).unwrap();
    let server = server(folder.path());
    until("the server dies with its shim", || !is_alive(server)).await;
    assert!(pids.iter().any(|pid| is_alive(*pid)), "the sleepers slipped away, as this test needs them to");

    let place = folder.path().join("agent").join(place);
    fs::create_dir_all(&place).unwrap();
    fs::rename(folder.path().join("agent/server.pid"), place.join("server.pid")).unwrap();
    let agent = McpAgent::start(
        lab::config("good", folder.path()),
        lab::launcher(),
        &lab::guard(),
        folder.path().join("agent"),
    );
    agent.wait_ready(PATIENCE).await.unwrap();
    all_end("what an earlier life has left", &pids).await;
    agent.shutdown().await;
}
