//! A process that commits and says so, to be killed.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bobbinet_store::{
    Commit, Durability, Key, SledOptions, SledStore, Step, Store, Version, check,
    conformance::{record, step, stream, summary},
};

/// The environment variable that names the folder for the child.
pub(crate) const FOLDER: &str = "BOBBINET_TEST_FOLDER";

/// The environment variable that has the child write records only: the store writes those in another way.
const PLAIN: &str = "BOBBINET_TEST_PLAIN";

/// What a child writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Records and nothing else.
    Plain,
    /// Cells and blobs too.
    Mixed,
}

/// The environment variable that leaves the child one caller.
pub(crate) const ALONE: &str = "BOBBINET_TEST_ALONE";

/// How many callers commit at once, each to a stream of its own and to one of a pair.
pub(crate) const CALLERS: u64 = 8;

/// What the child runs: this test program again, with only this test.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child() {
    let folder = std::env::var(FOLDER).expect("the folder of the store");
    let kind = if std::env::var_os(PLAIN).is_some() { Kind::Plain } else { Kind::Mixed };
    let store = Arc::new(SledStore::open(SledOptions::new(folder)).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        let callers = std::env::var(ALONE).map_or(CALLERS, |_| 1);
        for caller in 0..callers {
            let store = store.clone();
            writers.spawn(async move {
                let name = format!("w{caller}");
                let mut at = store.load(&stream(&name)).await.unwrap().map_or(0, |loaded| loaded.version.0);
                loop {
                    store.commit(commit(kind, caller, at)).await.unwrap();
                    at += 2;
                    // One write for one line, so that the parent never reads half of one.
                    std::io::stdout().write_all(format!("acked {caller} {at}\n").as_bytes()).unwrap();
                }
            });
        }
        writers.join_all().await;
    });
}

/// Two streams that must always be of one version, with records, a cell and a summary that say which; now and then a
/// blob.
fn commit(kind: Kind, caller: u64, at: u64) -> Commit {
    let is_mixed = kind == Kind::Mixed;
    let body = |at: u64| format!("{caller}/{at}/{}", "x".repeat((at * 37 % 900) as usize));
    let one = |name: &str| {
        let mut records = vec![record(body(at + 1)), record(body(at + 2))];
        if is_mixed && name == "w" && at % 64 == 32 {
            records[1] = record(vec![caller as u8; 70_000 + at as usize]);
        }
        Step {
            records,
            cells: if is_mixed && caller.is_multiple_of(2) {
                vec![(Key("at".into()), Some((at + 2).to_string().into()))]
            } else {
                Vec::new()
            },
            summary: Some(summary(&format!("c{caller}"), 1, at + 2)),
            ..step(&format!("{name}{caller}"), at, &[])
        }
    };
    Commit { steps: vec![one("w"), one("v")], idempotency: None }
}

/// Starts a child that writes to the folder.
pub(crate) fn start(folder: &Path, kind: Kind, crash_at: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "--nocapture", "writer::child"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if kind == Kind::Plain {
        command.env(PLAIN, "1");
    }
    if let Some(point) = crash_at {
        command.env("BOBBINET_CRASH_AT", point);
    }
    command.spawn().unwrap()
}

/// Lets a child write for a while, kills it unless it dies by itself, and notes how far each caller was told it had come.
pub(crate) fn run(mut child: Child, lifetime: Option<Duration>, acked: &mut [u64; CALLERS as usize]) {
    let lines = BufReader::new(child.stdout.take().unwrap());
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    let killer = lifetime.map(|lifetime| {
        std::thread::spawn(move || {
            std::thread::sleep(lifetime);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        })
    });
    for line in lines.lines().map_while(Result::ok) {
        let mut words = line.split(' ');
        if words.next() == Some("acked") {
            let caller: usize = words.next().unwrap().parse().unwrap();
            acked[caller] = words.next().unwrap().parse().unwrap();
        }
    }
    if let Some(killer) = killer {
        killer.join().unwrap();
    }
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
}

/// Everything that was acknowledged is there, whole, and the store finds no fault with itself.
pub(crate) async fn verify(folder: &Path, kind: Kind, acked: &[u64; CALLERS as usize]) {
    let store = SledStore::open(SledOptions { durability: Durability::Process, ..SledOptions::new(folder) }).unwrap();
    for (caller, acked) in (0..).zip(acked) {
        let w = store.load(&stream(&format!("w{caller}"))).await.unwrap();
        let v = store.load(&stream(&format!("v{caller}"))).await.unwrap();
        let Some((w, v)) = w.zip(v) else {
            assert_eq!(*acked, 0, "caller {caller} was told of a commit that is gone");
            continue;
        };
        assert!(w.version >= Version(*acked), "caller {caller} was told {acked}, found {:?}", w.version);
        assert_eq!((w.version, w.records.len() as u64), (v.version, w.version.0), "half a commit");
        for at in (0..w.version.0).step_by(2) {
            let Commit { steps, .. } = commit(kind, caller, at);
            assert_eq!(w.records[at as usize..at as usize + 2], steps[0].records);
            assert_eq!(v.records[at as usize..at as usize + 2], steps[1].records);
        }
        let Commit { steps, .. } = commit(kind, caller, w.version.0 - 2);
        assert_eq!(w.summary, steps[0].summary);
        let cells: Vec<_> = w.cells.iter().map(|cell| (cell.key.clone(), Some(cell.value.clone()))).collect();
        assert_eq!(cells, steps[0].cells);
    }
    drop(store);
    assert_eq!(check(folder).unwrap().faults, Vec::<String>::new());
}
