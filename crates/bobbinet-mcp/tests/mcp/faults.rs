//! Servers that misbehave: every call ends, typed, in time; memory stays bounded; others do not notice.

use std::{
    cell::Cell,
    fs,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bobbinet_core::{AgentName, Call, Caller, Description, Effect, Fault, Outcome, Plan, State};
use bobbinet_engine::{Agent, AllowAll, Authorizer, Engine, NewTask, Request, Run, Setup, SystemEnv};
use bobbinet_store::MemoryStore;

use crate::lab::{self, IDLE_MS, Lab, limits, say, view};

/// What a call of `do` comes to at a server of each kind.
const FAULTS: [(&str, &str); 21] = [
    ("dies", "failed: server-died"),
    ("dies-once", "completed: alive again"),
    ("closes", "failed: server-died"),
    ("hangs", "failed: timed-out"),
    ("drips", "failed: timed-out"),
    ("junk", "failed: bad-reply"),
    ("junk-bytes", "failed: bad-reply"),
    ("endless-line", "failed: bad-reply"),
    ("long-line", "failed: bad-reply|failed: timed-out"),
    ("deep", "failed: bad-reply"),
    ("shape", "failed: bad-reply"),
    ("wrong-ids", "failed: timed-out"),
    ("no-id", "failed: bad-request"),
    ("duplicates", "completed: first"),
    ("string-ids", "completed: done"),
    ("notifications", "completed: done"),
    ("requests", "completed: done|failed: bad-reply"),
    ("stderr", "completed: done"),
    ("bom", "completed: done"),
    ("chatty", "completed: done"),
    ("block", r#"completed: {"type": "hologram", "beam": 1.5} beside it"#),
];

async fn check(mode: &str, expected: &str) {
    let lab = Lab::new(&[mode, "good"]).await.ready().await;
    let begun = Instant::now();
    let call = lab.submit(mode, say("do"));
    let others = async {
        for number in 0..10 {
            let neighbour = lab.send("good", say(&format!("echo text={number}"))).await;
            assert_eq!(view(&neighbour), format!("completed: {number}"), "beside {mode}");
        }
    };
    let (task, ()) = tokio::join!(crate::lab::settled(&call), others);
    assert!(expected.split('|').any(|expected| view(&task) == expected), "{mode}: {}", view(&task));
    // Three attempts at most, each within its patience and a second.
    assert!(begun.elapsed() < 3 * Duration::from_millis(IDLE_MS + 1_000), "{mode}: {:?}", begun.elapsed());
    let after = lab.send("good", say("echo text=after")).await;
    assert_eq!(view(&after), "completed: after", "after {mode}");
    println!("{mode}: {:?}", begun.elapsed());
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_server_ends_typed_and_in_time() {
    for (mode, expected) in FAULTS {
        check(mode, expected).await;
    }
}

/// What an answer comes to that is not as the protocol has it. Each comes at once: here nobody is waited for.
const ODD_REPLIES: [(&str, &str); 17] = [
    ("code-text", "failed: boom (MCP error -32603)"),
    ("code-float", "failed: boom (MCP error -32603)"),
    ("error-text", "failed: boom"),
    ("result-null", "completed: "),
    ("no-outcome", "failed: bad-reply"),
    ("nan", r#"completed: {"n":null} NaN"#),
    ("not-utf8", "completed: a\u{fffd}b"),
    ("surrogate", "completed: a\u{fffd}b"),
    ("truncated", "failed: bad-reply"),
    ("single-quotes", "failed: bad-reply"),
    ("content-null", "completed: "),
    ("content-text", "completed: done"),
    ("content-object", "completed: done"),
    ("tool-result", "completed: done"),
    ("float-id", "completed: done"),
    ("batch", "completed: done"),
    ("long-and-id-last", "failed: bad-reply"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_with_the_id_of_a_call_ends_it_at_once() {
    for (mode, expected) in ODD_REPLIES {
        let patient = |config: &mut bobbinet_mcp::McpConfig| {
            // Longer than the test: whoever waits for a sign of life has failed.
            config.limits.idle_ms = 600_000;
            config.effects.insert("do".to_owned(), Effect::AtMostOnce);
            config.effects.insert("ask".to_owned(), Effect::AtMostOnce);
        };
        let lab = Lab::with(&[mode], limits(), patient).await.ready().await;
        // Beside another call in flight: its own id, and nothing else, says whose a reply is.
        let beside = lab.send(mode, say("ask")).await;
        let task = lab.send(mode, say("do")).await;
        assert_eq!(view(&task), expected, "{mode}");
        if expected == "failed: bad-reply" {
            let words = task.status_message.as_ref().unwrap().text();
            assert!(words.contains("It may have acted all the same"), "{mode}: {words}");
            assert_eq!(task.calls[0].outcome, Some(bobbinet_core::task::CallOutcome::Unknown), "{mode}");
        }
        let beside = lab.reply(mode, &beside.id, say("Ann")).await;
        assert!(view(&beside).contains("Ann"), "{mode}: {}", view(&beside));
        lab.close().await;
    }
}

#[tokio::test]
async fn an_error_401_of_a_server_is_its_no_and_asks_nobody_to_log_in() {
    let careful = |config: &mut bobbinet_mcp::McpConfig| {
        config.effects.insert("do".to_owned(), Effect::AtMostOnce);
    };
    let lab = Lab::with(&["unauthorized"], limits(), careful).await.ready().await;
    assert_eq!(view(&lab.send("unauthorized", say("do")).await), "failed: Unauthorized (MCP error 401)");
    let calls = fs::read_to_string(lab.notes("unauthorized").join("called")).unwrap();
    assert_eq!(calls.lines().count(), 1, "{calls}");
    lab.close().await;
}

#[tokio::test]
async fn what_a_read_has_answered_unreadably_is_not_said_to_have_acted() {
    let lab = Lab::new(&["truncated"]).await.ready().await;
    let task = lab.send("truncated", say("do")).await;
    let words = task.status_message.as_ref().unwrap().text();
    assert!(words.contains("cannot be read") && !words.contains("acted"), "{words}");
    lab.close().await;
}

#[tokio::test]
async fn what_goes_to_a_server_is_text_that_it_can_read() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let task = lab.send("good", say(r#"{"skill":"raw","arguments":{"a":"x\ud800y","b":"\ud83d\ude00"}}"#)).await;
    let line = task.artifacts[0].parts[0].as_text().unwrap();
    assert!(line.contains(r#""arguments":{"a":"x\ufffdy","b":"\ud83d\ude00"}"#), "{line}");
    lab.close().await;
}

#[tokio::test]
async fn an_effect_that_may_have_happened_becomes_a_question() {
    let careful = |config: &mut bobbinet_mcp::McpConfig| {
        config.effects.insert("do".to_owned(), Effect::AtMostOnce);
    };
    let lab = Lab::with(&["dies", "hangs"], limits(), careful).await.ready().await;
    for (mode, code) in [("dies", "server-died"), ("hangs", "timed-out")] {
        let task = lab.send(mode, say("do")).await;
        assert_eq!(view(&task), format!("input-required: {code}"));
        let task = lab.reply(mode, &task.id, say("failed")).await;
        assert_eq!(view(&task), "failed: said-to-have-failed");
    }
    lab.close().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_started_fails_calls_at_once() {
    let lab = Lab::with(&["exits", "silent", "refuses-to-start"], limits(), |config| {
        lab::command(config).env.insert("API_KEY".to_owned(), "hunter22".to_owned());
        if config.name == "silent" {
            config.limits.start_patience_ms = 700;
        }
    })
    .await;
    for (mode, why) in [
        ("exits", "it ended with exit status: 0 before it was ready. Its last words:\nI will not"),
        ("silent", "it showed no sign of life for 700ms"),
        // Not the status of our own signal; and nothing of what it was entrusted with.
        (
            "refuses-to-start",
            "it refused the handshake: log in first (-32000). Its last words:\nAPI_KEY … is not valid",
        ),
    ] {
        let agent = &lab.agents[mode];
        let not_ready = agent.wait_ready(Duration::from_secs(20)).await.unwrap_err();
        assert!(not_ready.contains(why), "{mode}: {not_ready}");
        // A probe that anybody may ask is not told what the server said.
        let ready = agent.ready().unwrap_err();
        assert!(ready.contains("dies too often") && !ready.contains("last words"), "{mode}: {ready}");
        assert!(!agent.has_started(), "{mode}");
        let begun = Instant::now();
        let task = lab.send(mode, say("do")).await;
        assert_eq!(view(&task), "failed: server-unavailable", "{mode}");
        let words = task.status_message.as_ref().unwrap().text();
        assert_eq!(words.matches(why).count(), 1, "{mode}: {words}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{mode}");
    }
    lab.close().await;
}

/// How the server was spoken to first in each of its lives.
fn greetings(lab: &Lab, mode: &str) -> String {
    fs::read_to_string(lab.notes(mode).join("greeted")).unwrap_or_default().replace('\n', " ").trim().to_owned()
}

#[tokio::test]
async fn a_server_that_takes_no_question_for_its_era_is_greeted_and_that_is_remembered() {
    let modes = ["only-greetings", "silent-to-questions", "null-to-questions", "integer-ids", "speaks-older"];
    let begun = Instant::now();
    let lab = Lab::with(&modes, limits(), |config| config.limits.start_patience_ms = 60_000).await.ready().await;
    assert!(begun.elapsed() < Duration::from_secs(15), "a few seconds each, and all at once: {:?}", begun.elapsed());
    for mode in modes {
        assert!(lab.agents[mode].has_started());
        assert_eq!(view(&lab.send(mode, say("do")).await), "completed: done", "{mode}");
        let lives = if mode == "only-greetings" { "server/discover initialize" } else { "server/discover" };
        assert_eq!(greetings(&lab, mode), lives, "{mode}");
    }
    let lab = lab.restart(|_| {}).await.ready().await;
    for mode in modes {
        assert!(greetings(&lab, mode).ends_with(" initialize"), "{mode}: {}", greetings(&lab, mode));
        assert_eq!(view(&lab.send(mode, say("do")).await), "completed: done", "{mode}");
    }
    lab.close().await;
}

#[tokio::test]
async fn an_end_over_the_question_for_its_era_is_not_counted_against_a_server() {
    let lab = Lab::with(&["only-greetings"], limits(), |config| config.limits.deaths_max = 1).await.ready().await;
    assert_eq!(greetings(&lab, "only-greetings"), "server/discover initialize");
    lab.close().await;
}

#[tokio::test]
async fn a_server_that_is_at_work_is_waited_for() {
    let patient = |config: &mut bobbinet_mcp::McpConfig| config.limits.start_patience_ms = 1_000;
    let lab = Lab::with(&["busy-boot"], limits(), patient).await;
    lab.agents["busy-boot"].wait_ready(Duration::from_secs(30)).await.unwrap();
    assert_eq!(greetings(&lab, "busy-boot"), "server/discover", "in its first life");
    lab.close().await;

    let hurried = |config: &mut bobbinet_mcp::McpConfig| config.limits.start_limit_ms = 1_000;
    let lab = Lab::with(&["busy-boot"], limits(), hurried).await;
    crate::lab::until("it was given up", || {
        lab.agents["busy-boot"].ready().is_err_and(|why| why.contains("it was not ready within 1s"))
    })
    .await;
    lab.close().await;
}

#[tokio::test]
async fn what_is_odd_in_a_list_of_tools_costs_only_itself() {
    let lab = Lab::new(&["endless-pages", "many-tools", "odd-tools", "lists-later"]).await.ready().await;
    for (mode, tools) in [("endless-pages", 50), ("many-tools", 1_000), ("odd-tools", 2)] {
        assert_eq!(lab.agents[mode].describe().skills.len(), tools, "{mode}");
    }
    assert_eq!(view(&lab.send("odd-tools", say("do")).await), "completed: done");
    // It was asked again, in the same life.
    let agent = &lab.agents["lists-later"];
    crate::lab::until("its tools are known", || !agent.describe().skills.is_empty()).await;
    assert_eq!(greetings(&lab, "lists-later"), "server/discover");
    assert_eq!(view(&lab.send("lists-later", say("do")).await), "completed: done");
    lab.close().await;
}

#[tokio::test]
async fn a_server_that_does_not_list_its_tools_is_left_alive() {
    let lab =
        Lab::with(&["lists-never"], limits(), |config| config.limits.start_patience_ms = 2_000).await.ready().await;
    assert!(lab.agents["lists-never"].describe().skills.is_empty());
    assert_eq!(greetings(&lab, "lists-never"), "server/discover");
    lab.close().await;
}

#[tokio::test]
async fn tools_that_were_known_are_not_lost_over_a_list_that_fails() {
    let lab = Lab::new(&["lists-once"]).await.ready().await;
    let known = lab.agents["lists-once"].describe().skills.len();
    assert!(known > 1, "{known}");
    let lab = lab.restart(|_| {}).await.ready().await;
    assert_eq!(lab.agents["lists-once"].describe().skills.len(), known);
    assert_eq!(view(&lab.send("lists-once", say("do")).await), "completed: done");
    lab.close().await;
}

#[tokio::test]
async fn a_call_may_take_as_long_as_its_tool_is_given() {
    let lab = Lab::with(&["hangs"], limits(), |config| {
        config.limits.idle_ms = 3_600_000;
        config.timeouts.insert("do".to_owned(), Duration::from_millis(300));
    })
    .await
    .ready()
    .await;
    let task = lab.send("hangs", say("do")).await;
    assert_eq!(view(&task), "failed: timed-out");
    let words = task.status_message.as_ref().unwrap().text();
    assert!(words.contains("no sign of life for 300ms"), "not the run's own end: {words}");
    assert_eq!(bobbinet_mcp::McpLimits::default().idle_ms, 60 * 60 * 1_000);
    assert_eq!(bobbinet_core::Limits::default().run_limit_ms, 24 * 60 * 60 * 1_000);
    lab.close().await;
}

#[tokio::test]
async fn the_last_words_of_a_server_that_dies_under_a_call_are_told_once() {
    let careful = |config: &mut bobbinet_mcp::McpConfig| {
        config.effects.insert("do".to_owned(), Effect::AtMostOnce);
    };
    let lab = Lab::with(&["dies-loudly"], limits(), careful).await.ready().await;
    let task = lab.send("dies-loudly", say("do")).await;
    let words = task.status_message.as_ref().unwrap().text();
    assert_eq!(words.matches("out of memory").count(), 1, "{words}");
    lab.close().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let lab =
        Lab::with(&["good"], limits(), |config| lab::command(config).command = "no-such-program".to_owned()).await;
    let why = lab.agents["good"].wait_ready(Duration::from_secs(20)).await.unwrap_err();
    assert!(why.contains("there is no program `no-such-program` to run"), "{why}");
    lab.close().await;
}

#[tokio::test]
async fn a_server_that_was_left_alone_is_tried_again() {
    let lab = Lab::with(&["exits-until"], limits(), |config| config.limits.rest_ms = 300).await;
    let agent = &lab.agents["exits-until"];
    agent.wait_ready(Duration::from_secs(20)).await.unwrap_err();
    fs::write(lab.notes("exits-until").join("healed"), "").unwrap();
    crate::lab::until("ready again", || agent.ready().is_ok()).await;
    let task = lab.send("exits-until", say("do")).await;
    assert_eq!(view(&task), "completed: done");
    lab.close().await;
}

#[tokio::test]
async fn while_a_server_is_left_alone_tasks_wait_as_submitted_and_not_for_ever() {
    for (rest_wait_ms, expected) in [(20_000, "completed: done"), (1_500, "failed: server-unavailable")] {
        let lab = Lab::with(&["exits-until"], limits(), |config| {
            config.limits.rest_ms = 500;
            config.limits.rest_wait_ms = rest_wait_ms;
        });
        let lab = lab.await;
        lab.agents["exits-until"].wait_ready(Duration::from_secs(20)).await.unwrap_err();
        let call = lab.submit("exits-until", say("do"));
        assert_eq!(call.accepted().await.unwrap().state, bobbinet_core::State::Submitted);
        if expected.starts_with("completed") {
            fs::write(lab.notes("exits-until").join("healed"), "").unwrap();
        }
        assert_eq!(view(&crate::lab::settled(&call).await), expected);
        lab.close().await;
    }
}

#[tokio::test]
async fn a_call_that_is_to_be_made_again_waits_for_a_server_that_is_left_alone() {
    let lab = Lab::with(&["dies-once"], limits(), |config| {
        config.limits.deaths_max = 1;
        config.limits.rest_ms = 300;
        config.limits.rest_wait_ms = 20_000;
    });
    let lab = lab.await.ready().await;
    assert_eq!(view(&lab.send("dies-once", say("do")).await), "completed: alive again");
    lab.close().await;
}

#[tokio::test]
async fn a_server_whose_list_changes_at_each_reading_is_read_ever_less_often() {
    let lab = Lab::new(&["list-loop"]).await.ready().await;
    let lists = || fs::read_to_string(lab.notes("list-loop").join("listed")).unwrap_or_default().lines().count();
    let begun = Instant::now();
    crate::lab::until("it was read five times", || lists() >= 5).await;
    // 50, 100, 200 and 400 ms apart, where it was 50 each time.
    assert!(begun.elapsed() > Duration::from_millis(600), "{:?}", begun.elapsed());
    assert_eq!(view(&lab.send("list-loop", say("sum a=1 b=2")).await), r#"completed: {"sum": 3}"#);
    lab.close().await;
}

#[tokio::test]
async fn a_call_that_kills_its_server_again_and_again_fails_alone() {
    // Only the first of its deaths says anything of the server.
    let lab = Lab::with(&["poison"], limits(), |config| config.limits.deaths_max = 2).await.ready().await;
    let begun = Instant::now();
    for number in 0..4 {
        let poison = lab.submit("poison", say(r#"data:{"skill":"do","arguments":{"poison":true}}"#));
        // Beside it, and after it: they may be called again, and are.
        let others = [lab.submit("poison", say("sum a=1 b=1")), lab.submit("poison", say("sum a=1 b=2"))];
        let task = crate::lab::settled(&poison).await;
        let expected = if number == 0 { "failed: server-died" } else { "failed: kills-server" };
        assert_eq!(view(&task), expected, "{number}");
        for (sum, other) in [2, 3].into_iter().zip(&others) {
            assert_eq!(view(&crate::lab::settled(other).await), format!(r#"completed: {{"sum": {sum}}}"#), "{number}");
        }
    }
    // More deaths than it takes to be left alone, and it never was.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(view(&lab.send("poison", say("do")).await), "completed: done");
    lab.close().await;
}

#[tokio::test]
async fn a_server_may_take_its_time_to_boot_and_calls_wait_for_it() {
    let lab = Lab::new(&["slow-boot"]).await;
    // Nothing is known of its tools when these are planned.
    let call = lab.submit("slow-boot", say("sum a=1 b=2"));
    let missing = lab.submit("slow-boot", say("sum a=1"));
    let unknown = lab.submit("slow-boot", say(r#"data:{"skill":"gone","arguments":{}}"#));
    assert_eq!(view(&crate::lab::settled(&call).await), r#"completed: {"sum": 3}"#);
    assert_eq!(view(&crate::lab::settled(&unknown).await), "rejected: unknown-skill");
    let missing = crate::lab::settled(&missing).await;
    assert_eq!(view(&missing), "input-required: `sum` needs `b` (number).");
    assert_eq!(missing.calls, [], "nothing was called to find that out");
    let task = lab.reply("slow-boot", &missing.id, say("41")).await;
    assert_eq!(view(&task), r#"completed: {"sum": 42}"#);
    lab.close().await;
}

/// Keeps calls without arguments, as versions did that made them of the message when the tools were known, and makes none.
#[derive(Debug)]
struct Earlier;

#[async_trait]
impl Agent for Earlier {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, _: &Request<'_>) -> Plan {
        Plan::Call(Arc::new(Call::of_message(Effect::AtMostOnce)))
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn takes_calls(&self) -> bool {
        false
    }

    async fn run(&self, _: Run) -> Outcome {
        unreachable!("it takes no calls")
    }

    async fn shutdown(&self) {}
}

#[tokio::test]
async fn what_an_earlier_version_kept_undecided_ends_and_nothing_is_called_for_it() {
    let store = Arc::new(MemoryStore::new());
    let agents = [(crate::lab::name_of("good"), Arc::new(Earlier) as Arc<dyn Agent>)].into();
    let (env, authorizer) = (Arc::new(SystemEnv), Arc::new(AllowAll));
    let engine = Engine::open(Setup { store: store.clone(), agents, env, limits: limits(), authorizer }).await.unwrap();
    let message = say("sum a=1 b=2");
    let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
    let kept =
        engine.submit(&crate::lab::caller(), &crate::lab::name_of("good"), new).unwrap().accepted().await.unwrap();
    engine.shutdown(Duration::ZERO).await;
    let lab = Lab::after(store, &["good"]).await;
    let task = lab.until_status("good", &kept.id, "send the message again").await;
    assert_eq!(view(&task), "failed: not-planned");
    lab.close().await;
}

/// Denies everything but `sum`.
#[derive(Debug)]
struct OnlySum;

impl Authorizer for OnlySum {
    fn allows_call(&self, _: &Caller, _: &AgentName, call: &Call) -> Result<(), Fault> {
        let (skill, arguments) = (call.skill.as_ref().unwrap().as_str(), call.arguments.as_ref().unwrap().as_str());
        if skill == "sum" { Ok(()) } else { Err(Fault::new("denied", format!("nobody may {skill} {arguments}"))) }
    }
}

#[tokio::test]
async fn a_call_that_policy_denies_is_not_made_though_its_tool_was_not_known_when_it_was_asked_for() {
    let lab = Lab::guarded(&["slow-boot"], Arc::new(OnlySum)).await;
    let denied = lab.submit("slow-boot", say("echo text=hello"));
    let allowed = lab.submit("slow-boot", say("sum a=1 b=2"));
    assert_eq!(denied.accepted().await.unwrap().state, State::Submitted);
    let denied = crate::lab::settled(&denied).await;
    assert_eq!((view(&denied).as_str(), denied.calls.len()), ("rejected: denied", 0));
    assert_eq!(denied.status_message.as_ref().unwrap().text(), r#"nobody may echo {"text":"hello"}"#);
    assert_eq!(view(&crate::lab::settled(&allowed).await), r#"completed: {"sum": 3}"#);
    lab.close().await;
}

#[tokio::test]
async fn nobody_waits_for_tools_longer_than_a_server_may_take_to_start() {
    let lab = Lab::with(&["silent"], limits(), |config| config.limits.start_limit_ms = 500).await;
    let task = lab.send("silent", say("do")).await;
    assert!(["failed: server-not-ready", "failed: server-unavailable"].contains(&view(&task).as_str()), "{task:?}");
    let words = task.status_message.as_ref().unwrap().text();
    assert!(words.ends_with("Nothing was called") && task.calls.is_empty(), "{words}");
    lab.close().await;
}

/// Not a test of its own: what `memory_stays_bounded` runs, once for each server, in a process whose memory is only ours.
#[tokio::test]
async fn helper_that_measures_memory() {
    let Ok(mode) = std::env::var("BOBBINET_TEST_MEMORY_OF") else { return };
    let lab = Lab::new(&[&mode]).await.ready().await;
    lab.send(&mode, say("echo text=x")).await;
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
        _ = lab.send(&mode, say("do")) => {}
        () = watch => {}
    }
    println!("growth {} KiB", most.get() - before);
    lab.close().await;
}

pub(crate) fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_stays_bounded() {
    const GROWTH_MAX_KIB: u64 = 64 << 10;
    for mode in ["junk", "junk-bytes", "endless-line", "long-line", "deep", "notifications", "requests", "stderr"] {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::helper_that_measures_memory", "--nocapture", "--test-threads=1"])
            .env("BOBBINET_TEST_MEMORY_OF", mode)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&run.stdout);
        let growth = text
            .split("growth ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .unwrap_or_else(|| panic!("{mode}: {text}"));
        let growth = growth.parse::<u64>().unwrap();
        println!("{mode}: {growth} KiB");
        assert!(growth <= GROWTH_MAX_KIB, "{mode}: {growth} KiB");
    }
}
