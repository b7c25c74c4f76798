//! One server in several places, each at a URL of its own.

use bobbinet_core::ContextId;
use bobbinet_engine::NewTask;
use bobbinet_mcp::{McpConfig, ServerAddress, SessionScope};

use crate::{
    lab::{Lab, caller_named, limits, name_of, say, settled, view},
    web::Web,
};

/// A node whose agent's server is at both.
async fn lab(places: &[Web; 2], change: impl Fn(&mut McpConfig)) -> Lab {
    let [first, second] = places;
    Lab::with(&["plain"], limits(), |config| {
        first.reach(config);
        if let ServerAddress::Url(server) = &config.server {
            let mut other = server.clone();
            other.url = format!("{}/plain", second.url).parse().unwrap();
            config.replicas = vec![ServerAddress::Url(other)];
        }
        change(config);
    })
    .await
    .ready()
    .await
}

/// How many calls each has had.
fn calls(places: &[Web; 2]) -> [usize; 2] {
    places.each_ref().map(|place| place.requests("plain").iter().filter(|it| it.contains("tools/call")).count())
}

async fn send(lab: &Lab, who: &str, context: &str) -> String {
    let context = Some(ContextId::parse(context).unwrap());
    let new = NewTask { message: say("do"), context, skill: None, trace: None, idempotency: None };
    view(&settled(&lab.engine.submit(&caller_named(who), &name_of("plain"), new).unwrap()).await)
}

#[tokio::test]
async fn without_a_state_each_place_has_half_of_the_calls() {
    let places = [Web::open().await, Web::open().await];
    let lab = lab(&places, |config| config.stateless = true).await;
    for _ in 0..200 {
        assert!(send(&lab, "ann", "one").await.starts_with("completed: s"));
    }
    let [first, second] = calls(&places);
    assert!(first + second == 200 && first.abs_diff(second) <= 4, "{first} and {second}");
    lab.close().await;
}

#[tokio::test]
async fn a_session_stays_where_it_has_begun() {
    let places = [Web::open().await, Web::open().await];
    let lab = lab(&places, |config| config.share.session = SessionScope::PerContext).await;
    for (context, together) in [("one", 20), ("two", 40), ("three", 60)] {
        let before = calls(&places);
        let first = send(&lab, "ann", context).await;
        for _ in 1..20 {
            assert_eq!(send(&lab, "ann", context).await, first, "it is one session");
        }
        let after = calls(&places);
        let grown = [after[0] - before[0], after[1] - before[1]];
        assert!(grown == [20, 0] || grown == [0, 20], "{context}: {grown:?}");
        assert_eq!(after[0] + after[1], together);
    }
    assert!(calls(&places).iter().all(|count| *count > 0), "sessions are spread: {:?}", calls(&places));
    lab.close().await;
}

#[tokio::test]
async fn a_place_that_is_gone_is_left_out() {
    let places = [Web::open().await, Web::open().await];
    let lab = lab(&places, |config| config.stateless = true).await;
    for _ in 0..4 {
        send(&lab, "ann", "one").await;
    }
    let [before, _] = calls(&places);
    let [first, second] = places;
    drop(second);
    let mut said = Vec::new();
    for _ in 0..20 {
        said.push(send(&lab, "ann", "one").await);
    }
    assert!(said.iter().all(|it| it.starts_with("completed: s")), "a call that never arrived goes elsewhere: {said:?}");
    let here = first.requests("plain").iter().filter(|it| it.contains("tools/call")).count();
    assert_eq!(here - before, 20);
    lab.close().await;
}
