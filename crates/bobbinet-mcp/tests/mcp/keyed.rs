//! Calls that their arguments give a key: each is made once, for one caller, also over a restart.

use std::{fs, sync::Arc, time::Duration};

use bobbinet_core::{Effect, State, Task};
use bobbinet_mcp::{McpConfig, WriteSharing};

use crate::lab::{self, Lab, limits, say, settled, until, view};

/// A server that counts its calls in a file. The key of a call stands in `/order/id`.
fn till(config: &mut McpConfig) {
    lab::command(config).args[0] = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/till_server.py").to_owned();
    config.effects.clear();
    config.is_silent = true;
    for tool in ["add", "wait", "refuse", "die"] {
        config.idempotency.insert(tool.to_owned(), "/order/id".to_owned());
    }
}

async fn lab() -> Lab {
    Lab::with(&["till"], limits(), till).await.ready().await
}

fn call(tool: &str, rest: &str) -> bobbinet_core::Message {
    say(&format!(r#"data:{{"skill":"{tool}","arguments":{{{rest}}}}}"#))
}

fn add(key: &str, rest: &str) -> bobbinet_core::Message {
    call("add", &format!(r#""order":{{"id":{key}}}{rest}"#))
}

/// How often something was added.
async fn sum(lab: &Lab) -> String {
    view(&lab.send("till", say("read")).await).strip_prefix("completed: ").unwrap().to_owned()
}

/// Which task's call a result says that it is of.
fn replayed(task: &Arc<Task>) -> Option<String> {
    let of =
        |metadata: Option<&bobbinet_core::Json>| Some(metadata?.to_value()["replayed"]["task"].as_str()?.to_owned());
    let message = task.status_message.as_ref().and_then(|message| of(message.metadata.as_ref()));
    message.or(task.artifacts.first().and_then(|artifact| of(artifact.metadata.as_ref())))
}

#[tokio::test]
async fn one_key_is_one_call_of_its_caller_and_other_arguments_are_refused() {
    let lab = lab().await;
    let first = lab.send("till", add("7", "")).await;
    assert_eq!((view(&first).as_str(), replayed(&first)), ("completed: added", None));
    let second = lab.send("till", add("7", "")).await;
    assert_eq!((view(&second).as_str(), replayed(&second)), ("completed: added", Some(first.id.to_string())));
    assert!(second.id != first.id && sum(&lab).await == "1");
    // The same key with something else.
    let other = lab.send("till", add("7", r#","amount":2"#)).await;
    let words = other.status_message.as_ref().unwrap().text();
    assert!(view(&other) == "rejected: key-reused" && words.contains(&first.id.to_string()), "{words}");
    assert!(words.contains("/order/id is 7"), "{words}");
    // Another key, another caller, another kind of value, and no key at all.
    for (who, key) in [("ann", "8"), ("bob", "7"), ("ann", r#""7""#)] {
        assert_eq!(replayed(&lab.send_as(who, "till", add(key, "")).await), None, "{who} {key}");
    }
    for _ in 0..2 {
        assert_eq!(replayed(&lab.send("till", say("add")).await), None);
    }
    assert_eq!(sum(&lab).await, "6");
    // It is in the log.
    let lab = lab.restart(till).await.ready().await;
    let third = lab.send("till", add("7", "")).await;
    assert_eq!((view(&third).as_str(), replayed(&third)), ("completed: added", Some(first.id.to_string())));
    assert_eq!(
        (view(&lab.send("till", add("7", r#","amount":2"#)).await).as_str(), sum(&lab).await.as_str()),
        ("rejected: key-reused", "6")
    );
    lab.close().await;
}

#[tokio::test]
async fn who_comes_while_it_is_made_waits_for_it_also_over_a_restart() {
    let concurrent = |config: &mut McpConfig| {
        till(config);
        config.share.writes = Some(WriteSharing::Concurrent);
        config.max_concurrency = 2;
        config.effects.insert("wait".to_owned(), Effect::Idempotent);
    };
    let lab = Lab::with(&["till"], limits(), concurrent).await.ready().await;
    let wait = |lab: &Lab| lab.submit("till", call("wait", r#""until":"go","order":{"id":1}"#));
    let first = wait(&lab);
    let notes = lab.notes("till");
    until("it is at the server", || notes.join("waits").exists()).await;
    let others = [(); 5].map(|()| wait(&lab));
    // They keep nobody's slot.
    for _ in 0..3 {
        assert_eq!(view(&lab.send("till", say("add")).await), "completed: added");
    }
    assert!(others.iter().all(|other| other.id() != first.id()));
    fs::write(notes.join("go"), "").unwrap();
    let pid = view(&settled(&first).await);
    for other in &others {
        let task = settled(other).await;
        assert_eq!((view(&task), replayed(&task)), (pid.clone(), Some(first.id().to_string())));
    }
    assert_eq!(fs::read_to_string(notes.join("waits")).unwrap(), "x", "the server was called once");

    // The node stops while they wait.
    let wait = |lab: &Lab| lab.submit("till", call("wait", r#""until":"later","order":{"id":2}"#));
    let first = wait(&lab);
    until("it is at the server", || fs::read_to_string(notes.join("waits")).unwrap() == "xx").await;
    let second = wait(&lab);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (first, second) = (first.id(), second.id());
    let lab = lab.restart(concurrent).await.ready().await;
    let notes = lab.notes("till");
    until("it is called again, as it may be", || fs::read_to_string(notes.join("waits")).unwrap() == "xxx").await;
    fs::write(notes.join("later"), "").unwrap();
    let ended = async |id| -> Arc<Task> {
        loop {
            let task = lab.get("till", id).await;
            if task.state.is_terminal() {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let [first, second] = [ended(&first).await, ended(&second).await];
    assert_eq!((first.state, replayed(&first)), (State::Completed, None));
    assert_eq!((view(&second), replayed(&second)), (view(&first), Some(first.id.to_string())));
    assert_eq!(fs::read_to_string(notes.join("waits")).unwrap(), "xxx");
    lab.close().await;
}

#[tokio::test]
async fn what_surely_was_not_made_may_be_made_again_and_what_perhaps_was_may_not() {
    let lab = lab().await;
    // The server refuses the arguments: nothing has happened.
    let refuse = |why: &str| call("refuse", &format!(r#""why":"{why}","order":{{"id":1}}"#));
    assert_eq!(view(&lab.send("till", refuse("arguments")).await), "rejected: bad-arguments");
    // The tool says no: that is what came of it.
    let no = lab.send("till", refuse("no")).await;
    assert_eq!((no.state, replayed(&no)), (State::Failed, None));
    let again = lab.send("till", refuse("no")).await;
    assert_eq!((view(&again), replayed(&again)), (view(&no), Some(no.id.to_string())));
    assert_eq!(fs::read_to_string(lab.notes("till").join("refused")).unwrap(), "xx");
    // It dies, and nobody knows.
    let die = || call("die", r#""order":{"id":2}"#);
    let died = lab.send("till", die()).await;
    assert_eq!(died.state, State::InputRequired);
    let other = lab.send("till", die()).await;
    assert_eq!(view(&other), "failed: first-call-waits", "{:?}", other.status_message);
    // Its owner says that it has not happened: then it may be made.
    assert_eq!(lab.reply("till", &died.id, say("failed")).await.state, State::Failed);
    assert_eq!(lab.send("till", die()).await.state, State::InputRequired);
    lab.close().await;
}
