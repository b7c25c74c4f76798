//! A step's question is the flow's, and the answer goes down.

use std::{sync::Arc, time::Duration};

use bobbinet_core::State;
use bobbinet_store::{MemoryStore, Store};
use serde_json::json;

use crate::bench::{Bench, Tools, ann, document, name_of, output, soon, status};

const ASK: &str = "do:\n- a: { call: tools.ask, with: { question: 'Shall it?' } }\n- b: { call: tools.echo, with: { said: '${ . }' } }\n";

const TWO: &str = "
do:
  - both:
      fork:
        branches:
          - one: { call: tools.ask, with: { question: First? } }
          - two: { call: tools.ask, with: { question: Second? } }
          - three:
              do:
                - x: { call: tools.echo, with: { n: 1 } }
                - y: { call: tools.echo, with: { n: 2 } }
";

async fn bench(store: Arc<dyn Store>, tools: &Arc<Tools>, steps: &str) -> Bench {
    Bench::open(store, tools, &[("flow", document("flow", steps))]).await
}

#[tokio::test]
async fn a_question_goes_up_with_its_origin_and_the_answer_goes_down() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::default(), ASK).await;
    let task = bench.settled("flow", &json!({})).await;
    assert_eq!((task.state, status(&task).as_str()), (State::InputRequired, "Shall it?"));
    let question = task.question.as_ref().unwrap();
    assert_eq!(question.message.metadata.as_ref().unwrap().to_value()["step"], json!("/do/0/a"));
    assert!(question.schema.is_some());
    let ended = soon(bench.answer("flow", &task.id, "m2", &json!({ "yes": true })).await.settled()).await.unwrap();
    assert_eq!(output(&ended), json!({ "said": { "yes": true } }));
    bench.stop().await;
}

/// A peer may name all its questions the same.
#[tokio::test]
async fn a_child_that_asks_again_under_the_same_id_asks_something_else() {
    let steps = "do:\n- a: { call: tools.ask-all, with: { questions: [First?, Second?] } }\n";
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::default(), steps).await;
    let first = bench.settled("flow", &json!({})).await;
    assert_eq!(status(&first), "First?");
    let second = soon(bench.answer("flow", &first.id, "m2", &json!(1)).await.settled()).await.unwrap();
    assert_eq!((second.state, status(&second).as_str()), (State::InputRequired, "Second?"));
    let ended = soon(bench.answer("flow", &first.id, "m3", &json!(2)).await.settled()).await.unwrap();
    assert_eq!(output(&ended), json!([1, 2]));
    bench.stop().await;
}

#[tokio::test]
async fn branches_ask_one_at_a_time_while_others_go_on() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::default(), TWO).await;
    let task = bench.settled("flow", &json!({})).await;
    let first = status(&task);
    // The third branch comes to its end while the flow asks.
    bench.until("flow", &task.id, |task| task.children.len() == 4).await;
    assert_eq!(bench.get("flow", &task.id).await.state, State::InputRequired);
    let next = soon(bench.answer("flow", &task.id, "m2", &json!({ "to": first })).await.settled()).await.unwrap();
    assert_eq!(next.state, State::InputRequired);
    let second = status(&next);
    assert_ne!(first, second);
    let ended = soon(bench.answer("flow", &task.id, "m3", &json!({ "to": second })).await.settled()).await.unwrap();
    assert_eq!(output(&ended), json!([{ "to": "First?" }, { "to": "Second?" }, { "n": 2 }]));
    bench.stop().await;
}

#[tokio::test]
async fn a_question_of_a_step_that_times_out_is_withdrawn() {
    let steps = "
do:
  - asked:
      try:
        - it: { call: tools.ask, with: { question: Anybody? }, timeout: { after: { milliseconds: 300 } } }
      catch:
        do: [ { say: { set: { nobody: true } } }, { then: { call: tools.echo, with: { nobody: '${ .nobody }' } } } ]
";
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::default(), steps).await;
    let task = bench.settled("flow", &json!({})).await;
    assert_eq!(task.state, State::InputRequired);
    let ended = bench.until("flow", &task.id, |task| task.state.is_terminal()).await;
    assert_eq!(output(&ended), json!({ "nobody": true }));
    bench.until("tools", &task.children[0].task, |task| task.state == State::Canceled).await;
    bench.stop().await;
}

/// The engine is opened anew while the flow asks: the question stays, other branches go on, and the answer reaches the child.
#[tokio::test]
async fn a_flow_that_asks_survives_its_process() {
    let (store, tools): (Arc<MemoryStore>, Arc<Tools>) = Default::default();
    let first = bench(store.clone(), &tools, TWO).await;
    let task = first.settled("flow", &json!({})).await;
    let asked = status(&task);
    first.stop().await;
    let second = bench(store.clone(), &tools, TWO).await;
    second.until("flow", &task.id, |task| task.children.len() == 4).await;
    let now = second.get("flow", &task.id).await;
    assert_eq!((now.state, status(&now)), (State::InputRequired, asked.clone()), "the same question is still asked");
    let next = soon(second.answer("flow", &task.id, "m2", &json!({ "to": asked })).await.settled()).await.unwrap();
    let after = status(&next);
    second.stop().await;
    let third = bench(store, &tools, TWO).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    third.answer("flow", &task.id, "m3", &json!({ "to": after })).await;
    let ended = third.until("flow", &task.id, |task| task.state.is_terminal()).await;
    assert_eq!(output(&ended), json!([{ "to": "First?" }, { "to": "Second?" }, { "n": 2 }]));
    assert_eq!(tools.count("echo"), 2, "what was done is not done again");
    third.stop().await;
}

/// Whoever sees the child may answer it, too.
#[tokio::test]
async fn a_child_that_is_answered_by_somebody_else_goes_on_and_the_question_is_withdrawn() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::default(), ASK).await;
    let task = bench.settled("flow", &json!({})).await;
    bench.answer("tools", &task.children[0].task, "m2", &json!("directly")).await;
    let ended = bench.until("flow", &task.id, |task| task.state.is_terminal()).await;
    assert_eq!(output(&ended), json!({ "said": "directly" }));
    let _ = (ann(), name_of("flow"));
    bench.stop().await;
}
