//! Over HTTP each request has its own fate: what goes wrong with one is no other's.

use std::time::Duration;

use bobbinet_core::State;
use bobbinet_mcp::McpConfig;

use crate::{
    front::{Bytes, Front},
    lab::{Lab, PATIENCE, limits, say, settled, until, view},
    web::Web,
};

#[tokio::test]
async fn a_connection_that_cannot_be_made_leaves_the_calls_alone_that_have_one() {
    let web = Web::open().await;
    let mut front = Front::open(&web, Bytes::Through).await;
    let lab = Lab::with(&["works"], limits(), |config| front.reach(&web, config)).await.ready().await;
    let calls = || web.requests("works").iter().filter(|it| it.contains("tools/call")).count();
    let first = lab.submit("works", say("act"));
    until("it is at the server", || calls() == 1).await;
    front.shut().await;
    let second = lab.submit("works", say("act"));
    assert!(view(&settled(&first).await).starts_with("completed: s1"), "{:?}", web.requests("works"));
    front.open_again().await;
    assert!(view(&settled(&second).await).starts_with("completed: s"), "{:?}", web.requests("works"));
    assert_eq!(calls(), 2, "{:?}", web.requests("works"));
    lab.close().await;
}

#[tokio::test]
async fn a_server_that_nobody_is_at_and_that_is_away_is_waited_for() {
    let web = Web::open().await;
    let mut front = Front::open(&web, Bytes::Through).await;
    let reach = |config: &mut McpConfig| {
        front.reach(&web, config);
        config.limits.deaths_max = 50;
    };
    let lab = Lab::with(&["plain"], limits(), reach).await.ready().await;
    front.shut().await;
    // Longer than a request is tried, and than all tries of a call take.
    let calls: Vec<_> = (0..4).map(|_| lab.submit("plain", say("act"))).collect();
    tokio::time::sleep(Duration::from_secs(7)).await;
    front.open_again().await;
    for call in calls {
        assert!(view(&settled(&call).await).starts_with("completed: s"), "{:?}", web.requests("plain"));
    }
    lab.close().await;
}

#[tokio::test]
async fn a_list_that_breaks_off_is_asked_for_again_and_calls_go_on() {
    let web = Web::open().await;
    let lab = Lab::with(&["falters"], limits(), |config| web.reach(config)).await.ready().await;
    let task = lab.send("falters", say("act")).await;
    assert_eq!(task.state, State::Completed, "{}: {:?}", view(&task), web.requests("falters"));
    let count = |what: &str| web.requests("falters").iter().filter(|it| it.contains(what)).count();
    until("the list is asked for again", || count("tools/list") >= 3).await;
    assert_eq!(count("initialize "), 1, "{:?}", web.requests("falters"));
    lab.close().await;
}

#[tokio::test]
async fn what_stands_before_a_server_that_is_away_says_nothing_of_how_it_wants_to_be_spoken_to() {
    let web = Web::open().await;
    let reach = |config: &mut McpConfig| {
        web.reach(config);
        config.limits.deaths_max = 50;
    };
    let lab = Lab::with(&["rollout", "modern-rollout"], limits(), reach).await;
    for (mode, expected) in [("rollout", "version=2025-11-25"), ("modern-rollout", "version=2026-07-28")] {
        lab.agents[mode].wait_ready(PATIENCE).await.unwrap();
        assert_eq!(lab.send(mode, say("do")).await.state, State::Completed, "{mode}");
        let requests = web.requests(mode);
        assert!(requests.iter().any(|it| it.contains("tools/call") && it.contains(expected)), "{mode}: {requests:?}");
    }
    lab.close().await;
}

#[tokio::test]
async fn an_answer_that_its_server_does_not_take_ends_the_call_that_it_is_for_and_no_other() {
    let web = Web::open().await;
    let lab = Lab::with(&["asks-in-vain"], limits(), |config| web.reach(config)).await.ready().await;
    let asked = lab.send("asks-in-vain", say("act")).await;
    assert_eq!(asked.state, State::InputRequired, "{}", view(&asked));
    let other = lab.submit("asks-in-vain", say("do"));
    let requests = || web.requests("asks-in-vain");
    until("it is at the server", || requests().iter().filter(|it| it.contains("tools/call")).count() == 2).await;
    let task = lab.reply("asks-in-vain", &asked.id, say(r#"data:{"name":"Ada"}"#)).await;
    assert_eq!(view(&task), "input-required: server-died", "{:?}", requests());
    assert!(task.status_message.as_ref().unwrap().text().contains("400"), "{task:?}");
    assert!(view(&settled(&other).await).starts_with("completed: s1"), "{:?}", requests());
    until("its server is told", || requests().iter().any(|it| it.contains("notifications/cancelled"))).await;
    lab.close().await;
}
