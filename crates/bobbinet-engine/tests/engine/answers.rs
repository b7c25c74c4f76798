//! The same answer counts once, and whoever repeats it gets what the first one got.

use std::time::Duration;

use bobbinet_core::{Limits, Refused, State, Task};
use bobbinet_engine::{Engine, EngineError, Reply};

use crate::lab::{Lab, answer, caller, kept, name_of, until};

/// Says it, and waits for what comes of it.
async fn say(engine: &Engine, task: &Task, reply: Reply) -> Result<State, EngineError> {
    let handle = engine.reply(&caller("ann"), &name_of("tool"), &task.id, reply).await?;
    Ok(handle.settled().await?.state)
}

/// A task whose tool has run once, and nobody knows what came of it.
async fn asked(engine: &Engine) -> std::sync::Arc<Task> {
    let task = kept(engine, &caller("ann"), "once").await;
    until(engine, &caller("ann"), "tool", &task.id, State::InputRequired).await
}

#[tokio::test(start_paused = true)]
async fn a_repeated_retry_runs_the_tool_no_second_time() {
    for key in [Some("k"), None] {
        let lab = Lab::new(Limits::default());
        let engine = lab.open(&["tool"]).await;
        let task = asked(&engine).await;
        assert_eq!(lab.runs(), 1);
        for _ in 0..3 {
            // Its tool runs once more and asks again; the repeat is told so, and answers nothing.
            assert_eq!(say(&engine, &task, answer("m", "retry", key)).await, Ok(State::InputRequired));
            assert_eq!(lab.runs(), 2, "{key:?}");
        }
        engine.shutdown(Duration::ZERO).await;
        drop(engine);
        // What has counted is in the log.
        let engine = lab.open(&["tool"]).await;
        assert_eq!(say(&engine, &task, answer("m", "retry", key)).await, Ok(State::InputRequired));
        assert_eq!(lab.runs(), 2, "{key:?}, after a restart");
        let next = key.map(|_| "another");
        assert_eq!(say(&engine, &task, answer("m2", "retry", next)).await, Ok(State::InputRequired));
        assert_eq!(lab.runs(), 3, "another answer is another one");
        assert_eq!(say(&engine, &task, answer("m3", "failed", next.map(|_| "last"))).await, Ok(State::Failed));
        assert_eq!(say(&engine, &task, answer("m3", "failed", next.map(|_| "last"))).await, Ok(State::Failed));
        engine.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_said_twice_at_once_counts_once() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    let task = asked(&engine).await;
    let twice = futures::future::join_all((0..5).map(|_| say(&engine, &task, answer("m", "retry", None)))).await;
    assert_eq!(twice, vec![Ok(State::InputRequired); 5]);
    assert_eq!(lab.runs(), 2);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn another_answer_under_a_key_that_is_taken_is_refused() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    let task = asked(&engine).await;
    assert_eq!(say(&engine, &task, answer("m", "retry", Some("k"))).await, Ok(State::InputRequired));
    let refused = |refused| Err(EngineError::Refused(refused));
    assert_eq!(say(&engine, &task, answer("other", "failed", Some("k"))).await, refused(Refused::KeyReused));
    // The key decides where there is one; and what has no key is known by its id, though the first had one.
    assert_eq!(say(&engine, &task, answer("m", "retry", None)).await, Ok(State::InputRequired));
    assert_eq!(lab.runs(), 2);
    assert_eq!(say(&engine, &task, answer("m", "retry", Some("k2"))).await, Ok(State::InputRequired));
    assert_eq!(lab.runs(), 3);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_id_that_was_used_before_is_no_reason_to_refuse_another_answer() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    let task = asked(&engine).await;
    for _ in 0..2 {
        assert_eq!(say(&engine, &task, answer("m", "retry", None)).await, Ok(State::InputRequired));
    }
    assert_eq!(lab.runs(), 2);
    for _ in 0..2 {
        assert_eq!(say(&engine, &task, answer("m", "failed", None)).await, Ok(State::Failed));
    }
    assert_eq!(lab.runs(), 2);
    engine.shutdown(Duration::ZERO).await;
}
