//! What every store promises, as tests that any store can be put through.
//!
//! Each takes a new, empty store and panics if a promise is broken. [`all`] runs them one after another on stores that
//! a factory makes.

#![allow(clippy::unwrap_used, reason = "a test that any crate may run")]
#![allow(clippy::missing_panics_doc, reason = "to panic is what they are for")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    Cell, Commit, CommitError, Cursor, INLINE_MAX, Idempotency, KEY_LENGTH_MAX, Key, Loaded, Page, Query, Record,
    STEP_RECORDS_MAX, STREAM_LENGTH_MAX, Scope, Step, Store, StoreError, StreamId, Summary, TEXT_LENGTH_MAX, TailEntry,
    Timestamp, Version, WAKE_MAX,
};

/// Runs all of them. `make` gives a new, empty store each time.
pub async fn all<F: AsyncFn() -> Arc<dyn Store>>(make: F) {
    a_commit_is_read_back(&*make().await).await;
    a_commit_at_another_version_is_refused_and_leaves_nothing(&*make().await).await;
    several_streams_change_together_or_not_at_all(&*make().await).await;
    of_many_writers_one_wins(make().await).await;
    malformed_commits_are_refused(&*make().await).await;
    an_idempotency_key_is_good_for_one_commit(&*make().await).await;
    the_format_of_a_record_is_kept(&*make().await).await;
    large_values_come_back(&*make().await).await;
    pages_follow_a_version(&*make().await).await;
    cells_are_read_as_they_were(&*make().await).await;
    a_list_filters_orders_and_counts(&*make().await).await;
    a_list_is_read_page_by_page_while_it_changes(&*make().await).await;
    a_page_token_is_good_for_its_query_only(&*make().await).await;
    due_streams_come_earliest_first(&*make().await).await;
    a_tail_gives_commits_in_order_and_within_its_scope(&*make().await).await;
    a_follower_hears_of_what_was_and_of_what_comes(make().await).await;
    marks_are_kept_by_name(&*make().await).await;
    what_was_trimmed_is_gone_and_said_to_be(&*make().await).await;
    a_trim_keeps_what_the_cells_are(&*make().await).await;
    a_forgotten_stream_leaves_nothing(&*make().await).await;
    a_forgotten_stream_can_begin_anew(&*make().await).await;
    readers_see_whole_commits_only(make().await).await;
}

/// A stream of this name.
#[must_use]
pub fn stream(name: &str) -> StreamId {
    StreamId::from_bytes(name.as_bytes())
}

/// A record of format 1.
#[must_use]
pub fn record(body: impl Into<Bytes>) -> Record {
    Record { format: 1, body: body.into() }
}

/// A summary of agent `echo` of owner `ann` in tenant `acme`.
#[must_use]
pub fn summary(context: &str, state: u8, status_at: u64) -> Summary {
    Summary {
        tenant: "acme".to_owned(),
        owner: "ann".to_owned(),
        agent: "echo".to_owned(),
        context: context.to_owned(),
        state,
        status_at: Timestamp::from_millis(status_at),
        due: None,
    }
}

/// A step that appends records.
#[must_use]
pub fn step(name: &str, expected: u64, bodies: &[&str]) -> Step {
    Step {
        stream: stream(name),
        expected: Version(expected),
        records: bodies.iter().map(|body| record((*body).to_owned())).collect(),
        cells: Vec::new(),
        summary: None,
    }
}

/// A step that only guards.
#[must_use]
pub fn guard(name: &str, expected: u64) -> Step {
    step(name, expected, &[])
}

fn with_summary(step: Step, summary: Summary) -> Step {
    Step { summary: Some(summary), ..step }
}

fn with_cells(step: Step, cells: &[(&str, Option<&str>)]) -> Step {
    let cells = cells.iter().map(|(name, value)| (key(name), value.map(|value| Bytes::from(value.to_owned()))));
    Step { cells: cells.collect(), ..step }
}

