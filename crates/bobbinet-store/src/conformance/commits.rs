//! What is kept: whole or not at all, once, by one of many.

use std::sync::Arc;

use bytes::Bytes;

use super::{append, bodies, conflict, guard, key, load, record, step, stream, summary, with_cells, with_summary};
use crate::{
    COMMIT_BYTES_MAX, Cell, Commit, CommitError, INLINE_MAX, Idempotency, KEY_LENGTH_MAX, Key, Page, Record,
    STEP_RECORDS_MAX, STREAM_LENGTH_MAX, Step, Store, Summary, TEXT_LENGTH_MAX, Timestamp, VERSION_MAX, Version,
};

/// A commit of one step under this key, which expires ten milliseconds later.
async fn keep(store: &dyn Store, scope: &str, key: &str, now: u64) -> Result<(), CommitError> {
    let idempotency = Idempotency {
        scope: scope.to_owned(),
        key: key.to_owned(),
        body_hash: [1; 32],
        expires: Timestamp::from_millis(now + 10),
        now: Timestamp::from_millis(now),
    };
    let name = format!("{scope} {key} {now}");
    store.commit(Commit { steps: vec![step(&name, 0, &["1"])], idempotency: Some(idempotency) }).await
}

/// Whether there is no room for one more key of this scope.
pub async fn is_out_of_keys(store: &dyn Store, scope: &str, now: u64) -> bool {
    matches!(keep(store, scope, "one more", now).await, Err(CommitError::Full { .. }))
}

/// For a store that remembers four keys: of one scope two, and of all four, until they expire.
pub async fn idempotency_keys_have_a_bound(store: &dyn Store) {
    let full = |what, max| Err(CommitError::Full { what, max });
    let of_scope = || full("idempotency_keys_per_scope_max", 2);
    for scope in ["ann", "bob"] {
        keep(store, scope, "1", 0).await.unwrap();
        keep(store, scope, "2", 0).await.unwrap();
        if scope == "ann" {
            assert_eq!(keep(store, "ann", "3", 0).await, of_scope());
        }
    }
    let known = keep(store, "ann", "2", 1).await;
    assert!(matches!(known, Err(CommitError::Duplicate { .. })), "what is known is no new one: {known:?}");
    assert_eq!(keep(store, "carol", "1", 1).await, full("idempotency_keys_max", 4));
    // Those that have expired make room, if not for the first who asks.
    let mut patience = 10;
    while keep(store, "carol", "1", 12).await.is_err() {
        patience -= 1;
        assert!(patience > 0, "there is no room for another key");
    }
    keep(store, "ann", "3", 12).await.unwrap();
    // The same again, once it has expired, is no second one.
    keep(store, "ann", "3", 23).await.unwrap();
    keep(store, "ann", "4", 23).await.unwrap();
    assert_eq!(keep(store, "ann", "5", 23).await, of_scope());
}

/// What was committed is there, all of it.
pub async fn a_commit_is_read_back(store: &dyn Store) {
    assert_eq!(load(store, "a").await, None);
    let first = with_cells(with_summary(step("a", 0, &["one", "two"]), summary("x", 1, 10)), &[("k", Some("v"))]);
    append(store, first).await;
    append(store, step("a", 2, &["three"])).await;
    let loaded = load(store, "a").await.unwrap();
    assert_eq!(loaded.summary, Some(summary("x", 1, 10)), "a step without a summary leaves it");
    assert_eq!((loaded.version, loaded.trimmed), (Version(3), Version::ZERO));
    assert_eq!(loaded.cells, [Cell { key: key("k"), version: Version(2), value: "v".into() }]);
    assert_eq!(bodies(store, "a").await, ["one", "two", "three"]);
    append(store, step("b", 0, &["no summary"])).await;
    assert_eq!(load(store, "b").await.unwrap().summary, None);
    assert_eq!(store.health(), Ok(()));
}

/// The expected version is compared.
pub async fn a_commit_at_another_version_is_refused_and_leaves_nothing(store: &dyn Store) {
    append(store, step("a", 0, &["one"])).await;
    for expected in [0, 2, 77] {
        let late = with_cells(with_summary(step("a", expected, &["two"]), summary("x", 1, 1)), &[("k", Some("v"))]);
        let idempotency = Some(idempotency("k", 1, 100, 0));
        let refused = store.commit(Commit { steps: vec![late], idempotency }).await;
        assert_eq!(refused, conflict("a", 1), "expected {expected}");
    }
    assert_eq!(store.commit(Commit::of(step("new", 1, &["one"]))).await, conflict("new", 0));
    let loaded = load(store, "a").await.unwrap();
    assert_eq!((loaded.version, loaded.summary, loaded.cells), (Version(1), None, Vec::new()));
    assert_eq!(load(store, "new").await, None);
    // Its idempotency key was not kept either.
    let again = Commit { steps: vec![step("a", 1, &["two"])], idempotency: Some(idempotency("k", 1, 100, 0)) };
    store.commit(again).await.unwrap();
    assert_eq!(bodies(store, "a").await, ["one", "two"]);
}

