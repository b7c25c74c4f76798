//! Servers with tasks of their own: a call that has become one is followed, over restarts of ours too, and is made once.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bobbinet_core::{Effect, State};
use bobbinet_mcp::{McpConfig, ServerAddress, ServerUrl, SessionScope, WriteSharing};
use tempfile::TempDir;

use crate::lab::{Lab, caller, caller_named, command, limits, name_of, say, settled, until, view};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/task_server.py");

const QUESTION: &str = "input-required: What is your name?";

/// The server as a process of its own, which outlives a node.
struct Outside {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for Outside {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Outside {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new("python3")
            .args([SCRIPT, "http", folder.path().to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { process, port: port.trim().parse().unwrap(), folder }
    }

    /// Has an agent reach the era that it is named after.
    fn reach(&self, config: &mut McpConfig) {
        let url = format!("http://127.0.0.1:{}/{}", self.port, config.name);
        config.server = ServerAddress::Url(ServerUrl::new(url.parse().unwrap()));
        beside(config);
    }

    async fn lab(&self, modes: &[&str]) -> Lab {
        Lab::with(modes, limits(), |config| self.reach(config)).await.ready().await
    }

    async fn restart(&self, lab: Lab) -> Lab {
        lab.restart(|config| self.reach(config)).await.ready().await
    }

    fn note(&self, name: &str) {
        fs::write(self.folder.path().join(name), "x").unwrap();
    }

    fn forget(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    fn lines(&self, name: &str) -> Vec<String> {
        lines(self.folder.path(), name)
    }
}

/// Calls do not wait for each other.
fn beside(config: &mut McpConfig) {
    config.share.writes = Some(WriteSharing::Concurrent);
}

/// Has an agent start the server itself.
fn start(config: &mut McpConfig) {
    let args = &mut command(config).args;
    let folder = args[2].clone();
    *args = vec![SCRIPT.to_owned(), "stdio".to_owned(), folder];
    beside(config);
}

fn lines(folder: &Path, name: &str) -> Vec<String> {
    let path: PathBuf = folder.join(name);
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_tool_that_runs_only_as_a_task_is_called_and_followed_in_both_eras() {
    let outside = Outside::start();
    let lab = outside.lab(&["core", "modern"]).await;
    for mode in ["core", "modern"] {
        let call = lab.submit(mode, say(r#"data:{"skill":"work","arguments":{"n":1.0}}"#));
        let seen = lab.until_status(mode, &call.id(), "At work").await;
        assert_eq!(seen.state, State::Working);
        outside.note("finish");
        assert_eq!(view(&settled(&call).await), r#"completed: done {"n": 1.0}"#, "{mode}");
        outside.forget("finish");
    }
    let calls = outside.lines("calls");
    assert_eq!(
        calls,
        [r#"work {"ttl": 604800000} None"#, "work null None"],
        "the server of the new era decides itself"
    );
    // An older server is not told of what is not its era's.
    assert!(!outside.lines("client")[0].contains("extensions"), "{:?}", outside.lines("client"));
    lab.close().await;
}

#[tokio::test]
async fn what_a_task_wants_to_know_is_the_question_of_ours() {
    let outside = Outside::start();
    let lab = outside.lab(&["core", "modern"]).await;
    for mode in ["core", "modern"] {
        let task = lab.send(mode, say("query")).await;
        assert_eq!(view(&task), QUESTION, "{mode}");
        let done = lab.reply(mode, &task.id, say("Ann")).await;
        assert_eq!(view(&done), r#"completed: {"action": "accept", "content": {"name": "Ann"}}"#, "{mode}");
    }
    lab.close().await;
}

#[tokio::test]
async fn however_a_task_ends_it_is_typed() {
    let outside = Outside::start();
    let lab = outside.lab(&["core", "modern"]).await;
    for mode in ["core", "modern"] {
        let broken = lab.send(mode, say("break")).await;
        assert!(
            view(&broken).starts_with("failed: ") && view(&broken).contains("it broke"),
            "{mode}: {}",
            view(&broken)
        );
        assert_eq!(view(&lab.send(mode, say("stop")).await), "failed: canceled-by-server", "{mode}");
        let canceled = lab.submit(mode, say("work"));
        lab.until_status(mode, &canceled.id(), "At work").await;
        let told = || outside.lines("methods").iter().filter(|it| *it == "tasks/cancel").count();
        let before = told();
        lab.engine.cancel(&caller(), &name_of(mode), &canceled.id()).await.unwrap();
        until("the server is told", || told() > before).await;
        let asking = lab.send(mode, say("query")).await;
        let before = told();
        lab.engine.cancel(&caller(), &name_of(mode), &asking.id).await.unwrap();
        until("the server is told that nobody answers", || told() > before).await;
    }
    lab.close().await;
}

#[tokio::test]
async fn a_task_is_followed_by_the_next_life_of_the_node_and_not_begun_again() {
    let outside = Outside::start();
    for mode in ["core", "modern"] {
        let lab = outside.lab(&[mode]).await;
        let work = lab.submit(mode, say("work"));
        lab.until_status(mode, &work.id(), "At work").await;
        let query = lab.send(mode, say("query")).await;
        assert_eq!(view(&query), QUESTION, "{mode}");
        let calls = outside.lines("calls").len();
        let lab = outside.restart(lab).await;
        assert_eq!(lab.get(mode, &query.id).await.state, State::InputRequired, "{mode}");
        let done = lab.reply(mode, &query.id, say("Ann")).await;
        assert_eq!(view(&done), r#"completed: {"action": "accept", "content": {"name": "Ann"}}"#, "{mode}");
        outside.note("finish");
        let id = work.id();
        let ended = async {
            while !lab.get(mode, &id).await.state.is_terminal() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(crate::lab::PATIENCE, ended).await.unwrap();
        assert_eq!(view(&lab.get(mode, &id).await), "completed: done {}", "{mode}");
        assert_eq!(outside.lines("calls").len(), calls, "nothing was called again");
        outside.forget("finish");
        lab.close().await;
    }
}

#[tokio::test]
async fn a_task_that_its_server_has_forgotten_is_a_question_for_what_may_not_run_twice() {
    let outside = Outside::start();
    for (effect, expected) in
        [(Effect::AtMostOnce, "input-required: task-lost"), (Effect::ReadOnly, "completed: done {}")]
    {
        let lab = Lab::with(&["core"], limits(), |config| {
            outside.reach(config);
            config.effects.insert("work".to_owned(), effect);
        });
        let lab = lab.await.ready().await;
        let work = lab.submit("core", say("work"));
        lab.until_status("core", &work.id(), "At work").await;
        let calls = outside.lines("calls").len();
        outside.note("forget");
        until("the server has forgotten it", || outside.lines("calls").len() > calls || effect == Effect::AtMostOnce)
            .await;
        if effect == Effect::AtMostOnce {
            assert_eq!(view(&settled(&work).await), expected);
            outside.forget("forget");
            outside.note("finish");
            // Whoever asked for it says that it may be called again: once, and under a task of its own.
            let done = lab.reply("core", &work.id(), say("retry")).await;
            assert_eq!(view(&done), "completed: done {}");
            assert_eq!(outside.lines("calls").len(), calls + 1);
            outside.forget("finish");
        } else {
            outside.forget("forget");
            outside.note("finish");
            assert_eq!(view(&settled(&work).await), expected);
        }
        lab.close().await;
    }
}

#[tokio::test]
async fn over_a_pipe_a_task_ends_with_its_server_and_that_is_said() {
    let lab = Lab::with(&["piped"], limits(), start).await.ready().await;
    assert_eq!(view(&lab.send("piped", say("maybe")).await), "completed: plain", "a task would gain nothing");
    let work = lab.submit("piped", say("work"));
    lab.until_status("piped", &work.id(), "At work").await;
    let query = lab.send("piped", say("query")).await;
    let done = lab.reply("piped", &query.id, say("Ann")).await;
    assert_eq!(view(&done), r#"completed: {"action": "accept", "content": {"name": "Ann"}}"#);
    let lab = lab.restart(start).await.ready().await;
    let lost = lab.until_status("piped", &work.id(), "does not know any more").await;
    assert_eq!(view(&lost), "input-required: task-lost");
    assert_eq!(lines(&lab.notes("piped"), "calls").iter().filter(|it| it.starts_with("work")).count(), 1);
    lab.close().await;
}

#[tokio::test]
async fn a_tool_that_may_be_a_task_is_one_where_that_outlives_us() {
    let outside = Outside::start();
    let lab = outside.lab(&["core"]).await;
    outside.note("finish");
    assert_eq!(view(&lab.send("core", say("maybe")).await), "completed: done {}");
    lab.close().await;
}

#[tokio::test]
async fn a_question_between_two_rounds_is_parked_over_a_restart_and_the_call_goes_on() {
    let outside = Outside::start();
    let lab = outside.lab(&["modern"]).await;
    let asked = lab.send("modern", say("order")).await;
    assert_eq!(view(&asked), QUESTION);
    let lab = outside.restart(lab).await;
    let done = lab.reply("modern", &asked.id, say("Ann")).await;
    let expected = r#"completed: ["half way", {"who": {"action": "accept", "content": {"name": "Ann"}}}]"#;
    assert_eq!(view(&done), expected);
    assert_eq!(outside.lines("calls"), ["order null None", "order null half way"], "it did not begin anew");
    // Whoever answers while the node is at its second round, and it dies: nobody knows whether that has acted.
    let asked = lab.send("modern", say("order")).await;
    outside.note("hang");
    let begun = outside.lines("calls").len();
    let answering = async {
        lab.reply("modern", &asked.id, say("Ben")).await;
    };
    tokio::select! {
        () = answering => panic!("it hangs"),
        () = until("the second round is at the server", || outside.lines("calls").len() > begun) => {}
    }
    let lab = outside.restart(lab).await;
    let unsure = lab.until_status("modern", &asked.id, "died before it knew the outcome").await;
    assert_eq!(view(&unsure), "input-required: process-died");
    assert_eq!(outside.lines("calls").len(), begun + 1);
    outside.forget("hang");
    let done = lab.reply("modern", &asked.id, say("retry")).await;
    assert!(view(&done).contains("Ben"), "{}", view(&done));
    lab.close().await;
}

#[tokio::test]
async fn an_answer_that_a_task_does_not_take_is_given_again_and_nobody_is_asked_again() {
    let outside = Outside::start();
    let lab = outside.lab(&["modern"]).await;
    let task = lab.send("modern", say("query")).await;
    assert_eq!(view(&task), QUESTION);
    outside.note("busy");
    let updates = || outside.lines("updates").len();
    let (done, ()) = tokio::join!(lab.reply("modern", &task.id, say("Ann")), async {
        until("it has refused the answer", || updates() == 1).await;
        outside.forget("busy");
    });
    assert_eq!(view(&done), r#"completed: {"action": "accept", "content": {"name": "Ann"}}"#);
    assert_eq!(updates(), 2);
    // One that never takes it is not waited for until the run's time is up.
    let task = lab.send("modern", say("query")).await;
    outside.note("busy");
    let told = lab.reply("modern", &task.id, say("Ben")).await;
    assert_eq!(view(&told), "input-required: not-taken", "{:?}", outside.lines("updates"));
    assert_eq!(updates(), 5);
    lab.close().await;
}

#[tokio::test]
async fn a_server_that_gives_no_result_before_the_end_is_asked_for_it_no_more_often_than_it_says() {
    let outside = Outside::start();
    outside.note("no-result");
    let lab = outside.lab(&["core"]).await;
    let asking = lab.submit("core", say("query"));
    let count = || outside.lines("methods").iter().filter(|it| it.starts_with("tasks/")).count();
    until("it is asked for its result", || outside.lines("methods").iter().any(|it| it == "tasks/result")).await;
    let before = count();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Each tenth of a second, it says: the result once, and how the task stands twice.
    assert!((5..50).contains(&(count() - before)), "{}", count() - before);
    lab.engine.cancel(&caller(), &name_of("core"), &asking.id()).await.unwrap();
    lab.close().await;
}

#[tokio::test]
async fn the_progress_of_a_task_is_told_under_the_token_of_the_call_that_it_was() {
    let outside = Outside::start();
    let lab = outside.lab(&["core"]).await;
    outside.note("progress");
    let call = lab.submit("core", say("work"));
    lab.until_status("core", &call.id(), "half way").await;
    outside.note("finish");
    assert_eq!(view(&settled(&call).await), "completed: done {}");
    lab.close().await;
}

#[tokio::test]
async fn a_task_is_looked_for_with_the_replica_that_has_it_though_its_caller_has_another_session_now() {
    let places = [Outside::start(), Outside::start()];
    let reach = |config: &mut McpConfig| {
        places[1].reach(config);
        config.replicas = vec![config.server.clone()];
        places[0].reach(config);
        config.share.session = SessionScope::PerCaller;
    };
    let lab = Lab::with(&["core"], limits(), reach).await.ready().await;
    let is_listed = |place: &Outside| place.lines("methods").iter().any(|it| it == "tools/list");
    until("both are up", || places.iter().all(is_listed)).await;
    // What it has listed has to be taken in.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let call = lab.submit_as("bob", "core", say("work"));
    until("the first has a caller", || places[0].lines("calls").len() == 1).await;
    let work = lab.submit("core", say("work"));
    lab.until_status("core", &work.id(), "At work").await;
    assert_eq!(places[1].lines("calls").len(), 1, "each has a replica");
    lab.engine.cancel(&caller_named("bob"), &name_of("core"), &call.id()).await.unwrap();
    let _ = settled(&call).await;
    let (id, lab) = (work.id(), lab.restart(reach).await.ready().await);
    places[1].note("finish");
    let ended = async {
        while lab.get("core", &id).await.state == State::Working {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::lab::PATIENCE, ended).await.unwrap();
    assert_eq!(view(&lab.get("core", &id).await), "completed: done {}");
    lab.close().await;
}
