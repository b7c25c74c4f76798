//! What fails inside, a clock that is set, a task that is forgotten while somebody reads it.

use std::{sync::atomic::Ordering, time::Duration};

use bobbinet_core::{Generation, Limits, State};
use bobbinet_engine::{EngineError, Resumed, panics};

use crate::lab::{AFTER, BEFORE, Lab, answer, begin, begin_at, caller, kept, name_of, until};

#[tokio::test(start_paused = true)]
async fn a_task_whose_commit_panics_is_nobodys_and_is_loaded_again() {
    for (when, is_repeated) in [(BEFORE, true), (AFTER, true), (AFTER, false)] {
        let lab = Lab::new(Limits::default());
        let engine = lab.open(&["tool"]).await;
        let (ann, tool) = (caller("ann"), name_of("tool"));
        let task = kept(&engine, &ann, "ask").await;
        let before = panics();
        lab.store.panics.store(when, Ordering::SeqCst);
        let answered = engine.reply(&ann, &tool, &task.id, answer("a", "work", None)).await;
        assert!(matches!(answered, Err(EngineError::Unavailable(_))), "{when}: {answered:?}");
        assert!(panics() > before, "it is counted; others in this process are too");
        // The same answer again: kept now, or kept already, and the task comes to its end either way. So it does if it was kept
        // already and nobody says it again.
        lab.let_go(1);
        if is_repeated {
            engine.reply(&ann, &tool, &task.id, answer("a", "work", None)).await.unwrap();
        }
        until(&engine, &ann, "tool", &task.id, State::Completed).await;
        assert_eq!(lab.runs(), 1);
        engine.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_submission_whose_commit_panics_is_told_and_harms_no_other() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    let ann = caller("ann");
    lab.store.panics.store(BEFORE, Ordering::SeqCst);
    let lost = begin(&engine, &ann, "work").unwrap().accepted().await;
    assert!(matches!(lost, Err(EngineError::Unavailable(_))), "{lost:?}");
    // The one slot that there is was given back.
    lab.let_go(1);
    let next = kept(&engine, &ann, "work").await;
    until(&engine, &ann, "tool", &next.id, State::Completed).await;
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_whose_commit_panics_is_kept_all_the_same() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    let ann = caller("ann");
    let task = kept(&engine, &ann, "work").await;
    lab.store.panics.store(BEFORE, Ordering::SeqCst);
    lab.let_go(1);
    until(&engine, &ann, "tool", &task.id, State::Completed).await;
    assert_eq!(lab.runs(), 1);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_look_at_what_is_due_that_panics_is_not_the_last() {
    let lab = Lab::new(Limits { retention_ms: 60_000, ..Limits::default() });
    let engine = lab.open(&["tool"]).await;
    let (ann, tool) = (caller("ann"), name_of("tool"));
    let task = kept(&engine, &ann, "no").await;
    let before = panics();
    lab.store.panics_over_due.store(true, Ordering::SeqCst);
    lab.clock.forward(Duration::from_secs(61));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!lab.store.panics_over_due.load(Ordering::SeqCst) && panics() > before, "it has failed, and is counted");
    assert_eq!(engine.get(&ann, &tool, &task.id).await.unwrap_err(), EngineError::NotFound);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_does_not_begin_again_what_it_gives_back() {
    let lab = Lab::new(Limits::default());
    let (ann, agents) = (caller("ann"), ["tool", "other"]);
    let engine = lab.open(&agents).await;
    let (first, next) = (kept(&engine, &ann, "work").await, kept(&engine, &ann, "work").await);
    let last = begin_at("other", &engine, &ann, "work").unwrap().accepted().await.unwrap();
    lab.kill(engine).await;
    // The first is taken over, the next waits for its slot, the last cannot be read.
    lab.store.withhold(last.id.stream());
    lab.commits();
    let failed = lab.try_open(&agents).await;
    assert!(matches!(failed, Err(EngineError::Unavailable(_))), "{failed:?}");
    let commits = lab.commits();
    assert!((1..=3).contains(&commits), "taken over and given back: {commits}");
    lab.store.mend();
    lab.let_go(3);
    let engine = lab.open(&agents).await;
    // A call that a process has died of is left alone for a while.
    lab.clock.forward(Duration::from_secs(2));
    for (task, agent) in [(first, "tool"), (next, "tool"), (last, "other")] {
        until(&engine, &ann, agent, &task.id, State::Completed).await;
    }
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_makes_nothing_old() {
    let lab = Lab::new(Limits { retention_ms: 60_000, ..Limits::default() });
    let engine = lab.open(&["tool"]).await;
    let (ann, tool) = (caller("ann"), name_of("tool"));
    let task = kept(&engine, &ann, "no").await;
    assert_eq!(task.state, State::Rejected);
    lab.clock.step(Duration::from_secs(366 * 24 * 60 * 60));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(engine.get(&ann, &tool, &task.id).await.is_ok(), "it was kept for no time at all");
    // Time that has passed makes it old.
    lab.clock.forward(Duration::from_secs(61));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(engine.get(&ann, &tool, &task.id).await.unwrap_err(), EngineError::NotFound);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_forgotten_under_its_reader_is_not_found() {
    let lab = Lab::new(Limits { retention_ms: 60_000, ..Limits::default() });
    let engine = lab.open(&["tool"]).await;
    let (ann, tool) = (caller("ann"), name_of("tool"));
    let task = kept(&engine, &ann, "ask").await;
    // More than memory keeps, so that a reader who begins at the beginning reads the log.
    for round in 0..100 {
        let id = format!("a{round}");
        engine.reply(&ann, &tool, &task.id, answer(&id, "ask", None)).await.unwrap();
    }
    engine.cancel(&ann, &tool, &task.id).await.unwrap();
    let resumed = engine.resume(&ann, &tool, &task.id, Generation(1)).await.unwrap();
    let Resumed::After(mut follower) = resumed else { panic!("the cursor is a good one") };
    lab.clock.forward(Duration::from_secs(61));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let read = follower.next().await;
    assert!(matches!(read, Err(EngineError::NotFound)), "{read:?}");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_kills_its_processes_is_taken_over_three_times_and_not_at_once() {
    let lab = Lab::new(Limits::default());
    let ann = caller("ann");
    let mut engine = lab.open(&["tool"]).await;
    let task = kept(&engine, &ann, "work").await;
    runs(&lab, 1).await;
    for (deaths, pause) in [(1, 0), (2, 2), (3, 8)] {
        lab.kill(engine).await;
        engine = lab.open(&["tool"]).await;
        if pause > 0 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(lab.runs(), deaths, "it is left alone for a while");
            lab.clock.forward(Duration::from_secs(pause));
        }
        runs(&lab, deaths + 1).await;
    }
    lab.kill(engine).await;
    let engine = lab.open(&["tool"]).await;
    let ended = until(&engine, &ann, "tool", &task.id, State::Failed).await;
    assert!(ended.status_message.as_ref().unwrap().text().contains("3 processes in a row died"));
    assert_eq!(lab.runs(), 4);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_stopped_with_its_process_goes_on_as_often_as_that_happens() {
    let lab = Lab::new(Limits::default());
    let ann = caller("ann");
    let mut engine = lab.open(&["tool"]).await;
    let task = kept(&engine, &ann, "work").await;
    for stops in 1..=8 {
        runs(&lab, stops).await;
        engine.shutdown(Duration::ZERO).await;
        engine = lab.open(&["tool"]).await;
    }
    lab.let_go(1);
    until(&engine, &ann, "tool", &task.id, State::Completed).await;
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_left_is_canceled_once_a_look_while_the_store_keeps_nothing() {
    const LOOKS: usize = 10;
    let started = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let lab = Lab::new(Limits::default());
    let (ann, agents) = (caller("ann"), ["tool", "other"]);
    let engine = lab.open(&agents).await;
    let parent = kept(&engine, &ann, "look child").await.id;
    runs(&lab, 2).await;
    let child = engine.get(&ann, &name_of("tool"), &parent).await.unwrap().children[0].task;
    // Its process dies before it can tell the child.
    lab.store.is_leaving.store(true, Ordering::SeqCst);
    assert_eq!(engine.cancel(&ann, &name_of("tool"), &parent).await.unwrap().state, State::Canceled);
    lab.kill(engine).await;
    lab.store.is_away.store(true, Ordering::SeqCst);
    let engine = lab.open(&agents).await;
    // Between two looks.
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(engine.get(&ann, &name_of("other"), &child).await.unwrap().state, State::Working);
    lab.refused();
    let before = started();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(started(), before, "no look leaves something that goes on");
    assert_eq!(lab.refused(), LOOKS);
    lab.store.is_away.store(false, Ordering::SeqCst);
    until(&engine, &ann, "other", &child, State::Canceled).await;
    assert_eq!(lab.runs(), 2);
    engine.shutdown(Duration::ZERO).await;
}

/// Waits until the tool has been run so often.
async fn runs(lab: &Lab, times: usize) {
    for _ in 0..1_000 {
        if lab.runs() == times {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it ran {} times and not {times}", lab.runs());
}
