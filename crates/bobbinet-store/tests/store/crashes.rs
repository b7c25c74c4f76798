//! A process that dies at any moment loses nothing that it acknowledged and leaves nothing half done.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use bobbinet_store::failpoint;

use crate::{
    needs::missing,
    writer::{self, Kind},
};

const SYNCS: &str = "that an answer follows the sync of what it is about";
const FOLDERS: &str = "that a new folder is synced into its parent";

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
    let points: Vec<_> = failpoint::POINTS.iter().filter(of_the_store).collect();
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

/// What a child with one caller asks of the kernel until it dies at a point, in order. `None` where that cannot be traced, which
/// has been said.
fn trace(what: &str, folder: &Path, calls: &str, crash_at: &str) -> Option<String> {
    let trace = folder.join("trace");
    let child = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", "256", "-e", &format!("trace={calls}"), "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "writer::child"])
        .env(writer::FOLDER, folder.join("new/store"))
        .env(writer::ALONE, "1")
        .env("BOBBINET_CRASH_AT", crash_at)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = child {
        missing(what, &format!("strace cannot be run ({error}); as root, `cargo xtask tools` installs it"));
        return None;
    }
    let trace = fs::read_to_string(&trace).unwrap();
    if !trace.contains("sync(") {
        missing(what, &format!("strace may not trace here: {trace}"));
        return None;
    }
    Some(trace)
}

/// No answer goes out before the data it is about is synced.
#[test]
fn an_answer_follows_the_sync_of_what_it_is_about() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let calls = "write,pwrite64,fdatasync";
    let Some(trace) = trace(SYNCS, folder.path(), calls, "publish-after:60") else { return };
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

/// Where what a line of a trace names in quotes, or between angle brackets, lies.
fn path_in(line: &str, begin: char, end: char) -> Option<PathBuf> {
    Some(line.split_once(begin)?.1.split_once(end)?.0.into())
}

/// A power cut takes no folder away that has something acknowledged in it: those of the store, those on the way to it, those of
/// large values.
#[test]
fn each_new_folder_is_synced_into_its_parent() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let calls = "?mkdir,mkdirat,fsync";
    // By then there was a large value.
    let Some(trace) = trace(FOLDERS, folder.path(), calls, "publish-after:30") else { return };
    let mut made: Vec<PathBuf> = Vec::new();
    for line in trace.lines() {
        if line.contains("mkdir") && line.ends_with("= 0") {
            made.extend(path_in(line, '"', '"').filter(|path| path.starts_with(folder.path())));
        } else if line.contains("fsync") {
            let synced = path_in(line, '<', '>').unwrap();
            made.retain(|path| path.parent() != Some(&*synced));
        }
    }
    assert!(made.is_empty(), "not synced: {made:?}");
    let blobs = fs::read_dir(folder.path().join("new/store/blobs")).unwrap();
    assert!(blobs.count() > 0, "there are folders of all kinds");
}
