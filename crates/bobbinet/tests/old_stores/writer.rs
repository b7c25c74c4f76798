//! Writes a store that has a bit of everything.

use std::{fs, path::Path, sync::Arc, time::Duration};

use bobbinet_core::State;
use bobbinet_engine::{Engine, Reply};
use bobbinet_store::{Commit, Key, Record, SledStore, Step, Store, StreamId, Version};
use tokio::runtime::{Builder, Runtime};

use crate::{
    contents,
    desk::{self, AWAY, DESK, caller, name, new_task, said},
};

/// How long runs may take to come to their end when the node is told to stop: one of them takes longer.
const GRACE: Duration = Duration::from_millis(100);

/// A stream that no task has.
pub(crate) const RAW: &[u8] = b"raw";

/// One that was forgotten.
pub(crate) const FORGOTTEN: &[u8] = b"forgotten";

/// Writes the store, and gives what it holds, as it is read from the disk.
pub(crate) fn write(folder: &Path) -> String {
    let store = desk::open(folder);
    runtime().block_on(async {
        let engine = desk::engine_then(&store).await;
        ordinary(&engine).await;
        engine.shutdown(GRACE).await;
    });
    // A process that dies over its calls: nothing of it is left to say so.
    let dying = runtime();
    let engine = dying.block_on(async {
        let engine = desk::engine_then(&store).await;
        for text in ["work", "once"] {
            begun(&engine, DESK, text, State::Working).await;
        }
        engine
    });
    drop(dying);
    drop(engine);
    runtime().block_on(raw(&store));
    Arc::into_inner(store).expect("nobody else has the store");
    // Looked at in a copy: what an engine finds there goes on.
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder, copy.path());
    let store = desk::open(copy.path());
    runtime().block_on(contents::of_all(&store))
}

/// Tasks in each state in which a node that was told to stop leaves them.
async fn ordinary(engine: &Engine) {
    for (text, state) in [
        ("report", State::Completed),
        ("fail", State::Failed),
        ("reject", State::Rejected),
        ("ask", State::InputRequired),
        ("confirm", State::InputRequired),
    ] {
        begun(engine, DESK, text, state).await;
    }
    begun(engine, AWAY, "report-later", State::Submitted).await;
    let canceled = begun(engine, DESK, "wait", State::Working).await;
    engine.cancel(&caller(), &name(DESK), &canceled).await.unwrap();
    let answered = begun(engine, DESK, "ask", State::InputRequired).await;
    let reply = Reply { message: said("this"), context: None, skill: None, idempotency: None };
    let handle = engine.reply(&caller(), &name(DESK), &answered, reply).await.unwrap();
    assert_eq!(handle.settled().await.unwrap().state, State::Completed);
    begun(engine, DESK, "work", State::Working).await;
}

/// Begins a task, and waits until it is in this state.
async fn begun(engine: &Engine, agent: &str, text: &str, state: State) -> bobbinet_core::TaskId {
    let handle = engine.submit(&caller(), &name(agent), new_task(text)).unwrap();
    let id = handle.accepted().await.unwrap().id;
    desk::until(engine, agent, &id, state).await;
    id
}

/// Streams that no task has.
async fn raw(store: &SledStore) {
    let id = StreamId::from_bytes(RAW);
    for version in 0..20_u64 {
        let cells = vec![
            (Key("newest".into()), Some(version.to_string().into())),
            (Key("gone".into()), (version < 10).then(|| "there".into())),
            (Key("large".into()), (version == 3).then(|| vec![b'c'; desk::LARGE].into())),
        ];
        let cells = if version == 3 { cells } else { cells[..2].to_vec() };
        store.commit(Commit::of(step(RAW, version, cells))).await.unwrap();
    }
    store.mark(&id, "web", Version(17)).await.unwrap();
    store.trim(&id, Version(15)).await.unwrap();
    for version in 0..3 {
        store.commit(Commit::of(step(FORGOTTEN, version, Vec::new()))).await.unwrap();
    }
    store.forget(&StreamId::from_bytes(FORGOTTEN)).await.unwrap();
}

/// One record more.
pub(crate) fn step(id: &[u8], version: u64, cells: Vec<(Key, Option<bytes::Bytes>)>) -> Step {
    let records = vec![Record { format: 1, body: format!("record {}", version + 1).into() }];
    Step { stream: StreamId::from_bytes(id), expected: Version(version), records, cells, summary: None }
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
