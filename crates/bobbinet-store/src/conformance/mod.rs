//! What every store promises, as tests that any store can be put through.
//!
//! Each takes a new, empty store and panics if a promise is broken. [`all`] runs them one after another on stores that
//! a factory makes.

#![allow(clippy::unwrap_used, reason = "a test that any crate may run")]
#![allow(clippy::missing_panics_doc, reason = "to panic is what they are for")]

pub mod blobs;
mod commits;
mod followers;
mod lists;
mod reads;
mod removal;

use std::sync::Arc;

use bytes::Bytes;

pub use commits::*;
pub use followers::*;
pub use lists::*;
pub use reads::*;
pub use removal::*;

use crate::{
    Commit, CommitError, Cursor, Key, Loaded, Record, Scope, Step, Store, StreamId, Summary, TailEntry, Timestamp,
    Version,
};

/// Runs all of them. `make` gives a new, empty store each time.
pub async fn all<F: AsyncFn() -> Arc<dyn Store>>(make: F) {
    a_commit_is_read_back(&*make().await).await;
    a_commit_at_another_version_is_refused_and_leaves_nothing(&*make().await).await;
    several_streams_change_together_or_not_at_all(&*make().await).await;
    of_many_writers_one_wins(make().await).await;
    malformed_commits_are_refused(&*make().await).await;
    the_largest_commits_are_kept(&*make().await).await;
    an_idempotency_key_is_good_for_one_commit(&*make().await).await;
    the_format_of_a_record_is_kept(&*make().await).await;
    large_values_come_back(&*make().await).await;
    a_summary_is_the_newest_that_was_given(&*make().await).await;
    pages_follow_a_version(&*make().await).await;
    cells_are_read_as_they_were(&*make().await).await;
    streams_are_loaded_together_as_they_are_one_by_one(&*make().await).await;
    a_list_filters_orders_and_counts(&*make().await).await;
    a_census_counts_what_is_listed(&*make().await).await;
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
        tenant: "acme".into(),
        owner: "ann".into(),
        agent: "echo".into(),
        context: context.into(),
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

async fn cells(store: &dyn Store, name: &str, prefix: &str, at: u64) -> Vec<String> {
    let cells = store.cells(&stream(name), &key(prefix), Version(at)).await.unwrap();
    cells
        .iter()
        .map(|cell| format!("{}@{}={}", cell.key.0.escape_ascii(), cell.version.0, cell.value.escape_ascii()))
        .collect()
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
