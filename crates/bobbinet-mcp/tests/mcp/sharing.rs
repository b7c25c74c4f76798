//! What callers share of a server: nothing that it keeps is lost, and nobody sees what is another's.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use bobbinet_core::{ContextId, Task};
use bobbinet_engine::{Agent, Handle, NewTask};
use bobbinet_mcp::{LostSession, McpConfig, SessionScope, StartPolicy, WriteSharing};

use crate::lab::{self, Lab, caller_named, limits, name_of, say, settled, until, view};

/// A node with one agent, whose server keeps a count in its memory and a sum in a file.
async fn till(change: impl Fn(&mut McpConfig)) -> Lab {
    Lab::with(&["till"], limits(), |config| {
        lab::command(config).args[0] = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/till_server.py").to_owned();
        config.effects.clear();
        config.is_silent = true;
        change(config);
    })
    .await
    .ready()
    .await
}

fn submit(lab: &Lab, who: &str, context: &str, message: &str) -> Handle {
    let context = Some(ContextId::parse(context).unwrap());
    let new = NewTask { message: say(message), context, skill: None, trace: None, idempotency: None };
    lab.engine.submit(&caller_named(who), &name_of("till"), new).unwrap()
}

async fn send(lab: &Lab, who: &str, context: &str, message: &str) -> Arc<Task> {
    settled(&submit(lab, who, context, message)).await
}

/// What the count is when so many have counted, one after the other.
async fn counted(lab: &Lab, who: &str, context: &str, times: usize) -> String {
    let mut last = String::new();
    for _ in 0..times {
        last = view(&send(lab, who, context, "count").await);
    }
    last.strip_prefix("completed: ").unwrap_or(&last).to_owned()
}

/// What is in the file after fifty calls at the same time that each add one.
async fn sum_of_fifty(lab: &Lab) -> u32 {
    let calls = (0..50).map(|_| lab.submit("till", say("add"))).collect::<Vec<_>>();
    // What reads is not kept waiting by what waits to write.
    assert!(view(&lab.send("till", say("read")).await).starts_with("completed: "));
    for call in &calls {
        assert_eq!(view(&settled(call).await), "completed: added");
    }
    view(&lab.send("till", say("read")).await).strip_prefix("completed: ").unwrap().parse().unwrap()
}

#[tokio::test]
async fn no_write_is_lost_unless_somebody_has_said_that_they_may_run_at_the_same_time() {
    let lab = till(|_| {}).await;
    assert_eq!(sum_of_fifty(&lab).await, 50);
    lab.close().await;
    let lab = till(|config| config.share.writes = Some(WriteSharing::Concurrent)).await;
    assert!(sum_of_fifty(&lab).await < 50, "the server does lose writes");
    lab.close().await;
}