fn key(name: &str) -> Key {
    Key(Bytes::from(name.to_owned()))
}

async fn append(store: &dyn Store, step: Step) {
    store.commit(Commit::of(step)).await.unwrap();
}

async fn load(store: &dyn Store, name: &str) -> Option<Loaded> {
    store.load(&stream(name)).await.unwrap()
}

async fn bodies(store: &dyn Store, name: &str) -> Vec<String> {
    let records = load(store, name).await.map_or(Vec::new(), |loaded| loaded.records);
    records.iter().map(|record| String::from_utf8(record.body.to_vec()).unwrap()).collect()
}

fn conflict(name: &str, actual: u64) -> Result<(), CommitError> {
    Err(CommitError::Conflict { stream: stream(name), actual: Version(actual) })
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

/// Reading by version and limit.
pub async fn pages_follow_a_version(store: &dyn Store) {
    append(store, step("a", 0, &["1", "2", "3"])).await;
    append(store, step("a", 3, &["4"])).await;
    append(store, step("a", 4, &["5", "6"])).await;
    let all = ["1", "2", "3", "4", "5", "6"];
    for after in 0..9_usize {
        for limit in 0..8 {
            let expected: Vec<Record> = all.iter().skip(after).take(limit).map(|body| record(*body)).collect();
            let page = store.read(&stream("a"), Version(after as u64), limit).await.unwrap();
            assert_eq!(page, Page::Records(expected), "after {after}, {limit}");
        }
    }
    let page = store.read(&stream("a"), Version(u64::MAX), usize::MAX).await.unwrap();
    assert_eq!(page, Page::Records(Vec::new()));
    assert_eq!(store.read(&stream("none"), Version::ZERO, 5).await.unwrap(), Page::Records(Vec::new()));
}

async fn cells(store: &dyn Store, name: &str, prefix: &str, at: u64) -> Vec<String> {
    let cells = store.cells(&stream(name), &key(prefix), Version(at)).await.unwrap();
    cells
        .iter()
        .map(|cell| format!("{}@{}={}", cell.key.0.escape_ascii(), cell.version.0, cell.value.escape_ascii()))
        .collect()
}

/// By version, by prefix, in the order of keys, without what was taken away.
pub async fn cells_are_read_as_they_were(store: &dyn Store) {
    append(store, with_cells(step("a", 0, &["1"]), &[("x/b", Some("b1")), ("x/a", Some("a1")), ("y", Some("y1"))]))
        .await;
    append(store, with_cells(step("a", 1, &["2", "3"]), &[("x/a", Some("a3")), ("y", None), ("x", Some("x3"))])).await;
    append(store, with_cells(step("a", 3, &["4"]), &[("x/a", None), ("y", Some("y4")), ("x/a\0", Some("zero"))])).await;
    append(store, with_cells(step("a0", 0, &["1"]), &[("x/a", Some("another stream's"))])).await;
    let check = async |prefix: &str, at: u64, expected: &[&str]| {
        assert_eq!(cells(store, "a", prefix, at).await, expected, "{prefix:?} at {at}");
    };
    check("", 0, &[]).await;
    check("", 1, &["x/a@1=a1", "x/b@1=b1", "y@1=y1"]).await;
    check("", 2, &["x/a@1=a1", "x/b@1=b1", "y@1=y1"]).await;
    check("", 3, &["x@3=x3", "x/a@3=a3", "x/b@1=b1"]).await;
    check("", 4, &["x@3=x3", "x/a\\x00@4=zero", "x/b@1=b1", "y@4=y4"]).await;
    check("", u64::MAX, &["x@3=x3", "x/a\\x00@4=zero", "x/b@1=b1", "y@4=y4"]).await;
    check("x/", 3, &["x/a@3=a3", "x/b@1=b1"]).await;
    check("x/a", 4, &["x/a\\x00@4=zero"]).await;
    check("z", 4, &[]).await;
    assert_eq!(cells(store, "none", "", 9).await, Vec::<String>::new());
    // One that is rewritten again and again, between two that are not.
    append(store, with_cells(step("b", 0, &["1"]), &[("a", Some("first")), ("c", Some("last"))])).await;
    for version in 1..100 {
        let value = version.to_string();
        append(store, with_cells(step("b", version, &["x"]), &[("b", Some(&value))])).await;
    }
    assert_eq!(cells(store, "b", "", 100).await, ["a@1=first", "b@100=99", "c@1=last"]);
    assert_eq!(cells(store, "b", "", 50).await, ["a@1=first", "b@50=49", "c@1=last"]);
    assert_eq!(load(store, "b").await.unwrap().cells.len(), 3);
}

struct Listed {
    name: &'static str,
    summary: Summary,
}

/// Some streams of two tenants, oldest status first.
fn listed() -> Vec<Listed> {
    let one = |name, tenant: &str, owner: &str, agent: &str, context: &str, state, status_at| Listed {
        name,
        summary: Summary {
            tenant: tenant.to_owned(),
            owner: owner.to_owned(),
            agent: agent.to_owned(),
            context: context.to_owned(),
            state,
            status_at: Timestamp::from_millis(status_at),
            due: None,
        },
    };
    vec![
        one("t1", "acme", "ann", "echo", "x", 1, 10),
        one("t2", "acme", "ann", "echo", "y", 2, 20),
        one("t3", "acme", "bob", "echo", "x", 2, 20),
        one("t4", "acme", "bob", "time", "x", 0, 30),
        one("t5", "acme", "ann", "time", "y", 255, 40),
        one("t6", "acme", "ann", "echo", "x", 2, 50),
        one("t7", "other", "ann", "echo", "x", 1, 60),
        one("t8", "acme", "echo", "ann", "ann", 1, 70),
    ]
}

async fn keep_listed(store: &dyn Store) {
    for Listed { name, summary } in listed() {
        // First in another place, so that the old one is seen to be gone.
        let before = Summary { state: 9, owner: "nobody".to_owned(), ..summary.clone() };
        append(store, with_summary(step(name, 0, &["1"]), before)).await;
        append(store, with_summary(step(name, 1, &["2"]), summary)).await;
    }
    append(store, step("unlisted", 0, &["1"])).await;
}

/// Every combination of filters against the obvious answer.
pub async fn a_list_filters_orders_and_counts(store: &dyn Store) {
    keep_listed(store).await;
    let texts = |texts: &[&str]| -> Vec<Option<String>> {
        std::iter::once(None).chain(texts.iter().map(|text| Some((*text).to_owned()))).collect()
    };
    for tenant in ["acme", "other", "none"] {
        for owner in texts(&["ann", "bob", "echo", "nobody", "none"]) {
            for agent in texts(&["echo", "time", "ann"]) {
                for context in texts(&["x", "y", "ann"]) {
                    for state in [None, Some(0), Some(1), Some(2), Some(9), Some(255)] {
                        for since in [None, Some(0), Some(20), Some(21), Some(99)] {
                            let query = Query {
                                tenant: tenant.to_owned(),
                                owner: owner.clone(),
                                agent: agent.clone(),
                                context: context.clone(),
                                state,
                                status_since: since.map(Timestamp::from_millis),
                                page_size: 100,
                                page_token: None,
                            };
                            check_list(store, &query).await;
                        }
                    }
                }
            }
        }
    }
}

async fn check_list(store: &dyn Store, query: &Query) {
    // Of two with the same status time the one that began last is first.
    let mut expected = listed();
    expected.reverse();
    expected.sort_by_key(|listed| std::cmp::Reverse(listed.summary.status_at));
    expected.retain(|listed| query.matches(&listed.summary));
    let listing = store.list(query).await.unwrap();
    let found: Vec<_> = listing.entries.iter().map(|(id, version, summary)| (id.clone(), version.0, summary)).collect();
    let expected: Vec<_> = expected.iter().map(|listed| (stream(listed.name), 2, &listed.summary)).collect();
    assert_eq!(found, expected, "{query:?}");
    assert_eq!((listing.total, listing.next), (expected.len(), None), "{query:?}");
}

/// Nothing that stays as it is is left out or given twice.
pub async fn a_list_is_read_page_by_page_while_it_changes(store: &dyn Store) {
    const COUNT: u64 = 100;
    let name = |number: u64| format!("t{number:03}");
    for number in 0..COUNT {
        // Three of each time, and states that lie in several places.
        let summary = summary("x", (number % 4) as u8, 1_000 + number / 3);
        append(store, with_summary(step(&name(number), 0, &["1"]), summary)).await;
    }
    let mut query = Query { tenant: "acme".to_owned(), page_size: 7, ..Query::default() };
    let mut seen = Vec::new();
    let mut round = 0;
    loop {
        let listing = store.list(&query).await.unwrap();
        assert!(listing.entries.len() <= 7);
        assert_eq!(listing.total as u64, COUNT - round / 2, "round {round}");
        seen.extend(listing.entries.into_iter().map(|(id, ..)| id));
        // One that was not seen yet moves to the front, one goes.
        append(store, with_summary(step(&name(round), 1, &["2"]), summary("x", 1, 5_000))).await;
        if round % 2 == 1 {
            store.forget(&stream(&name(20 + round))).await.unwrap();
        }
        round += 1;
        query.page_token = listing.next;
        if query.page_token.is_none() {
            break;
        }
    }
    let touched = |id: &StreamId| (0..round).any(|at| stream(&name(at)) == *id || stream(&name(20 + at)) == *id);
    let mut expected: Vec<u64> = (0..COUNT).collect();
    expected.sort_by_key(|number| std::cmp::Reverse((1_000 + number / 3, *number)));
    let expected: Vec<StreamId> =
        expected.into_iter().map(|number| stream(&name(number))).filter(|id| !touched(id)).collect();
    let stayed: Vec<StreamId> = seen.iter().filter(|id| !touched(id)).cloned().collect();
    assert_eq!(stayed, expected);
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), seen.len(), "one was given twice");
}

