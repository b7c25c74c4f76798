//! What today's version does with a store that an earlier one has left.

use std::{path::Path, sync::Arc, time::Duration};

use bobbinet_core::{QuestionKind, State, Task};
use bobbinet_engine::{Engine, Reply};
use bobbinet_store::{Commit, Page, SledStore, Store, StreamId, Version, check as check_store};

use crate::{
    contents::{first, of_store, of_tasks, tasks},
    desk::{self, AWAY, DESK, caller, name, new_task, said, until},
    writer::{FORGOTTEN, RAW, runtime, step},
};

/// Finds in the store what its writer found, serves its tasks, writes to it, and finds that again.
pub(crate) fn check(folder: &Path, contents: &str) {
    sound(folder);
    let store = desk::open(folder);
    let streams = runtime().block_on(of_store(&store));
    let served = runtime().block_on(async {
        let engine = desk::engine_now(&store).await;
        let found = format!("{streams}{}", of_tasks(&store, &engine).await);
        assert_eq!(found.lines().collect::<Vec<_>>(), contents.lines().collect::<Vec<_>>());
        serve(&store, &engine).await;
        engine.shutdown(Duration::from_secs(2)).await;
        write(&store).await;
        of_store(&store).await
    });
    drop(store);
    sound(folder);
    let store = desk::open(folder);
    let again = runtime().block_on(of_store(&store));
    assert_eq!(again.lines().collect::<Vec<_>>(), served.lines().collect::<Vec<_>>());
}

/// Every byte of the store is what was written.
fn sound(folder: &Path) {
    let report = check_store(folder).unwrap();
    assert_eq!((report.faults, report.torn), (Vec::new(), Vec::new()));
}

/// Goes on with what was left open, and begins something new.
async fn serve(store: &SledStore, engine: &Engine) {
    let found = tasks(store, engine).await;
    let of = |text: &str, state: State| -> &Task {
        found.iter().find(|task| first(task) == text && task.state == state).unwrap()
    };
    // Calls whose process died: those that may run again do, of the other it is asked what became of it.
    let is_called = |text: &'static str| move |task: &&Arc<Task>| first(task) == text;
    let work: Vec<_> = found.iter().filter(is_called("work")).collect();
    assert_eq!(work.len(), 2);
    for task in work {
        assert!(until(engine, DESK, &task.id, State::Completed).await.epoch > 1);
    }
    let once = found.iter().find(is_called("once")).unwrap().id;
    let once = until(engine, DESK, &once, State::InputRequired).await;
    assert!(matches!(once.question.as_ref().unwrap().kind, QuestionKind::Outcome { .. }));
    let later = found.iter().find(is_called("report-later")).unwrap().id;
    until(engine, AWAY, &later, State::Completed).await;
    // Questions of an earlier process are answered.
    for text in ["ask", "confirm"] {
        let asking = of(text, State::InputRequired).id;
        let reply = Reply { message: said("yes"), context: None, skill: None, idempotency: None };
        engine.reply(&caller(), &name(DESK), &asking, reply).await.unwrap();
        let task = until(engine, DESK, &asking, State::Completed).await;
        assert_eq!(task.history.last().unwrap().text(), "yes");
    }
    // The same request is the same task, and another one a new one.
    let report = of("report", State::Completed);
    let repeated = engine.submit(&caller(), &name(DESK), new_task("report")).unwrap().accepted().await.unwrap();
    assert_eq!(repeated.id, report.id);
    assert_eq!(
        report.artifacts.iter().map(|artifact| artifact.bytes() >= desk::LARGE).collect::<Vec<_>>(),
        [true, false]
    );
    let new = engine.submit(&caller(), &name(DESK), new_task("new")).unwrap().settled().await.unwrap();
    assert_eq!(new.state, State::Completed);
}

/// Writes to streams that were there, and reads what was trimmed and forgotten.
async fn write(store: &SledStore) {
    let (raw, forgotten) = (StreamId::from_bytes(RAW), StreamId::from_bytes(FORGOTTEN));
    assert_eq!(store.read(&raw, Version(14), 9).await.unwrap(), Page::Trimmed { first: Version(16) });
    assert_eq!(store.load(&forgotten).await.unwrap(), None);
    assert_eq!(store.cells(&raw, &Default::default(), Version(15)).await.unwrap()[0].value.len(), desk::LARGE);
    store.commit(Commit::of(step(RAW, 20, Vec::new()))).await.unwrap();
    store.commit(Commit::of(step(FORGOTTEN, 0, Vec::new()))).await.unwrap();
    store.mark(&raw, "web", Version(21)).await.unwrap();
    store.trim(&raw, Version(18)).await.unwrap();
    assert_eq!(store.load(&raw).await.unwrap().unwrap().version, Version(21));
}
