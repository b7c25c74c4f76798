//! A run goes on where its process has left it.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Event, State};
use bobbinet_store::{MemoryStore, Store};
use serde_json::json;

use crate::bench::{Bench, Tools, ann, document, name_of, output, soon, status};

const STEPS: &str = "
do:
  - a: { call: tools.echo, with: { n: 1 } }
  - b: { call: tools.large, with: { bytes: 100000 } }
  - c: { wait: { seconds: 2 } }
  - d: { call: tools.echo, with: { of: '${ .of }' } }
";

async fn open(store: &Arc<MemoryStore>, tools: &Arc<Tools>, steps: &str) -> Bench {
    Bench::open(store.clone() as Arc<dyn Store>, tools, &[("flow", document("flow", steps))]).await
}

#[tokio::test]
async fn a_run_goes_on_with_the_definition_that_it_began_with() {
    let (store, tools): (Arc<MemoryStore>, Arc<Tools>) = Default::default();
    let first = open(&store, &tools, STEPS).await;
    let task = first.begin("flow", &json!({})).accepted().await.unwrap();
    let before = first.until("flow", &task.id, |task| task.records.len() >= 3).await;
    first.stop().await;
    let edited = "do:\n- other: { set: { other: true } }\n";
    let second = open(&store, &tools, edited).await;
    let ended = soon(second.until("flow", &task.id, |task| task.state.is_terminal())).await;
    assert_eq!(output(&ended), json!({ "of": 100_000 }), "the large output was found again");
    assert_eq!((tools.count("echo"), tools.count("large")), (2, 1), "no step ran again");
    assert_eq!(ended.children[..2], before.children[..2]);
    assert_eq!(second.output("flow", &json!({})).await, json!({ "other": true }), "later runs are of the edited one");
    second.stop().await;
}

/// The wait ends when it would have ended, and not when the process has waited for so long again.
#[tokio::test]
async fn a_wait_goes_by_when_it_began() {
    let (store, tools): (Arc<MemoryStore>, Arc<Tools>) = Default::default();
    let steps = "do:\n- a: { wait: { milliseconds: 700 } }\n- b: { set: { waited: true } }\n";
    let first = open(&store, &tools, steps).await;
    let task = first.begin("flow", &json!({})).accepted().await.unwrap();
    let began = first.until("flow", &task.id, |task| !task.records.is_empty()).await;
    first.stop().await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    let second = open(&store, &tools, steps).await;
    let reopened = second.engine.env().now();
    let ended = second.until("flow", &task.id, |task| task.state.is_terminal()).await;
    assert_eq!(output(&ended), json!({ "waited": true }));
    let log = second.engine.log(&ann(), &name_of("flow"), &began.id).await.unwrap();
    let ended_at = log.iter().find(|(_, recorded)| matches!(recorded.event, Event::Ended { .. })).unwrap().1.at;
    assert!(ended_at.since(reopened) < Duration::from_millis(700), "it waited anew");
    second.stop().await;
}

/// Many restarts in a row are nothing that the flow has done, as long as it comes on.
#[tokio::test]
async fn a_flow_survives_any_number_of_restarts() {
    let (store, tools): (Arc<MemoryStore>, Arc<Tools>) = Default::default();
    let steps = "
do:
  - each:
      for: { each: item, in: '${ [range(30)] }' }
      do:
        - one: { call: tools.echo, with: { item: '${ $item }' } }
        - two: { wait: { milliseconds: 20 } }
  - last: { set: { done: true } }
";
    let bench = open(&store, &tools, steps).await;
    let task = bench.begin("flow", &json!({})).accepted().await.unwrap();
    bench.stop().await;
    let mut opened = 0;
    let ended = loop {
        opened += 1;
        let bench = open(&store, &tools, steps).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let now = bench.get("flow", &task.id).await;
        bench.stop().await;
        if now.state.is_terminal() {
            break now;
        }
        assert!(opened < 200, "it does not come on: {}", status(&now));
    };
    assert_eq!(ended.state, State::Completed, "{}", status(&ended));
    assert!(opened > 5, "{opened}");
    assert_eq!(tools.count("echo"), 30, "each step ran once");
}