/// Tokens of other queries, of nobody, and of a page that was the last.
pub async fn a_page_token_is_good_for_its_query_only(store: &dyn Store) {
    keep_listed(store).await;
    let query = Query { tenant: "acme".to_owned(), page_size: 2, ..Query::default() };
    let token = store.list(&query).await.unwrap().next.unwrap();
    let with = |query: Query| Query { page_token: Some(token.clone()), ..query };
    let other_size = store.list(&with(Query { page_size: 50, ..query.clone() })).await.unwrap();
    assert_eq!((other_size.entries.len(), other_size.next), (5, None));
    let misused = [
        with(Query { tenant: "other".to_owned(), ..query.clone() }),
        with(Query { owner: Some("ann".to_owned()), ..query.clone() }),
        with(Query { agent: Some("ann".to_owned()), ..query.clone() }),
        with(Query { context: Some("ann".to_owned()), ..query.clone() }),
        with(Query { state: Some(1), ..query.clone() }),
        with(Query { status_since: Some(Timestamp::from_millis(0)), ..query.clone() }),
        Query { page_token: Some(String::new()), ..query.clone() },
        Query { page_token: Some("nonsense".to_owned()), ..query.clone() },
        Query { page_token: Some(token.to_uppercase() + "0"), ..query.clone() },
        Query { page_token: Some("é".repeat(token.len() / 2)), ..query.clone() },
        Query { page_token: Some(token.replace(|_: char| true, "0")), ..query.clone() },
    ];
    for query in misused {
        assert_eq!(store.list(&query).await, Err(StoreError::BadPageToken), "{query:?}");
    }
    let none = store.list(&Query { page_size: 0, ..query }).await.unwrap();
    assert_eq!((none.entries.len(), none.total, none.next), (0, 7, None));
}

