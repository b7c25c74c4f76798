//! Damage is found: a store that was harmed is refused, or gives what it was given. It is never an empty one.

use std::{fs, path::Path};

use bobbinet_store::{
    Commit, Durability, Key, Loaded, OpenError, Query, SledOptions, SledStore, Step, Store, StoreError, StreamId,
    check,
    conformance::{record, step, stream, summary},
};

use crate::reopen::tree;

pub(crate) const STREAMS: u64 = 150;

pub(crate) fn options(folder: &Path) -> SledOptions {
    SledOptions { durability: Durability::Process, ..SledOptions::new(folder) }
}

pub(crate) fn name(number: u64) -> StreamId {
    stream(&format!("t{number:04}"))
}

/// A closed store, and what is in it.
pub(crate) async fn whole(folder: &Path) -> Vec<Loaded> {
    let store = SledStore::open(options(folder)).unwrap();
    for number in 0..STREAMS {
        let first = Step {
            summary: Some(summary(&format!("c{}", number % 9), 1, number)),
            cells: vec![(Key("k".into()), Some(number.to_string().into()))],
            ..step(&format!("t{number:04}"), 0, &["first", &"x".repeat(300)])
        };
        store.commit(Commit::of(first)).await.unwrap();
        let size = if number % 50 == 0 { 66_000 } else { 500 };
        let second = Step { records: vec![record(vec![number as u8; size])], ..step(&format!("t{number:04}"), 2, &[]) };
        store.commit(Commit::of(second)).await.unwrap();
    }
    let mut loaded = Vec::new();
    for number in 0..STREAMS {
        loaded.push(store.load(&name(number)).await.unwrap().unwrap());
    }
    loaded
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// What came of a damaged store.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Refused,
    Partly,
    Harmless,
}