/// Steps of one commit, guards among them.
pub async fn several_streams_change_together_or_not_at_all(store: &dyn Store) {
    append(store, step("a", 0, &["a1"])).await;
    append(store, step("b", 0, &["b1"])).await;
    let commit = |guarded| Commit {
        steps: vec![step("a", 1, &["a2"]), guard("b", guarded), step("c", 0, &["c1"]), guard("none", 0)],
        idempotency: None,
    };
    assert_eq!(store.commit(commit(0)).await, conflict("b", 1));
    assert_eq!((bodies(store, "a").await, load(store, "c").await), (vec!["a1".to_owned()], None));
    store.commit(commit(1)).await.unwrap();
    assert_eq!(
        (bodies(store, "a").await, bodies(store, "c").await),
        (vec!["a1".into(), "a2".into()], vec!["c1".into()])
    );
    assert_eq!(load(store, "none").await, None, "a guard makes no stream");
    assert_eq!(load(store, "b").await.unwrap().version, Version(1), "a guard changes no stream");
    let guards = Commit { steps: vec![guard("a", 2), guard("b", 1)], idempotency: None };
    store.commit(guards.clone()).await.unwrap();
    append(store, step("b", 1, &["b2"])).await;
    assert_eq!(store.commit(guards).await, conflict("b", 2));
    // More streams than fit into one place of any kind.
    let many: Vec<String> = (0..200).map(|number| format!("many/{number}")).collect();
    let steps = many.iter().map(|name| with_summary(step(name, 0, &["x"]), summary(name, 1, 1))).collect();
    store.commit(Commit { steps, idempotency: None }).await.unwrap();
    for name in &many {
        assert_eq!(load(store, name).await.unwrap().summary, Some(summary(name, 1, 1)));
    }
}

/// Eight writers, a hundred rounds: each version has one winner.
pub async fn of_many_writers_one_wins(store: Arc<dyn Store>) {
    const WRITERS: u64 = 8;
    for round in 0..100 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let store = store.clone();
            writers.spawn(async move {
                let mine = writer.to_string();
                store.commit(Commit::of(step("a", round, &[&mine]))).await.map(|()| mine)
            });
        }
        let results = writers.join_all().await;
        let winners: Vec<&String> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}: {results:?}");
        let losers = results
            .iter()
            .filter(|result| result.as_ref().map(|_| ()).map_err(Clone::clone) == conflict("a", round + 1));
        assert_eq!(losers.count() as u64, WRITERS - 1, "round {round}: {results:?}");
        assert_eq!(bodies(&*store, "a").await.last(), winners.first().copied());
    }
}

/// What no store could keep.
pub async fn malformed_commits_are_refused(store: &dyn Store) {
    let long = "k".repeat(KEY_LENGTH_MAX + 1);
    let text = "t".repeat(TEXT_LENGTH_MAX + 1);
    let commit = |steps| Commit { steps, idempotency: None };
    let malformed = [
        ("no steps", commit(vec![])),
        ("a stream twice", commit(vec![step("a", 0, &["x"]), guard("a", 0)])),
        ("a stream without a name", commit(vec![step("", 0, &["x"])])),
        ("a long stream", commit(vec![step(&"s".repeat(STREAM_LENGTH_MAX + 1), 0, &["x"])])),
        ("a long key", commit(vec![with_cells(step("a", 0, &["x"]), &[(&long, Some("v"))])])),
        ("a cell twice", commit(vec![with_cells(step("a", 0, &["x"]), &[("k", Some("v")), ("k", None)])])),
        ("a cell without a record", commit(vec![with_cells(guard("a", 0), &[("k", Some("v"))])])),
        ("a summary without a record", commit(vec![with_summary(guard("a", 0), summary("x", 1, 1))])),
        ("a long summary", commit(vec![with_summary(step("a", 0, &["x"]), summary(&text, 1, 1))])),
        ("too many records", commit(vec![step("a", 0, &vec!["x"; STEP_RECORDS_MAX + 1])])),
        ("too many bytes", commit(vec![of_bytes(STEP_RECORDS_MAX, COMMIT_BYTES_MAX / STEP_RECORDS_MAX)])),
        ("too many bytes in many cells", commit(vec![with_many_cells(COMMIT_BYTES_MAX / 64)])),
        ("a version beyond the last one", commit(vec![step("a", VERSION_MAX, &["x"])])),
        ("too many steps", commit((0..=crate::STEPS_MAX).map(|at| step(&format!("a{at}"), 0, &["x"])).collect())),
        (
            "a long idempotency key",
            Commit { steps: vec![step("a", 0, &["x"])], idempotency: Some(idempotency(&text, 1, 1, 1)) },
        ),
    ];
    for (what, commit) in malformed {
        assert!(matches!(store.commit(commit).await, Err(CommitError::Malformed(_))), "{what}");
    }
    assert_eq!(load(store, "a").await, None);
    let longest =
        with_cells(step(&"s".repeat(STREAM_LENGTH_MAX), 0, &["x"]), &[(&long[1..], Some("v")), ("", Some("w"))]);
    append(store, with_summary(longest, summary(&text[1..], 1, 1))).await;
    assert_eq!(load(store, &"s".repeat(STREAM_LENGTH_MAX)).await.unwrap().cells.len(), 2);
}

