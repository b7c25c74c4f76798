//! One world: flows, processes that die, and whoever answers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bobbinet_core::{
    AgentName, Caller, Json, Limits, Message, MessageId, Part, Principal, Question, Role, State, Task, TaskId, Tenant,
    Timestamp,
};
use bobbinet_engine::{Agent, AllowAll, Engine, Env, NewTask, Reply, Setup};
use bobbinet_flow::limits::Limits as RunLimits;
use bobbinet_orchestrator::{Flow, FlowAgent, FlowLimits, Mesh};
use bobbinet_store::MemoryStore;
use fastrand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    disk::{Disk, Plant},
    flows::{Made, make},
    tools::{Ledger, Tools},
};

/// Flows of one world.
const FLOWS: usize = 3;

/// How long a flow may take once nobody dies any more: its steps, and the pauses before what was taken over.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// How often whoever answers looks.
const LOOKS_EVERY: Duration = Duration::from_millis(40);

/// What became of a world.
#[derive(Debug, Default)]
pub(crate) struct Lived {
    pub(crate) wrong: Vec<String>,
    pub(crate) flows: usize,
    pub(crate) lives: usize,
    pub(crate) executions: u32,
}

/// A clock that goes on from process to process, and ids in order.
#[derive(Debug)]
struct WorldEnv {
    began: tokio::time::Instant,
    before: u64,
    ids: Arc<AtomicU64>,
}

impl WorldEnv {
    fn millis(&self) -> u64 {
        self.before + u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }
}

impl Env for WorldEnv {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + self.millis())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.millis())
    }

    fn uuid(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.ids.fetch_add(1, Ordering::SeqCst)) + 1)
    }
}

struct World {
    disk: Arc<Disk>,
    ledger: Arc<Mutex<Ledger>>,
    chance: Arc<Mutex<Rng>>,
    ids: Arc<AtomicU64>,
    flows: Vec<Made>,
    /// The tasks that were acknowledged, by their flows.
    begun: BTreeMap<String, TaskId>,
    ended: BTreeMap<String, Arc<Task>>,
    millis: u64,
    said: u64,
}

/// Lives through one world, and judges it.
pub(crate) fn live(seed: u64, plant: Plant) -> Lived {
    // What runs choose by chance.
    fastrand::seed(seed);
    let mut chance = Rng::with_seed(seed);
    let flows: Vec<Made> = (0..FLOWS).map(|number| make(number, &mut chance)).collect();
    let kills = chance.usize(0..7);
    let chance = Arc::new(Mutex::new(chance));
    let disk = Disk { memory: MemoryStore::new(), chance: chance.clone(), plant, is_moody: AtomicBool::new(true) };
    let mut world = World {
        disk: Arc::new(disk),
        ledger: Arc::default(),
        chance,
        ids: Arc::default(),
        flows,
        begun: BTreeMap::new(),
        ended: BTreeMap::new(),
        millis: 0,
        said: 0,
    };
    for _ in 0..kills {
        let time = world.chance.lock().unwrap().u64(20..1_500);
        world.one_life(Duration::from_millis(time));
        if plant == Plant::KeysForgotten {
            world.ledger.lock().unwrap().keys.clear();
        }
    }
    world.disk.is_moody.store(false, Ordering::SeqCst);
    world.one_life(SETTLES_WITHIN);
    let wrong = world.judge();
    let executions = world.ledger.lock().unwrap().begun.values().sum();
    Lived { wrong, flows: world.flows.len(), lives: kills + 1, executions }
}

impl World {
    /// A process that lives so long, or until all is done, and is dropped where it stands.
    fn one_life(&mut self, time: Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let passed = runtime.block_on(async {
            let began = tokio::time::Instant::now();
            // Whoever waits for what does not come is stuck, and found so.
            let _ = tokio::time::timeout(time, self.process(began)).await;
            began.elapsed()
        });
        drop(runtime);
        self.millis += u64::try_from(passed.as_millis()).unwrap() + 1;
    }

    async fn process(&mut self, began: tokio::time::Instant) {
        let env = Arc::new(WorldEnv { began, before: self.millis, ids: self.ids.clone() });
        let setup = Setup {
            store: self.disk.clone(),
            agents: self.agents(),
            env,
            limits: Limits::default(),
            authorizer: Arc::new(AllowAll),
        };
        let Ok(engine) = Engine::open(setup).await else { return };
        while self.ended.len() < self.flows.len() {
            self.begin(&engine).await;
            self.tend(&engine).await;
            tokio::time::sleep(LOOKS_EVERY).await;
        }
    }

    fn agents(&self) -> BTreeMap<AgentName, Arc<dyn Agent>> {
        let tools = Tools { ledger: self.ledger.clone(), chance: self.chance.clone() };
        let mut agents: BTreeMap<AgentName, Arc<dyn Agent>> = BTreeMap::from([(name("tools"), Arc::new(tools) as _)]);
        for made in &self.flows {
            let flow = Flow { file: made.name.clone(), text: made.text.as_str().into(), secrets: BTreeMap::new() };
            let definition = FlowAgent::read(&flow, &RunLimits::default())
                .unwrap_or_else(|fault| panic!("{:?}\n{}", fault.findings, made.text));
            let agent = FlowAgent::new(
                flow,
                definition,
                Arc::new(Mesh::default()),
                FlowLimits::default(),
                RunLimits::default(),
            );
            agents.insert(name(&made.name), agent);
        }
        agents
    }