/// Up to a time, with a limit, and as the summaries change.
pub async fn due_streams_come_earliest_first(store: &dyn Store) {
    let due = |at: Option<u64>| Summary { due: at.map(Timestamp::from_millis), ..summary("x", 1, 1) };
    for (name, at) in [("a", Some(30)), ("b", Some(10)), ("c", None), ("d", Some(20)), ("e", Some(20)), ("f", Some(40))]
    {
        append(store, with_summary(step(name, 0, &["1"]), due(at))).await;
    }
    let check = async |before: u64, limit: usize, expected: &[&str]| {
        let found = store.due(Timestamp::from_millis(before), limit).await.unwrap();
        let names: Vec<StreamId> = found.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(names, expected.iter().map(|name| stream(name)).collect::<Vec<_>>(), "before {before}, {limit}");
        assert!(found.iter().all(|(_, summary)| summary.due.is_some_and(|due| due.as_millis() <= before)));
    };
    check(9, 10, &[]).await;
    check(10, 10, &["b"]).await;
    check(30, 10, &["b", "d", "e", "a"]).await;
    check(30, 2, &["b", "d"]).await;
    append(store, with_summary(step("b", 1, &["2"]), due(Some(35)))).await;
    append(store, with_summary(step("d", 1, &["2"]), due(None))).await;
    append(store, step("a", 1, &["2"])).await;
    store.forget(&stream("e")).await.unwrap();
    check(u64::MAX, 10, &["a", "b", "f"]).await;
}