/// A step of so many records of so many bytes each.
fn of_bytes(records: usize, bytes: usize) -> Step {
    let value = Bytes::from(vec![b'x'; bytes]);
    Step { records: vec![record(value); records], ..step("a", 0, &[]) }
}

fn with_many_cells(count: usize) -> Step {
    let cell = |at: usize| (Key(Bytes::copy_from_slice(&at.to_be_bytes())), None);
    Step { cells: (0..count).map(cell).collect(), ..step("a", 0, &["x"]) }
}

/// What passes the check is kept: the largest commit, and the longest of everything at once.
pub async fn the_largest_commits_are_kept(store: &dyn Store) {
    let bytes = COMMIT_BYTES_MAX / STEP_RECORDS_MAX - 128;
    store.commit(Commit::of(of_bytes(STEP_RECORDS_MAX, bytes))).await.unwrap();
    let records = load(store, "a").await.unwrap().records;
    assert_eq!((records.len(), records.last().map(|record| record.body.len())), (STEP_RECORDS_MAX, Some(bytes)));
    let text = "t".repeat(TEXT_LENGTH_MAX);
    let one = |at: usize| {
        let name = format!("{at:0width$}", width = STREAM_LENGTH_MAX);
        let long = Summary {
            tenant: text.as_str().into(),
            owner: text.as_str().into(),
            agent: text.as_str().into(),
            context: text.as_str().into(),
            ..summary("", 255, u64::MAX)
        };
        let keys = [vec![0; KEY_LENGTH_MAX], vec![0xff; KEY_LENGTH_MAX]];
        let cells = keys.map(|key| (Key(key.into()), Some(Bytes::from(vec![1; crate::INLINE_MAX]))));
        Step { cells: cells.to_vec(), ..with_summary(step(&name, 0, &["x"]), long) }
    };
    let asked = Idempotency { scope: text.clone(), ..idempotency(&text, 1, u64::MAX, 1) };
    let steps: Vec<Step> = (0..crate::STEPS_MAX).map(one).collect();
    store.commit(Commit { steps, idempotency: Some(asked) }).await.unwrap();
    let last = format!("{:0width$}", crate::STEPS_MAX - 1, width = STREAM_LENGTH_MAX);
    assert_eq!(load(store, &last).await.unwrap().cells.len(), 2);
    // A name that nothing can have is that of nothing.
    let nothing = stream(&"s".repeat(100_000));
    assert_eq!(store.load(&nothing).await, Ok(None));
    assert_eq!(store.marks(&nothing).await, Ok(Vec::new()));
    assert_eq!(store.cells(&nothing, &Key::default(), Version(1)).await, Ok(Vec::new()));
    assert_eq!(store.mark(&nothing, "web", Version(1)).await, Ok(()));
    assert_eq!(store.trim(&nothing, Version(1)).await, Ok(()));
    assert_eq!(store.forget(&nothing).await, Ok(()));
    let prefix = Key(vec![0; 100_000].into());
    assert_eq!(store.cells(&stream(&last), &prefix, Version(1)).await, Ok(Vec::new()));
    store.mark(&stream(&last), &"r".repeat(KEY_LENGTH_MAX + 1), Version(1)).await.unwrap_err();
    store.mark(&stream(&last), &"r".repeat(KEY_LENGTH_MAX), Version(1)).await.unwrap();
}

fn idempotency(key: &str, body: u8, expires: u64, now: u64) -> Idempotency {
    Idempotency {
        scope: "acme/ann".to_owned(),
        key: key.to_owned(),
        body_hash: [body; 32],
        expires: Timestamp::from_millis(expires),
        now: Timestamp::from_millis(now),
    }
}

