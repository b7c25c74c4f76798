//! All that can be read in a store, as text: what one version has read, another one reads too.

use std::{collections::BTreeSet, fmt::Write, sync::Arc, time::Duration};

use bobbinet_core::{StreamId, Task};
use bobbinet_engine::Engine;
use bobbinet_store::{Cursor, Query, Scope, SledStore, Store, Timestamp};
use sha2::{Digest, Sha256};

use crate::desk::{AWAY, caller, engine_now, name};

/// Longer values are told by their hash.
const SHOWN_MAX: usize = 2_000;

/// What tasks began with that go on when an engine finds them.
const GO_ON: [&str; 2] = ["work", "once"];

/// What the store holds, and how its tasks stand when an engine reads them.
pub(crate) async fn of_all(store: &Arc<SledStore>) -> String {
    let streams = of_store(store).await;
    let engine = engine_now(store).await;
    let tasks = of_tasks(store, &engine).await;
    engine.shutdown(Duration::ZERO).await;
    format!("{streams}{tasks}")
}

/// Every stream that the store has, with what it knows of it, its records, cells and marks; then what goes over many.
pub(crate) async fn of_store(store: &SledStore) -> String {
    let mut text = String::new();
    let tail = store.tail(&Scope::default(), Cursor(0), 100_000).await.unwrap();
    let streams: BTreeSet<StreamId> = tail.entries.iter().map(|entry| entry.stream.clone()).collect();
    for id in &streams {
        let loaded = store.load(id).await.unwrap().unwrap();
        writeln!(text, "stream {} at {}, trimmed to {}", shown(id), loaded.version.0, loaded.trimmed.0).unwrap();
        if let Some(summary) = &loaded.summary {
            let due = summary.due.map_or(0, Timestamp::as_millis);
            let bobbinet_store::Summary { tenant, owner, agent, context, state, status_at, due: _ } = summary;
            writeln!(text, "  {tenant} {owner} {agent} {context} {state} {} {due}", status_at.as_millis()).unwrap();
        }
        for (number, record) in (loaded.trimmed.0 + 1..).zip(&loaded.records) {
            writeln!(text, "  record {number} in format {}: {}", record.format, value(&record.body)).unwrap();
        }
        for cell in &loaded.cells {
            writeln!(text, "  cell {} since {}: {}", value(&cell.key.0), cell.version.0, value(&cell.value)).unwrap();
        }
        for (reader, at) in store.marks(id).await.unwrap() {
            writeln!(text, "  {reader} has come to {}", at.0).unwrap();
        }
    }
    let all = Query { tenant: "acme".to_owned(), page_size: 1_000, ..Query::default() };
    for (id, version, summary) in store.list(&all).await.unwrap().entries {
        writeln!(text, "listed {} at {} in state {}", shown(&id), version.0, summary.state).unwrap();
    }
    for (id, _) in store.due(Timestamp::from_millis(u64::MAX), 1_000).await.unwrap() {
        writeln!(text, "due {}", shown(&id)).unwrap();
    }
    text
}

/// How the tasks stand that do not change when an engine opens the store.
pub(crate) async fn of_tasks(store: &SledStore, engine: &Engine) -> String {
    let mut text = String::new();
    for task in tasks(store, engine).await {
        let goes_on = task.agent.as_str() == AWAY || GO_ON.contains(&first(&task).as_str());
        if !goes_on {
            write_task(&mut text, &task);
        }
    }
    text
}

/// All tasks, the oldest first.
pub(crate) async fn tasks(store: &SledStore, engine: &Engine) -> Vec<Arc<Task>> {
    let all = Query { tenant: "acme".to_owned(), page_size: 1_000, ..Query::default() };
    let listed = store.list(&all).await.unwrap().entries;
    let mut tasks = Vec::new();
    for (id, _, summary) in listed {
        if let Some(id) = id.as_task() {
            tasks.push(engine.get(&caller(), &name(&summary.agent), &id).await.unwrap());
        }
    }
    tasks.sort_by_key(|task| task.id);
    tasks
}

/// What the task began with.
pub(crate) fn first(task: &Task) -> String {
    task.history.first().unwrap().text()
}

fn write_task(text: &mut String, task: &Task) {
    writeln!(text, "task {} is {:?} at generation {}", task.id, task.state, task.generation.0).unwrap();
    for message in &task.history {
        writeln!(text, "  {:?}: {}", message.role, message.text()).unwrap();
    }
    for artifact in &task.artifacts {
        writeln!(text, "  artifact {} of {} bytes", artifact.id, artifact.bytes()).unwrap();
    }
    if let Some(question) = &task.question {
        writeln!(text, "  waits for an answer to: {}", question.message.text()).unwrap();
    }
    if let Some(message) = &task.status_message {
        writeln!(text, "  says: {}", message.text()).unwrap();
    }
}

fn shown(id: &StreamId) -> String {
    id.as_task().map_or_else(|| value(id.as_bytes()), |task| task.to_string())
}

fn value(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= SHOWN_MAX => text.to_owned(),
        Ok(_) | Err(_) => format!("{} bytes with the SHA-256 {}", bytes.len(), hex::encode(Sha256::digest(bytes))),
    }
}
