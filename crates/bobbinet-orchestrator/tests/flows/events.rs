//! Flows that send events and wait for them, over stores that are opened again in the middle.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{CloudEvent, Json, Limits, Message, MessageId, Part, Role, State, Task};
use bobbinet_engine::{Aggregate, NewTask};
use bobbinet_events::{EventStream, Events, Position, StreamKey};
use bobbinet_store::{MemoryStore, SledOptions, SledStore, Store};
use serde_json::{Value, json};

use crate::bench::{Bench, Tools, ann, document, name_of, output, soon, status};

const LISTEN: &str = "do:\n- a: { listen: { to: { any: [ { with: { type: a } } ], until: '${ length == 3 }' } } }\n";

impl Bench {
    fn events(&self) -> Events {
        Events::new(self.engine.aggregates())
    }

    async fn publish(&self, kind: &str, id: u64) {
        let event = json!({ "specversion": "1.0", "id": id.to_string(), "source": "/t", "type": kind, "data": id });
        let event = CloudEvent::read(event, 1 << 20).unwrap();
        self.events().publish(&ann().tenant, &event).await.unwrap();
    }

    /// All events of the tenant.
    async fn sent(&self) -> Vec<Value> {
        let events = self.events();
        let end = events.end(&ann().tenant).await.unwrap();
        let mut listener = events.listen(&ann().tenant, Position(0)).await.unwrap();
        let mut sent = Vec::new();
        while listener.cursor() < end {
            sent.extend(soon(listener.next()).await.unwrap().event.map(|event| event.to_value()));
        }
        sent
    }

    /// Begins a flow, and waits until it listens.
    async fn listening(&self, flow: &str) -> Arc<Task> {
        let task = self.begin(flow, &json!({})).accepted().await.unwrap();
        let has_begun = |task: &Task| task.records.iter().any(|record| record.as_str().contains("\"listens\""));
        self.until(flow, &task.id, has_begun).await
    }

    async fn ended(&self, flow: &str, task: &Task) -> Arc<Task> {
        self.until(flow, &task.id, |task| task.state.is_terminal()).await
    }
}

fn sled(folder: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(SledStore::open(SledOptions::new(folder.path().join("store"))).unwrap())
}

async fn memory(flows: &[(&str, &str)]) -> Bench {
    let flows: Vec<(&str, String)> = flows.iter().map(|(name, steps)| (*name, document(name, steps))).collect();
    Bench::open(Arc::new(MemoryStore::new()), &Arc::default(), &flows).await
}

#[tokio::test]
async fn one_flow_hears_what_another_sends() {
    let send = "do:\n- a: { emit: { event: { with: { type: a, source: '/mine', subject: s, data: '${ . }' } } } }\n";
    let listen = "do:\n- a: { listen: { to: { one: { with: { type: a, subject: s } } }, read: envelope } }\n";
    let bench = memory(&[("send", send), ("listen", listen)]).await;
    let task = bench.listening("listen").await;
    bench.publish("a", 1).await;
    bench.output("send", &json!({ "n": 1 })).await;
    let heard = output(&*bench.ended("listen", &task).await);
    let event = &heard[0];
    assert_eq!((&event["type"], &event["source"], &event["data"]), (&json!("a"), &json!("/mine"), &json!({ "n": 1 })));
    assert_eq!(event["bobbinethops"], 1);
    bench.stop().await;
}

/// The events that come before, while and after the process is gone are heard, in their order and once.
#[tokio::test]
async fn a_wait_loses_nothing_and_hears_nothing_twice_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let tools: Arc<Tools> = Arc::default();
    let flows = [("flow", document("flow", LISTEN)), ("other", document("other", "do:\n- a: { set: { x: 1 } }\n"))];
    let store = sled(&folder);
    let bench = Bench::open(store.clone(), &tools, &flows).await;
    bench.publish("a", 1).await;
    let task = bench.listening("flow").await;
    bench.publish("b", 2).await;
    bench.publish("a", 3).await;
    let heard = |count: usize| {
        move |task: &Task| task.records.iter().filter(|it| it.as_str().contains("\"came\":\"heard\"")).count() == count
    };
    bench.until("flow", &task.id, heard(1)).await;
    bench.stop().await;
    drop(store);
    // Its flow is not configured for a while, and events come.
    let store = sled(&folder);
    let bench = Bench::open(store.clone(), &tools, &flows[1..]).await;
    bench.publish("a", 3).await;
    bench.publish("a", 4).await;
    bench.stop().await;
    drop(store);
    let store = sled(&folder);
    let bench = Bench::open(store, &tools, &flows).await;
    bench.until("flow", &task.id, heard(2)).await;
    bench.publish("a", 5).await;
    let ended = bench.ended("flow", &task).await;
    assert_eq!(output(&ended), json!([3, 4, 5]));
    // The last one is the end, which is no record.
    assert!(heard(2)(&ended), "what passes no filter is not recorded");
    bench.stop().await;
}

