//! The peer of the lab in the words of A2A 0.3, and calls of one that speaks them.

use bobbinet_core::State;
use bobbinet_engine::Agent;
use serde_json::{Value, json};

use crate::{
    far::{Form, Way},
    lab::Lab,
    node::wait_for,
};

/// What the peer calls a method of 0.3.
pub(crate) fn method(name: &str) -> &str {
    match name {
        "message/send" => "SendMessage",
        "message/stream" => "SendStreamingMessage",
        "tasks/get" => "GetTask",
        "tasks/cancel" => "CancelTask",
        "tasks/resubscribe" => "SubscribeToTask",
        // There is no list in 0.3, and whoever speaks 1.0 to the peer is misled.
        _ => "",
    }
}

/// A result of 1.0 as 0.3 has it.
pub(crate) fn result(result: &Value) -> Value {
    let wrapped = [
        ("task", "task"),
        ("message", "message"),
        ("statusUpdate", "status-update"),
        ("artifactUpdate", "artifact-update"),
    ];
    for (wrapper, kind) in wrapped {
        if let Some(inner) = result.get(wrapper).filter(|inner| inner.is_object()) {
            let mut inner = in_small_words(inner);
            inner["kind"] = json!(kind);
            if kind == "status-update" {
                inner["final"] =
                    json!(matches!(inner["status"]["state"].as_str(), Some("completed" | "failed" | "input-required")));
            }
            return inner;
        }
    }
    let mut task = in_small_words(result);
    task["kind"] = json!("task");
    task
}

fn in_small_words(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: serde_json::Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), in_small_words(value))).collect();
            for kind in ["text", "data"] {
                if fields.len() == 1 && fields.contains_key(kind) {
                    fields.insert("kind".to_owned(), json!(kind));
                }
            }
            Value::Object(fields)
        }
        Value::Array(items) => items.iter().map(in_small_words).collect(),
        Value::String(text) => {
            let word = text.strip_prefix("TASK_STATE_").or_else(|| text.strip_prefix("ROLE_"));
            word.map_or_else(|| value.clone(), |word| json!(word.to_lowercase().replace('_', "-")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn form(way: Way) -> Form {
    Form { way, is_older: true, ..Form::default() }
}

#[tokio::test]
async fn what_a_peer_of_0_3_makes_becomes_ours() {
    for streams in [true, false] {
        let lab = Lab::new(Form { streams, ..form(Way::Works) }).await;
        let node = lab.node().await;
        let task = node.send("go").await;
        let texts: Vec<&str> = task.artifacts[0].parts.iter().filter_map(|part| part.as_text()).collect();
        assert_eq!((task.state, texts), (State::Completed, vec!["one", "two"]), "{task:?}");
        assert_eq!(node.agent.describe().name, "far");
        let sent = lab.sent();
        assert_eq!((sent.len(), &sent[0].message["role"]), (1, &json!("user")));
        assert_eq!(sent[0].message["parts"], json!([{"kind": "text", "text": "go"}]));
        assert_eq!(sent[0].message["metadata"]["urn:bobbinet:chain:v1"]["path"], json!(["node/far"]));
    }
}

#[tokio::test]
async fn a_question_of_a_peer_of_0_3_comes_through_and_its_answer_goes_back() {
    let lab = Lab::new(form(Way::Asks)).await;
    let node = lab.node().await;
    let asked = node.send("go").await;
    assert_eq!(asked.state, State::InputRequired, "{asked:?}");
    assert!(asked.question.as_ref().unwrap().schema.as_ref().unwrap().as_str().contains("colour"));
    let task = node.answer(&asked.id, "blue").await;
    assert_eq!((task.state, task.artifacts[0].parts[0].as_text()), (State::Completed, Some("blue")), "{task:?}");
    assert_eq!(lab.sent()[1].message["taskId"], "t-1");
}

#[tokio::test]
async fn a_restart_goes_on_with_the_task_of_a_peer_of_0_3_and_a_cancel_reaches_it() {
    let lab = Lab::new(form(Way::Hangs)).await;
    let node = lab.node().await;
    let handle = node.begin("go");
    node.until(&handle, |task| task.checkpoint.is_some() && !task.artifacts.is_empty()).await;
    node.die().await;
    lab.let_go();
    let node = lab.node().await;
    let task = node.settled(&handle.id()).await;
    let texts: Vec<&str> = task.artifacts[0].parts.iter().filter_map(|part| part.as_text()).collect();
    assert_eq!((task.state, texts, lab.sent().len()), (State::Completed, vec!["one", "two"], 1), "{task:?}");
    let lab = Lab::new(form(Way::Hangs)).await;
    let node = lab.node().await;
    let handle = node.begin("go");
    node.until(&handle, |task| task.checkpoint.is_some()).await;
    assert_eq!(node.cancel(&handle.id()).await.state, State::Canceled);
    wait_for(|| lab.canceled.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_flow_calls_an_agent_of_0_3_by_its_url() {
    let lab = Lab::new(form(Way::Works)).await;
    let node = lab.flow_node().await;
    let said = json!({"message": {"parts": [{"kind": "text", "text": "go"}]}});
    for method in ["message/send", "message/stream"] {
        let task = node.call(method, &lab.url("/"), &said).await;
        assert_eq!(task.state, State::Completed, "{method}: {task:?}");
        let found = task.artifacts[0].parts[0].as_data().unwrap().to_value();
        match method {
            "message/send" => assert_eq!(found["artifacts"][0]["parts"][1]["text"], "two", "{found}"),
            _ => assert_eq!(found[3]["status"]["state"], "completed", "{found}"),
        }
    }
    let task = node.call("tasks/get", &lab.url("/"), &json!({"id": "t-1"})).await;
    assert_eq!(task.state, State::Completed, "{task:?}");
}
