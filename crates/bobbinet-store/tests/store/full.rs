//! A disk without room: nothing is accepted, everything is still read, and all goes on when there is room again.

use std::{fs, path::Path, process::Command};

use bobbinet_store::{
    Commit, CommitError, Durability, OpenError, SledOptions, SledStore, Step, Store, StoreError,
    conformance::{record, step, stream},
};

use crate::needs::missing;

/// A small disk of its own for as long as this lives.
struct Disk(tempfile::TempDir);

/// Set where the test runs again, where it may mount.
const INSIDE: &str = "BOBBINET_TEST_MAY_MOUNT";

impl Disk {
    /// A disk, or `None` where nothing may be mounted. Then `test` is run again by this, in a mount namespace of its own in
    /// which its user is root, as most machines let everybody have one.
    fn mount(megabytes: u32, test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "bobbinet-test"]).arg(folder.path()).output();
        let why = match mount {
            Ok(output) if output.status.success() => return Some(Self(folder)),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        assert!(std::env::var_os(INSIDE).is_none(), "not even in a mount namespace of its own: {why}");
        let may = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).output();
        if !may.is_ok_and(|output| output.status.success()) {
            missing("a disk without room", &format!("nothing can be mounted here: {why}"));
            return None;
        }
        let inside = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", &format!("full::{test}")])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&inside.stdout).into_owned() + &String::from_utf8_lossy(&inside.stderr);
        assert!(inside.status.success() && said.contains("1 passed"), "{said}");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(self.path()).status();
    }
}

fn options(folder: &Path, free_space_min: u64) -> SledOptions {
    SledOptions { durability: Durability::Process, free_space_min, ..SledOptions::new(folder) }
}

async fn write(store: &SledStore, number: u64) -> Result<(), CommitError> {
    let records = vec![record(vec![number as u8; 50_000])];
    store.commit(Commit::of(Step { records, ..step(&format!("t{number}"), 0, &[]) })).await
}

async fn check(store: &SledStore, kept: u64) {
    for number in 0..kept {
        let loaded = store.load(&stream(&format!("t{number}"))).await.unwrap().unwrap();
        assert_eq!(loaded.records, [record(vec![number as u8; 50_000])]);
    }
}

/// Writes until nothing more is accepted, and says how many were.
async fn fill(store: &SledStore, from: u64) -> u64 {
    for number in from..10_000 {
        match write(store, number).await {
            Ok(()) => {}
            Err(CommitError::Unavailable(_)) => return number,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the disk is never full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_little_room_nothing_is_accepted_until_there_is_more() {
    let Some(disk) = Disk::mount(96, "with_little_room_nothing_is_accepted_until_there_is_more") else { return };
    fs::write(disk.path().join("ballast"), vec![1; 24 << 20]).unwrap();
    let store = SledStore::open(options(&disk.path().join("store"), 32 << 20)).unwrap();
    let kept = fill(&store, 0).await;
    assert!(kept > 10, "{kept}");
    let sick = store.health().unwrap_err();
    assert_eq!(sick, "less than 32 MiB are free on the disk");
    let large = Step { records: vec![record(vec![1; 100_000])], ..step("large", 0, &[]) };
    assert_eq!(store.commit(Commit::of(large)).await, Err(CommitError::Unavailable(sick)));
    check(&store, kept).await;
    // What makes room is accepted.
    store.forget(&stream("t0")).await.unwrap();
    fs::remove_file(disk.path().join("ballast")).unwrap();
    write(&store, 0).await.unwrap();
    assert_eq!(store.health(), Ok(()));
    let kept = fill(&store, kept).await;
    drop(store);
    let store = SledStore::open(options(&disk.path().join("store"), 32 << 20)).unwrap();
    check(&store, kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_is_really_full_the_store_stops_and_nothing_acknowledged_is_lost() {
    let Some(disk) = Disk::mount(40, "on_a_disk_that_is_really_full_the_store_stops_and_nothing_acknowledged_is_lost")
    else {
        return;
    };
    let folder = disk.path().join("store");
    fs::write(disk.path().join("ballast"), vec![1; 16 << 20]).unwrap();
    let store = SledStore::open(options(&folder, 0)).unwrap();
    let kept = fill(&store, 0).await;
    assert!(kept > 10, "{kept}");
    assert!(store.health().is_err());
    // sled then reads no more either: the process is to be started again.
    for number in 0..kept {
        match store.load(&stream(&format!("t{number}"))).await {
            Ok(loaded) => assert_eq!(loaded.unwrap().records, [record(vec![number as u8; 50_000])]),
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}"),
        }
    }
    // It has not been told whether the last one was kept, and never claims to be well again.
    fs::remove_file(disk.path().join("ballast")).unwrap();
    assert!(matches!(write(&store, kept + 1).await, Err(CommitError::Unavailable(_))));
    assert!(store.health().is_err());
    drop(store);
    let store = SledStore::open(options(&folder, 0)).unwrap();
    check(&store, kept).await;
    write(&store, kept + 1).await.unwrap();
}

#[tokio::test]
async fn without_room_to_open_it_says_so() {
    let Some(disk) = Disk::mount(8, "without_room_to_open_it_says_so") else { return };
    fs::write(disk.path().join("ballast"), vec![1; 7 << 20]).unwrap();
    let folder = disk.path().join("store");
    let error = SledStore::open(options(&folder, 0)).unwrap_err();
    assert!(matches!(error, OpenError::Full { .. }), "{error:?}");
    fs::remove_file(disk.path().join("ballast")).unwrap();
    drop(SledStore::open(options(&folder, 0)).unwrap());
}

/// The same limit where nothing can be mounted: a disk that has less room than a store asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_may_ask_for_more_room_than_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(options(folder.path(), 0)).unwrap();
    write(&store, 0).await.unwrap();
    drop(store);
    let store = SledStore::open(options(folder.path(), u64::MAX)).unwrap();
    assert!(matches!(write(&store, 1).await, Err(CommitError::Unavailable(_))));
    assert!(store.health().is_err());
    check(&store, 1).await;
}