/// A run that is stopped again and again sends each event once, also the last one, and the one before a step that it waits in.
#[tokio::test]
async fn an_event_is_sent_once_whatever_happens_to_its_process() {
    let (store, tools): (Arc<MemoryStore>, Arc<Tools>) = Default::default();
    let steps = "
do:
  - each:
      for: { each: item, in: '${ [range(20)] }' }
      do:
        - one: { emit: { event: { with: { type: a, data: '${ $item }' } } } }
        - two: { wait: { milliseconds: 20 } }
        - three: { call: tools.echo, with: { item: '${ $item }' } }
  - last: { emit: { event: { with: { type: last, data: '${ . }' } } } }
";
    let flows = [("flow", document("flow", steps))];
    let bench = Bench::open(store.clone(), &tools, &flows).await;
    let task = bench.begin("flow", &json!({})).accepted().await.unwrap();
    bench.stop().await;
    let mut opened = 0;
    loop {
        opened += 1;
        let bench = Bench::open(store.clone(), &tools, &flows).await;
        tokio::time::sleep(Duration::from_millis(40 + opened % 7)).await;
        let now = bench.get("flow", &task.id).await;
        if now.state.is_terminal() {
            assert_eq!(now.state, State::Completed, "{}", status(&now));
            let sent: Vec<Value> = bench.sent().await.iter().map(|event| event["data"].clone()).collect();
            let expected: Vec<Value> = (0..20).map(Value::from).chain([json!({ "item": 19 })]).collect();
            assert_eq!(sent[..20], expected[..20]);
            assert_eq!(sent.len(), 21, "{sent:?}");
            assert!(opened > 3, "{opened}");
            bench.stop().await;
            return;
        }
        bench.stop().await;
        assert!(opened < 200, "it does not come on: {}", status(&now));
    }
}

/// What a flow has sent before it listens it does not hear, and what it sends then it does.
#[tokio::test]
async fn a_wait_begins_where_it_stands_among_the_steps() {
    let steps = "
do:
  - before: { emit: { event: { with: { type: a, data: before } } } }
  - both:
      fork:
        branches:
          - wait: { listen: { to: { one: { with: { type: a } } } } }
          - send: { emit: { event: { with: { type: a, data: after } } } }
  - then: { set: { heard: '${ .[0] }' } }
";
    let bench = memory(&[("flow", steps)]).await;
    assert_eq!(bench.output("flow", &json!({})).await, json!({ "heard": ["after"] }));
    bench.stop().await;
}

#[tokio::test]
async fn events_that_were_dropped_before_they_were_heard_fail_the_step() {
    let (store, tools): (Arc<MemoryStore>, Arc<Tools>) = Default::default();
    let steps = "
do:
  - heard:
      try:
        - wait: { listen: { to: { any: [ { with: { type: a } } ], until: '${ length == 3 }' } } }
      catch:
        as: fault
        do: [ { say: { set: { type: '${ $fault.type }', detail: '${ $fault.detail }' } } } ]
";
    let flows = [("flow", document("flow", steps)), ("other", document("other", "do:\n- a: { set: { x: 1 } }\n"))];
    let limits = Limits { events_kept_max: 32, ..Limits::default() };
    let bench = Bench::limited(store.clone(), &tools, &flows, limits.clone()).await;
    let task = bench.listening("flow").await;
    bench.stop().await;
    let bench = Bench::limited(store.clone(), &tools, &flows[1..], limits.clone()).await;
    for id in 1..=100 {
        bench.publish("a", id).await;
    }
    bench.stop().await;
    let bench = Bench::limited(store, &tools, &flows, limits).await;
    let said = output(&*bench.ended("flow", &task).await);
    assert!(said["type"].as_str().unwrap().ends_with("/errors/runtime"), "{said}");
    assert!(said["detail"].as_str().unwrap().starts_with("events were dropped before they were heard"), "{said}");
    bench.stop().await;
}

/// A wait for something rare says how far it has heard, so that what it has passed over may be dropped.
#[tokio::test]
async fn a_wait_that_has_kept_up_misses_nothing_when_old_events_are_dropped() {
    let (store, tools): (Arc<MemoryStore>, Arc<Tools>) = Default::default();
    let flows = [("flow", document("flow", LISTEN))];
    let limits = Limits { events_kept_max: 1_000, ..Limits::default() };
    let bench = Bench::limited(store.clone(), &tools, &flows, limits.clone()).await;
    let task = bench.listening("flow").await;
    for id in 1..=2_000 {
        bench.publish("b", id).await;
    }
    bench.until("flow", &task.id, |task| task.checkpoint.as_ref().is_some_and(|it| it.as_str().contains(",15"))).await;
    bench.stop().await;
    let bench = Bench::limited(store, &tools, &flows, limits).await;
    for id in 1..=3 {
        bench.publish("a", 10_000 + id).await;
    }
    assert_eq!(output(&*bench.ended("flow", &task).await), json!([10_001, 10_002, 10_003]));
    bench.stop().await;
}

