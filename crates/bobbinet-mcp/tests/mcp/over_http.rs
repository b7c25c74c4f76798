//! Servers that are reached by their URL: in every way that MCP knows over HTTP, and with what can be wrong there.

use std::time::{Duration, Instant};

use bobbinet_core::{Event, State};
use bobbinet_mcp::{McpConfig, ServerAddress, ServerUrl};

use crate::{
    lab::{IDLE_MS, Lab, PATIENCE, limits, say, settled, until, view},
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
    for mode in ["forgets", "forgets-in-words"] {
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
    for mode in ["breaks", "gateway"] {
        check(mode, "input-required: server-died").await;
    }
    check("nameless", "failed: ").await;
    for mode in ["drips", "drips-events"] {
        check(mode, "input-required: timed-out").await;
    }
    for mode in ["page", "floods", "floods-events", "wrong-id", "empty"] {
        check(mode, "failed: bad-reply").await;
    }
    check("elsewhere", "failed: ").await;
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
