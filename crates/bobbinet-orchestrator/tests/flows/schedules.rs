//! Flows that run by themselves, on a clock that a test sets and over stores that are opened again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bobbinet_core::{AgentName, Call, Caller, CloudEvent, Fault, Limits, State, Task, Timestamp};
use bobbinet_engine::{AllowAll, Authorizer, Env, Filter, SystemEnv};
use bobbinet_events::Events;
use bobbinet_flow::limits::Limits as RunLimits;
use bobbinet_orchestrator::{Flow, FlowAgent, ScheduledFlow, Scheduler};
use bobbinet_store::{MemoryStore, SledOptions, SledStore, Store};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bench::{Bench, Tools, ann, document, name_of, output};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The machine's clock, set forward by this much.
#[derive(Debug)]
struct Ahead(Duration);

impl Env for Ahead {
    fn now(&self) -> Timestamp {
        SystemEnv.now().after(self.0)
    }

    fn monotonic(&self) -> Duration {
        SystemEnv.monotonic()
    }

    fn uuid(&self) -> Uuid {
        SystemEnv.uuid()
    }
}

/// Nobody may call this agent; and what was asked.
#[derive(Debug, Default)]
struct Not(Mutex<Vec<Caller>>);

impl Authorizer for Not {
    fn allows_call(&self, caller: &Caller, _: &AgentName, _: &Call) -> Result<(), Fault> {
        self.0.lock().unwrap().push(caller.clone());
        Err(Fault::new("denied", "no"))
    }
}

/// A node with one scheduled flow.
struct Place {
    bench: Bench,
    scheduler: Scheduler,
}

impl Place {
    async fn open(store: &Arc<dyn Store>, flow: &str, ahead: Duration) -> Self {
        Self::asking(store, flow, ahead, Arc::new(AllowAll)).await
    }

    async fn asking(store: &Arc<dyn Store>, flow: &str, ahead: Duration, authorizer: Arc<dyn Authorizer>) -> Self {
        let text = document("flow", flow);
        let env = Arc::new(Ahead(ahead));
        let tools: Arc<Tools> = Arc::default();
        let flows = [("flow", text.clone())];
        let bench = Bench::at(store.clone(), &tools, &flows, Limits::default(), env).await;
        let read = Flow { file: "flow.yaml".to_owned(), text: text.into(), secrets: BTreeMap::new() };
        let definition = FlowAgent::read(&read, &RunLimits::default()).unwrap();
        let flow = ScheduledFlow { agent: name_of("flow"), definition, caller: ann() };
        let scheduler = Scheduler::start(&bench.engine, &authorizer, vec![flow]).await;
        Self { bench, scheduler }
    }

    /// The runs there are, oldest first.
    async fn runs(&self) -> Vec<Arc<Task>> {
        let filter = Filter { page_size: 100, bytes_max: 1 << 20, ..Filter::default() };
        let mut tasks = self.bench.engine.list(&ann(), &name_of("flow"), filter).await.unwrap().tasks;
        tasks.sort_by_key(|task| (task.created_at, task.id));
        tasks
    }

    /// The runs, once there are so many and all have ended.
    async fn until(&self, count: usize) -> Vec<Arc<Task>> {
        for _ in 0..1_000 {
            let runs = self.runs().await;
            if runs.len() >= count && runs.iter().all(|run| run.state.is_terminal()) {
                return runs;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("they do not come: {:?}", self.runs().await.len());
    }

    /// How many runs there are when nothing more comes.
    async fn count(&self) -> usize {
        // Longer than the engine takes to look at what is due.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        self.runs().await.len()
    }

    async fn publish(&self, kind: &str, data: &Value, hops: u64) {
        let id = Uuid::now_v7().to_string();
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/t", "type": kind, "data": data, "bobbinethops": hops,
        });
        let event = CloudEvent::read(event, 1 << 20).unwrap();
        let events = Events::new(self.bench.engine.aggregates());
        events.publish(&ann().tenant, &event).await.unwrap();
    }

