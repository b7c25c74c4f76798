//! What a server asks of the client of whoever has made a call: his model, his roots, several things at once.

use std::sync::Arc;

use bobbinet_core::{Caller, Json, Message, State, Task};
use bobbinet_mcp::McpConfig;
use serde_json::{Value, json};

use crate::lab::{EXTENSION, Lab, caller_named, command, limits, name_of, say, view};

const SAID: &str = r#"{"role":"assistant","content":{"type":"text","text":"Hello!"},"model":"his"}"#;

/// Servers whose questions of that kind go to the callers of their calls.
fn lends(config: &mut McpConfig) {
    command(config).args[0] = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/offers_server.py").to_owned();
    config.limits.samples_max = 3;
    (config.lends.sampling, config.lends.roots) = (true, true);
}

/// A call by a client that has declared this.
fn call(skill: &str, arguments: &Value, capabilities: &Value) -> Message {
    let message = say(&format!("data:{arguments}"));
    let metadata = json!({EXTENSION: {"skill": skill, "clientCapabilities": capabilities}});
    Message { metadata: Some(Json::from(&metadata)), ..message }
}

fn asked(task: &Arc<Task>) -> Value {
    assert_eq!(task.state, State::InputRequired, "{}", view(task));
    task.question.as_ref().unwrap().message.data().unwrap().to_value()["inputRequests"].clone()
}

fn results(results: &str) -> Message {
    say(&format!(r#"data:{{"inputResponses":{results}}}"#))
}

#[tokio::test]
async fn a_model_and_roots_are_those_of_the_client_of_whoever_calls() {
    let lab = Lab::with(&["samples", "modern-samples"], limits(), lends).await.ready().await;
    for (mode, name) in [("samples", "request"), ("modern-samples", "it")] {
        let client = json!({"sampling": {}, "roots": {}});
        let task = lab.send(mode, call("sample", &json!({}), &client)).await;
        let request = &asked(&task)[name];
        assert_eq!(request["method"], "sampling/createMessage", "{mode}");
        assert_eq!(
            (&request["params"]["systemPrompt"], &request["params"]["maxTokens"]),
            (&json!("Be kind"), &json!(4096))
        );
        let stranger =
            lab.engine.get(&Caller { is_node_owner: false, ..caller_named("bob") }, &name_of(mode), &task.id).await;
        assert!(stranger.is_err(), "it is nobody else's to answer");
        let done = lab.reply(mode, &task.id, results(&format!(r#"{{"{name}":{SAID}}}"#))).await;
        assert!(view(&done).starts_with("completed: ") && view(&done).contains("Hello!"), "{mode}: {}", view(&done));
        let task = lab.send(mode, call("roots", &json!({}), &client)).await;
        assert_eq!(asked(&task)[name]["method"], "roots/list", "{mode}");
        let done =
            lab.reply(mode, &task.id, results(&format!(r#"{{"{name}":{{"roots":[{{"uri":"file:///his"}}]}}}}"#))).await;
        assert!(view(&done).contains("file:///his"), "{mode}: {}", view(&done));
    }
    lab.close().await;
}

#[tokio::test]
async fn a_client_that_has_not_declared_it_is_not_asked_and_the_server_knows() {
    let lab = Lab::with(&["samples", "modern-samples"], limits(), lends).await.ready().await;
    for capabilities in [json!({}), json!({"roots": {}})] {
        let refused = view(&lab.send("samples", call("sample", &json!({}), &capabilities)).await);
        assert!(refused.starts_with("completed: ") && refused.contains("has not declared"), "{refused}");
        let refused = lab.send("modern-samples", call("sample", &json!({}), &capabilities)).await;
        assert_eq!(view(&refused), "failed: unsupported-question");
    }
    // Each call says what its own client answers.
    let offered = std::fs::read_to_string(lab.notes("modern-samples").join("offered")).unwrap();
    let offered: Vec<Value> = offered.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |offered: &Value| {
        (offered["sampling"].is_object(), offered["roots"].is_object(), offered["elicitation"].is_object())
    };
    assert_eq!(offered.iter().map(said).collect::<Vec<_>>(), [(false, false, true), (false, true, true)]);
    // Nor is one whose caller speaks A2A alone, and has declared nothing.
    let refused = view(&lab.send("samples", say("sample")).await);
    assert!(refused.contains("has not declared"), "{refused}");
    lab.close().await;
}

#[tokio::test]
async fn what_a_client_refuses_the_server_hears_and_it_is_asked_so_often() {
    let lab = Lab::with(&["samples", "modern-samples"], limits(), lends).await.ready().await;
    let client = json!({"sampling": {}});
    let no = r#"{"error":{"code":-1,"message":"not for you"}}"#;
    let task = lab.send("samples", call("sample", &json!({}), &client)).await;
    let told = view(&lab.reply("samples", &task.id, results(&format!(r#"{{"request":{no}}}"#))).await);
    assert!(told.starts_with("completed: ") && told.contains("not for you"), "{told}");
    let task = lab.send("modern-samples", call("sample", &json!({}), &client)).await;
    let told = lab.reply("modern-samples", &task.id, results(&format!(r#"{{"it":{no}}}"#))).await;
    assert_eq!(view(&told), "failed: not-lent");
    let mut task = lab.send("samples", call("sample", &json!({"times": 5}), &client)).await;
    for _ in 0..3 {
        asked(&task);
        task = lab.reply("samples", &task.id, results(&format!(r#"{{"request":{SAID}}}"#))).await;
    }
    assert!(view(&task).contains("samples_max"), "{}", view(&task));
    lab.close().await;
}

#[tokio::test]
async fn several_requests_are_one_question_for_who_takes_them_and_answers_outlive_the_node() {
    let lab = Lab::with(&["modern-samples"], limits(), lends).await.ready().await;
    let mode = "modern-samples";
    let client = json!({"sampling": {}, "elicitation": {}});
    let task = lab.send(mode, call("both", &json!({}), &client)).await;
    let names = asked(&task).as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names, ["said", "who"]);
    let part = lab.reply(mode, &task.id, results(&format!(r#"{{"said":{SAID}}}"#))).await;
    assert_eq!(part.state, State::InputRequired, "{}", view(&part));
    let lab = lab.restart(lends).await;
    let kept = lab.get(mode, &task.id).await;
    let data = kept.question.as_ref().unwrap().message.data().unwrap().to_value();
    assert_eq!(data["inputResponses"]["said"]["model"], "his", "{data}");
    let done = lab.reply(mode, &task.id, results(r#"{"who":{"action":"accept","content":{"name":"Ann"}}}"#)).await;
    assert!(view(&done).contains("Hello!") && view(&done).contains("Ann"), "{}", view(&done));
    // Whoever has declared nothing is asked one after the other, as ever.
    let task = lab.send(mode, say("forms")).await;
    assert_eq!(task.question.as_ref().unwrap().message.text(), "First?");
    let task = lab.reply(mode, &task.id, say("a")).await;
    assert_eq!(task.question.as_ref().unwrap().message.text(), "Second?");
    let done = lab.reply(mode, &task.id, say("b")).await;
    assert!(view(&done).contains(r#""name": "b""#), "{}", view(&done));
    lab.close().await;
}
