//! An agent that is called where another's server cannot be.

use std::sync::Arc;

use bobbinet_core::{AgentName, Call, Caller, Effect, Fault, Json, State, Task, agent::VIA_KEY};
use bobbinet_engine::Authorizer;
use bobbinet_mcp::McpConfig;

use crate::lab::{self, Lab, limits, name_of, say, view};

/// `first`, whose server is left alone once it has died, and `second`, which is called in its place.
fn pair(config: &mut McpConfig) {
    lab::command(config).args[0] = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/till_server.py").to_owned();
    config.effects.clear();
    config.is_silent = true;
    if config.name == "first" {
        config.fallback = Some(name_of("second"));
        config.limits.deaths_max = 1;
        config.limits.rest_ms = 600_000;
        config.limits.rest_wait_ms = 600_000;
        config.effects.insert("who".to_owned(), Effect::ReadOnly);
        config.effects.insert("wait".to_owned(), Effect::Idempotent);
    }
}

/// Who has done it, by what the result says.
fn via(task: &Arc<Task>) -> Option<String> {
    let of = |metadata: Option<&Json>| Some(metadata?.to_value()[VIA_KEY].as_str()?.to_owned());
    let message = task.status_message.as_ref().and_then(|message| of(message.metadata.as_ref()));
    message.or(task.artifacts.first().and_then(|artifact| of(artifact.metadata.as_ref())))
}

/// Ends the first server for good.
async fn end_first(lab: &Lab) {
    assert_eq!(lab.send("first", say("die")).await.state, State::InputRequired);
    lab::until("it is left alone", || {
        let ready = bobbinet_engine::Agent::ready(&*lab.agents["first"]);
        ready.is_err_and(|why| why.contains("left alone"))
    })
    .await;
}

#[tokio::test]
async fn another_agent_is_called_where_the_server_cannot_be_and_the_answer_says_so() {
    let lab = Lab::with(&["first", "second"], limits(), pair).await.ready().await;
    let own = lab.send("first", say("count")).await;
    assert_eq!((view(&own).as_str(), via(&own)), ("completed: 1", None));
    end_first(&lab).await;
    for (tool, number) in [("count", "1"), ("count", "2"), ("add", "added")] {
        let task = lab.send("first", say(tool)).await;
        assert_eq!((view(&task), via(&task)), (format!("completed: {number}"), Some("second".to_owned())), "{tool}");
        let child = lab.get("second", &task.children[0].task).await;
        assert_eq!((task.children.len(), child.state, child.owner.clone()), (1, State::Completed, task.owner.clone()));
    }
    let read = lab.send("first", say("who")).await;
    assert_eq!((read.state, via(&read).as_deref()), (State::Completed, Some("second")));
    // What the tool there says when it says no is said here, too.
    let no = lab.send("first", say(r#"data:{"skill":"refuse","arguments":{"why":"no"}}"#)).await;
    assert_eq!((view(&no).as_str(), via(&no).as_deref()), ("failed: no", Some("second")));
    let differs = lab.send("first", say(r#"data:{"skill":"refuse","arguments":{"why":"arguments"}}"#)).await;
    let words = differs.status_message.as_ref().unwrap().text();
    assert_eq!(view(&differs), "failed: fallback-differs");
    assert!(words.contains("left alone") && words.contains("not like that"), "{words}");
    lab.close().await;
}

#[tokio::test]
async fn tools_that_are_not_the_same_are_told_and_what_perhaps_was_made_goes_nowhere_else() {
    let lab = Lab::with(&["first", "second"], limits(), |config| {
        pair(config);
        if config.name == "second" {
            let args = &mut lab::command(config).args;
            args[0] = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bad_server.py").to_owned();
            args[1] = "good".to_owned();
        }
    })
    .await
    .ready()
    .await;
    // Whether it has killed the server on purpose nobody knows: its caller is asked.
    end_first(&lab).await;
    let task = lab.send("first", say("count")).await;
    let words = task.status_message.as_ref().unwrap().text();
    assert_eq!(view(&task), "failed: fallback-differs", "{words}");
    assert!(words.contains("left alone") && words.contains("count"), "{words}");
    lab.close().await;
}

/// Lets nobody call the second.
#[derive(Debug)]
struct NotSecond;

impl Authorizer for NotSecond {
    fn allows_call(&self, _: &Caller, agent: &AgentName, _: &Call) -> Result<(), Fault> {
        if agent.as_str() == "second" { Err(Fault::new("denied", "not for you")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn whoever_may_not_call_the_other_is_told_of_both() {
    let lab = Lab::guarded_with(&["first", "second"], pair, Arc::new(NotSecond)).await.ready().await;
    end_first(&lab).await;
    let task = lab.send("first", say("count")).await;
    let words = task.status_message.as_ref().unwrap().text();
    assert!(view(&task) == "failed: fallback-unavailable" && words.contains("not for you"), "{words}");
    assert!(words.contains("left alone") && task.children.is_empty(), "{words}");
    lab.close().await;
}