    async fn begin(&mut self, engine: &Engine) {
        for made in &self.flows {
            if self.begun.contains_key(&made.name) {
                continue;
            }
            let message = message("begin", vec![Part::data(Json::from(&json!({})))]);
            let idempotency = Some((made.name.clone(), [7; 32]));
            let new = NewTask { message, context: None, skill: None, trace: None, idempotency };
            let Ok(handle) = engine.submit(&ann(), &name(&made.name), new) else { continue };
            if let Ok(task) = handle.accepted().await {
                self.begun.insert(made.name.clone(), task.id);
            }
        }
    }

    async fn tend(&mut self, engine: &Engine) {
        for (flow, id) in self.begun.clone() {
            if self.ended.contains_key(&flow) {
                continue;
            }
            let Ok(task) = engine.get(&ann(), &name(&flow), &id).await else { continue };
            if task.state.is_terminal() {
                self.ended.insert(flow, task);
            } else if let Some(question) = &task.question {
                let Some(answer) = self.answer(engine, question).await else { continue };
                self.said += 1;
                let message = message(&format!("say-{}", self.said), vec![Part::data(Json::from(&answer))]);
                let reply = Reply { message, context: None, skill: None, idempotency: None };
                let _ = engine.reply(&ann(), &name(&flow), &id, reply).await;
            }
        }
    }

    /// Whoever is asked what became of a call looks into the ledger.
    async fn answer(&self, engine: &Engine, question: &Question) -> Option<Value> {
        let data = question.message.data().map(Json::to_value).unwrap_or_default();
        if data["type"] != "outcome" {
            return Some(json!({ "go": true }));
        }
        let origin = question.message.metadata.as_ref()?.to_value();
        let child = engine.get(&ann(), &name("tools"), &TaskId::parse(origin["task"].as_str()?)?).await.ok()?;
        let arguments = child.planned_call.as_ref()?.arguments.as_ref()?.to_value();
        let is_done = self.ledger.lock().unwrap().effects.contains_key(arguments["id"].as_str()?);
        Some(json!({ "outcome": if is_done { "happened" } else { "retry" } }))
    }

    fn judge(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let ledger = self.ledger.lock().unwrap();
        for made in &self.flows {
            let Some(task) = self.ended.get(&made.name) else {
                wrong.push(format!("{} did not come to its end\n{}", made.name, made.text));
                continue;
            };
            let said = task.status_message.as_ref().map(|message| message.text()).unwrap_or_default();
            if task.state != State::Completed {
                wrong.push(format!("{} is {:?}: {said}\n{}", made.name, task.state, made.text));
                continue;
            }
            let part = &task.artifacts[0].parts[0];
            let output = part.as_data().map(Json::to_value).unwrap_or_default();
            let mut expected = made.output.clone();
            for step in &made.steps {
                let effects = ledger.effects.get(&step.id).copied().unwrap_or_default();
                let is_right = match step.tool {
                    "put" => effects == 1,
                    // Said to have happened, its result is not known.
                    "post" => {
                        forget_unknown(&mut expected, &output, &step.id);
                        effects == 1
                    }
                    _ => effects >= 1,
                };
                if !is_right {
                    wrong.push(format!("{} ({}) had {effects} effects\n{}", step.id, step.tool, made.text));
                }
            }
            if output != expected {
                wrong.push(format!("{} gave {output} and not {expected}\n{}", made.name, made.text));
            }
        }
        wrong
    }
}

/// Where a call's result is not known, whatever stands there is right.
fn forget_unknown(expected: &mut Value, output: &Value, id: &str) {
    match (expected, output) {
        (Value::Object(expected), Value::Object(output)) => {
            for (key, value) in expected.iter_mut() {
                let given = output.get(key).cloned().unwrap_or_default();
                if value["did"] == id && given == "" {
                    *value = given;
                } else {
                    forget_unknown(value, &given, id);
                }
            }
        }
        (Value::Array(expected), Value::Array(output)) => {
            for (value, given) in expected.iter_mut().zip(output) {
                if value["did"] == id && given == "" {
                    *value = given.clone();
                }
            }
        }
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) | Value::Array(_),
            _,
        ) => {}
    }
}

fn name(name: &str) -> AgentName {
    AgentName::parse(name).unwrap()
}

fn ann() -> Caller {
    Caller::new(Principal::parse("ann").unwrap(), Tenant::parse("acme").unwrap())
}

fn message(id: &str, parts: Vec<Part>) -> Message {
    Message { role: Role::User, ..Message::from_agent(MessageId::parse(id).unwrap(), parts) }
}