/// Few events are no reason to forget how far was heard: they are dropped by their age, too.
#[tokio::test]
async fn a_wait_that_has_passed_over_few_events_misses_nothing_when_they_are_old() {
    let (store, tools): (Arc<MemoryStore>, Arc<Tools>) = Default::default();
    let flows = [("flow", document("flow", LISTEN))];
    let limits = Limits { events_kept_ms: 500, ..Limits::default() };
    let bench = Bench::limited(store.clone(), &tools, &flows, limits.clone()).await;
    bench.publish("a", 1).await;
    let task = bench.listening("flow").await;
    for id in 2..=4 {
        bench.publish("b", id).await;
    }
    let stream = EventStream::stream(&StreamKey::of(&ann().tenant));
    while store.load(&stream).await.unwrap().unwrap().trimmed.0 < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.stop().await;
    let bench = Bench::limited(store, &tools, &flows, limits).await;
    for id in 11..=13 {
        bench.publish("a", id).await;
    }
    assert_eq!(output(&*bench.ended("flow", &task).await), json!([11, 12, 13]));
    bench.stop().await;
}

#[tokio::test]
async fn an_event_comes_through_so_many_flows_and_no_more() {
    let answer = "
do:
  - a: { listen: { to: { one: { with: { type: ping } } } } }
  - b: { run: { workflow: { namespace: tests, name: send, version: '1.0.0' } } }
";
    let send = "do:\n- a: { emit: { event: { with: { type: pong } } } }\n";
    let bench = memory(&[("answer", answer), ("send", send)]).await;
    for (hops, expected) in [(0_u64, "1"), (3, "4"), (15, "16"), (16, "event_hops_max")] {
        let task = bench.listening("answer").await;
        let ping = json!({
            "specversion": "1.0", "id": hops.to_string(), "source": "/t", "type": "ping", "bobbinethops": hops,
        });
        let ping = CloudEvent::read(ping, 1 << 20).unwrap();
        bench.events().publish(&ann().tenant, &ping).await.unwrap();
        let ended = bench.ended("answer", &task).await;
        let told = match ended.state == State::Completed {
            true => bench.sent().await.last().unwrap()["bobbinethops"].to_string(),
            false => status(&ended),
        };
        assert!(told.contains(expected), "{hops}: {told}");
    }
    // What a message says counts likewise: a flow that another one begins is told so.
    let metadata = Some(Json::from(&json!({ "bobbinethops": 16 })));
    let message = Message {
        role: Role::User,
        metadata,
        ..Message::from_agent(MessageId::parse("m1").unwrap(), vec![Part::data(Json::from(&json!({})))])
    };
    let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
    let task = soon(bench.engine.submit(&ann(), &name_of("send"), new).unwrap().settled()).await.unwrap();
    assert!(status(&task).contains("event_hops_max"), "{}", status(&task));
    bench.stop().await;
}

#[tokio::test]
async fn what_is_no_event_is_an_error_that_can_be_caught() {
    let steps = "
do:
  - sent:
      try:
        - a: { emit: { event: { with: { type: a, order: '${ .order }' } } } }
      catch:
        as: fault
        do: [ { say: { set: { detail: '${ $fault.detail }' } } } ]
";
    let bench = memory(&[("flow", steps)]).await;
    let said = bench.output("flow", &json!({ "order": { "id": 1 } })).await;
    assert!(said["detail"].as_str().unwrap().contains("put the rest into data"), "{said}");
    assert!(bench.sent().await.is_empty());
    bench.stop().await;
}

/// A filter that is computed is asked about each event of its type; what it refuses is not the flow's.
#[tokio::test]
async fn events_of_others_leave_no_records() {
    let mine = "do:\n- a: { listen: { to: { one: { with: { type: a, data: '${ . == 7 }' } } } } }\n";
    let bench = memory(&[("flow", mine)]).await;
    let task = bench.listening("flow").await;
    for id in 100..130 {
        bench.publish("a", id).await;
    }
    bench.publish("a", 7).await;
    let ended = bench.ended("flow", &task).await;
    assert_eq!(output(&ended), json!([7]));
    assert!(ended.records.len() <= task.records.len() + 1, "{} records", ended.records.len());
    bench.stop().await;
}
