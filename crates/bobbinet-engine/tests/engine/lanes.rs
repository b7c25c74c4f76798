//! Calls that run one at a time, and others beside them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{
    Call, Description, Effect, Json, Limits, Message, Outcome, Part, Plan, Question, QuestionKind, State,
};
use bobbinet_engine::{Agent, AllowAll, Engine, EngineError, Lane, Request, Run, Setup};
use tokio::sync::Semaphore;

use crate::lab::{Lab, answer, begin_at, caller, name_of, until};

/// - `read` runs beside everything.
/// - `write` runs alone among those that write, `write KEY` among those of its key.
/// - `ask` is a `write` that asks its caller first.
///
/// Each returns when the test lets it go.
#[derive(Debug)]
struct Clerk {
    gate: Semaphore,
    writing: AtomicUsize,
    writing_max: AtomicUsize,
    runs: AtomicUsize,
}

impl Default for Clerk {
    fn default() -> Self {
        Self {
            gate: Semaphore::new(0),
            writing: AtomicUsize::new(0),
            writing_max: AtomicUsize::new(0),
            runs: AtomicUsize::new(0),
        }
    }
}

fn words(call: &Call) -> String {
    call.arguments.as_ref().unwrap().read::<String>().unwrap()
}

#[async_trait]
impl Agent for Clerk {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        if request.question().is_some() {
            return Plan::Answer(Json::of(&true));
        }
        let text = request.message.text();
        let effect = if text == "read" { Effect::ReadOnly } else { Effect::AtMostOnce };
        Plan::Call(Arc::new(Call { arguments: Some(Json::of(&text)), ..Call::of_message(effect) }))
    }

    fn lane(&self, call: &Call) -> Option<Lane> {
        match words(call).split_once(' ') {
            Some((_, key)) => Some(Lane::Part(key.into())),
            None => (call.effect != Effect::ReadOnly).then_some(Lane::Whole),
        }
    }

    fn lane_queue_max(&self) -> usize {
        4
    }

    fn max_concurrency(&self) -> usize {
        3
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        self.runs.fetch_add(1, Ordering::SeqCst);
        if words(run.call()) == "ask" {
            let message = Arc::new(Message::from_agent(run.message_id("q"), vec![Part::text("really?")]));
            run.ask(Arc::new(Question { kind: QuestionKind::Elicitation, message, schema: None })).await.unwrap();
        }
        let writes = usize::from(words(run.call()) != "read");
        let writing = self.writing.fetch_add(writes, Ordering::SeqCst) + writes;
        self.writing_max.fetch_max(writing, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.writing.fetch_sub(writes, Ordering::SeqCst);
        Outcome::Completed { artifacts: Vec::new(), message: None }
    }

    async fn shutdown(&self) {}
}

async fn open(lab: &Lab, clerk: &Arc<Clerk>) -> Engine {
    let setup = Setup {
        store: lab.store.clone(),
        agents: BTreeMap::from([(name_of("clerk"), clerk.clone() as Arc<dyn Agent>)]),
        env: lab.clock.clone(),
        limits: lab.limits.clone(),
        authorizer: Arc::new(AllowAll),
    };
    Engine::open(setup).await.unwrap()
}

/// Begins a task of the clerk, and waits until it is kept and has begun if it may.
async fn begin(engine: &Engine, text: &str) -> bobbinet_core::TaskId {
    let id = begin_at("clerk", engine, &caller("ann"), text).unwrap().accepted().await.unwrap().id;
    tokio::time::sleep(Duration::from_millis(10)).await;
    id
}