async fn tail(store: &dyn Store, scope: &Scope, from: Cursor, limit: usize) -> (Vec<String>, Cursor) {
    let (mut found, mut after) = (Vec::new(), from);
    loop {
        let tail = store.tail(scope, after, limit).await.unwrap();
        assert!(tail.entries.len() <= limit);
        let name = |entry: &TailEntry| format!("{}@{}", entry.stream.as_bytes().escape_ascii(), entry.version.0);
        found.extend(tail.entries.iter().map(name));
        if tail.next == after {
            assert_eq!(tail.entries, []);
            return (found, after);
        }
        assert!(tail.next > after);
        after = tail.next;
    }
}

/// Everything, or one tenant's or context's, resumed anywhere.
pub async fn a_tail_gives_commits_in_order_and_within_its_scope(store: &dyn Store) {
    let all = Scope::default();
    assert_eq!(tail(store, &all, Cursor(0), 10).await, (Vec::new(), Cursor(0)));
    let other = Summary { tenant: "other".to_owned(), ..summary("x", 1, 1) };
    append(store, with_summary(step("a", 0, &["1", "2"]), summary("x", 1, 1))).await;
    append(store, with_summary(step("b", 0, &["1"]), summary("y", 1, 1))).await;
    append(store, step("plain", 0, &["1"])).await;
    let steps =
        vec![step("a", 2, &["3"]), with_summary(step("c", 0, &["1"]), other), guard("plain", 1), step("b", 1, &["2"])];
    store.commit(Commit { steps, idempotency: None }).await.unwrap();
    append(store, step("b", 2, &["3"])).await;
    let scope = |tenant: Option<&str>, context: Option<&str>| Scope {
        tenant: tenant.map(str::to_owned),
        context: context.map(str::to_owned),
    };
    for limit in [1, 2, 3, 100] {
        let check = async |scope: Scope, expected: &[&str]| {
            assert_eq!(tail(store, &scope, Cursor(0), limit).await.0, expected, "{scope:?}, {limit}");
        };
        check(scope(None, None), &["a@2", "b@1", "plain@1", "a@3", "c@1", "b@2", "b@3"]).await;
        check(scope(Some("acme"), None), &["a@2", "b@1", "a@3", "b@2", "b@3"]).await;
        check(scope(None, Some("x")), &["a@2", "a@3", "c@1"]).await;
        check(scope(Some("acme"), Some("x")), &["a@2", "a@3"]).await;
        check(scope(Some("none"), None), &[]).await;
    }
    // Every cursor that was given out is a place to go on from.
    let (entries, end) = tail(store, &all, Cursor(0), 100).await;
    let mut after = Cursor(0);
    for given in 0..entries.len() {
        assert_eq!(tail(store, &all, after, 100).await.0, entries[given..]);
        after = store.tail(&all, after, 1).await.unwrap().next;
    }
    append(store, step("b", 3, &["4"])).await;
    assert_eq!(tail(store, &all, end, 100).await.0, ["b@4"]);
    store.forget(&stream("b")).await.unwrap();
    assert_eq!(tail(store, &all, Cursor(0), 2).await.0, ["a@2", "plain@1", "a@3", "c@1"]);
    assert_eq!(tail(store, &all, Cursor(u64::MAX), 2).await.0, Vec::<String>::new());
}

