//! Several engines on one store: each serves what the others began, and takes over what they have left.

use std::{sync::atomic::Ordering, time::Duration};

use bobbinet_core::{Effect, Event, Limits, Refused, State, Task, TaskId, task::CallOutcome};
use bobbinet_engine::{Engine, EngineError, Filter, Follower, Resumed};
use bobbinet_store::Store;

use crate::lab::{Lab, answer, begin, caller, kept, name_of, until};

async fn task(engine: &Engine, id: &TaskId) -> std::sync::Arc<Task> {
    engine.get(&caller("ann"), &name_of("tool"), id).await.unwrap()
}

async fn follow(engine: &Engine, id: &TaskId) -> Follower {
    engine.follow(&caller("ann"), &name_of("tool"), id).await.unwrap().1
}

async fn end_of(follower: &mut Follower) -> State {
    let rest = async {
        loop {
            let told = follower.next().await.unwrap().expect("it is told how it ends");
            if let Event::Ended { state, .. } = told.event {
                assert!(follower.next().await.unwrap().is_none());
                return state;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), rest).await.expect("it is told in time")
}

async fn ends(engine: &Engine, id: &TaskId) -> usize {
    let log = engine.log(&caller("ann"), &name_of("tool"), id).await.unwrap();
    log.iter().filter(|(_, kept)| matches!(kept.event, Event::Ended { .. })).count()
}

#[tokio::test]
async fn each_serves_what_the_others_began() {
    let one = Lab::shared(Limits::default());
    let two = one.beside();
    let (here, there) = (one.open(&["tool"]).await, two.open(&["tool"]).await);
    let ann = caller("ann");

    let begun = kept(&here, &ann, "work").await;
    assert_eq!(task(&there, &begun.id).await.state, State::Working);
    let mut follower = follow(&there, &begun.id).await;
    let waiter = here.get(&ann, &name_of("tool"), &begun.id).await.unwrap();
    assert_eq!(waiter.id, begun.id);
    one.let_go(1);
    assert_eq!(end_of(&mut follower).await, State::Completed, "what another commits is told here");
    assert_eq!(task(&there, &begun.id).await.state, State::Completed);
    assert_eq!(two.runs(), 0, "it was not run twice");
    let filter = Filter { page_size: 10, bytes_max: usize::MAX, ..Filter::default() };
    let list = there.list(&ann, &name_of("tool"), filter).await.unwrap();
    assert_eq!(list.tasks.iter().map(|task| task.state).collect::<Vec<_>>(), [State::Completed]);

    // A reader who was there before goes on here.
    let resumed = there.resume(&ann, &name_of("tool"), &begun.id, bobbinet_core::Generation(1)).await.unwrap();
    let Resumed::After(mut follower) = resumed else { panic!("the cursor is known") };
    assert_eq!(end_of(&mut follower).await, State::Completed);
    let stranger = there.get(&caller("bob"), &name_of("tool"), &begun.id).await;
    assert_eq!(stranger.err(), Some(EngineError::NotFound));

    // A cancel here stops the call there.
    let begun = kept(&here, &ann, "work").await;
    let mut follower = follow(&here, &begun.id).await;
    there.cancel(&ann, &name_of("tool"), &begun.id).await.unwrap();
    assert_eq!(end_of(&mut follower).await, State::Canceled);
    while task(&there, &begun.id).await.open_call().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(task(&there, &begun.id).await.calls[0].outcome, Some(CallOutcome::Failed), "it was told to stop");
    // What has ended there is not ended a second time here, though it was known here as it was.
    let again = here.cancel(&ann, &name_of("tool"), &begun.id).await;
    assert_eq!(again.err(), Some(Refused::Ended.into()));

    // What was asked there is answered here.
    let asked = begin(&here, &ann, "ask").unwrap().settled().await.unwrap();
    assert_eq!(asked.state, State::InputRequired);
    let reply = there.reply(&ann, &name_of("tool"), &asked.id, answer("second", "work", None)).await.unwrap();
    one.let_go(1);
    two.let_go(1);
    assert_eq!(reply.settled().await.unwrap().state, State::Completed);
    assert_eq!(task(&here, &asked.id).await.state, State::Completed);
    here.shutdown(Duration::ZERO).await;
    there.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn what_another_tells_of_is_found_where_it_began_though_nothing_is_heard_of_its_commit_yet() {
    for is_vague in [false, true] {
        let one = Lab::shared(Limits::default());
        let two = one.beside();
        let (here, there) = (one.open(&["tool"]).await, two.open(&["tool"]).await);
        let (ann, tool) = (caller("ann"), name_of("tool"));
        one.store.commit_late.store(100, Ordering::SeqCst);
        one.store.be_vague(is_vague);
        let handle = begin(&here, &ann, "work").unwrap();
        while there.get(&ann, &tool, &handle.id()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(one.runs(), 0, "where it began, nobody knows yet that it is kept");
        let filter = Filter { page_size: 10, bytes_max: usize::MAX, ..Filter::default() };
        let id = handle.id();
        let (found, list) = tokio::join!(here.get(&ann, &tool, &id), here.list(&ann, &tool, filter));
        let (found, list) = (found.map(|task| task.state), list.unwrap());
        assert_eq!(found, Ok(State::Working), "it was acknowledged; the answer is lost: {is_vague}");
        assert_eq!((list.total, list.tasks.len()), (1, 1), "what is counted is shown");
        one.store.be_vague(false);
        here.shutdown(Duration::ZERO).await;
        there.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_engine_ran_is_taken_over_after_its_lease_and_never_before() {
    let one = Lab::shared(Limits::default());
    let two = one.beside();
    let (here, there) = (one.open(&["tool"]).await, two.open(&["tool"]).await);
    let ann = caller("ann");
    let begun = kept(&here, &ann, "work").await;
    let once = Effect::AtMostOnce;
    assert_ne!(begun.calls[0].effect, once);
    let owner = begun.claim;
    one.pass(60).await;
    assert_eq!((task(&there, &begun.id).await.claim, two.runs()), (owner, 0), "it is renewed");

    // It is paused, or cut off.
    one.store.is_cut_off.store(true, Ordering::SeqCst);
    one.pass(6).await;
    assert_eq!((task(&there, &begun.id).await.claim, two.runs()), (owner, 0), "its lease lasts");
    one.pass(9).await;
    let taken = task(&there, &begun.id).await;
    assert_eq!((taken.epoch, two.runs()), (2, 1));
    assert_ne!(taken.claim.map(|claim| claim.runner), owner.map(|claim| claim.runner));

    // It wakes: what it has to say is refused, and its calls are stopped.
    assert_eq!(one.stopped(), 0);
    one.store.is_cut_off.store(false, Ordering::SeqCst);
    one.pass(4).await;
    assert_eq!(one.stopped(), 1, "its call is stopped");
    assert_eq!(task(&here, &begun.id).await.claim, taken.claim);
    two.let_go(1);
    until(&there, &ann, "tool", &begun.id, State::Completed).await;
    assert_eq!(task(&here, &begun.id).await.state, State::Completed);
    assert_eq!(ends(&there, &begun.id).await, 1);

    // It goes on under a new name.
    one.let_go(1);
    let next = begin(&here, &ann, "work").unwrap().settled().await.unwrap();
    assert_eq!((next.state, one.runs()), (State::Completed, 2));
    assert_ne!(next.claim.map(|claim| claim.runner), owner.map(|claim| claim.runner));
    here.shutdown(Duration::ZERO).await;
    there.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_comes_after_the_lease_is_refused() {
    let one = Lab::shared(Limits::default());
    let two = one.beside();
    let (here, there) = (one.open(&["tool"]).await, two.open(&["tool"]).await);
    let ann = caller("ann");
    let begun = kept(&here, &ann, "work").await;
    one.store.is_cut_off.store(true, Ordering::SeqCst);
    one.pass(15).await;
    assert_eq!(two.runs(), 1, "it was taken over");
    // The call returns before its process has heard that it is taken for dead.
    one.store.is_cut_off.store(false, Ordering::SeqCst);
    one.let_go(1);
    one.pass(1).await;
    let taken = task(&there, &begun.id).await;
    assert_eq!((taken.state, taken.epoch), (State::Working, 2), "it is the other's");
    two.let_go(1);
    until(&here, &ann, "tool", &begun.id, State::Completed).await;
    assert_eq!(ends(&here, &begun.id).await, 1);
    here.shutdown(Duration::ZERO).await;
    there.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_while_the_lease_is_not_renewed() {
    let one = Lab::shared(Limits::default());
    let here = one.open(&["tool"]).await;
    let ann = caller("ann");
    // Its clock goes on, and it renews nothing.
    one.clock.forward(Duration::from_secs(11));
    let waiting = kept(&here, &ann, "work").await;
    assert_eq!((waiting.state, one.runs()), (State::Submitted, 0));
    one.let_go(1);
    one.pass(5).await;
    assert_eq!(task(&here, &waiting.id).await.state, State::Completed, "it is renewed, and the task runs");
    here.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_gives_back_is_taken_at_once() {
    let one = Lab::shared(Limits::default());
    let two = one.beside();
    let (here, there) = (one.open(&["tool"]).await, two.open(&["tool"]).await);
    let begun = kept(&here, &caller("ann"), "work").await;
    here.shutdown(Duration::ZERO).await;
    one.pass(2).await;
    assert_eq!((task(&there, &begun.id).await.state, two.runs()), (State::Working, 1));
    there.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn leases_take_little_room_and_are_forgotten() {
    let one = Lab::shared(Limits::default());
    let two = one.beside();
    let (here, there) = (one.open(&["tool"]).await, two.open(&["tool"]).await);
    one.pass(600).await;
    let tail = one.store.tail(&Default::default(), bobbinet_store::Cursor(0), usize::MAX).await.unwrap();
    let streams: std::collections::BTreeSet<_> = tail.entries.into_iter().map(|entry| entry.stream).collect();
    assert_eq!(streams.len(), 2, "one for each, and none for tasks");
    for stream in &streams {
        let loaded = one.store.load(stream).await.unwrap().unwrap();
        assert!(loaded.version.0 > 150 && loaded.records.len() < 70, "{loaded:?}");
    }
    here.shutdown(Duration::ZERO).await;
    one.clock.forward(Duration::from_secs(25 * 60 * 60));
    one.pass(5).await;
    let mut left = 0;
    for stream in &streams {
        left += usize::from(one.store.load(stream).await.unwrap().is_some());
    }
    assert_eq!(left, 1, "of the one that lives");
    there.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_engine_that_is_alone_writes_nothing() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    lab.pass(60).await;
    assert_eq!(lab.commits(), 0);
    engine.shutdown(Duration::ZERO).await;
    assert_eq!(lab.commits(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_read_keeps_no_other_task_waiting() {
    let one = Lab::shared(Limits { question_life_ms: 100_000, ..Limits::default() });
    let two = one.beside();
    let (here, there) = (one.open(&["tool"]).await, two.open(&["tool"]).await);
    let ann = caller("ann");
    let begun = kept(&here, &ann, "work").await;
    let asked = kept(&there, &ann, "ask").await;
    one.store.is_cut_off.store(true, Ordering::SeqCst);
    two.store.damage(begun.claim.unwrap().runner.stream());
    one.pass(110).await;
    assert_eq!(task(&there, &asked.id).await.state, State::Failed, "nobody has answered it");
    assert_eq!(
        (task(&there, &begun.id).await.state, two.runs()),
        (State::Working, 0),
        "nobody knows whether it is lost"
    );
    here.shutdown(Duration::ZERO).await;
    there.shutdown(Duration::ZERO).await;
}
