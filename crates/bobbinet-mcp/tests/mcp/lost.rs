//! Sessions of a context that are lost: whoever had something in one is told, and nobody else is.

use std::sync::Arc;

use bobbinet_core::{ContextId, Effect, Message, Task};
use bobbinet_engine::NewTask;
use bobbinet_mcp::{McpConfig, ServerAddress, SessionScope};

use crate::{
    lab::{self, Lab, caller_named, limits, name_of, say, settled, view},
    web::Web,
};

/// A server that keeps a count in its memory, for each context.
fn till(config: &mut McpConfig) {
    lab::command(config).args[0] = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/till_server.py").to_owned();
    config.effects.clear();
    config.effects.insert("who".to_owned(), Effect::ReadOnly);
    config.is_silent = true;
    config.share.session = SessionScope::PerContext;
}

async fn lab(change: impl Fn(&mut McpConfig)) -> Lab {
    let with = |config: &mut McpConfig| {
        till(config);
        change(config);
    };
    Lab::with(&["till"], limits(), with).await.ready().await
}

async fn send(lab: &Lab, agent: &str, who: &str, context: &str, message: Message) -> Arc<Task> {
    let context = Some(ContextId::parse(context).unwrap());
    let new = NewTask { message, context, skill: None, trace: None, idempotency: None };
    settled(&lab.engine.submit(&caller_named(who), &name_of(agent), new).unwrap()).await
}

/// What a call of this tool comes to.
async fn call(lab: &Lab, who: &str, context: &str, tool: &str) -> String {
    view(&send(lab, "till", who, context, say(tool)).await)
}

const LOST: &str = "failed: session-lost";

#[tokio::test]
async fn a_context_whose_server_has_died_is_told_and_another_begins() {
    let lab = lab(|_| {}).await;
    assert_eq!(call(&lab, "ann", "one", "count").await, "completed: 1");
    assert_eq!(call(&lab, "ann", "two", "count").await, "completed: 1");
    assert!(call(&lab, "ann", "one", "die").await.starts_with("input-required"));
    let told = send(&lab, "till", "ann", "one", say("count")).await;
    let words = told.status_message.as_ref().unwrap().text();
    assert_eq!(view(&told), LOST);
    assert!(
        words.contains("context one") && words.contains("on_lost: new") && words.contains("Nothing was called"),
        "{words}"
    );
    // What reads is told as well, and it does not become well by itself.
    assert_eq!([call(&lab, "ann", "one", "who").await, call(&lab, "ann", "one", "count").await], [LOST, LOST]);
    // Others are not affected.
    assert_eq!(call(&lab, "ann", "two", "count").await, "completed: 2");
    assert_eq!(call(&lab, "ann", "three", "count").await, "completed: 1");
    assert_eq!(call(&lab, "bob", "one", "count").await, "completed: 1", "his own context of that name");
    // Nor is a context that had nothing there to lose.
    assert!(call(&lab, "ann", "four", "who").await.starts_with("completed: "));
    // With the node all of them are gone.
    let lab = lab.restart(till).await.ready().await;
    assert_eq!([call(&lab, "ann", "two", "count").await, call(&lab, "bob", "one", "count").await], [LOST, LOST]);
    assert!(call(&lab, "ann", "four", "who").await.starts_with("completed: "));
    assert_eq!(call(&lab, "ann", "five", "count").await, "completed: 1");
    lab.close().await;
}

#[tokio::test]
async fn one_that_was_idle_or_has_made_room_is_lost_too_and_one_that_keeps_nothing_never_is() {
    let lab = lab(|config| config.limits.sessions_max = 1).await;
    assert_eq!(call(&lab, "ann", "one", "count").await, "completed: 1");
    assert_eq!(call(&lab, "ann", "two", "count").await, "completed: 1");
    assert_eq!(call(&lab, "ann", "one", "count").await, LOST, "it has made room");
    let folder = lab.close().await;
    drop(folder);
    let idle = |config: &mut McpConfig| config.limits.session_idle_ms = 100;
    for is_stateless in [false, true] {
        let lab = self::lab(|config| {
            idle(config);
            config.stateless = is_stateless;
        })
        .await;
        assert_eq!(call(&lab, "ann", "one", "count").await, "completed: 1");
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        let expected = if is_stateless { "completed: 1" } else { LOST };
        assert_eq!(call(&lab, "ann", "one", "count").await, expected);
        lab.close().await;
    }
}

#[tokio::test]
async fn a_context_stays_with_its_replica_and_is_told_when_that_is_gone() {
    let places = [Web::open().await, Web::open().await];
    let lab = Lab::with(&["plain"], limits(), |config| {
        places[0].reach(config);
        if let ServerAddress::Url(server) = &config.server {
            let mut other = server.clone();
            other.url = format!("{}/plain", places[1].url).parse().unwrap();
            config.replicas = vec![ServerAddress::Url(other)];
        }
        config.share.session = SessionScope::PerContext;
    })
    .await
    .ready()
    .await;
    let calls = |place: &Web| place.requests("plain").iter().filter(|it| it.contains("tools/call")).count();
    for context in ["one", "two"] {
        for _ in 0..3 {
            assert!(
                view(&send(&lab, "plain", "ann", context, say("act")).await).starts_with("completed: s"),
                "{context}"
            );
        }
    }
    assert_eq!(places.each_ref().map(calls), [3, 3], "each has one");
    let [first, second] = places;
    drop(second);
    let mut said = Vec::new();
    for context in ["one", "two"] {
        for _ in 0..2 {
            said.push(view(&send(&lab, "plain", "ann", context, say("act")).await));
        }
    }
    said.sort();
    assert!(said[0].starts_with("completed: s") && said[1].starts_with("completed: s"), "{said:?}");
    assert_eq!(said[2..], [LOST, LOST]);
    assert_eq!(calls(&first), 5);
    lab.close().await;
}
