//! What a server may take of the machine, what is hidden in its results, and reads that are made once for many.

use std::{fs, path::Path, time::Duration};

use bobbinet_core::Json;
use bobbinet_core::{Effect, State};
use bobbinet_engine::Agent;
use bobbinet_mcp::{CacheConfig, CachedTools, McpAgent, McpConfig, ProcessLimits, WorkFolder};

use crate::{
    lab::{Lab, caller, command, guard, launcher, limits, name_of, say, settled, until, view},
    pinned::{MODE, changing, describe},
};

#[tokio::test]
async fn a_server_has_the_limits_that_are_said_and_cannot_raise_them() {
    let folder = tempfile::tempdir().unwrap();
    let script = "{ for limit in n u d f c; do ulimit -H$limit; done; ulimit -c unlimited || echo refused; } > limits 2>&1; \
                  echo > done; sleep 60";
    let of = async |limits: ProcessLimits| {
        let work = folder.path().join("work");
        fs::create_dir_all(&work).unwrap();
        let mut config = McpConfig::new("limited", "bash", &["-c", script]);
        command(&mut config).cwd = WorkFolder::At(work.clone());
        command(&mut config).rlimits = limits;
        config.limits.stop_grace_ms = 50;
        let agent = McpAgent::start(config, launcher(), &guard(), folder.path().join("agent"));
        until("it has looked", || work.join("done").exists()).await;
        agent.shutdown().await;
        let seen = fs::read_to_string(work.join("limits")).unwrap();
        fs::remove_dir_all(&work).unwrap();
        seen.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let said = ProcessLimits {
        open_files: Some(200),
        processes: Some(5_000),
        memory: Some(1 << 30),
        file_size: Some(1 << 20),
        core: Some(0),
    };
    // In the units of the shell: KiB, but for the numbers.
    let seen = of(said).await;
    assert_eq!(seen[..5], ["200", "5000", "1048576", "1024", "0"]);
    let is_superuser = nix::unistd::geteuid().is_root();
    assert!(is_superuser || seen[5].contains("cannot modify") || seen[5].contains("refused"), "{seen:?}");
    let seen = of(ProcessLimits::default()).await;
    assert_eq!((seen[4].as_str(), seen[3].as_str()), ("0", "67108864"));
    assert!(seen[1].parse::<u64>().is_ok_and(|max| max <= 16_384), "{seen:?}");
    let none = ProcessLimits { open_files: None, processes: None, memory: None, file_size: None, core: None };
    assert_ne!(of(none).await[3], "67108864");
}

async fn server(change: impl Fn(&mut McpConfig)) -> Lab {
    let lab = Lab::with(&[MODE], limits(), |config| {
        changing(config);
        let folder = command(config).args[2].clone();
        describe(Path::new(&folder), &[("look", "Looks."), ("put", "Puts.")]);
        config.effects.insert("look".to_owned(), Effect::ReadOnly);
        change(config);
    });
    lab.await.ready().await
}

fn calls(lab: &Lab) -> usize {
    fs::read_to_string(lab.notes(MODE).join("calls")).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn what_is_hidden_in_a_result_is_flagged_and_kept() {
    let lab = server(|_| {}).await;
    let answer =
        serde_json::json!({"content": [{"type": "text", "text": "a\u{200b}b"}, {"type": "text", "text": "fine"}]});
    fs::write(lab.notes(MODE).join("answer.json"), answer.to_string()).unwrap();
    let task = lab.send(MODE, say("look")).await;
    let artifact = &task.artifacts[0];
    assert_eq!(artifact.parts[0].as_text(), Some("a\u{200b}b"), "not a byte is another");
    let flag = |json: &Option<Json>| json.as_ref().map(|json| json.to_value()["hiddenText"].clone());
    assert_eq!(flag(&artifact.parts[0].metadata), Some(serde_json::json!(["invisible characters"])));
    assert_eq!(flag(&artifact.parts[1].metadata), None);
    assert_eq!(flag(&artifact.metadata), Some(serde_json::json!(["invisible characters"])));
    lab.close().await;
}

fn cached(ttl: u64) -> impl Fn(&mut McpConfig) {
    move |config| {
        // It takes its time with some of these calls.
        config.limits.idle_ms = 15_000;
        let ttl = Duration::from_millis(ttl);
        config.cache = CacheConfig { tools: CachedTools::Reads, ttl, ..CacheConfig::default() };
    }
}

#[tokio::test]
async fn a_hundred_equal_reads_at_once_are_one_call() {
    let lab = server(cached(0)).await;
    let look = r#"data:{"skill":"look","arguments":{"wait":3,"b":1}}"#;
    let same = r#"data:{"skill":"look","arguments":{"b":1, "wait":3}}"#;
    let handles = (0..100).map(|n| lab.submit(MODE, say(if n % 2 == 0 { look } else { same }))).collect::<Vec<_>>();
    let mut shared = 0;
    for handle in &handles {
        let task = settled(handle).await;
        assert_eq!(view(&task), "completed: did look");
        shared += usize::from(task.artifacts[0].metadata.as_ref().is_some_and(|it| it.as_str().contains("cached")));
    }
    assert_eq!((calls(&lab), shared), (1, 99));
    // Nothing is kept for no time, and somebody else's is another call at any time.
    lab.send(MODE, say("look")).await;
    assert_eq!(calls(&lab), 2);
    let brief = r#"data:{"skill":"look","arguments":{"wait":0.2}}"#;
    let (ann, bob) = (lab.submit(MODE, say(brief)), lab.submit_as("bob", MODE, say(brief)));
    settled(&ann).await;
    settled(&bob).await;
    assert_eq!(calls(&lab), 4);
    lab.close().await;
}

#[tokio::test]
async fn what_was_read_is_kept_for_its_caller_until_something_is_written() {
    let lab = server(cached(60_000)).await;
    for expected in [1, 1] {
        assert_eq!(view(&lab.send(MODE, say("look")).await), "completed: did look");
        assert_eq!(calls(&lab), expected);
    }
    lab.send_as("bob", MODE, say("look")).await;
    assert_eq!(calls(&lab), 2);
    lab.send(MODE, say("put")).await;
    lab.send(MODE, say("look")).await;
    assert_eq!(calls(&lab), 4);
    // What fails is not kept.
    let answer = serde_json::json!({"content": [{"type": "text", "text": "no"}], "isError": true});
    fs::write(lab.notes(MODE).join("answer.json"), answer.to_string()).unwrap();
    for expected in [5, 6] {
        let failing = r#"data:{"skill":"look","arguments":{"x":1}}"#;
        assert_eq!(lab.send(MODE, say(failing)).await.state, State::Failed);
        assert_eq!(calls(&lab), expected);
    }
    lab.close().await;
}

#[tokio::test]
async fn whoever_waits_for_a_read_that_is_canceled_makes_it_himself() {
    let lab = server(cached(0)).await;
    let look = r#"data:{"skill":"look","arguments":{"wait":1}}"#;
    let first = lab.submit(MODE, say(look));
    until("it is at the server", || calls(&lab) == 1).await;
    let second = lab.submit(MODE, say(look));
    tokio::time::sleep(Duration::from_millis(50)).await;
    lab.engine.cancel(&caller(), &name_of(MODE), &first.id()).await.unwrap();
    assert_eq!(view(&settled(&second).await), "completed: did look");
    assert_eq!(calls(&lab), 2);
    assert!(lab.agents[MODE].ready().is_ok());
    lab.close().await;
}
