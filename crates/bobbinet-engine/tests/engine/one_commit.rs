//! One commit where one is enough: a call that only reads, of a caller who hears of nothing but its outcome.

use std::{sync::atomic::Ordering, time::Duration};

use bobbinet_core::{Limits, State, Task};
use bobbinet_engine::{Engine, EngineError, Filter, Handle};

use crate::lab::{AFTER, Lab, ask_for_outcome, begin, caller, name_of, until};

/// `HOLD_MAX` of the engine.
const HOLD_MAX: Duration = Duration::from_millis(20);

/// Waits until the call is made; in paused time that takes none.
async fn called(lab: &Lab) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(lab.runs(), 1, "it is not called");
}

async fn end(lab: &Lab, handle: &Handle) -> Task {
    lab.let_go(1);
    Task::clone(&*handle.settled().await.unwrap())
}

/// How many commits it takes until a task has settled that begins so.
async fn commits(text: &str, begin: impl FnOnce(&Engine) -> Handle) -> usize {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    lab.commits();
    lab.let_go(1);
    begin(&engine).settled().await.unwrap_or_else(|error| panic!("{text}: {error}"));
    let commits = lab.commits();
    engine.shutdown(Duration::ZERO).await;
    commits
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_waited_for_is_one_commit_and_all_else_is_two() {
    let ann = caller("ann");
    let for_outcome = async |text, key| commits(text, |engine| ask_for_outcome(engine, &ann, text, key)).await;
    assert_eq!(for_outcome("look", None).await, 1);
    assert_eq!(for_outcome("look", Some("key")).await, 2, "a repeat must find it");
    assert_eq!(for_outcome("work", None).await, 2, "it may have an effect");
    assert_eq!(for_outcome("once", None).await, 2, "it may have an effect");
    assert_eq!(commits("look", |engine| begin(engine, &ann, "look").unwrap()).await, 2, "its caller hears of it");
    assert_eq!(for_outcome("no", None).await, 1, "nothing is called");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_in_line_is_kept_first() {
    let lab = Lab::new(Limits::default());
    let (engine, ann) = (lab.open(&["tool"]).await, caller("ann"));
    let first = begin(&engine, &ann, "work").unwrap();
    first.accepted().await.unwrap();
    lab.commits();
    let second = ask_for_outcome(&engine, &ann, "look", None);
    second.accepted().await.unwrap();
    assert_eq!(lab.commits(), 1);
    lab.let_go(2);
    assert_eq!(second.settled().await.unwrap().state, State::Completed);
    assert_eq!(lab.commits(), 3, "the first one's outcome, the claim, and what it came to");
    engine.shutdown(Duration::ZERO).await;
}

/// What the log says, without what is another's in each: its ids.
async fn told(text: &str, is_for_outcome: bool) -> Vec<String> {
    let lab = Lab::new(Limits::default());
    let (engine, ann) = (lab.open(&["tool"]).await, caller("ann"));
    let handle =
        if is_for_outcome { ask_for_outcome(&engine, &ann, text, None) } else { begin(&engine, &ann, text).unwrap() };
    called(&lab).await;
    // Not in one millisecond, so that each event has its own.
    lab.clock.forward(Duration::from_millis(5));
    let task = end(&lab, &handle).await;
    let log = engine.log(&ann, &name_of("tool"), &task.id).await.unwrap();
    engine.shutdown(Duration::ZERO).await;
    let line = |(version, kept): &(u64, bobbinet_engine::RecordedEvent)| {
        let event = serde_json::to_string(&kept.event).unwrap().replace(task.context.as_str(), "CONTEXT");
        let runner = task.calls.len();
        let event = event.split("\"runner\"").next().unwrap().to_owned();
        format!("{version} {:?} {:?} {runner} {event}", kept.at, kept.generation)
    };
    log.iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn the_log_is_the_same_in_one_commit_and_in_two() {
    let (one, two) = (told("look", true).await, told("look", false).await);
    assert_eq!(one, two);
    assert_eq!(one.len(), 5, "{one:?}");
    assert!(one[2].contains("Intended") && one[4].contains("Ended"), "{one:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_sees_a_task_before_it_is_kept_and_it_counts_all_the_same() {
    let lab = Lab::new(Limits { tasks_open_per_owner_max: 1, ..Limits::default() });
    let (engine, ann, tool) = (lab.open(&["tool"]).await, caller("ann"), name_of("tool"));
    lab.commits();
    let handle = ask_for_outcome(&engine, &ann, "look", None);
    called(&lab).await;
    let id = handle.id();
    assert_eq!(engine.get(&ann, &tool, &id).await.unwrap_err(), EngineError::NotFound);
    assert_eq!(engine.cancel(&ann, &tool, &id).await.unwrap_err(), EngineError::NotFound);
    assert_eq!(engine.follow(&ann, &tool, &id).await.unwrap_err(), EngineError::NotFound);
    assert_eq!(engine.log(&ann, &tool, &id).await.unwrap_err(), EngineError::NotFound);
    let filter = || Filter { page_size: 10, bytes_max: usize::MAX, ..Filter::default() };
    assert!(engine.list(&ann, &tool, filter()).await.unwrap().tasks.is_empty());
    let full = begin(&engine, &ann, "look").unwrap_err();
    assert!(matches!(full, EngineError::Limit { what: "tasks_open_per_owner_max", .. }), "{full}");
    assert_eq!(lab.commits(), 0);
    // After its hold it is there as ever.
    tokio::time::sleep(HOLD_MAX + Duration::from_millis(1)).await;
    assert_eq!(lab.commits(), 1);
    assert_eq!(engine.get(&ann, &tool, &id).await.unwrap().state, State::Working);
    assert_eq!(engine.list(&ann, &tool, filter()).await.unwrap().tasks.len(), 1);
    assert_eq!(end(&lab, &handle).await.state, State::Completed);
    assert_eq!(lab.commits(), 1);
    begin(&engine, &ann, "look").unwrap();
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_run_says_before_its_end_goes_out_at_once() {
    // What is said by a command goes with what was withheld; for what only looks or begins, that must be there first.
    let of_each = [
        ("progress", 1, 2),
        ("artifact", 1, 2),
        ("checkpoint", 1, 2),
        ("record", 2, 3),
        ("child", 2, 3),
        ("question", 1, 2),
        ("itself", 1, 2),
        ("elsewhere", 1, 2),
    ];
    for (what, at_first, in_all) in of_each {
        let lab = Lab::new(Limits::default());
        let (engine, ann) = (lab.open(&["tool", "other"]).await, caller("ann"));
        lab.commits();
        let handle = ask_for_outcome(&engine, &ann, &format!("look {what}"), None);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let first = lab.commits();
        assert_eq!(first, at_first, "{what}");
        assert!(engine.get(&ann, &name_of("tool"), &handle.id()).await.is_ok(), "{what}");
        lab.let_go(2);
        let task = until(&engine, &ann, "tool", &handle.id(), State::Completed).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        // That of a child beside it.
        let of_child = usize::from(what == "child");
        assert_eq!(first + lab.commits() - of_child, in_all, "{what}: {task:?}");
        engine.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_keeps_what_it_has_begun() {
    let lab = Lab::new(Limits::default());
    let (engine, ann) = (lab.open(&["tool"]).await, caller("ann"));
    lab.commits();
    let handle = ask_for_outcome(&engine, &ann, "look", None);
    called(&lab).await;
    engine.shutdown(Duration::ZERO).await;
    assert_eq!(lab.commits(), 1, "submitted, started, intended, given back");
    drop(engine);
    let engine = lab.open(&["tool"]).await;
    lab.let_go(1);
    until(&engine, &ann, "tool", &handle.id(), State::Completed).await;
    assert_eq!(lab.runs(), 2);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_leaves_nothing_of_what_nobody_was_told() {
    let lab = Lab::new(Limits { tasks_open_per_owner_max: 1, ..Limits::default() });
    let (engine, ann, tool) = (lab.open(&["tool"]).await, caller("ann"), name_of("tool"));
    let handle = ask_for_outcome(&engine, &ann, "look", None);
    called(&lab).await;
    let id = handle.id();
    lab.kill(engine).await;
    assert!(handle.settled().await.is_err(), "nobody was told that it is done");
    let engine = lab.open(&["tool"]).await;
    assert_eq!(engine.get(&ann, &tool, &id).await.unwrap_err(), EngineError::NotFound);
    begin(&engine, &ann, "look").unwrap();
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_was_not_kept_is_nobodys() {
    for is_kept in [false, true] {
        let lab = Lab::new(Limits { tasks_open_per_owner_max: 1, ..Limits::default() });
        let (engine, ann, tool) = (lab.open(&["tool"]).await, caller("ann"), name_of("tool"));
        let handle = ask_for_outcome(&engine, &ann, "look", None);
        called(&lab).await;
        if is_kept {
            lab.store.be_vague(true)
        } else {
            lab.store.is_away.store(true, Ordering::SeqCst)
        }
        lab.let_go(1);
        let failed = handle.settled().await.unwrap_err();
        assert!(matches!(failed, EngineError::Unavailable(_)), "{failed}");
        lab.store.be_vague(false);
        lab.store.is_away.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let found = engine.get(&ann, &tool, &handle.id()).await.map(|task| task.state);
        assert_eq!(found, if is_kept { Ok(State::Completed) } else { Err(EngineError::NotFound) });
        assert_eq!(lab.runs(), 1);
        // It takes no room any more.
        begin(&engine, &ann, "look").unwrap().accepted().await.unwrap();
        engine.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_nothing_can_be_kept_a_read_is_not_made_and_its_caller_is_told_at_once() {
    let lab = Lab::new(Limits::default());
    let (engine, ann) = (lab.open(&["tool"]).await, caller("ann"));
    lab.store.is_away.store(true, Ordering::SeqCst);
    let handle = ask_for_outcome(&engine, &ann, "look", None);
    let told = tokio::time::timeout(Duration::from_millis(1), handle.settled()).await;
    assert!(matches!(told, Ok(Err(EngineError::Unavailable(_)))), "{told:?}");
    assert_eq!(lab.runs(), 0);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_read_that_cannot_begin_as_its_node_may_be_taken_for_dead_is_known() {
    let lab = Lab::shared(Limits::default());
    let (engine, ann) = (lab.open(&["tool"]).await, caller("ann"));
    let handle = ask_for_outcome(&engine, &ann, "look", None);
    // It had its slot before.
    lab.clock.forward(Duration::from_secs(60));
    let task = tokio::time::timeout(Duration::from_millis(1), handle.accepted()).await.expect("it is known").unwrap();
    assert_eq!((task.state, lab.runs()), (State::Working, 0));
    lab.let_go(1);
    assert_eq!(handle.settled().await.unwrap().state, State::Completed, "it begins with the next renewal");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_first_commit_is_in_doubt_goes_on_if_it_is_in_the_log_and_stops_if_not() {
    enum Store {
        Vague,
        Breaks,
        Away,
    }
    for store in [Store::Vague, Store::Breaks, Store::Away] {
        let lab = Lab::new(Limits::default());
        let (engine, ann, tool) = (lab.open(&["tool"]).await, caller("ann"), name_of("tool"));
        let handle = ask_for_outcome(&engine, &ann, "look", None);
        called(&lab).await;
        let is_kept = match store {
            Store::Vague => {
                lab.store.be_vague(true);
                true
            }
            Store::Breaks => {
                lab.store.panics.store(AFTER, Ordering::SeqCst);
                true
            }
            Store::Away => {
                lab.store.is_away.store(true, Ordering::SeqCst);
                false
            }
        };
        tokio::time::sleep(HOLD_MAX + Duration::from_millis(1)).await;
        lab.store.be_vague(false);
        lab.store.is_away.store(false, Ordering::SeqCst);
        // Others look after what is due meanwhile.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!((lab.runs(), lab.stopped()), (1, usize::from(!is_kept)), "there is one run, and it knows");
        lab.let_go(1);
        match handle.settled().await {
            // Whoever looks after the run has found it in the log.
            Ok(task) => assert!(is_kept && task.state == State::Completed, "{task:?}"),
            Err(error) => assert!(matches!(error, EngineError::Unavailable(_)), "{error}"),
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let found = engine.get(&ann, &tool, &handle.id()).await.map(|task| task.state);
        assert_eq!(found, if is_kept { Ok(State::Completed) } else { Err(EngineError::NotFound) });
        assert_eq!(lab.runs(), 1);
        engine.shutdown(Duration::ZERO).await;
    }
}
