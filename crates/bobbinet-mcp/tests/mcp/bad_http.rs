//! Answers that break HTTP itself, and servers that go on for ever: each call ends, with a reason, in its time, and others do not notice.

use std::{
    cell::Cell,
    process::Command,
    time::{Duration, Instant},
};

use bobbinet_core::State;

use crate::{
    faults::resident_kib,
    front::{Bytes, Front},
    lab::{IDLE_MS, Lab, PATIENCE, limits, say, view},
    web::Web,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn every_answer_that_breaks_http_is_a_typed_failure_in_time() {
    let chunked = |body: &str| format!("{HEAD}transfer-encoding: chunked\r\n\r\n{body}").leak() as &'static str;
    let long = format!("{HEAD}x-long: {}", "x".repeat(1 << 20)).leak() as &'static str;
    let stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let note = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"x\"}}\n\n";
    let rows = [
        ("hangs before a word", Bytes::Hang(""), "input-required: timed-out"),
        ("hangs in the status", Bytes::Hang("HTTP/1.1 20"), "input-required: timed-out"),
        ("hangs in the headers", Bytes::Hang(HEAD), "input-required: timed-out"),
        ("hangs in a chunk", Bytes::Hang(chunked("40\r\n{\"jsonrpc\"")), "input-required: timed-out"),
        ("ends before a word", Bytes::Once(""), "input-required: server-died"),
        ("is no HTTP", Bytes::Once("SSH-2.0-OpenSSH_9.6\r\n\r\n"), "input-required: server-died"),
        ("ends in the headers", Bytes::Once(HEAD), "input-required: server-died"),
        ("a chunk of no size", Bytes::Once(chunked("zz\r\n{}\r\n0\r\n\r\n")), "input-required: server-died"),
        ("a chunk that is cut off", Bytes::Once(chunked("40\r\n{\"jsonrpc\"")), "input-required: server-died"),
        ("a chunk that goes on", Bytes::Once(chunked("2\r\n{}{}\r\n0\r\n\r\n")), "input-required: server-died"),
        (
            "a body that is cut off",
            Bytes::Once("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{}"),
            "input-required: server-died",
        ),
        ("a header without an end", Bytes::Repeat(long, "x"), "input-required: server-died"),
        ("headers without an end", Bytes::Repeat(HEAD, "x-more: and more\r\n"), "input-required: server-died"),
        ("a stream of other things without an end", Bytes::Repeat(stream, note), "input-required: timed-out"),
        ("a stream of nothing without an end", Bytes::Repeat(stream, ":\n\n"), "input-required: timed-out"),
        ("no content", Bytes::Once("HTTP/1.1 204 No Content\r\n\r\n"), "failed: bad-reply"),
    ];
    let web = Web::open().await;
    for (what, bytes, expected) in rows {
        let front = Front::open(&web, bytes).await;
        let reach = |config: &mut bobbinet_mcp::McpConfig| match config.name.as_str() {
            "plain" => web.reach(config),
            _ => front.reach(&web, config),
        };
        let lab = Lab::with(&["plain", "broken"], limits(), reach).await.ready().await;
        let begun = Instant::now();
        let (broken, plain) = tokio::join!(lab.send("broken", say("act")), lab.send("plain", say("act")));
        assert_eq!(view(&broken), expected, "{what}");
        assert!(
            begun.elapsed() < Duration::from_millis(IDLE_MS) + Duration::from_secs(1),
            "{what}: {:?}",
            begun.elapsed()
        );
        assert_eq!(plain.state, State::Completed, "{what}");
        lab.close().await;
    }
}

#[tokio::test]
async fn a_server_that_locks_its_door_again_and_again_is_not_asked_for_ever() {
    let web = Web::open().await;
    let lab = Lab::with(&["locks", "plain"], limits(), |config| web.reach(config)).await.ready().await;
    let task = lab.send("locks", say("act")).await;
    assert!(view(&task).contains("wants other credentials: 401"), "{}", view(&task));
    let calls = web.requests("locks").iter().filter(|it| it.contains("tools/call")).count();
    assert_eq!(calls, 1, "{:?}", web.requests("locks"));
    assert_eq!(lab.send("plain", say("act")).await.state, State::Completed);
    lab.close().await;
}

#[tokio::test]
async fn a_session_whose_name_cannot_be_sent_is_none() {
    let web = Web::open().await;
    let reach = |config: &mut bobbinet_mcp::McpConfig| {
        web.reach(config);
        config.limits.deaths_max = 1;
    };
    let lab = Lab::with(&["long-session"], limits(), reach).await;
    let why = lab.agents["long-session"].wait_ready(PATIENCE).await.unwrap_err();
    assert!(why.contains("names the session in more than 8192 bytes"), "{why}");
    lab.close().await;
}

/// What goes on for ever, by how it begins: with pieces of the size that a network brings.
fn endless(what: &str) -> Bytes {
    let piece = |begins: &str, filled_with: &str| {
        let text = format!("{begins}{}", filled_with.repeat((64 << 10) / filled_with.len()));
        text.leak() as &'static str
    };
    let stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let open = format!("{HEAD}\r\n").leak() as &'static str;
    match what {
        "a body" => Bytes::Repeat(open, piece("", " ")),
        "an event" => Bytes::Repeat(stream, piece("data: x", "x")),
        "an event of many lines" => Bytes::Repeat(stream, piece("", "data: x\n")),
        "names of events" => Bytes::Repeat(stream, piece("", "event: x\nid: y\n")),
        "events" => Bytes::Repeat(
            stream,
            piece("", "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n"),
        ),
        "questions" => Bytes::Repeat(
            stream,
            piece("", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"elicitation/create\",\"params\":{}}\n\n"),
        ),
        "headers" => Bytes::Repeat(HEAD, piece("", "x-more: and more\r\n")),
        other => panic!("{other}"),
    }
}

/// Not a test of its own: what `memory_stays_bounded_over_http` runs, once for each server, in a process whose memory is only ours.
#[tokio::test]
async fn helper_that_measures_memory_over_http() {
    let Ok(what) = std::env::var("BOBBINET_TEST_MEMORY_OVER_HTTP") else { return };
    let web = Web::open().await;
    let front = Front::open(&web, endless(&what)).await;
    let lab = Lab::with(&["broken"], limits(), |config| front.reach(&web, config)).await.ready().await;
    let before = resident_kib();
    let most = Cell::new(before);
    let watch = async {
        loop {
            most.set(most.get().max(resident_kib()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        biased;
        _ = lab.send("broken", say("do")) => {}
        () = watch => {}
    }
    println!("growth {} KiB", most.get() - before);
    lab.close().await;
}

#[test]
fn memory_stays_bounded_over_http() {
    const GROWTH_MAX_KIB: u64 = 32 << 10;
    for what in ["a body", "an event", "an event of many lines", "names of events", "events", "questions", "headers"] {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "bad_http::helper_that_measures_memory_over_http", "--nocapture", "--test-threads=1"])
            .env("BOBBINET_TEST_MEMORY_OVER_HTTP", what)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&run.stdout);
        let growth = text.split("growth ").nth(1).and_then(|rest| rest.split(' ').next());
        let growth: u64 = growth.unwrap_or_else(|| panic!("{what}: {text}")).parse().unwrap();
        println!("{what}: {growth} KiB");
        assert!(growth <= GROWTH_MAX_KIB, "{what}: {growth} KiB");
    }
}
