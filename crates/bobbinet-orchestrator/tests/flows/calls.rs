//! What steps call, and what comes of it.

use std::sync::{Arc, atomic::Ordering};

use bobbinet_core::State;
use bobbinet_store::MemoryStore;
use serde_json::{Value, json};

use crate::bench::{Bench, Tools, ann, document, name_of, output, soon, status};

async fn bench(flows: &[(&str, String)]) -> Bench {
    Bench::open(Arc::new(MemoryStore::new()), &Arc::default(), flows).await
}

/// One flow of these steps, named `flow`.
async fn of(steps: &str) -> Bench {
    bench(&[("flow", document("flow", steps))]).await
}

#[tokio::test]
async fn values_go_from_step_to_step() {
    let bench = of("
do:
  - first: { call: tools.echo, with: { n: '${ .n }' }, export: { as: '{ first: .n }' } }
  - second: { set: { n: '${ .n + 1 }' } }
  - third: { call: tools.echo, with: { n: '${ .n * 10 }', first: '${ $context.first }' } }
output: { as: '{ result: ., by: $workflow.definition.document.name }' }
")
    .await;
    let task = bench.settled("flow", &json!({ "n": 4 })).await;
    assert_eq!(output(&task), json!({ "result": { "n": 50, "first": 4 }, "by": "flow" }));
    assert_eq!(task.children.len(), 2);
    let child = bench.get("tools", &task.children[1].task).await;
    assert_eq!((&child.context, child.parent.as_ref().unwrap().task), (&task.context, task.id));
    assert_eq!(&*child.history[0].reference_tasks, [task.id.to_string().into()]);
    bench.stop().await;
}

#[tokio::test]
async fn branches_run_at_once() {
    let branch = |name: &str| format!("      - {name}: {{ call: tools.meet, with: {{ count: 8, name: {name} }} }}\n");
    let branches: String = (0..8).map(|number| branch(&format!("b{number}"))).collect();
    let bench = of(&format!("do:\n- all:\n    fork:\n      branches:\n{branches}")).await;
    let output = bench.output("flow", &json!({})).await;
    let names: Vec<_> = output.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"], "in the order of declaration");
    bench.stop().await;
}

#[tokio::test]
async fn the_first_of_those_that_compete_wins_and_the_others_are_canceled() {
    let bench = of("
do:
  - race:
      fork:
        compete: true
        branches:
          - slow: { call: tools.hold, with: {} }
          - fast: { call: tools.echo, with: { won: true } }
")
    .await;
    let task = bench.settled("flow", &json!({})).await;
    assert_eq!(output(&task), json!({ "won": true }));
    let slow = &task.children.iter().find(|child| child.name.contains("slow")).unwrap().task;
    bench.until("tools", slow, |task| task.state == State::Canceled).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_step_is_tried_again_and_its_failure_caught() {
    let bench = of("
do:
  - tried:
      try:
        - it: { call: tools.fail, with: { key: a, times: 2 } }
      catch:
        retry: { delay: { milliseconds: 5 }, backoff: { constant: {} }, limit: { attempt: { count: 5 } } }
  - caught:
      try:
        - it: { call: tools.fail, with: { key: b } }
      catch:
        errors: { with: { type: https://open-workflow-specification.org/spec/1.0.0/errors/communication } }
        as: error
        do:
          - say: { set: { caught: '${ $error.detail }' } }
")
    .await;
    assert_eq!(bench.output("flow", &json!({})).await, json!({ "caught": "tools: failure 1" }));
    assert_eq!(bench.tools.count("fail"), 4);
    bench.stop().await;
}

#[tokio::test]
async fn a_failure_names_its_step() {
    let bench = of("do:\n- a: { set: { x: 1 } }\n- b: { call: tools.fail, with: { key: a } }\n").await;
    let task = bench.settled("flow", &json!({})).await;
    assert_eq!((task.state, status(&task).as_str()), (State::Failed, "step /do/1/b failed: tools: failure 1"));
    let data = task.status_message.as_ref().unwrap().data().unwrap().to_value();
    assert_eq!(data["details"]["error"]["instance"], json!("/do/1/b"));
    bench.stop().await;
}

#[tokio::test]
async fn a_call_of_nobody_is_a_configuration_error() {
    let bench = of("do:\n- a: { call: nobody.echo, with: {} }\n").await;
    let task = bench.settled("flow", &json!({})).await;
    assert_eq!(task.state, State::Failed);
    let data = task.status_message.as_ref().unwrap().data().unwrap().to_value();
    assert!(data["details"]["error"]["type"].as_str().unwrap().ends_with("/configuration"), "{data}");
    bench.stop().await;
}

#[tokio::test]
async fn a_flow_runs_another_flow() {
    let inner = document("inner", "do:\n- a: { call: tools.echo, with: { twice: '${ .n * 2 }' } }\n");
    let outer = document(
        "outer",
        "do:\n- a: { run: { workflow: { namespace: tests, name: inner, version: 1.0.0, input: { n: 21 } } } }\n",
    );
    let bench = bench(&[("inner-flow", inner), ("outer-flow", outer)]).await;
    let task = bench.settled("outer-flow", &json!({})).await;
    assert_eq!(output(&task), json!({ "twice": 42 }));
    let inner = bench.get("inner-flow", &task.children[0].task).await;
    assert_eq!(inner.children.len(), 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_loop_calls_for_each_item() {
    let bench = of("
do:
  - each:
      for: { each: item, in: '${ .items }' }
      do:
        - one: { call: tools.echo, with: { item: '${ $item }' } }
")
    .await;
    let items: Vec<Value> = (0..50).map(Value::from).collect();
    let task = bench.settled("flow", &json!({ "items": items })).await;
    assert_eq!(output(&task), json!({ "item": 49 }));
    assert_eq!(task.children.len(), 50);
    bench.stop().await;
}

#[tokio::test]
async fn a_step_that_takes_too_long_times_out() {
    let bench = of("
do:
  - slow:
      try:
        - it: { call: tools.hold, with: {}, timeout: { after: { milliseconds: 50 } } }
      catch:
        as: error
        do: [ { say: { set: { status: '${ $error.status }' } } } ]
")
    .await;
    let task = bench.settled("flow", &json!({})).await;
    assert_eq!(output(&task), json!({ "status": 408 }));
    bench.until("tools", &task.children[0].task, |task| task.state == State::Canceled).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_cancel_reaches_the_children_and_nothing_is_caught() {
    let bench = of("
do:
  - slow:
      try:
        - it: { call: tools.hold, with: {} }
      catch:
        do: [ { again: { call: tools.echo, with: {} } } ]
")
    .await;
    let task = bench.begin("flow", &json!({})).accepted().await.unwrap();
    let task = bench.until("flow", &task.id, |task| !task.children.is_empty()).await;
    bench.engine.cancel(&ann(), &name_of("flow"), &task.id).await.unwrap();
    bench.until("tools", &task.children[0].task, |task| task.state == State::Canceled).await;
    soon(async {
        while bench.tools.canceled.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(bench.get("flow", &task.id).await.state, State::Canceled);
    assert_eq!(bench.tools.count("echo"), 0);
    bench.stop().await;
}

#[tokio::test]
async fn an_input_that_the_flow_does_not_take_is_refused_before_anything_is_called() {
    let steps = "
input: { schema: { format: json, document: { type: object, required: [n], properties: { n: { type: number } } } } }
do:
  - a: { call: tools.echo, with: { n: '${ .n }' } }
";
    let bench = of(steps).await;
    let task = bench.settled("flow", &json!({ "n": "four" })).await;
    assert_eq!(task.state, State::Rejected);
    assert!(status(&task).contains("/n"), "{}", status(&task));
    assert_eq!(bench.output("flow", &json!({ "skill": "flow", "arguments": { "n": 4 } })).await, json!({ "n": 4 }));
    bench.stop().await;
}

#[tokio::test]
async fn each_step_is_news_for_a_person() {
    let bench = of("do:\n- a: { call: tools.echo, with: {} }\n- b: { call: tools.hold, with: {} }\n").await;
    let task = bench.begin("flow", &json!({})).accepted().await.unwrap();
    let task = bench.until("flow", &task.id, |task| status(task).contains("b: begins")).await;
    assert_eq!(status(&task), "a: done\nb: begins");
    let metadata = task.status_metadata.as_ref().unwrap().to_value();
    assert_eq!(metadata["steps"][1]["step"], json!("/do/1/b"));
    bench.stop().await;
}

/// A large output is read from the task that gave it.
#[tokio::test]
async fn a_large_output_is_no_part_of_the_flows_log() {
    let bench = of("do:\n- a: { call: tools.large, with: { bytes: 200000 } }\n- b: { call: tools.echo, with: { of: '${ .of }' } }\n").await;
    let tools: Arc<Tools> = bench.tools.clone();
    let task = bench.settled("flow", &json!({})).await;
    assert_eq!(output(&task), json!({ "of": 200_000 }));
    let bytes: usize = task.records.iter().map(|record| record.as_str().len()).sum();
    assert!(bytes < 2_000, "{bytes}");
    assert_eq!(tools.count("large"), 1);
    bench.stop().await;
}

/// Each may begin tasks of its own, and the last of them as well as the first.
#[tokio::test]
async fn a_loop_runs_a_flow_for_each_item() {
    let inner = document("inner", "do:\n- a: { call: tools.echo, with: { n: '${ .n }' } }\n");
    let outer = document(
        "outer",
        "do:\n- each:\n    for: { each: n, in: '[range(100)]' }\n    do:\n    - one: { run: { workflow: { namespace: tests, name: inner, version: 1.0.0, input: { n: '${ $n }' } } } }\n",
    );
    let bench = bench(&[("inner-flow", inner), ("outer-flow", outer)]).await;
    let task = bench.settled("outer-flow", &json!({})).await;
    assert_eq!(output(&task), json!({ "n": 99 }));
    assert_eq!(bench.tools.count("echo"), 100);
    bench.stop().await;
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_made_though_the_flow_ends_with_it() {
    let other = document("other", "do:\n- a: { call: tools.echo, with: { well: true } }\n");
    let run = "run: { workflow: { namespace: tests, name: other, version: latest }, await: false }";
    for (name, steps) in [
        ("last", format!("do:\n- sub: {{ {run} }}\n")),
        ("followed", format!("do:\n- sub: {{ {run} }}\n- end: {{ set: {{ x: 1 }} }}\n")),
    ] {
        let flows = [("other", other.clone()), (name, document(name, &steps))];
        let bench = Bench::open(Arc::new(MemoryStore::new()), &Arc::default(), &flows).await;
        let task = bench.settled(name, &json!({})).await;
        assert_eq!((task.state, task.children.len()), (State::Completed, 1), "{name}: {}", status(&task));
        bench.until("other", &task.children[0].task, |task| task.state == State::Completed).await;
        assert_eq!(bench.tools.count("echo"), 1, "{name}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_step_may_not_name_what_is_for_the_node_alone() {
    let flows = [("flow", document("flow", "do:\n- a: { call: hidden.echo, with: {} }\n"))];
    let bench = Bench::open(Arc::new(MemoryStore::new()), &Arc::default(), &flows).await;
    let task = bench.settled("flow", &json!({})).await;
    assert_eq!((task.state, task.children.len()), (State::Failed, 0));
    assert!(status(&task).contains("no agent is called \"hidden\""), "{}", status(&task));
    bench.stop().await;
}
