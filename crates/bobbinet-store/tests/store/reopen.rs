//! What is there after a store was closed, and who may open it.

use std::{path::Path, process::Command};

use bobbinet_store::{
    Commit, CommitError, Cursor, Durability, Idempotency, OpenError, Page, Query, Record, Scope, SledOptions,
    SledStore, Step, Store, Timestamp, Version, check,
    conformance::{record, step, stream, summary},
    export,
};

use crate::writer;

fn options(folder: &Path) -> SledOptions {
    SledOptions { durability: Durability::Process, ..SledOptions::new(folder) }
}

fn idempotency() -> Option<Idempotency> {
    let at = Timestamp::from_millis;
    Some(Idempotency { scope: "s".into(), key: "k".into(), body_hash: [7; 32], expires: at(100), now: at(1) })
}

/// A bit of everything: three lives of `a`, a trimmed `b`, large values, marks, and what was forgotten.
async fn fill(store: &SledStore) {
    for life in 0..3 {
        let first = Step { summary: Some(summary("x", life, 5)), ..step("a", 0, &["a1", "a2"]) };
        store.commit(Commit::of(first)).await.unwrap();
        if life < 2 {
            store.forget(&stream("a")).await.unwrap();
        }
    }
    for number in 0..300 {
        let due = Some(Timestamp::from_millis(number));
        let listed =
            bobbinet_store::Summary { due, ..summary(&format!("c{}", number % 7), (number % 4) as u8, number) };
        let task = Step { summary: Some(listed), ..step(&format!("t{number}"), 0, &["begun", "done"]) };
        store.commit(Commit::of(task)).await.unwrap();
        if number % 5 == 0 {
            store.forget(&stream(&format!("t{number}"))).await.unwrap();
        }
    }
    for version in 0..20 {
        let cells = vec![(bobbinet_store::Key("k".into()), Some(version.to_string().into()))];
        store.commit(Commit::of(Step { cells, ..step("b", version, &["b"]) })).await.unwrap();
    }
    store.trim(&stream("b"), Version(15)).await.unwrap();
    store.mark(&stream("b"), "web", Version(17)).await.unwrap();
    let large: Vec<Record> = [70_000, 20_000].map(|size| record(vec![size as u8; size])).to_vec();
    let large = Step { records: large, ..step("large", 0, &[]) };
    store.commit(Commit { steps: vec![large], idempotency: idempotency() }).await.unwrap();
}