/// At once if the log has grown, with the commit if it grows, and not for ever if it does not.
pub async fn a_follower_hears_of_what_was_and_of_what_comes(store: Arc<dyn Store>) {
    append(&*store, step("a", 0, &["1"])).await;
    let soon = WAKE_MAX / 2;
    let now = tokio::time::timeout(soon, store.changed(&stream("a"), Version::ZERO)).await;
    assert_eq!(now, Ok(()), "what is there already");
    let mut followers = tokio::task::JoinSet::new();
    for name in ["a", "a", "new"] {
        let store = store.clone();
        followers.spawn(async move {
            let mut at = Version(u64::from(name == "a"));
            let mut wakes = 0;
            while at < Version(50) {
                store.changed(&stream(name), at).await;
                wakes += 1;
                at = store.load(&stream(name)).await.unwrap().map_or(at, |loaded| loaded.version);
            }
            wakes
        });
    }
    let begun = tokio::time::Instant::now();
    for version in 0..50 {
        if version > 0 {
            append(&*store, step("a", version, &["x"])).await;
        }
        append(&*store, step("new", version, &["x"])).await;
    }
    let wakes = followers.join_all().await;
    assert!(wakes.iter().all(|wakes| *wakes <= 60), "a hint is for growth: {wakes:?}");
    assert!(begun.elapsed() < WAKE_MAX * 20, "hints were lost");
    let nothing =
        tokio::time::timeout(WAKE_MAX + Duration::from_secs(5), store.changed(&stream("a"), Version(50))).await;
    assert_eq!(nothing, Ok(()), "it returns even if nothing comes");
}

/// Readers by name, of streams that are there.
pub async fn marks_are_kept_by_name(store: &dyn Store) {
    let a = stream("a");
    store.mark(&a, "early", Version(1)).await.unwrap();
    assert_eq!(store.marks(&a).await.unwrap(), [], "a stream that is not there has no readers");
    append(store, step("a", 0, &["1", "2"])).await;
    assert_eq!(store.marks(&a).await.unwrap(), []);
    for (reader, at) in [("web", 1), ("log", 1), ("web", 2), ("gone", 1), ("gone", 0)] {
        store.mark(&a, reader, Version(at)).await.unwrap();
    }
    let marks = store.marks(&a).await.unwrap();
    assert_eq!(marks, [("log".to_owned(), Version(1)), ("web".to_owned(), Version(2))]);
    store.forget(&a).await.unwrap();
    append(store, step("a", 0, &["1"])).await;
    assert_eq!(store.marks(&a).await.unwrap(), [], "marks go with their stream");
}

