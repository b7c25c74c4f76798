//! Servers that are reached by their URL: in every way that MCP knows over HTTP, and with what can be wrong there.

use std::time::{Duration, Instant};

use bobbinet_core::{Event, State};
use bobbinet_mcp::{McpConfig, ServerAddress, ServerUrl};

use crate::{
    lab::{IDLE_MS, Lab, PATIENCE, caller, limits, name_of, say, settled, until, view},
    web::Web,
};

async fn lab(web: &Web, modes: &[&str]) -> Lab {
    Lab::with(modes, limits(), |config| web.reach(config)).await.ready().await
}

/// What comes of calling `do`, which may run again, and `act`, of which nobody knows that.
async fn check(web: &Web, lab: &Lab, mode: &str, expected: &str) {
    let task = lab.send(mode, say("do")).await;
    assert_eq!(view(&task), expected, "{mode}: {:?}", web.requests(mode));
}

#[tokio::test]
async fn a_server_is_called_over_whichever_transport_it_speaks() {
    let web = Web::open().await;
    let modes = ["plain", "streams", "modern", "older", "older-said"];
    let lab = lab(&web, &modes).await;
    check(&web, &lab, "modern", "completed: modern").await;
    let routed = lab.send("modern", say(r#"data:{"skill":"do","arguments":{"region":"eu"}}"#)).await;
    assert_eq!(view(&routed), "completed: modern", "an argument is said again in a header");
    check(&web, &lab, "older", "completed: older").await;
    check(&web, &lab, "older-said", "completed: older").await;
    for mode in ["plain", "streams"] {
        let task = lab.send(mode, say("do")).await;
        assert!(view(&task).starts_with("completed: s"), "{mode}: {}", view(&task));
    }
    let handle = lab.submit("streams", say("do"));
    let told = lab.events("streams", &handle).await;
    let says =
        |event: &Event| matches!(event, Event::Progressed { message: Some(text), .. } if text.text() == "half way");
    assert!(told.iter().any(says), "{told:?}");
    // Each request of a session names it, and the version that was agreed on; those of the era without stand alone.
    let [name, version] = ["session=s", "version=2025-06-18"];
    let plain = web.requests("plain");
    assert!(
        plain.iter().filter(|it| it.contains("tools/")).all(|it| it.contains(name) && it.contains(version)),
        "{plain:?}"
    );
    let modern = web.requests("modern");
    assert!(modern.iter().all(|it| it.contains("session=- version=2026-07-28")), "{modern:?}");
    lab.close().await;
    assert!(web.requests("plain").iter().any(|it| it.starts_with("DELETE")), "the session is ended");
}

#[tokio::test]
async fn a_session_that_the_server_has_forgotten_is_begun_again_and_the_call_goes_through() {
    let web = Web::open().await;
    for mode in ["forgets", "forgets-in-words", "forgets-by-another-id"] {
        let web = if mode == "forgets" { &web } else { &Web::open().await };
        let lab = lab(web, &[mode]).await;
        // One that is forgotten at once is no session.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let call = lab.submit(mode, say("act"));
        assert_eq!(view(&settled(&call).await), "completed: s2", "{mode}: {:?}", web.requests(mode));
        assert_eq!(web.requests(mode).iter().filter(|it| it.contains("initialize ")).count(), 2);
        lab.close().await;
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_goes_on_where_it_was() {
    let web = Web::open().await;
    let lab = lab(&web, &["resumes"]).await;
    check(&web, &lab, "resumes", "completed: resumed").await;
    assert!(web.requests("resumes").iter().any(|it| it.starts_with("GET - ") && it.ends_with("last=7")));
    lab.close().await;
}

#[tokio::test]
async fn what_the_server_says_unasked_is_heard() {
    let web = Web::open().await;
    let lab = lab(&web, &["tells"]).await;
    let listed = || web.requests("tells").iter().filter(|it| it.contains("tools/list")).count();
    until("its tools are listed again", || listed() >= 2).await;
    lab.close().await;
}

#[tokio::test]
async fn every_fault_of_http_is_a_typed_failure_in_time() {
    let web = Web::open().await;
    let modes = [
        "plain",
        "breaks",
        "nameless",
        "gateway",
        "page",
        "elsewhere",
        "drips",
        "drips-events",
        "floods",
        "floods-events",
        "wrong-id",
        "empty",
        "see-other",
        "moved",
        "own-session",
    ];
    let lab = Lab::with(&modes, limits(), |config| web.reach(config)).await.ready().await;
    let check = async |mode: &str, expected: &str| {
        let begun = Instant::now();
        let task = lab.send(mode, say("act")).await;
        let found = view(&task);
        assert!(found.starts_with(expected), "{mode}: {found} {:?}", web.requests(mode));
        assert!(
            begun.elapsed() < Duration::from_millis(IDLE_MS) + Duration::from_secs(2),
            "{mode}: {:?}",
            begun.elapsed()
        );
        // Others are not affected.
        assert!(view(&lab.send("plain", say("act")).await).starts_with("completed: s"), "{mode}");
    };
    // Whether it has acted nobody knows: its caller is asked what to do.
    for mode in ["breaks", "gateway", "see-other"] {
        check(mode, "input-required: server-died").await;
    }
    check("nameless", "failed: ").await;
    for mode in ["drips", "drips-events"] {
        check(mode, "input-required: timed-out").await;
    }
    for mode in ["page", "floods", "floods-events", "wrong-id", "empty"] {
        check(mode, "failed: bad-reply").await;
    }
    for mode in ["elsewhere", "moved", "own-session"] {
        check(mode, "failed: ").await;
        let calls = web.requests(mode).iter().filter(|it| it.contains("tools/call")).count();
        assert_eq!(calls, 1, "{mode}: what was seen is not sent again");
    }
    lab.close().await;
}

#[tokio::test]
async fn what_keeps_a_server_from_being_reached_is_said() {
    let web = Web::open().await;
    let nobody = |config: &mut McpConfig| {
        let url = match config.name.as_str() {
            "locked" => return web.reach(config),
            "away" => "http://127.0.0.1:1/mcp",
            _ => "http://169.254.169.254/mcp",
        };
        config.server = ServerAddress::Url(ServerUrl::new(url.parse().unwrap()));
        config.limits.start_patience_ms = 5_000;
        config.limits.deaths_max = 1;
    };
    let lab = Lab::with(&["locked", "away", "guarded"], limits(), nobody).await;
    for (mode, expected) in [("locked", "401"), ("away", "cannot be reached"), ("guarded", "169.254.169.254")] {
        let why = lab.agents[mode].wait_ready(PATIENCE).await.unwrap_err();
        assert!(why.contains(expected), "{mode}: {why}");
        let task = lab.send(mode, say("do")).await;
        assert_eq!(task.state, State::Failed, "{mode}");
    }
    lab.close().await;
}

#[tokio::test]
async fn calls_that_find_the_session_forgotten_together_all_go_through() {
    let web = Web::open().await;
    let lab = lab(&web, &["forgets"]).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let calls: Vec<_> = (0..4).map(|_| lab.submit("forgets", say("act"))).collect();
    for call in &calls {
        assert_eq!(view(&settled(call).await), "completed: s2", "{:?}", web.requests("forgets"));
    }
    lab.close().await;
}

#[tokio::test]
async fn a_call_that_is_canceled_is_canceled_at_its_server() {
    let web = Web::open().await;
    let lab = lab(&web, &["hangs", "older"]).await;
    for (mode, tool) in [("hangs", "act"), ("older", "silent")] {
        let call = lab.submit(mode, say(tool));
        until("it is at the server", || web.requests(mode).iter().any(|it| it.contains("tools/call"))).await;
        lab.engine.cancel(&caller(), &name_of(mode), &call.id()).await.unwrap();
        until("the server is told", || web.requests(mode).iter().any(|it| it.contains("notifications/cancelled")))
            .await;
    }
    lab.close().await;
}

#[tokio::test]
async fn an_answer_comes_to_its_server_though_something_is_away_for_a_moment() {
    let web = Web::open().await;
    let lab = lab(&web, &["asks"]).await;
    let asked = lab.send("asks", say("act")).await;
    assert_eq!(asked.state, State::InputRequired, "{}", view(&asked));
    let done = lab.reply("asks", &asked.id, say(r#"data:{"name":"Ada"}"#)).await;
    assert_eq!(view(&done), "completed: \"Ada\"", "{:?}", web.requests("asks"));
    lab.close().await;
}

#[tokio::test]
async fn a_stream_that_is_not_there_or_ends_at_once_says_nothing_of_the_session() {
    let web = Web::open().await;
    let lab = lab(&web, &["no-stream", "zero"]).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for mode in ["no-stream", "zero"] {
        assert!(view(&lab.send(mode, say("act")).await).starts_with("completed: s"), "{mode}");
        let count = |what: &str| web.requests(mode).iter().filter(|it| it.contains(what)).count();
        assert_eq!(count("initialize "), 1, "{mode}");
        // It asks ever more rarely, whatever the server wants.
        assert!((1..=3).contains(&count("GET - ")), "{mode}: {:?}", web.requests(mode));
    }
    lab.close().await;
}

#[tokio::test]
async fn nobody_but_its_owner_sees_the_path_of_a_server() {
    let web = Web::open().await;
    let lab = lab(&web, &["gateway"]).await;
    let task = lab.send("gateway", say("act")).await;
    let text = format!("{task:?}");
    assert!(text.contains("502") && !text.contains("/gateway"), "{text}");
    lab.close().await;
}
