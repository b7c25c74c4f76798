//! Servers that want a language model to say something: an agent of the node says it, or nobody does and they know.

use bobbinet_core::State;
use bobbinet_mcp::{McpConfig, Sampling};

use crate::lab::{Lab, command, limits, name_of, say, view};

/// A server that wants that, and an agent that stands for a model.
fn sampling(config: &mut McpConfig) {
    command(config).args[0] = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/offers_server.py").to_owned();
    config.limits.samples_max = 3;
    if config.name != "model" && config.name != "samples-not" {
        config.sampling = Some(Sampling { agent: name_of("model") });
    }
}

#[tokio::test]
async fn what_a_server_wants_a_model_to_say_an_agent_says_in_both_eras() {
    let lab = Lab::with(&["model", "samples", "modern-samples"], limits(), sampling).await.ready().await;
    for mode in ["samples", "modern-samples"] {
        let told = std::fs::read_to_string(lab.notes(mode).join("client")).unwrap();
        assert!(told.contains(r#""sampling": {}"#), "{mode}: {told}");
        let task = lab.send(mode, say("sample")).await;
        let said = view(&task);
        // The model is asked for no more than it may say, and its words come back as the protocol has them.
        for words in
            ["maxTokens\\\": 4096", "Say hello", "Be kind", r#""stopReason": "endTurn""#, r#""model": "model""#]
        {
            assert!(said.starts_with("completed: ") && said.contains(words), "{mode}: {words}: {said}");
        }
        assert_eq!(task.children.len(), 1, "it is a task like any other");
    }
    lab.close().await;
}

#[tokio::test]
async fn a_model_is_asked_so_often_and_where_there_is_none_that_is_known() {
    let lab = Lab::with(&["model", "samples", "samples-not"], limits(), sampling).await.ready().await;
    let task = lab.send("samples", say(r#"data:{"skill":"sample","arguments":{"times":5}}"#)).await;
    assert!(view(&task).contains("samples_max"), "{}", view(&task));
    assert_eq!((task.state, task.children.len()), (State::Completed, 3));
    let told = std::fs::read_to_string(lab.notes("samples-not").join("client")).unwrap();
    assert!(!told.contains("sampling"), "{told}");
    let refused = view(&lab.send("samples-not", say("sample")).await);
    assert!(refused.contains("-32601"), "{refused}");
    lab.close().await;
}