/// Before, at and after the edge.
pub async fn what_was_trimmed_is_gone_and_said_to_be(store: &dyn Store) {
    let a = stream("a");
    append(store, with_summary(step("a", 0, &["1", "2", "3"]), summary("x", 1, 1))).await;
    append(store, step("a", 3, &["4"])).await;
    store.trim(&a, Version(2)).await.unwrap();
    store.trim(&a, Version(1)).await.unwrap();
    store.trim(&stream("none"), Version(1)).await.unwrap();
    let trimmed = |first| Page::Trimmed { first: Version(first) };
    assert_eq!(store.read(&a, Version(0), 9).await.unwrap(), trimmed(3));
    assert_eq!(store.read(&a, Version(1), 9).await.unwrap(), trimmed(3));
    assert_eq!(store.read(&a, Version(2), 9).await.unwrap(), Page::Records(vec![record("3"), record("4")]));
    let loaded = load(store, "a").await.unwrap();
    assert_eq!((loaded.version, loaded.trimmed, loaded.records.len()), (Version(4), Version(2), 2));
    assert_eq!(loaded.summary, Some(summary("x", 1, 1)));
    store.trim(&a, Version(99)).await.unwrap();
    assert_eq!(store.read(&a, Version(3), 9).await.unwrap(), trimmed(5));
    assert_eq!(store.read(&a, Version(4), 9).await.unwrap(), Page::Records(Vec::new()));
    assert_eq!(load(store, "a").await.unwrap().trimmed, Version(4));
    assert_eq!(store.commit(Commit::of(step("a", 0, &["x"]))).await, conflict("a", 4));
    append(store, step("a", 4, &["5"])).await;
    assert_eq!(bodies(store, "a").await, ["5"]);
    assert_eq!(store.read(&a, Version(4), 9).await.unwrap(), Page::Records(vec![record("5")]));
    assert_eq!(
        store.list(&Query { tenant: "acme".to_owned(), page_size: 9, ..Query::default() }).await.unwrap().total,
        1
    );
}

/// The values at the edge stay, whenever they were set.
pub async fn a_trim_keeps_what_the_cells_are(store: &dyn Store) {
    append(store, with_cells(step("a", 0, &["1"]), &[("x", Some("x1")), ("y", Some("y1")), ("z", Some("z1"))])).await;
    append(store, with_cells(step("a", 1, &["2"]), &[("x", Some("x2")), ("z", None)])).await;
    append(store, with_cells(step("a", 2, &["3"]), &[("x", Some("x3"))])).await;
    store.trim(&stream("a"), Version(2)).await.unwrap();
    assert_eq!(cells(store, "a", "", 2).await, ["x@2=x2", "y@1=y1"]);
    assert_eq!(cells(store, "a", "", 3).await, ["x@3=x3", "y@1=y1"]);
    store.trim(&stream("a"), Version(3)).await.unwrap();
    assert_eq!(cells(store, "a", "", 3).await, ["x@3=x3", "y@1=y1"]);
    assert_eq!(load(store, "a").await.unwrap().cells.len(), 2);
}

