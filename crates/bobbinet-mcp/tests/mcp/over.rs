//! Calls that end before they are done: canceled, drained, or with a question that cannot be asked.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Effect, Limits, State, Task, task::CallOutcome};
use bobbinet_engine::Handle;
use bobbinet_mcp::McpConfig;

use crate::lab::{Lab, PATIENCE, caller, limits, name_of, say, settled, until, view};

/// `ask` and `do` run again, or at most once.
fn tools(effect: Effect) -> impl Fn(&mut McpConfig) {
    move |config| {
        for tool in ["ask", "do"] {
            config.effects.insert(tool.to_owned(), effect);
        }
    }
}

/// The task, once something is known of its first call.
async fn accounted_for(lab: &Lab, mode: &str, call: &Handle) -> Arc<Task> {
    let looking = async {
        loop {
            let task = lab.get(mode, &call.id()).await;
            if task.calls[0].outcome.is_some() {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("what became of the call is found out")
}

async fn at_the_server(lab: &Lab, mode: &str) {
    let begun = lab.notes(mode).join("begun");
    until("the call is at the server", || begun.exists()).await;
}

/// What its record says of a call that is canceled where it stands.
async fn check_canceled(mode: &str, message: &str, expected: CallOutcome) {
    let lab = Lab::with(&[mode], limits(), tools(Effect::AtMostOnce)).await;
    let lab = lab.ready().await;
    // Its tools are known, and it is not there yet.
    let lab = if mode == "slow-boot" { lab.restart(tools(Effect::AtMostOnce)).await } else { lab };
    let call = lab.submit(mode, say(message));
    match message {
        "ask" => assert_eq!(settled(&call).await.state, State::InputRequired, "{mode}"),
        _ if mode == "slow" => at_the_server(&lab, mode).await,
        _ => drop(call.accepted().await.unwrap()),
    }
    lab.engine.cancel(&caller(), &name_of(mode), &call.id()).await.unwrap();
    let task = accounted_for(&lab, mode, &call).await;
    assert_eq!((task.state, task.calls[0].outcome), (State::Canceled, Some(expected)), "{mode}: {message}");
    lab.close().await;
}

#[tokio::test]
async fn its_record_says_what_became_of_a_call_that_was_canceled() {
    tokio::join!(
        // Its server was not up: it was surely not made.
        check_canceled("slow-boot", "sum a=1 b=2", CallOutcome::Failed),
        // The server has seen it, and keeps nothing while it waits for more.
        check_canceled("modern", "ask", CallOutcome::Unknown),
        // The server is told, and says what it has done.
        check_canceled("good", "ask", CallOutcome::Late),
        check_canceled("slow", "do", CallOutcome::Late),
        // The server is told, and says nothing.
        check_canceled("hangs", "do", CallOutcome::Unknown),
    );
}

/// A question that does not go into the log any more: the call fails if it may run again, else its caller decides.
async fn check_full(mode: &str, effect: Effect, expected: &str) {
    let full = Limits { events_max: 35, ..limits() };
    let lab = Lab::with(&[mode], full, tools(effect)).await.ready().await;
    let task = lab.send(mode, say("ask")).await;
    assert_eq!(view(&task), expected, "{mode}");
    let words = task.status_message.as_ref().unwrap().text();
    assert!(words.contains("its question could not be asked: events_max would exceed 35"), "{mode}: {words}");
    lab.close().await;
}

#[tokio::test]
async fn a_question_for_which_there_is_no_room_is_no_cancel() {
    tokio::join!(
        check_full("good", Effect::ReadOnly, "failed: not-asked"),
        check_full("modern", Effect::ReadOnly, "failed: not-asked"),
        check_full("good", Effect::AtMostOnce, "input-required: not-asked"),
        check_full("modern", Effect::AtMostOnce, "input-required: not-asked"),
    );
}

/// A call that its server has answered with a question, and that cannot be gone on with.
#[tokio::test]
async fn a_server_that_is_gone_after_it_asked_leaves_the_outcome_open() {
    for (effect, expected) in
        [(Effect::ReadOnly, "failed: server-unavailable"), (Effect::AtMostOnce, "input-required: server-unavailable")]
    {
        let lab = Lab::with(&["modern-once"], limits(), |config| {
            tools(effect)(config);
            config.limits.deaths_max = 1;
        });
        let lab = lab.await.ready().await;
        let task = lab.send("modern-once", say("ask")).await;
        assert_eq!(task.state, State::InputRequired);
        until("the server is left alone", || {
            bobbinet_engine::Agent::ready(&*lab.agents["modern-once"]).is_err_and(|why| why.contains("too often"))
        })
        .await;
        let task = lab.reply("modern-once", &task.id, say("Ann")).await;
        assert_eq!(view(&task), expected);
        lab.close().await;
    }
}

/// What becomes of a call that a node leaves behind when it stops, in its next life.
#[tokio::test]
async fn a_node_that_stops_leaves_its_calls_to_its_next_life() {
    for (effect, working, answered) in [
        (Effect::ReadOnly, "failed: timed-out", r#"completed: {"action": "accept", "content": {"name": "Ann"}}"#),
        (Effect::AtMostOnce, "input-required: process-died", "input-required: question-lost"),
    ] {
        let lab = Lab::with(&["slow", "good", "silent"], limits(), tools(effect)).await;
        for mode in ["slow", "good"] {
            lab.agents[mode].wait_ready(PATIENCE).await.unwrap();
        }
        let waiting = lab.submit("silent", say("do"));
        let canceled = lab.submit("silent", say("do"));
        waiting.accepted().await.unwrap();
        canceled.accepted().await.unwrap();
        lab.engine.cancel(&caller(), &name_of("silent"), &canceled.id()).await.unwrap();
        let call = lab.submit("slow", say("do"));
        at_the_server(&lab, "slow").await;
        let asked = lab.send("good", say("ask")).await;
        let (waiting, canceled, call) = (waiting.id(), canceled.id(), call.id());
        let lab = lab.restart(tools(effect)).await;
        // It asks again, or says that nobody knows: it has not failed because its node went away.
        let done = lab.reply("good", &asked.id, say("Ann")).await;
        assert_eq!(view(&done), answered, "{effect:?}");
        let looking = async {
            while lab.get("slow", &call).await.state == State::Working {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap();
        assert_eq!(view(&lab.get("slow", &call).await), working, "{effect:?}");
        let canceled = lab.get("silent", &canceled).await;
        assert_eq!((canceled.state, canceled.calls.len()), (State::Canceled, 0));
        // Its tools were never known, so it was never decided what to call: it waits for that.
        assert_eq!(view(&lab.get("silent", &waiting).await), "submitted: ");
        lab.close().await;
    }
}
