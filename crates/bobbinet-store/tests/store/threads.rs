//! Which thread waits for the disk: never one that serves everybody.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bobbinet_store::{
    Commit, Cursor, Key, Query, Scope, SledStore, Step, Store, Timestamp, Version,
    conformance::{step, stream, summary},
};

use crate::damage::options;

/// How many threads a question takes beside the one that asks.
fn threads<F: Future>(ask: impl FnOnce() -> F) -> usize {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.on_thread_start(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    runtime.build().unwrap().block_on(ask());
    begun.load(Ordering::SeqCst)
}

#[test]
fn what_may_wait_for_the_disk_leaves_the_threads_that_serve_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(options(folder.path())).unwrap();
    let (id, none) = (stream("a"), stream("none"));
    let cells = vec![(Key("k".into()), Some("v".into()))];
    let one = Step { cells, summary: Some(summary("x", 1, 5)), ..step("a", 0, &["1", "2"]) };
    assert_eq!(threads(|| store.commit(Commit::of(one))), 0);
    let (scope, prefix) = (Scope::default(), Key::default());
    let on_disk = [
        threads(|| store.load(&id)),
        threads(|| store.load_all(std::slice::from_ref(&id), 1)),
        threads(|| store.read(&id, Version(1), 10)),
        threads(|| store.cells(&id, &prefix, Version(2))),
        threads(|| store.marks(&id)),
        threads(|| store.tail(&scope, Cursor(0), 10)),
    ];
    assert_eq!(on_disk, [1; 6]);
    // What the index knows costs no hop.
    let all = Query { tenant: "acme".to_owned(), page_size: 10, ..Query::default() };
    let in_memory = [
        threads(|| store.load(&none)),
        threads(|| store.load_all(&[], 1)),
        threads(|| store.read(&id, Version(2), 10)),
        threads(|| store.read(&none, Version(0), 10)),
        threads(|| store.cells(&none, &prefix, Version(2))),
        threads(|| store.marks(&none)),
        threads(|| store.tail(&scope, Cursor(1), 10)),
        threads(|| store.summary(&id)),
        threads(|| store.list(&all)),
        threads(|| store.due(Timestamp::from_millis(9), 10)),
    ];
    assert_eq!(in_memory, [0; 10]);
}
