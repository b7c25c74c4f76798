//! A store whose files are gone does not begin anew, and one whose files go while it is open stops.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use bobbinet_store::{
    Commit, CommitError, OpenError, SledOptions, SledStore, Step, Store, check,
    conformance::{record, step, stream},
};

use crate::damage::{copy, options};

/// A closed store with a large value.
async fn filled(folder: &Path) {
    let store = SledStore::open(options(folder)).unwrap();
    let large = Step { records: vec![record(vec![1; 70_000])], ..step("large", 0, &[]) };
    store.commit(Commit::of(large)).await.unwrap();
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_has_lost_its_mark_and_its_log_does_not_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    filled(&original).await;
    // What else is gone, from all that is left but the blobs to nothing but a blob.
    for also in [&[][..], &["LOCK"], &["WITNESS"], &["WITNESS", "LOCK"], &["blobs"]] {
        let store = folder.path().join("store");
        copy(&original, &store);
        fs::remove_file(store.join("MARK")).unwrap();
        fs::remove_dir_all(store.join("log")).unwrap();
        for name in also {
            let path = store.join(name);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        for _ in 0..2 {
            let error = SledStore::open(options(&store)).unwrap_err();
            assert!(matches!(error, OpenError::Corrupt(_)), "without {also:?}: {error:?}");
            assert!(error.to_string().contains("remove"), "it says what to do: {error}");
            assert!(check(&store).is_err(), "without {also:?}");
        }
        assert_eq!(files(&store.join("blobs")), usize::from(!also.contains(&"blobs")), "blobs are left alone");
        assert!(!store.join("log/db").exists());
        fs::remove_dir_all(store).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_altogether_is_missed_by_what_lies_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let beside = || SledOptions { witness: Some(folder.path().join("store.witness")), ..options(&store) };
    drop(SledStore::open(beside()).unwrap());
    fs::remove_dir_all(&store).unwrap();
    assert!(matches!(check(beside()), Err(OpenError::Corrupt(_))));
    let error = SledStore::open(beside()).unwrap_err();
    assert!(error.to_string().contains("store.witness"), "{error}");
    // Whoever means it says so.
    fs::remove_file(folder.path().join("store.witness")).unwrap();
    fs::remove_dir_all(&store).unwrap();
    drop(SledStore::open(beside()).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_was_cut_short_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    drop(SledStore::open(options(&original)).unwrap());
    // Whatever stood there when the process died: the folder, its lock, sled's files, the first key, empty blobs.
    for left in [&[][..], &["MARK"], &["MARK", "blobs"], &["MARK", "log"], &["MARK", "log", "blobs"]] {
        let store = folder.path().join("store");
        copy(&original, &store);
        fs::remove_file(store.join("WITNESS")).unwrap();
        for name in left {
            let path = store.join(name);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        filled(&store).await;
        let store_again = SledStore::open(options(&store)).unwrap();
        assert!(store_again.load(&stream("large")).await.unwrap().is_some(), "without {left:?}");
        drop(store_again);
        fs::remove_dir_all(store).unwrap();
    }
}

#[test]
fn a_first_start_that_cannot_write_its_mark_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("MARK.new");
    fs::create_dir(&in_the_way).unwrap();
    let error = SledStore::open(options(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::Io { doing: "writing the MARK file", .. }), "{error:?}");
    // Nothing says yet that there has been a store.
    fs::remove_dir(in_the_way).unwrap();
    drop(SledStore::open(options(folder.path())).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_that_is_written_to_a_file_without_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(options(folder.path())).unwrap();
    store.commit(Commit::of(step("a", 0, &["x"]))).await.unwrap();
    fs::remove_file(folder.path().join("log/db")).unwrap();
    // At once, and not when somebody looks the next time.
    let refused = store.commit(Commit::of(step("a", 1, &["x"]))).await;
    assert!(matches!(refused, Err(CommitError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_files_go_while_it_is_open_stops_within_a_second() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 5] = [
        ("all of it", |store| fs::remove_dir_all(store).unwrap()),
        ("the log", |store| fs::remove_dir_all(store.join("log")).unwrap()),
        ("the data file", |store| fs::remove_file(store.join("log/db")).unwrap()),
        ("the mark", |store| fs::remove_file(store.join("MARK")).unwrap()),
        ("a copy in its place", |store| {
            copy(store, &store.with_extension("copy"));
            fs::rename(store, store.with_extension("away")).unwrap();
            fs::rename(store.with_extension("copy"), store).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = SledStore::open(options(&path)).unwrap();
        store.commit(Commit::of(step("a", 0, &["x"]))).await.unwrap();
        let mark = fs::read(path.join("MARK")).unwrap();
        harm(&path);
        let begun = Instant::now();
        let mut version = 1;
        loop {
            match store.commit(Commit::of(step("a", version, &["x"]))).await {
                Ok(()) => version += 1,
                Err(CommitError::Unavailable(why)) => {
                    assert!(why.contains("deleted or replaced"), "{what}: {why}");
                    break;
                }
                Err(error) => panic!("{what}: {error:?}"),
            }
            assert!(begun.elapsed() < Duration::from_millis(1_500), "{what}: still written to, {version} times");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(store.health().is_err() && store.fault().is_some(), "{what}");
        drop(store);
        // What lies there now was not made to look like this store's.
        assert_eq!(fs::read(path.join("MARK")).ok().filter(|now| *now != mark), None, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_may_read_what_is_kept() {
    fn look(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", entry.path().display());
            if entry.path().is_dir() {
                look(&entry.path());
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("a/store");
    filled(&store).await;
    filled(&folder.path().join("b")).await;
    // sled writes a snapshot when it opens.
    drop(SledStore::open(options(&store)).unwrap());
    look(folder.path());
}