async fn check_filled(store: &SledStore) {
    let a = store.load(&stream("a")).await.unwrap().unwrap();
    assert_eq!((a.version, a.summary, a.records.len()), (Version(2), Some(summary("x", 2, 5)), 2));
    let all = Query { tenant: "acme".to_owned(), page_size: 1_000, ..Query::default() };
    assert_eq!(store.list(&all).await.unwrap().total, 241);
    let due = store.due(Timestamp::from_millis(10), 100).await.unwrap();
    assert_eq!(due.len(), 8);
    let b = store.load(&stream("b")).await.unwrap().unwrap();
    assert_eq!((b.version, b.trimmed, b.records.len()), (Version(20), Version(15), 5));
    assert_eq!(b.cells[0].value, "19");
    assert_eq!(store.read(&stream("b"), Version(14), 9).await.unwrap(), Page::Trimmed { first: Version(16) });
    assert_eq!(store.cells(&stream("b"), &Default::default(), Version(15)).await.unwrap()[0].value, "14");
    assert_eq!(store.marks(&stream("b")).await.unwrap(), [("web".to_owned(), Version(17))]);
    let large = store.load(&stream("large")).await.unwrap().unwrap();
    assert_eq!(large.records.iter().map(|record| record.body.len()).collect::<Vec<_>>(), [70_000, 20_000]);
    let again = Commit { steps: vec![step("other", 0, &["x"])], idempotency: idempotency() };
    let duplicate = CommitError::Duplicate { stream: stream("large"), body_hash: [7; 32] };
    assert_eq!(store.commit(again).await, Err(duplicate));
    assert_eq!(
        store.commit(Commit::of(step("t0", 2, &["x"]))).await.unwrap_err(),
        CommitError::Conflict { stream: stream("t0"), actual: Version::ZERO }
    );
    let tail = store.tail(&Scope::default(), Cursor(0), 10_000).await.unwrap();
    // The steps of `b` that were trimmed away may be left out of it.
    let of = |name: &str| tail.entries.iter().filter(|entry| entry.stream == stream(name)).count();
    assert_eq!((of("a"), of("t1"), of("t0"), of("large")), (1, 1, 0, 1));
    assert!((5..=20).contains(&of("b")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_opened_again_is_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(options(folder.path())).unwrap();
    fill(&store).await;
    check_filled(&store).await;
    let end = store.tail(&Scope::default(), Cursor(0), 10_000).await.unwrap().next;
    drop(store);
    for _ in 0..3 {
        let store = SledStore::open(options(folder.path())).unwrap();
        check_filled(&store).await;
        // A cursor from before is good.
        assert_eq!(store.tail(&Scope::default(), end, 10).await.unwrap().entries, []);
    }
    let report = check(folder.path()).unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
    assert_eq!((report.streams, report.records, report.blobs), (243, 2 + 480 + 5 + 2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_forgotten_is_swept_up_in_time_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(options(folder.path())).unwrap();
    let large =
        |number: u8| Step { records: vec![record(vec![number; 66_000])], ..step(&format!("l{number}"), 0, &[]) };
    for number in 0..10 {
        store.commit(Commit::of(large(number))).await.unwrap();
    }
    for number in 0..2_000 {
        let name = format!("t{number}");
        store.commit(Commit::of(step(&name, 0, &[&"x".repeat(500)]))).await.unwrap();
        if number % 10 != 0 {
            store.forget(&stream(&name)).await.unwrap();
        }
    }
    for number in 0..9 {
        store.forget(&stream(&format!("l{number}"))).await.unwrap();
    }
    let blobs = || -> usize {
        let folders = std::fs::read_dir(folder.path().join("blobs")).unwrap();
        folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    };
    assert_eq!(blobs(), 1);
    // Each forgotten stream pays for looking at a few chunks, so by now most have been looked at.
    drop(store);
    let store = SledStore::open(options(folder.path())).unwrap();
    for number in (0..2_000).step_by(10) {
        assert_eq!(store.load(&stream(&format!("t{number}"))).await.unwrap().unwrap().records.len(), 1);
    }
    assert_eq!(store.load(&stream("l9")).await.unwrap().unwrap().records[0], record(vec![9; 66_000]));
    drop(store);
    let report = check(folder.path()).unwrap();
    assert_eq!((report.faults, report.streams), (Vec::new(), 201));
    let left = tree(folder.path());
    let bodies = left.scan_prefix("l").keys().count();
    assert!(bodies < 1_000, "{bodies} chunks of bodies for 201 streams");
}

/// sled without a store around it.
pub(crate) fn tree(folder: &Path) -> sled::Db {
    for _ in 0..200 {
        if let Ok(tree) = sled::Config::new().path(folder.join("log")).open() {
            return tree;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the data is still locked");
}

#[tokio::test]
async fn a_folder_serves_one_store_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(options(folder.path())).unwrap();
    let refused = |result: Result<(), OpenError>| match result {
        Err(OpenError::InUse { folder: named }) => assert_eq!(named, folder.path()),
        other => panic!("{other:?}"),
    };
    refused(SledStore::open(options(folder.path())).map(drop));
    refused(check(folder.path()).map(drop));
    // Another process.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "writer::child"])
        .env(writer::FOLDER, folder.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("InUse"), "{error}");
    store.commit(Commit::of(step("a", 0, &["x"]))).await.unwrap();
    drop(store);
    drop(SledStore::open(options(folder.path())).unwrap());
}

#[test]
fn a_folder_without_a_store_is_not_made_one_by_looking() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(check(folder.path()), Err(OpenError::Io { .. })));
    assert!(export(folder.path(), Vec::new()).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_has_all_of_it_and_says_how_much() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(options(folder.path())).unwrap();
    let cells = vec![(bobbinet_store::Key("k".into()), Some("[1]".into()))];
    let json =
        Step { cells, summary: Some(summary("x", 1, 5)), ..step("t1", 0, &[r#"{"b": 1.50}"#, "not json", "{\n}"]) };
    store.commit(Commit::of(json)).await.unwrap();
    let records = vec![record(vec![0xff, 0]), record(format!("\"{}\"", "x".repeat(70_000)))];
    store.commit(Commit::of(Step { records, ..step("t2", 0, &[]) })).await.unwrap();
    store.mark(&stream("t1"), "web", Version(2)).await.unwrap();
    drop(store);
    let mut lines = Vec::new();
    let counts = export(folder.path(), &mut lines).unwrap();
    assert_eq!((counts.streams, counts.records, counts.cells, counts.marks), (2, 5, 1, 1));
    let lines = String::from_utf8(lines).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(
        lines[..7],
        [
            r#"{"stream":{"id":"dDE=","name":"t1","version":3,"trimmed":0,"summary":{"tenant":"acme","owner":"ann","agent":"echo","context":"x","state":1,"status_at":5,"due":null}}}"#,
            r#"{"record":{"version":1,"format":1,"body":{"json":{"b": 1.50}}}}"#,
            r#"{"record":{"version":2,"format":1,"body":{"base64":"bm90IGpzb24="}}}"#,
            r#"{"record":{"version":3,"format":1,"body":{"base64":"ewp9"}}}"#,
            r#"{"cell":{"key":{"text":"k"},"version":3,"value":{"json":[1]}}}"#,
            r#"{"mark":{"reader":"web","at":2}}"#,
            r#"{"stream":{"id":"dDI=","name":"t2","version":2,"trimmed":0,"summary":null}}"#,
        ]
    );
    assert_eq!(lines[7], r#"{"record":{"version":1,"format":1,"body":{"base64":"/wA="}}}"#);
    assert_eq!(lines[8].len(), r#"{"record":{"version":2,"format":1,"body":{"json":""}}}"#.len() + 70_000);
    assert_eq!(lines[9..], [r#"{"counts":{"streams":2,"records":5,"cells":1,"marks":1}}"#]);
}