async fn states(engine: &Engine, ids: &[bobbinet_core::TaskId]) -> Vec<State> {
    let mut states = Vec::new();
    for id in ids {
        states.push(engine.get(&caller("ann"), &name_of("clerk"), id).await.unwrap().state);
    }
    states
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_its_lane_has_no_intent_no_slot_and_is_in_nobodys_way() {
    let (lab, clerk) = (Lab::new(Limits::default()), Arc::<Clerk>::default());
    let engine = open(&lab, &clerk).await;
    let mut writes = Vec::new();
    for _ in 0..4 {
        writes.push(begin(&engine, "write").await);
    }
    use State::{Completed, Submitted, Working};
    assert_eq!(states(&engine, &writes).await, [Working, Submitted, Submitted, Submitted]);
    let read = begin(&engine, "read").await;
    assert_eq!(states(&engine, &[read]).await, [Working], "a read is not blocked");
    // Canceled, it leaves: the one behind it is next.
    engine.cancel(&caller("ann"), &name_of("clerk"), &writes[1]).await.unwrap();
    clerk.gate.add_permits(2);
    until(&engine, &caller("ann"), "clerk", &writes[2], Working).await;
    // Its process dies, and is followed by another: whoever waited has called nothing, and goes on by itself.
    lab.kill(engine).await;
    clerk.writing.store(0, Ordering::SeqCst);
    let engine = open(&lab, &clerk).await;
    lab.pass(3).await;
    assert_eq!(states(&engine, &writes[2..]).await, [State::InputRequired, Working]);
    clerk.gate.add_permits(1);
    until(&engine, &caller("ann"), "clerk", &writes[3], Completed).await;
    assert_eq!(clerk.writing_max.load(Ordering::SeqCst), 1);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn all_that_wait_come_to_their_turn_one_by_one_also_after_a_restart() {
    let (lab, clerk) = (Lab::new(Limits::default()), Arc::<Clerk>::default());
    let engine = open(&lab, &clerk).await;
    let mut writes = Vec::new();
    for _ in 0..5 {
        writes.push(begin(&engine, "write").await);
    }
    engine.shutdown(Duration::ZERO).await;
    drop(engine);
    clerk.writing.store(0, Ordering::SeqCst);
    let engine = open(&lab, &clerk).await;
    clerk.gate.add_permits(5);
    for id in &writes[1..] {
        until(&engine, &caller("ann"), "clerk", id, State::Completed).await;
    }
    assert_eq!(clerk.writing_max.load(Ordering::SeqCst), 1);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_part_keeps_its_own_waiting_and_the_whole_all_of_them() {
    let (lab, clerk) = (Lab::new(Limits::default()), Arc::<Clerk>::default());
    let engine = open(&lab, &clerk).await;
    let mut ids = Vec::new();
    for text in ["write a", "write a", "write b", "write", "write c"] {
        ids.push(begin(&engine, text).await);
    }
    use State::{Submitted, Working};
    assert_eq!(states(&engine, &ids).await, [Working, Submitted, Working, Submitted, Submitted]);
    clerk.gate.add_permits(5);
    for id in &ids {
        until(&engine, &caller("ann"), "clerk", id, State::Completed).await;
    }
    assert_eq!(clerk.writing_max.load(Ordering::SeqCst), 2);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_full_refuses_at_once_and_only_whoever_would_have_to_wait() {
    let (lab, clerk) = (Lab::new(Limits::default()), Arc::<Clerk>::default());
    let engine = open(&lab, &clerk).await;
    let ann = caller("ann");
    // Nothing of these is kept yet: they count from the moment that they are taken.
    let taken = (0..5).map(|_| begin_at("clerk", &engine, &ann, "write").unwrap()).collect::<Vec<_>>();
    let refused = begin_at("clerk", &engine, &ann, "write").map(|handle| handle.id());
    assert_eq!(refused, Err(EngineError::Limit { what: "lane_queue_max", max: 4 }));
    assert!(begin_at("clerk", &engine, &ann, "read").is_ok());
    engine.cancel(&ann, &name_of("clerk"), &taken[2].accepted().await.unwrap().id).await.unwrap();
    assert!(begin_at("clerk", &engine, &ann, "write").is_ok(), "one has left");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_thinks_an_answer_over_keeps_nobody_from_writing() {
    let (lab, clerk) = (Lab::new(Limits::default()), Arc::<Clerk>::default());
    let engine = open(&lab, &clerk).await;
    let ann = caller("ann");
    let asks = begin(&engine, "ask").await;
    let write = begin(&engine, "write").await;
    assert_eq!(states(&engine, &[asks, write]).await, [State::InputRequired, State::Working]);
    engine.reply(&ann, &name_of("clerk"), &asks, answer("m", "yes", None)).await.unwrap();
    let next = begin(&engine, "write").await;
    assert_eq!(states(&engine, &[asks, next]).await, [State::Working, State::Submitted]);
    clerk.gate.add_permits(3);
    until(&engine, &ann, "clerk", &next, State::Completed).await;
    engine.shutdown(Duration::ZERO).await;
}