/// A repetition is found, whatever versions it names, until the key expires.
pub async fn an_idempotency_key_is_good_for_one_commit(store: &dyn Store) {
    let commit = |name: &str, expected, idempotency| Commit {
        steps: vec![step(name, expected, &["x"]), guard("other", 0)],
        idempotency: Some(idempotency),
    };
    let duplicate = |name, body| Err(CommitError::Duplicate { stream: stream(name), body_hash: [body; 32] });
    store.commit(commit("a", 0, idempotency("k", 1, 100, 10))).await.unwrap();
    assert_eq!(store.commit(commit("b", 0, idempotency("k", 1, 200, 20))).await, duplicate("a", 1), "the same again");
    assert_eq!(store.commit(commit("b", 7, idempotency("k", 2, 200, 20))).await, duplicate("a", 1), "another body");
    assert_eq!(
        store.commit(commit("b", 0, idempotency("k", 2, 200, 100))).await,
        duplicate("a", 1),
        "until it expires"
    );
    let elsewhere = Idempotency { scope: "acme/bob".to_owned(), ..idempotency("k", 3, 200, 20) };
    store.commit(commit("b", 0, elsewhere)).await.unwrap();
    store.commit(commit("c", 0, idempotency("k", 4, 300, 101))).await.unwrap();
    assert_eq!(store.commit(commit("d", 0, idempotency("k", 4, 300, 102))).await, duplicate("c", 4), "the new one");
    assert_eq!(load(store, "d").await, None);
    // Scope and key are two texts, not one.
    for (scope, key) in [("ab", "c"), ("a", "bc")] {
        let asked = Idempotency { scope: scope.to_owned(), ..idempotency(key, 5, 300, 102) };
        store.commit(commit(&format!("{scope}/{key}"), 0, asked)).await.unwrap();
    }
    // Many more come and expire, and none is taken for another.
    for number in 0..200 {
        let asked = idempotency(&format!("n{number}"), 6, 400 + number, 400 + number);
        store.commit(commit(&format!("n{number}"), 0, asked)).await.unwrap();
    }
    assert_eq!(store.commit(commit("z", 0, idempotency("n199", 6, 900, 599))).await, duplicate("n199", 6));
    store.commit(commit("z", 0, idempotency("n0", 6, 900, 599))).await.unwrap();
}

/// A reader decides by it whether it knows a record.
pub async fn the_format_of_a_record_is_kept(store: &dyn Store) {
    let formats = [0, 1, 2, 255, 256, u16::MAX];
    let records = formats.map(|format| Record { format, body: Bytes::new() }).to_vec();
    append(store, Step { records: records.clone(), ..guard("a", 0) }).await;
    assert_eq!(load(store, "a").await.unwrap().records, records);
}

/// From nothing to more than a place in the log holds, the same one several times, and gone with their stream.
pub async fn large_values_come_back(store: &dyn Store) {
    let body = |size: usize, fill: u8| -> Bytes { (0..size).map(|at| (at / 251) as u8 ^ fill).collect() };
    let sizes = [0, 1, 4_000, 5_000, 9_000, INLINE_MAX, INLINE_MAX + 1, 1 << 20];
    let records: Vec<Record> = sizes.iter().map(|size| record(body(*size, 1))).collect();
    let cells: Vec<(Key, Option<Bytes>)> =
        sizes.iter().map(|size| (key(&format!("{size:09}")), Some(body(*size, 2)))).collect();
    append(store, Step { records: records.clone(), cells: cells.clone(), ..guard("a", 0) }).await;
    append(store, Step { records: records.clone(), ..guard("b", 0) }).await;
    let count = sizes.len() as u64;
    let loaded = load(store, "a").await.unwrap();
    assert_eq!(loaded.records, records);
    let cell = |(key, value): (Key, Option<Bytes>)| Cell { key, version: Version(count), value: value.unwrap() };
    assert_eq!(loaded.cells, cells.into_iter().map(cell).collect::<Vec<_>>());
    let page = store.read(&stream("a"), Version(count - 2), 1).await.unwrap();
    assert_eq!(page, Page::Records(vec![record(body(INLINE_MAX + 1, 1))]));
    // The same bytes belong to `b` too.
    store.trim(&stream("a"), Version(count)).await.unwrap();
    assert_eq!(load(store, "a").await.unwrap().cells.len(), sizes.len());
    store.forget(&stream("a")).await.unwrap();
    assert_eq!(load(store, "b").await.unwrap().records, records);
    store.forget(&stream("b")).await.unwrap();
    append(store, Step { records: records.clone(), ..guard("b", 0) }).await;
    assert_eq!(load(store, "b").await.unwrap().records, records, "kept anew after all of it was gone");
}
