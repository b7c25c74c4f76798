//! What is not read: the logs of tasks that only wait, and those of strangers.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Generation, Limits, State};
use bobbinet_engine::{EngineError, Filter, Resumed};

use crate::lab::{Lab, answer, caller, kept, name_of, until};

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_in_line_is_not_read_until_its_turn() {
    const WAITING: usize = 40;
    let lab = Lab::new(Limits { hot_tasks_max: 1, ..Limits::default() });
    let (engine, ann) = (lab.open(&["tool"]).await, caller("ann"));
    let mut tasks = Vec::new();
    for _ in 0..=WAITING {
        tasks.push(kept(&engine, &ann, "work").await.id);
    }
    lab.reads();
    // Reconcile looks ten times.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(lab.reads(), 0, "the line goes by summaries");
    engine.shutdown(Duration::ZERO).await;
    drop(engine);
    lab.reads();
    let engine = lab.open(&["tool"]).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(lab.reads() <= 3, "after a restart, only what runs is read");
    lab.let_go(WAITING + 1);
    for task in &tasks {
        until(&engine, &ann, "tool", task, State::Completed).await;
    }
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_strangers_task_is_not_read_and_not_brought_to_memory() {
    let lab = Lab::new(Limits { hot_tasks_max: 1, ..Limits::default() });
    let (engine, ann, eve, tool) = (lab.open(&["tool"]).await, caller("ann"), caller("eve"), name_of("tool"));
    let cold = kept(&engine, &ann, "ask").await.id;
    let hot = kept(&engine, &ann, "ask").await.id;
    let none = bobbinet_core::TaskId::new(uuid::Uuid::now_v7());
    lab.reads();
    for id in [cold, hot, none] {
        let not_found = Some(EngineError::NotFound);
        assert_eq!(engine.get(&eve, &tool, &id).await.err(), not_found);
        assert_eq!(engine.cancel(&eve, &tool, &id).await.err(), not_found);
        assert_eq!(engine.log(&eve, &tool, &id).await.err(), not_found);
        assert_eq!(engine.follow(&eve, &tool, &id).await.err(), not_found);
        assert_eq!(engine.resume(&eve, &tool, &id, Default::default()).await.err(), not_found);
        assert_eq!(engine.reply(&eve, &tool, &id, answer("m", "x", None)).await.err(), not_found);
    }
    assert_eq!(lab.reads(), 0, "asking for it is as quick as asking for none");
    // It was not brought to memory either: its owner is the one who reads it.
    assert_eq!(engine.get(&ann, &tool, &cold).await.unwrap().state, State::InputRequired);
    assert_eq!(lab.reads(), 1);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_is_read_no_further_than_its_bytes() {
    const TASKS: usize = 9;
    // Whether they are in memory or have to be read.
    for hot_tasks_max in [1, TASKS] {
        let lab = Lab::new(Limits { hot_tasks_max, ..Limits::default() });
        let (engine, ann, tool) = (lab.open(&["tool"]).await, caller("ann"), name_of("tool"));
        for _ in 0..TASKS {
            kept(&engine, &ann, &format!("no {}", "x".repeat(10_000))).await;
        }
        let (mut pages, mut page_token) = (Vec::new(), None);
        loop {
            let filter = Filter { page_size: TASKS, bytes_max: 25_000, page_token, ..Filter::default() };
            let list = engine.list(&ann, &tool, filter).await.unwrap();
            assert_eq!(list.total, TASKS);
            pages.push(list.tasks.len());
            page_token = list.next();
            if page_token.is_none() {
                break;
            }
        }
        // A page ends with the task that fills it.
        assert_eq!(pages, [3, 3, 3], "{hot_tasks_max} in memory");
        // And has one at least, however little there is room for.
        let least = Filter { page_size: TASKS, bytes_max: 0, ..Filter::default() };
        let list = engine.list(&ann, &tool, least).await.unwrap();
        assert_eq!((list.tasks.len(), list.next().is_some()), (1, true));
        engine.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn slow_readers_of_one_large_event_hold_it_together() {
    let lab = Lab::new(Limits::default());
    let (engine, ann, tool) = (lab.open(&["tool"]).await, caller("ann"), name_of("tool"));
    let id = kept(&engine, &ann, &format!("many {}", "x".repeat(1 << 20))).await.id;
    until(&engine, &ann, "tool", &id, State::Completed).await;
    let reader = async || match engine.resume(&ann, &tool, &id, Generation(0)).await.unwrap() {
        Resumed::After(follower) => follower,
        Resumed::Resync(..) => panic!("the cursor is good"),
    };
    // So far back that memory has it no more; each reader stands at it for as long as it takes.
    let mut readers = [reader().await, reader().await, reader().await];
    let mut first = Vec::new();
    for reader in &mut readers {
        first.push(reader.next().await.unwrap().unwrap());
    }
    assert!(first.iter().all(|told| Arc::ptr_eq(told, &first[0])), "one event, not three");
    drop(first);
    let mut late = reader().await;
    lab.reads();
    assert!(late.next().await.unwrap().is_some());
    assert_eq!(lab.reads(), 0, "others hold it");
    for (mut reader, name) in readers.into_iter().chain([late]).zip(["a", "b", "c", "late"]) {
        let mut generations = vec![1];
        while let Some(told) = reader.next().await.unwrap() {
            generations.push(told.generation.0);
        }
        assert_eq!(generations, (1..=43).collect::<Vec<_>>(), "{name}");
    }
    engine.shutdown(Duration::ZERO).await;
}