#[tokio::test]
async fn a_lane_by_an_argument_keeps_only_calls_of_the_same_value_apart() {
    let lab = till(|config| config.share.writes = Some(WriteSharing::By("/until".to_owned()))).await;
    let wait =
        |until: &str| lab.submit("till", say(&format!(r#"data:{{"skill":"wait","arguments":{{"until":"{until}"}}}}"#)));
    let (first, second) = (wait("a"), wait("a"));
    let other = wait("b");
    fs::write(lab.notes("till").join("b"), "").unwrap();
    assert!(view(&settled(&other).await).starts_with("completed: "), "it waits for no other value");
    let task = lab.get("till", &second.id()).await;
    assert!(task.state.as_str() == "submitted" && task.calls.is_empty(), "no intent is in the log: {task:?}");
    fs::write(lab.notes("till").join("a"), "").unwrap();
    for call in [first, second] {
        assert!(view(&settled(&call).await).starts_with("completed: "));
    }
    lab.close().await;
}

#[tokio::test]
async fn who_shares_a_session_sees_one_count_and_nobody_else_does() {
    let of = |scope| till(move |config| config.share.session = scope);
    let check = async |scope, expected: [&str; 4]| {
        let lab = of(scope).await;
        let mut seen = Vec::new();
        for (who, context) in [("ann", "one"), ("ann", "two"), ("ann", "one"), ("bob", "one")] {
            seen.push(counted(&lab, who, context, 3).await);
        }
        assert_eq!(seen, expected, "{scope:?}");
        lab.close().await;
    };
    check(SessionScope::Shared, ["3", "6", "9", "12"]).await;
    check(SessionScope::PerContext, ["3", "3", "6", "3"]).await;
    check(SessionScope::PerCaller, ["3", "6", "9", "3"]).await;
    check(SessionScope::PerTask, ["1", "1", "1", "1"]).await;
}

#[tokio::test]
async fn a_session_that_dies_takes_no_other_with_it() {
    let lab = till(|config| {
        config.share.session = SessionScope::PerContext;
        config.share.on_lost = LostSession::New;
    })
    .await;
    assert_eq!(counted(&lab, "ann", "one", 2).await, "2");
    assert_eq!(counted(&lab, "ann", "two", 1).await, "1");
    assert_eq!(send(&lab, "ann", "two", "die").await.state.as_str(), "input-required", "what it did is not known");
    assert_eq!(counted(&lab, "ann", "one", 1).await, "3");
    assert_eq!(counted(&lab, "ann", "two", 1).await, "1", "it is another process");
    lab.close().await;
}

#[tokio::test]
async fn sessions_have_a_bound_and_the_one_that_was_idle_for_longest_makes_room() {
    let lab = till(|config| {
        config.share.session = SessionScope::PerContext;
        config.share.on_lost = LostSession::New;
        config.share.writes = Some(WriteSharing::Concurrent);
        config.limits.sessions_max = 2;
    })
    .await;
    for context in ["one", "two", "three", "two"] {
        counted(&lab, "ann", context, 1).await;
    }
    assert_eq!(counted(&lab, "ann", "two", 1).await, "3", "it was used since");
    assert_eq!(counted(&lab, "ann", "one", 1).await, "1", "it has made room");
    // Two that are in use make room for nobody.
    let wait = r#"data:{"skill":"wait","arguments":{"until":"now"}}"#;
    let waiting = ["one", "two"].map(|context| submit(&lab, "ann", context, wait));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = loop {
        let task = send(&lab, "ann", "four", "count").await;
        if task.state.as_str() == "failed" {
            break task;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(view(&refused), "failed: sessions-full");
    let words = refused.status_message.as_ref().unwrap().text();
    assert!(
        words.contains("has 2 sessions") && words.contains("per-context") && words.contains("Nothing was called"),
        "{words}"
    );
    fs::write(lab.notes("till").join("now"), "").unwrap();
    for call in &waiting {
        settled(call).await;
    }
    lab.close().await;
}

#[tokio::test]
async fn a_server_on_demand_is_started_by_its_first_call_and_ended_when_nobody_calls_it() {
    let on_demand = |config: &mut McpConfig| {
        config.start = StartPolicy::OnDemand;
        config.limits.session_idle_ms = 600;
    };
    // The first time it has to be asked what there is.
    let lab = Lab::with(&["good"], limits(), on_demand).await.ready().await;
    let notes = lab.notes("good");
    until("it is ended when nobody has called it", || servers(&notes) == 0).await;
    let lab = lab.restart(on_demand).await;
    assert!(lab.agents["good"].ready().is_ok() && lab.agents["good"].takes_calls());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(servers(&notes), 0, "nobody has called it");
    assert_eq!(view(&lab.send("good", say("echo text=hello")).await), "completed: hello");
    assert_eq!(servers(&notes), 1);
    until("it is ended when nobody calls it any more", || servers(&notes) == 0).await;
    assert_eq!(view(&lab.send("good", say("echo text=again")).await), "completed: again");
    lab.close().await;
}

/// How many servers run on these notes.
fn servers(notes: &Path) -> usize {
    // Not the shim in front of each, which is called with the same words.
    let is_one = |process: &fs::DirEntry| {
        let program = fs::read_link(process.path().join("exe")).unwrap_or_default();
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let is_ours = String::from_utf8_lossy(&command).contains(notes.to_str().unwrap());
        is_ours && program.to_string_lossy().contains("python")
    };
    fs::read_dir("/proc").unwrap().flatten().filter(is_one).count()
}

#[tokio::test]
async fn a_session_ends_when_nobody_has_used_it_for_a_while_and_that_of_a_task_with_it() {
    for scope in [SessionScope::PerContext, SessionScope::PerTask] {
        let lab = till(|config| {
            config.share.session = scope;
            config.share.on_lost = LostSession::New;
            config.limits.session_idle_ms = if scope == SessionScope::PerTask { 60_000 } else { 300 };
        })
        .await;
        assert_eq!(counted(&lab, "ann", "one", 1).await, "1");
        let notes = lab.notes("till");
        until("only the shared one is left", || servers(&notes) == 1).await;
        let sessions = notes.join("agent/sessions");
        until("its folder is gone", || fs::read_dir(&sessions).unwrap().count() == 0).await;
        assert_eq!(counted(&lab, "ann", "one", 1).await, "1", "it is another process");
        lab.close().await;
        assert_eq!(servers(&notes), 0);
    }
}

#[tokio::test]
async fn a_session_gets_no_older_than_it_may() {
    let lab = till(|config| {
        config.share.session = SessionScope::PerCaller;
        config.limits.session_life_ms = 400;
    })
    .await;
    let mut seen = Vec::new();
    while !seen.ends_with(&["1".to_owned()]) || seen.len() < 2 {
        assert!(seen.len() < 10_000, "it lives for ever");
        seen.push(counted(&lab, "ann", "one", 1).await);
    }
    lab.close().await;
}

#[tokio::test]
async fn replicas_share_the_calls_and_one_that_dies_is_left_out() {
    let lab = till(|config| {
        config.stateless = true;
        config.replicas = vec![config.server.clone()];
        config.limits.deaths_max = 1;
        config.limits.rest_ms = 60_000;
    })
    .await;
    let pids = |tasks: Vec<String>| {
        tasks.into_iter().fold(BTreeMap::<String, usize>::new(), |mut counts, pid| {
            *counts.entry(pid).or_default() += 1;
            counts
        })
    };
    let notes = lab.notes("till");
    until("both are up", || servers(&notes) == 2).await;
    let mut seen = Vec::new();
    while pids(seen.clone()).len() < 2 {
        assert!(seen.len() < 10_000, "the other takes no calls");
        seen.push(view(&lab.send("till", say("who")).await));
    }
    seen.clear();
    for _ in 0..200 {
        seen.push(view(&lab.send("till", say("who")).await));
    }
    let counts = pids(seen.clone());
    assert!(counts.len() == 2 && counts.values().max().unwrap() - counts.values().min().unwrap() <= 2, "{counts:?}");
    // Busy, one gets fewer.
    let wait = lab.submit("till", say(r#"data:{"skill":"wait","arguments":{"until":"now"}}"#));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut beside = Vec::new();
    for _ in 0..10 {
        beside.push(view(&lab.send("till", say("who")).await));
    }
    fs::write(notes.join("now"), "").unwrap();
    let busy = view(&settled(&wait).await);
    assert!(!beside.contains(&busy) && pids(beside.clone()).len() == 1, "{busy}: {beside:?}");
    // One dies, and the other has all.
    lab.send("till", say("die")).await;
    let mut after = Vec::new();
    for _ in 0..10 {
        after.push(view(&lab.send("till", say("who")).await));
    }
    assert_eq!(pids(after.clone()).len(), 1, "{after:?}");
    assert!(after[0].starts_with("completed: "), "{after:?}");
    lab.close().await;
}
