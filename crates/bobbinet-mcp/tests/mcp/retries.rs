//! Calls that are made again: only where that is safe, after pauses, and no more of them than an agent may.

use bobbinet_core::{Effect, Event, State};
use bobbinet_mcp::McpConfig;

use crate::{
    lab::{Lab, limits, say, settled, view},
    web::Web,
};

/// How often its server was called.
fn calls(web: &Web, mode: &str) -> usize {
    web.requests(mode).iter().filter(|it| it.contains("tools/call")).count()
}

async fn lab(web: &Web, mode: &str, change: impl Fn(&mut McpConfig)) -> Lab {
    let with = |config: &mut McpConfig| {
        web.reach(config);
        change(config);
    };
    Lab::with(&[mode], limits(), with).await.ready().await
}

#[tokio::test]
async fn a_call_that_may_run_again_is_fine_at_the_third_try_and_no_other_is_tried_again() {
    for effect in [Effect::ReadOnly, Effect::Idempotent] {
        let web = Web::open().await;
        let lab = lab(&web, "away-twice", |config| {
            config.effects.insert("do".to_owned(), effect);
            config.limits.retry_first_ms = 250;
        })
        .await;
        let call = lab.submit("away-twice", say("do"));
        let told = lab.events("away-twice", &call).await;
        let task = settled(&call).await;
        assert!(view(&task).starts_with("completed: s"), "{effect:?}: {}", view(&task));
        assert_eq!((calls(&web, "away-twice"), task.calls[0].attempt), (3, 1), "{effect:?}");
        let says = |event: &Event| matches!(event, Event::Progressed { message: Some(it), .. } if it.text().contains("of 5 in"));
        assert!(told.iter().any(says), "{told:?}");
        lab.close().await;
    }
    let web = Web::open().await;
    let lab = lab(&web, "away-twice", |_| {}).await;
    let task = lab.send("away-twice", say("act")).await;
    assert_eq!((task.state, calls(&web, "away-twice")), (State::InputRequired, 1), "nobody knows whether it has acted");
    lab.close().await;
}

#[tokio::test]
async fn it_is_tried_so_often_and_a_server_that_is_broken_is_not_asked_for_ever() {
    let web = Web::open().await;
    let lab = lab(&web, "gateway", |config| {
        config.limits.tries_max = 4;
        config.limits.retry_first_ms = 1;
    })
    .await;
    let task = lab.send("gateway", say("do")).await;
    let words = task.status_message.as_ref().unwrap().text();
    assert!(view(&task) == "failed: server-died" && words.contains("tried 4 times"), "{words}");
    assert_eq!(calls(&web, "gateway"), 4);
    // Ten more, and the fifth part of all calls.
    let mut words = String::new();
    for _ in 0..50 {
        words = lab.send("gateway", say("do")).await.status_message.as_ref().unwrap().text();
    }
    assert!(words.contains("retry_percent"), "{words}");
    let made = calls(&web, "gateway");
    assert!((61..=51 + 10 + 51 / 5 + 5).contains(&made), "{made}");
    lab.close().await;
}

#[tokio::test]
async fn nothing_is_tried_again_where_nobody_wants_that() {
    let web = Web::open().await;
    let lab = lab(&web, "gateway", |config| config.limits.tries_max = 1).await;
    assert_eq!(view(&lab.send("gateway", say("do")).await), "failed: server-died");
    assert_eq!(calls(&web, "gateway"), 1);
    lab.close().await;
}
