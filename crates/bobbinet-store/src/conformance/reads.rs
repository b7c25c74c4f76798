//! What one stream gives back: its records by version, its cells as they were.

use super::{append, cells, load, record, step, stream, summary, with_cells, with_summary};
use crate::{Page, Record, Store, Version};

/// Of a stream that is there, of one that has none, and of none.
pub async fn a_summary_is_the_newest_that_was_given(store: &dyn Store) {
    let first = summary("01939f3c-7d2e-7000-8000-0123456789ab", 1, 5);
    append(store, with_summary(step("a", 0, &["1"]), first.clone())).await;
    append(store, step("a", 1, &["2"])).await;
    append(store, step("bare", 0, &["1"])).await;
    assert_eq!(store.summary(&stream("a")).await.unwrap(), Some((Version(2), first)));
    let second = summary("x", 2, 6);
    append(store, with_summary(step("a", 2, &["3"]), second.clone())).await;
    assert_eq!(store.summary(&stream("a")).await.unwrap(), Some((Version(3), second)));
    assert_eq!(store.summary(&stream("bare")).await.unwrap(), None);
    assert_eq!(store.summary(&stream("none")).await.unwrap(), None);
    store.forget(&stream("a")).await.unwrap();
    assert_eq!(store.summary(&stream("a")).await.unwrap(), None);
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

/// Also those that are not there, are asked for twice, or have cells, large values, or only their end.
pub async fn streams_are_loaded_together_as_they_are_one_by_one(store: &dyn Store) {
    let large = "x".repeat(100_000);
    let wide = "y".repeat(10_000);
    for number in 0..60 {
        let name = format!("s{number}");
        append(store, step(&name, 0, &["1", &number.to_string()])).await;
        if number % 7 == 0 {
            append(store, step(&name, 2, &["3"])).await;
        }
    }
    append(store, with_cells(step("cells", 0, &["1"]), &[("a", Some("a1")), ("b", Some("b1"))])).await;
    append(store, step("large", 0, &["1", &large, &wide])).await;
    append(store, step("trimmed", 0, &["1", "2", "3"])).await;
    store.trim(&stream("trimmed"), Version(2)).await.unwrap();
    let mut names: Vec<String> = (0..60).rev().map(|number| format!("s{number}")).collect();
    names.extend(["cells", "none", "s1", "large", "trimmed", "s1"].map(str::to_owned));
    let ids: Vec<_> = names.iter().map(|name| stream(name)).collect();
    let all: Vec<_> = store.load_all(&ids, usize::MAX).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(all.len(), ids.len());
    for (name, loaded) in names.iter().zip(all) {
        assert_eq!(loaded, load(store, name).await, "{name}");
        assert_eq!(loaded.is_some(), name != "none");
    }
    assert_eq!(store.load_all(&[], 1).await, []);
    // As many as make so many bytes, whole ones: "s59" and "s58" have three each, "large" more than all that comes before it.
    for (bytes_max, expected) in [(0, 1), (1, 1), (3, 1), (4, 2), (6, 2), (7, 3), (large.len(), 64), (usize::MAX, 66)] {
        assert_eq!(store.load_all(&ids, bytes_max).await.len(), expected, "{bytes_max} bytes");
    }
}
