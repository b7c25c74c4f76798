//! A task whose log cannot be read keeps nobody from the others, and can be ended.

use std::time::Duration;

use bobbinet_core::{Limits, Refused, State};
use bobbinet_engine::{EngineError, Filter};

use crate::lab::{Lab, begin, caller, kept, name_of, until};

#[tokio::test(start_paused = true)]
async fn a_damaged_task_is_listed_and_read_as_damaged_and_can_be_ended() {
    let lab = Lab::new(Limits { hot_tasks_max: 1, ..Limits::default() });
    let (engine, ann, eve, tool) = (lab.open(&["tool"]).await, caller("ann"), caller("eve"), name_of("tool"));
    let working = kept(&engine, &ann, "work").await.id;
    let parked = kept(&engine, &ann, "ask").await.id;
    let whole = kept(&engine, &ann, "ask").await.id;
    // Its process dies, so that nothing of it is in memory.
    lab.kill(engine).await;
    for id in [working, parked] {
        lab.store.damage(id.stream());
    }
    let engine = lab.open(&["tool"]).await;
    let page = Filter { page_size: 10, bytes_max: usize::MAX, ..Filter::default() };
    let list = engine.list(&ann, &tool, page.clone()).await.unwrap();
    assert_eq!((list.tasks.len(), list.total), (3, 3), "one damaged task keeps nobody from the others");
    for (id, state, is_damaged) in
        [(working, State::Working, true), (parked, State::InputRequired, true), (whole, State::InputRequired, false)]
    {
        let listed = list.tasks.iter().find(|task| task.id == id).unwrap();
        let read = engine.get(&ann, &tool, &id).await.unwrap();
        for task in [listed, &read] {
            assert_eq!((task.state, task.history.is_empty()), (state, is_damaged));
            let says_so = task.status_message.as_ref().is_some_and(|message| message.text().contains("damaged"));
            assert_eq!(says_so, is_damaged);
        }
    }
    for id in [working, parked] {
        let not_found = Some(EngineError::NotFound);
        assert_eq!(engine.get(&eve, &tool, &id).await.err(), not_found);
        assert_eq!(engine.cancel(&eve, &tool, &id).await.err(), not_found);
        let canceled = engine.cancel(&ann, &tool, &id).await.unwrap();
        assert_eq!(canceled.state, State::Canceled);
        assert!(canceled.status_message.as_ref().unwrap().text().contains("not known whether its tool has acted"));
        assert_eq!(engine.get(&ann, &tool, &id).await.unwrap().state, State::Canceled);
        assert_eq!(engine.cancel(&ann, &tool, &id).await.err(), Some(Refused::Ended.into()));
    }
    // It takes no place any more, and goes when it has been kept long enough.
    lab.clock.forward(Limits::default().retention() + Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(engine.get(&ann, &tool, &parked).await.err(), Some(EngineError::NotFound));
    // Its question's time is up as well by now; what came of that can be read.
    assert!(!engine.get(&ann, &tool, &whole).await.unwrap().history.is_empty());
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_task_keeps_no_node_from_starting_when_its_agent_comes_back() {
    let lab = Lab::new(Limits::default());
    let (ann, tool) = (caller("ann"), name_of("tool"));
    let engine = lab.open(&["tool"]).await;
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(kept(&engine, &ann, "work").await.id);
    }
    engine.shutdown(Duration::ZERO).await;
    // They are told that it is gone, and one of them can then no longer be told that it is back.
    let engine = lab.open(&["other"]).await;
    for task in &tasks {
        until(&engine, &ann, "other", task, State::Submitted).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    engine.shutdown(Duration::ZERO).await;
    let damaged = tasks.remove(1);
    lab.store.damage(damaged.stream());
    lab.let_go(2);
    let engine = lab.open(&["tool"]).await;
    for task in &tasks {
        until(&engine, &ann, "tool", task, State::Completed).await;
    }
    let read = engine.get(&ann, &tool, &damaged).await.unwrap();
    assert!(read.status_message.as_ref().unwrap().text().contains("damaged"));
    assert_eq!(engine.cancel(&ann, &tool, &damaged).await.unwrap().state, State::Canceled);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_be_forgotten_keeps_no_other_from_it() {
    let lab = Lab::new(Limits::default());
    let (engine, ann, tool) = (lab.open(&["tool"]).await, caller("ann"), name_of("tool"));
    lab.let_go(3);
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(begin(&engine, &ann, "work").unwrap().settled().await.unwrap().id);
    }
    // The oldest of them is looked at first.
    *lab.store.stuck.lock().unwrap() = Some(tasks[0].stream());
    lab.clock.forward(Limits::default().retention() + Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(5)).await;
    for (id, is_there) in tasks.iter().zip([true, false, false]) {
        assert_eq!(engine.get(&ann, &tool, id).await.is_ok(), is_there, "{id}");
    }
    *lab.store.stuck.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(engine.get(&ann, &tool, &tasks[0]).await.err(), Some(EngineError::NotFound));
    engine.shutdown(Duration::ZERO).await;
}
