//! A process that dies at any moment loses nothing that it acknowledged and leaves nothing half done.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use bobbinet_store::crash;

use crate::{
    needs::missing,
    writer::{self, Kind},
};

const SYNCS: &str = "that an answer follows the sync of what it is about";

/// How often a process is killed at a time of no meaning. Each opens what the one before left behind.
const KILLS: u64 = 8;

async fn kill(kind: Kind) {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut acked = [0; writer::CALLERS as usize];
    for kill in 0..KILLS {
        // Spread over opening and writing: a multiple of the golden section hits no rhythm.
        let lifetime = Duration::from_millis(30 + kill * 6_180 % 500);
        writer::run(writer::start(folder.path(), kind, None), Some(lifetime), &mut acked);
        if acked != [0; writer::CALLERS as usize] {
            writer::verify(folder.path(), kind, &acked).await;
        }
    }
    assert!(acked.iter().sum::<u64>() > 100, "nothing much was written: {acked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_loses_nothing() {
    kill(Kind::Mixed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_while_it_writes_records_only_loses_nothing() {
    kill(Kind::Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_at_any_step_of_a_commit_loses_nothing() {
    let of_the_store = |point: &&&str| ["commit-", "sync-", "publish-"].iter().any(|kind| point.starts_with(kind));
    let points: Vec<_> = crash::POINTS.iter().filter(of_the_store).collect();
    assert_eq!(points.len(), 6);
    for (kind, nth) in [(Kind::Mixed, 1), (Kind::Plain, 5)] {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let mut acked = [0; writer::CALLERS as usize];
        for point in &points {
            let child = writer::start(folder.path(), kind, Some(&format!("{point}:{nth}")));
            writer::run(child, None, &mut acked);
            writer::verify(folder.path(), kind, &acked).await;
        }
        assert!(nth == 1 || acked.iter().sum::<u64>() > 20, "nothing much was written: {acked:?}");
    }
}

/// What the process asks of the kernel, in order: no answer goes out before the data it is about is synced.
#[test]
fn an_answer_follows_the_sync_of_what_it_is_about() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let trace = folder.path().join("trace");
    let child = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", "16", "-e", "trace=write,pwrite64,fdatasync", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "writer::child"])
        .env(writer::FOLDER, folder.path().join("store"))
        .env(writer::ALONE, "1")
        .env("BOBBINET_CRASH_AT", "publish-after:60")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = child {
        missing(SYNCS, &format!("strace cannot be run ({error}); as root, `cargo xtask tools` installs it"));
        return;
    }
    let trace = fs::read_to_string(&trace).unwrap();
    if !trace.contains("fdatasync") && !trace.contains("pwrite64") {
        missing(SYNCS, &format!("strace may not trace here: {trace}"));
        return;
    }
    let (mut written, mut synced, mut answers) = (false, false, 0);
    for line in trace.lines() {
        // A call that another thread interrupts has two lines; the second one is when it ended.
        let begins = !line.contains(" resumed>");
        let ended = !line.contains("<unfinished ...>");
        if line.contains("pwrite64") && (line.contains("/log/db>") || !begins) {
            (written, synced) = (true, false);
        } else if line.contains("fdatasync") && ended {
            synced = written;
        } else if line.contains("\"acked ") && begins {
            assert!(written && synced, "answer {answers} came before the sync:\n{line}");
            answers += 1;
            (written, synced) = (false, false);
        }
    }
    assert!(answers > 50, "only {answers} answers were traced");
}