/// Everything that belonged to it goes; its neighbours stay.
pub async fn a_forgotten_stream_leaves_nothing(store: &dyn Store) {
    let full = |name: &str, number: u64| {
        let due = Some(Timestamp::from_millis(number));
        let listed = with_summary(step(name, 0, &["1", "2"]), Summary { due, ..summary("x", 1, number) });
        with_cells(listed, &[("k", Some("v"))])
    };
    for number in 0..30 {
        let name = format!("t{number}");
        append(store, full(&name, number)).await;
        store.mark(&stream(&name), "web", Version(1)).await.unwrap();
    }
    let gone = |number: u64| !number.is_multiple_of(3);
    for number in (0..30).filter(|number| gone(*number)) {
        store.forget(&stream(&format!("t{number}"))).await.unwrap();
    }
    store.forget(&stream("none")).await.unwrap();
    for number in 0..30 {
        let (name, id) = (format!("t{number}"), stream(&format!("t{number}")));
        let found = load(store, &name).await;
        if gone(number) {
            assert_eq!(found, None);
            assert_eq!(store.read(&id, Version::ZERO, 9).await.unwrap(), Page::Records(Vec::new()));
            assert_eq!(cells(store, &name, "", 9).await, Vec::<String>::new());
            assert_eq!(store.marks(&id).await.unwrap(), []);
            assert_eq!(store.commit(Commit::of(step(&name, 2, &["3"]))).await, conflict(&name, 0));
        } else {
            let found = found.unwrap();
            assert_eq!((found.records.len(), found.cells.len(), found.version), (2, 1, Version(2)));
            assert_eq!(store.marks(&id).await.unwrap().len(), 1);
        }
    }
    assert_eq!(
        store.list(&Query { tenant: "acme".to_owned(), page_size: 99, ..Query::default() }).await.unwrap().total,
        10
    );
    assert_eq!(store.due(Timestamp::MAX, 99).await.unwrap().len(), 10);
    assert_eq!(tail(store, &Scope::default(), Cursor(0), 7).await.0.len(), 10);
}

/// The same id again, with nothing of what it was.
pub async fn a_forgotten_stream_can_begin_anew(store: &dyn Store) {
    for life in 0..5 {
        let body = format!("life {life}");
        let old = with_cells(with_summary(step("a", 0, &[&body, "2"]), summary("x", life, 1)), &[("k", Some(&body))]);
        append(store, old).await;
        if life % 2 == 0 {
            append(store, with_cells(step("a", 2, &["3"]), &[("only in even lives", Some("1"))])).await;
        }
        let loaded = load(store, "a").await.unwrap();
        assert_eq!(loaded.version, Version(2 + u64::from(life % 2 == 0)));
        assert_eq!(loaded.cells.len(), 1 + usize::from(life % 2 == 0));
        assert_eq!(loaded.records[0], record(body));
        assert_eq!(loaded.summary, Some(summary("x", life, 1)));
        let expected = if life % 2 == 0 { vec!["a@2", "a@3"] } else { vec!["a@2"] };
        assert_eq!(tail(store, &Scope::default(), Cursor(0), 9).await.0, expected);
        store.forget(&stream("a")).await.unwrap();
    }
}

/// While commits go on, no reader meets half of one, and nobody sees a version go back.
pub async fn readers_see_whole_commits_only(store: Arc<dyn Store>) {
    const ROUNDS: u64 = 200;
    append(&*store, with_cells(with_summary(step("a", 0, &["0", "0"]), summary("x", 0, 0)), &[("n", Some("0"))])).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let store = store.clone();
        readers.spawn(async move {
            let mut last = 0;
            while last < 2 * ROUNDS {
                let loaded = load(&*store, "a").await.unwrap();
                let version = loaded.version.0;
                assert!(version >= last && version % 2 == 0, "{version} after {last}");
                let newest = (version / 2 - 1).to_string();
                assert_eq!(loaded.records.len() as u64, version);
                assert_eq!(loaded.records.last().unwrap().body, newest);
                assert_eq!(loaded.cells[0].value, newest);
                assert_eq!(loaded.summary.unwrap().status_at.as_millis().to_string(), newest);
                let page = store.read(&stream("a"), Version(last), usize::MAX).await.unwrap();
                let Page::Records(records) = page else { panic!("nothing was trimmed") };
                assert!(records.len() as u64 >= version - last && records.len() % 2 == 0);
                last = version;
                tokio::task::yield_now().await;
            }
        });
    }
    for round in 1..ROUNDS {
        let body = round.to_string();
        let next = with_summary(step("a", 2 * round, &[&body, &body]), summary("x", 0, round));
        append(&*store, with_cells(next, &[("n", Some(&body))])).await;
        tokio::task::yield_now().await;
    }
    readers.join_all().await;
}
