//! What is gone: trimmed records, forgotten streams.

use super::{append, bodies, cells, conflict, load, record, step, stream, summary, tail, with_cells, with_summary};
use crate::{Commit, Cursor, Page, Query, Scope, Store, Summary, Timestamp, Version};

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
