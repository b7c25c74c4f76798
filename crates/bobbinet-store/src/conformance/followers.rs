//! What those who follow see: the tail of all commits, growth, marks, and whole commits only.

use std::{sync::Arc, time::Duration};

use super::{append, guard, load, step, stream, summary, tail, with_cells, with_summary};
use crate::{Commit, Cursor, Page, Scope, Store, Summary, Version, WAKE_MAX};

/// Everything, or one tenant's or context's, resumed anywhere.
pub async fn a_tail_gives_commits_in_order_and_within_its_scope(store: &dyn Store) {
    let all = Scope::default();
    assert_eq!(tail(store, &all, Cursor(0), 10).await, (Vec::new(), Cursor(0)));
    let other = Summary { tenant: "other".into(), ..summary("x", 1, 1) };
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
