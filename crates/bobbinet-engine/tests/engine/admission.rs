//! What each owner, each tenant and the node may have, and that an answer is never refused for it.

use std::time::Duration;

use bobbinet_core::{Caller, Limits, State};
use bobbinet_engine::{Engine, EngineError};

use crate::lab::{Lab, answer, begin, caller, caller_of, kept, name_of, until};

/// The bound that refuses one more task of this owner's, if one does.
fn refusal(engine: &Engine, owner: &Caller) -> Option<&'static str> {
    match begin(engine, owner, "ask") {
        Ok(_) => None,
        Err(EngineError::Limit { what, max: 2 }) => Some(what),
        Err(error) => panic!("{error}"),
    }
}

/// Two tasks of ann's of one kind; then who may not begin another: ann, bob beside her, and carol elsewhere.
async fn check(limit: fn(&mut Limits) -> &mut usize, text: &str, expected: [Option<&'static str>; 3]) {
    let mut limits = Limits::default();
    *limit(&mut limits) = 2;
    let lab = Lab::new(limits);
    let engine = lab.open(&["tool"]).await;
    for _ in 0..2 {
        kept(&engine, &caller("ann"), text).await;
    }
    let callers = [caller("ann"), caller("bob"), caller_of("another", "carol")];
    assert_eq!(callers.each_ref().map(|owner| refusal(&engine, owner)), expected);
    engine.shutdown(Duration::ZERO).await;
    drop(engine);
    let engine = lab.open(&["tool"]).await;
    assert_eq!(refusal(&engine, &caller("ann")), expected[0], "after a restart");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn every_bound_refuses_those_whom_it_is_for() {
    let owner = |name| [Some(name), None, None];
    let tenant = |name| [Some(name), Some(name), None];
    let node = |name| [Some(name), Some(name), Some(name)];
    check(|limits| &mut limits.tasks_open_per_owner_max, "work", owner("tasks_open_per_owner_max")).await;
    check(|limits| &mut limits.tasks_open_per_tenant_max, "work", tenant("tasks_open_per_tenant_max")).await;
    check(|limits| &mut limits.tasks_open_max, "work", node("tasks_open_max")).await;
    check(|limits| &mut limits.tasks_parked_per_owner_max, "ask", owner("tasks_parked_per_owner_max")).await;
    check(|limits| &mut limits.tasks_parked_per_tenant_max, "ask", tenant("tasks_parked_per_tenant_max")).await;
    check(|limits| &mut limits.tasks_parked_max, "ask", node("tasks_parked_max")).await;
    check(|limits| &mut limits.tasks_stored_per_owner_max, "no", owner("tasks_stored_per_owner_max")).await;
    check(|limits| &mut limits.tasks_stored_per_tenant_max, "no", tenant("tasks_stored_per_tenant_max")).await;
    check(|limits| &mut limits.tasks_stored_max, "no", node("tasks_stored_max")).await;
}

#[tokio::test(start_paused = true)]
async fn parked_questions_lock_out_nobody_and_their_answers_are_taken() {
    let limits = Limits {
        tasks_stored_max: 5,
        tasks_parked_per_owner_max: 5,
        tasks_open_per_owner_max: 1,
        tasks_open_max: 2,
        ..Limits::default()
    };
    let lab = Lab::new(limits);
    let (engine, ann, bob) = (lab.open(&["tool"]).await, caller("ann"), caller("bob"));
    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.push(kept(&engine, &ann, "ask").await.id);
    }
    let refused = begin(&engine, &ann, "work").err();
    assert_eq!(refused, Some(EngineError::Limit { what: "tasks_parked_per_owner_max", max: 5 }));
    let bobs = kept(&engine, &bob, "work").await.id;
    // All of them, although no owner may have more than one at work.
    for (number, task) in asked.iter().enumerate() {
        engine.reply(&ann, &name_of("tool"), task, answer(&format!("m{number}"), "go", None)).await.unwrap();
    }
    let refused = begin(&engine, &ann, "ask").err();
    assert_eq!(refused, Some(EngineError::Limit { what: "tasks_open_per_owner_max", max: 1 }));
    lab.let_go(6);
    for task in &asked {
        until(&engine, &ann, "tool", task, State::Completed).await;
    }
    until(&engine, &bob, "tool", &bobs, State::Completed).await;
    let refused = begin(&engine, &ann, "ask").err();
    assert_eq!(refused, Some(EngineError::Limit { what: "tasks_stored_max", max: 5 }), "six are kept");
    lab.clock.forward(Duration::from_secs(31 * 24 * 60 * 60));
    tokio::time::sleep(Duration::from_secs(2)).await;
    kept(&engine, &ann, "ask").await;
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_though_the_store_could_not_say_so_is_counted() {
    let lab = Lab::new(Limits { tasks_parked_per_owner_max: 2, ..Limits::default() });
    let (engine, ann) = (lab.open(&["tool"]).await, caller("ann"));
    lab.store.be_vague(true);
    for _ in 0..2 {
        let answer = begin(&engine, &ann, "ask").unwrap().accepted().await;
        assert!(matches!(answer, Err(EngineError::Unavailable(_))), "{answer:?}");
    }
    lab.store.be_vague(false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(refusal(&engine, &ann), Some("tasks_parked_per_owner_max"));
    engine.shutdown(Duration::ZERO).await;
}