    async fn stop(self) {
        self.scheduler.stop().await;
        self.bench.stop().await;
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

const HOURLY: &str = "schedule: { every: { hours: 1 } }\ndo: [ { a: { set: { x: 1 } } } ]\n";

#[tokio::test]
async fn what_was_missed_while_a_node_was_down_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        || -> Arc<dyn Store> { Arc::new(SledStore::open(SledOptions::new(folder.path().join("store"))).unwrap()) };
    let mut expected = 0;
    for (ahead, runs) in [(0, 0), (30, 0), (61, 1), (70, 1), (10 * 60 + 5, 2), (10 * 60 + 30, 2), (11 * 60 + 1, 3)] {
        let store = open();
        let place = Place::open(&store, HOURLY, ahead * MINUTE).await;
        assert_eq!(place.count().await, runs, "after {ahead} minutes");
        expected = runs;
        place.stop().await;
        drop(store);
    }
    let place = Place::open(&open(), HOURLY, 11 * HOUR + 2 * MINUTE).await;
    let all = place.until(expected).await;
    assert!(all.iter().all(|run| run.state == State::Completed && run.owner == ann().principal));
    place.stop().await;
}

#[tokio::test]
async fn ticks_come_in_time_and_a_run_that_is_on_does_not_stop_them() {
    let store = memory();
    let flow = "schedule: { every: { seconds: 1 } }\ndo: [ { a: { wait: { minutes: 5 } } } ]\n";
    let place = Place::open(&store, flow, Duration::ZERO).await;
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let runs = place.runs().await;
    assert!((2..=4).contains(&runs.len()), "{}", runs.len());
    assert!(runs.iter().all(|run| !run.state.is_terminal()));
    let apart = runs[1].created_at.since(runs[0].created_at);
    assert!((500..1_900).contains(&apart.as_millis()), "{apart:?}");
    place.stop().await;
}

#[tokio::test]
async fn after_counts_from_the_end_of_the_run_also_over_a_restart() {
    let store = memory();
    let flow = "schedule: { after: { seconds: 2 } }\ndo: [ { a: { wait: { milliseconds: 700 } } } ]\n";
    let place = Place::open(&store, flow, Duration::ZERO).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(place.runs().await.len(), 1, "the first one begins at once");
    place.stop().await;
    let place = Place::open(&store, flow, Duration::ZERO).await;
    place.until(1).await;
    let runs = place.until(2).await;
    let apart = runs[1].created_at.since(runs[0].status_at);
    assert!((1_900..4_000).contains(&apart.as_millis()), "{apart:?}");
    place.stop().await;
}

#[tokio::test]
async fn an_edited_schedule_is_planned_anew_and_another_edit_is_not() {
    let store = memory();
    let place = Place::open(&store, HOURLY, Duration::ZERO).await;
    assert_eq!(place.count().await, 0);
    place.stop().await;
    let same = HOURLY.replace("x: 1", "x: 2");
    let place = Place::open(&store, &same, HOUR + MINUTE).await;
    assert_eq!(output(&place.until(1).await[0]), json!({ "x": 2 }));
    place.stop().await;
    let other = HOURLY.replace("every: { hours: 1 }", "every: { hours: 3 }");
    let place = Place::open(&store, &other, 3 * HOUR).await;
    assert_eq!(place.count().await, 1);
    place.stop().await;
}

#[tokio::test]
async fn events_begin_runs_once_each_also_those_that_came_while_the_scheduler_was_away() {
    let store = memory();
    let flow = "
schedule: { on: { one: { with: { type: order } } } }
do: [ { a: { set: { first: '${ .[0] }', all: '${ $workflow.input | length }' } } } ]
";
    let place = Place::open(&store, flow, Duration::ZERO).await;
    assert_eq!(place.count().await, 0);
    place.publish("order", &json!(1), 0).await;
    place.publish("other", &json!(2), 0).await;
    place.until(1).await;
    let Place { bench, scheduler } = place;
    scheduler.stop().await;
    let place = Place { bench, scheduler };
    place.publish("order", &json!(3), 0).await;
    place.publish("order", &json!(4), 0).await;
    assert_eq!(place.count().await, 1);
    place.stop().await;
    for _ in 0..3 {
        let place = Place::open(&store, flow, Duration::ZERO).await;
        place.until(3).await;
        assert_eq!(place.count().await, 3);
        place.stop().await;
    }
    let place = Place::open(&store, flow, Duration::ZERO).await;
    let mut outputs: Vec<Value> = place.runs().await.iter().map(|run| output(run)).collect();
    outputs.sort_by_key(|output| output["first"].as_u64());
    let expected = [1, 3, 4].map(|number| json!({ "first": number, "all": 1 }));
    assert_eq!(outputs, expected);
    place.stop().await;
}

/// A flow that sends what begins it.
#[tokio::test]
async fn a_circle_of_events_ends() {
    let store = memory();
    let flow = "
schedule: { on: { one: { with: { type: ping } } } }
do: [ { a: { emit: { event: { with: { type: ping } } } } } ]
";
    let place = Place::open(&store, flow, Duration::ZERO).await;
    place.publish("ping", &json!(1), 10).await;
    let runs = place.until(7).await;
    assert_eq!((runs.len(), place.count().await), (7, 7));
    let failed: Vec<String> =
        runs.iter().filter(|run| run.state == State::Failed).map(|run| crate::bench::status(run)).collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].contains("event_hops_max"), "{failed:?}");
    place.stop().await;
}

/// Rights to send and to hear events are those of whoever the flow runs for.
#[tokio::test]
async fn a_flow_may_do_with_events_what_its_caller_may() {
    let send = document("send", "do: [ { a: { emit: { event: { with: { type: a } } } } } ]\n");
    let listen = "
do:
  - a:
      try: [ { b: { listen: { to: { any: [] } } } } ]
      catch: { as: fault, do: [ { c: { set: { kind: '${ $fault.type }' } } } ] }
";
    let flows = [("send", send), ("listen", document("listen", listen))];
    let bench = Bench::denying(memory(), &flows).await;
    let sent = bench.settled("send", &json!({})).await;
    assert!(crate::bench::status(&sent).contains("may not publish"), "{}", crate::bench::status(&sent));
    let heard = bench.output("listen", &json!({})).await;
    assert!(heard["kind"].as_str().unwrap().ends_with("/errors/authorization"), "{heard}");
    bench.stop().await;
}

#[tokio::test]
async fn policy_is_asked_about_a_scheduled_run_as_about_any() {
    let store = memory();
    let not: Arc<Not> = Arc::default();
    let place = Place::asking(&store, HOURLY, Duration::ZERO, not.clone()).await;
    place.stop().await;
    let place = Place::asking(&store, HOURLY, HOUR + MINUTE, not.clone()).await;
    assert_eq!(place.count().await, 0);
    place.stop().await;
    assert_eq!(*not.0.lock().unwrap(), [ann()], "once for each time");
    let place = Place::open(&store, HOURLY, 2 * HOUR + MINUTE).await;
    assert_eq!(place.count().await, 1, "the next one may");
    place.stop().await;
}
