//! What is found over many streams: lists, their pages, and what is due.

use super::{append, step, stream, summary, with_summary};
use crate::{Census, Query, Store, StoreError, StreamId, Summary, Timestamp};

struct Listed {
    name: &'static str,
    summary: Summary,
}

/// Some streams of two tenants, oldest status first.
fn listed() -> Vec<Listed> {
    let one = |name, tenant: &str, owner: &str, agent: &str, context: &str, state, status_at| Listed {
        name,
        summary: Summary {
            tenant: tenant.into(),
            owner: owner.into(),
            agent: agent.into(),
            context: context.into(),
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
        let before = Summary { state: 9, owner: "nobody".into(), ..summary.clone() };
        append(store, with_summary(step(name, 0, &["1"]), before)).await;
        append(store, with_summary(step(name, 1, &["2"]), summary)).await;
    }
    append(store, step("unlisted", 0, &["1"])).await;
}

/// One line for each owner, agent and state that occur, and none for what was there before.
pub async fn a_census_counts_what_is_listed(store: &dyn Store) {
    assert_eq!(store.census().await.unwrap(), []);
    keep_listed(store).await;
    let line = |tenant: &str, owner: &str, agent: &str, state, count| Census {
        tenant: tenant.into(),
        owner: owner.into(),
        agent: agent.into(),
        state,
        count,
    };
    let mut census = store.census().await.unwrap();
    census.sort_unstable();
    let expected = [
        line("acme", "ann", "echo", 1, 1),
        line("acme", "ann", "echo", 2, 2),
        line("acme", "ann", "time", 255, 1),
        line("acme", "bob", "echo", 2, 1),
        line("acme", "bob", "time", 0, 1),
        line("acme", "echo", "ann", 1, 1),
        line("other", "ann", "echo", 1, 1),
    ];
    assert_eq!(census, expected);
    for number in 0..1_000 {
        append(store, with_summary(step(&format!("m{number}"), 0, &["1"]), summary("many", 3, number))).await;
    }
    let many = line("acme", "ann", "echo", 3, 1_000);
    assert!(store.census().await.unwrap().contains(&many));
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
                                tenant: tenant.into(),
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
    assert_eq!((listing.total, listing.next()), (expected.len(), None), "{query:?}");
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
        let next = match round % 3 {
            // A reader that has had enough goes on from where it stopped.
            0 => {
                seen.extend(listing.entries.iter().take(4).map(|(id, ..)| id.clone()));
                listing.next_after(4)
            }
            _ => {
                seen.extend(listing.entries.iter().map(|(id, ..)| id.clone()));
                listing.next()
            }
        };
        // One that was not seen yet moves to the front, one goes.
        append(store, with_summary(step(&name(round), 1, &["2"]), summary("x", 1, 5_000))).await;
        if round % 2 == 1 {
            store.forget(&stream(&name(20 + round))).await.unwrap();
        }
        round += 1;
        query.page_token = next;
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
    let token = store.list(&query).await.unwrap().next().unwrap();
    let with = |query: Query| Query { page_token: Some(token.clone()), ..query };
    let other_size = store.list(&with(Query { page_size: 50, ..query.clone() })).await.unwrap();
    assert_eq!((other_size.entries.len(), other_size.next()), (5, None));
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
    assert_eq!((none.entries.len(), none.total, none.next()), (0, 7, None));
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
