//! How many commits stand on a task's path, counted in the store that the server left.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, ensure};
use bobbinet_core::StreamId;
use bobbinet_store::{Cursor, Scope, Store};
use serde::Serialize;

use crate::floor::open_store;

/// Commits of one task.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Commits {
    /// Of most tasks.
    pub(crate) usual: usize,
    pub(crate) least: usize,
    pub(crate) most: usize,
    /// How many tasks were looked at.
    pub(crate) tasks: usize,
}

/// Counts them in a data folder that nobody has open.
pub(crate) async fn count(data: &Path) -> Result<Commits> {
    let store = open_store(data)?;
    count_in(store.as_ref()).await
}

async fn count_in(store: &dyn Store) -> Result<Commits> {
    const PAGE: usize = 1_000;
    const PAGES_MAX: usize = 100;
    let mut of_task: BTreeMap<StreamId, usize> = BTreeMap::new();
    let mut after = Cursor::default();
    for _ in 0..PAGES_MAX {
        let tail = store.tail(&Scope::default(), after, PAGE).await.context("reading the order of commits")?;
        if tail.next == after {
            break;
        }
        after = tail.next;
        for entry in tail.entries.into_iter().filter(|entry| entry.stream.as_task().is_some()) {
            *of_task.entry(entry.stream).or_default() += 1;
        }
    }
    ensure!(!of_task.is_empty(), "there are no tasks in the store");
    let mut counts: Vec<usize> = of_task.into_values().collect();
    counts.sort_unstable();
    Ok(Commits {
        usual: counts[counts.len() / 2],
        least: counts[0],
        most: counts[counts.len() - 1],
        tasks: counts.len(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::floor::echo::{Echo, Keep, Request};

    #[tokio::test]
    async fn the_floor_makes_one_commit_for_each_task_that_is_answered_whole_and_two_for_a_stream() {
        let store: Arc<dyn Store> = Arc::new(bobbinet_store::MemoryStore::new());
        let echo = Echo::new(Keep::Store(store.clone()));
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a"}]}}}"#;
        for _ in 0..3 {
            echo.run(&Request::parse(body).unwrap()).await.unwrap();
        }
        let commits = count_in(store.as_ref()).await.unwrap();
        assert_eq!((commits.least, commits.usual, commits.most, commits.tasks), (1, 1, 1, 3));
        let request = Request::parse(body).unwrap();
        let (id, _) = echo.begin(&request).await.unwrap();
        echo.finish(&request, id).await.unwrap();
        let commits = count_in(store.as_ref()).await.unwrap();
        assert_eq!((commits.least, commits.usual, commits.most, commits.tasks), (1, 1, 2, 4));
    }
}