/// Opens a damaged store and reads all of it: each answer is right or says that there is damage.
async fn look(folder: &Path, expected: &[Loaded], what: &str) -> Found {
    let store = match SledStore::open(options(folder)) {
        Ok(store) => store,
        Err(OpenError::Corrupt(_) | OpenError::NewerFormat { .. }) => return Found::Refused,
        Err(error) => panic!("{what}: {error:?}"),
    };
    let mut found = Found::Harmless;
    for (number, expected) in (0..).zip(expected) {
        match store.load(&name(number)).await {
            Ok(Some(loaded)) => assert_eq!(loaded, *expected, "{what}: stream {number}"),
            Ok(None) => panic!("{what}: stream {number} is gone without a word"),
            Err(StoreError::Corrupt(_)) => found = Found::Partly,
            Err(error) => panic!("{what}: stream {number}: {error:?}"),
        }
    }
    let all = Query { tenant: "acme".to_owned(), page_size: 1_000, ..Query::default() };
    let listing = store.list(&all).await.unwrap();
    assert_eq!((listing.total, listing.entries.len()), (STREAMS as usize, STREAMS as usize), "{what}");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_found_or_does_no_harm() {
    const FLIPS: u64 = 40;
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let expected = whole(&original).await;
    let mut outcomes = Vec::new();
    for flip in 0..FLIPS {
        let damaged = folder.path().join(flip.to_string());
        copy(&original, &damaged);
        let db = damaged.join("log/db");
        let mut bytes = fs::read(&db).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
        let bit = (flip.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) % (used * 8);
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        fs::write(&db, bytes).unwrap();
        outcomes.push(look(&damaged, &expected, &format!("bit {bit}")).await);
        fs::remove_dir_all(damaged).unwrap();
    }
    assert!(outcomes.contains(&Found::Refused), "no flip did any harm: {outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_cut_off_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let expected = whole(&original).await;
    for percent in [0, 1, 10, 30, 50, 70, 90] {
        let damaged = folder.path().join(percent.to_string());
        copy(&original, &damaged);
        let db = damaged.join("log/db");
        let bytes = fs::read(&db).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        fs::write(&db, &bytes[..used * percent / 100]).unwrap();
        assert_eq!(look(&damaged, &expected, &format!("{percent} %")).await, Found::Refused, "{percent} %");
        // Without its snapshot too: sled then begins at the log, which seems to end where it was cut.
        for entry in fs::read_dir(damaged.join("log")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
                fs::remove_file(path).unwrap();
            }
        }
        fs::write(&db, &bytes[..used * percent / 100]).unwrap();
        assert_eq!(look(&damaged, &expected, &format!("{percent} % alone")).await, Found::Refused, "{percent} % alone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_gone_or_anothers_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (original, other) = (folder.path().join("original"), folder.path().join("other"));
    let expected = whole(&original).await;
    drop(SledStore::open(options(&other)).unwrap());
    let remove = |path: &'static str| move |store: &Path| fs::remove_file(store.join(path)).unwrap();
    let from_other = |path: &'static str| {
        let other = other.clone();
        move |store: &Path| assert!(fs::copy(other.join(path), store.join(path)).unwrap() > 0)
    };
    type Harm = Box<dyn Fn(&Path)>;
    let harms: [(&str, Harm); 6] = [
        ("no data", Box::new(remove("log/db"))),
        ("no log", Box::new(|store| fs::remove_dir_all(store.join("log")).unwrap())),
        ("no mark", Box::new(remove("MARK"))),
        ("another's mark", Box::new(from_other("MARK"))),
        ("half a mark", Box::new(|store| fs::write(store.join("MARK"), "bobbinet-store 2 0123").unwrap())),
        ("an empty mark", Box::new(|store| fs::write(store.join("MARK"), "").unwrap())),
    ];
    for (what, harm) in harms {
        let damaged = folder.path().join("damaged");
        copy(&original, &damaged);
        harm(&damaged);
        assert_eq!(look(&damaged, &expected, what).await, Found::Refused, "{what}");
        assert!(check(&damaged).is_err(), "{what}");
        fs::remove_dir_all(damaged).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_within_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let expected = whole(&original).await;
    let lost = [("h", true), ("l", false), ("c", false)];
    for (kind, refused) in lost {
        let damaged = folder.path().join(kind);
        copy(&original, &damaged);
        let data = tree(&damaged);
        let keys: Vec<_> = data.scan_prefix(kind).keys().map(Result::unwrap).collect();
        data.remove(&keys[keys.len() / 2]).unwrap();
        data.flush().unwrap();
        drop(data);
        let expect = if refused { Found::Refused } else { Found::Partly };
        assert_eq!(look(&damaged, &expected, kind).await, expect, "{kind}");
        match check(&damaged) {
            Ok(report) => assert_ne!(report.faults, Vec::<String>::new(), "{kind}"),
            Err(OpenError::Corrupt(_)) => assert!(refused, "{kind}"),
            Err(error) => panic!("{error:?}"),
        }
    }
    let damaged = folder.path().join("blob");
    copy(&original, &damaged);
    let blobs = fs::read_dir(damaged.join("blobs")).unwrap();
    let blob = blobs.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().next().unwrap().unwrap().path());
    let blob = blob.last().unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&blob, bytes).unwrap();
    assert_eq!(look(&damaged, &expected, "a blob's bit").await, Found::Partly);
    fs::remove_file(&blob).unwrap();
    assert_eq!(look(&damaged, &expected, "a blob").await, Found::Partly);
    assert_eq!(check(&damaged).unwrap().faults.len(), 1);
    // Of those that are read together, each says for itself whether it is there.
    let store = SledStore::open(options(&damaged)).unwrap();
    let ids: Vec<StreamId> = (0..STREAMS).map(name).collect();
    let all = store.load_all(&ids, usize::MAX).await;
    assert_eq!(all.iter().filter(|loaded| matches!(loaded, Err(StoreError::Corrupt(_)))).count(), 1);
    for (loaded, expected) in all.iter().zip(&expected) {
        assert!(loaded.as_ref().is_ok_and(|loaded| loaded.as_ref() == Some(expected)) || loaded.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_written_snapshot_is_put_right() {
    let folder = tempfile::tempdir().unwrap();
    let expected = whole(folder.path()).await;
    // Once more, so that there is a snapshot of all of it.
    drop(SledStore::open(options(folder.path())).unwrap());
    let log = folder.path().join("log");
    let newest = || {
        let names = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("snap.")).max().unwrap()
    };
    let snapshot = fs::read(log.join(newest())).unwrap();
    let torn: [&[u8]; 4] = [&[], &snapshot[..5], &snapshot[..snapshot.len() - 1], &snapshot[1..]];
    for bytes in torn {
        let unfinished = log.join("snap.7FFFFFFFFFFFFFFF.generating");
        fs::write(&unfinished, bytes).unwrap();
        let alone = sled::Config::new().path(&log).open();
        assert!(alone.is_err(), "sled alone opens with {} bytes of a snapshot", bytes.len());
        drop(alone);
        assert_eq!(look(folder.path(), &expected, "a torn snapshot").await, Found::Harmless);
        assert!(!unfinished.exists());
    }
    // A whole one is what the rename would have made of it.
    let name = newest();
    fs::rename(log.join(&name), log.join(format!("{name}.generating"))).unwrap();
    assert_eq!(look(folder.path(), &expected, "a whole snapshot").await, Found::Harmless);
    assert!(!log.join(format!("{name}.generating")).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let expected = whole(folder.path()).await;
    let data = tree(folder.path());
    let known = data.get("v").unwrap().unwrap();
    let mut newer = known.to_vec();
    newer[4] += 1;
    let checksum = crc32fast::hash(&newer[4..]).to_le_bytes();
    newer[..4].copy_from_slice(&checksum);
    data.insert("v", newer).unwrap();
    drop(data);
    let error = SledStore::open(options(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { found: 3, known: 2 }), "{error:?}");
    assert_eq!(error.to_string(), "the store has format 3; this program knows formats up to 2");
    let data = tree(folder.path());
    data.insert("v", known).unwrap();
    drop(data);
    assert_eq!(look(folder.path(), &expected, "its own format").await, Found::Harmless);
}

/// The key of the bodies of one step of [`whole`], each of which was a group of its own.
fn bodies(step: u64) -> Vec<u8> {
    [b"l", &step.to_be_bytes()[..]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_stream_can_be_forgotten() {
    // Every fiftieth stream names a blob in its second step.
    const DAMAGED: u64 = 50;
    let folder = tempfile::tempdir().unwrap();
    let mut expected = whole(folder.path()).await;
    let data = tree(folder.path());
    assert!(data.remove(bodies(2 * DAMAGED + 2)).unwrap().is_some());
    data.flush().unwrap();
    drop(data);
    let blobs = || fs::read_dir(folder.path().join("blobs")).unwrap().map(|entry| entry.unwrap().path());
    let count = || blobs().map(|folder| fs::read_dir(folder).unwrap().count()).sum::<usize>();
    assert_eq!(count(), 3);
    let store = SledStore::open(options(folder.path())).unwrap();
    assert!(matches!(store.load(&name(DAMAGED)).await, Err(StoreError::Corrupt(_))));
    for number in [DAMAGED, DAMAGED + 50] {
        store.forget(&name(number)).await.unwrap();
        assert_eq!(store.load(&name(number)).await.unwrap(), None);
    }
    // Which one was the damaged one's nobody knows any more; the other's is gone.
    assert_eq!(count(), 2);
    // It goes on, and nobody else has lost anything.
    store.commit(Commit::of(step("t0050", 0, &["anew"]))).await.unwrap();
    assert_eq!((store.health(), store.fault()), (Ok(()), None));
    drop(store);
    let store = SledStore::open(options(folder.path())).unwrap();
    assert_eq!(store.load(&name(DAMAGED)).await.unwrap().unwrap().records, [record("anew")]);
    assert_eq!(store.load(&name(DAMAGED + 50)).await.unwrap(), None);
    for gone in [DAMAGED + 50, DAMAGED] {
        expected.remove(gone as usize);
    }
    let others = (0..STREAMS).filter(|number| ![DAMAGED, DAMAGED + 50].contains(number));
    for (number, expected) in others.zip(&expected) {
        assert_eq!(store.load(&name(number)).await.unwrap().as_ref(), Some(expected), "stream {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forgotten_is_swept_up_around_damage() {
    const DAMAGED: u64 = 1;
    let folder = tempfile::tempdir().unwrap();
    whole(folder.path()).await;
    let data = tree(folder.path());
    data.insert(bodies(2 * DAMAGED + 2), b"x").unwrap();
    data.flush().unwrap();
    drop(data);
    let store = SledStore::open(options(folder.path())).unwrap();
    // Each that is forgotten has a few chunks looked at: by the last, all of heads and then some of bodies.
    for number in (0..STREAMS).filter(|number| *number != DAMAGED) {
        store.forget(&name(number)).await.unwrap();
    }
    assert!(matches!(store.load(&name(DAMAGED)).await, Err(StoreError::Corrupt(_))));
    store.commit(Commit::of(step("another", 0, &["x"]))).await.unwrap();
    assert_eq!((store.health(), store.fault()), (Ok(()), None));
    drop(store);
    let data = tree(folder.path());
    assert!(data.get(bodies(1)).unwrap().is_none(), "the sweep has come to the damage");
    assert!(data.get(bodies(2 * DAMAGED + 2)).unwrap().is_some());
}
