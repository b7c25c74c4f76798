//! An engine with flows and an agent whose skills the tests know.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Caller, Description, Effect, Fault, Json, Limits, Message, MessageId,
    Outcome, Part, Plan, Principal, Question, QuestionKind, Role, State, Task, TaskId, Tenant,
};
use bobbinet_engine::{Agent, Authorizer, Engine, Env, Handle, NewTask, Reply, Request, Run, Setup, SystemEnv};
use bobbinet_flow::limits::Limits as RunLimits;
use bobbinet_orchestrator::{Flow, FlowAgent, FlowLimits, Mesh, MessageFlowAgent};
use bobbinet_store::Store;
use serde_json::{Value, json};
use tokio::sync::Barrier;

/// An agent with skills for tests, and a ledger of what was called. `echo` gives its arguments back, `fail` fails the first `times`
/// times that it is called with this `key`, `meet` waits until `count` calls are in it, `ask` asks `question` and gives the answer,
/// `ask-all` asks all `questions` in messages of one id and gives the answers, `hold` never ends, `large` gives `bytes` bytes.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    pub(crate) ledger: Mutex<Vec<(String, Value)>>,
    failures: Mutex<BTreeMap<String, u64>>,
    meetings: Mutex<BTreeMap<String, Arc<Barrier>>>,
    pub(crate) canceled: AtomicUsize,
}

impl Tools {
    /// How often this skill was called.
    pub(crate) fn count(&self, skill: &str) -> usize {
        self.ledger.lock().unwrap().iter().filter(|(called, _)| called == skill).count()
    }

    async fn work(&self, run: &Run, skill: &str, arguments: &Value) -> Outcome {
        match skill {
            "echo" => done(arguments.clone()),
            "fail" => {
                let key = arguments["key"].as_str().unwrap_or_default().to_owned();
                let so_far = {
                    let mut failures = self.failures.lock().unwrap();
                    let so_far = failures.entry(key).or_default();
                    *so_far += 1;
                    *so_far
                };
                if so_far <= arguments["times"].as_u64().unwrap_or(u64::MAX) {
                    Outcome::Failed(Fault::new("server-died", format!("failure {so_far}")))
                } else {
                    done(json!({ "after": so_far }))
                }
            }
            "meet" => {
                let count = arguments["count"].as_u64().unwrap() as usize;
                let key = arguments["key"].as_str().unwrap_or_default().to_owned();
                let meeting =
                    self.meetings.lock().unwrap().entry(key).or_insert_with(|| Arc::new(Barrier::new(count))).clone();
                meeting.wait().await;
                done(arguments.clone())
            }
            "ask" => {
                let text = arguments["question"].as_str().unwrap();
                let message = Message::from_agent(run.message_id("ask"), vec![Part::text(text)]);
                let schema = Json::from(&json!({ "type": "object" }));
                if let Some(answer) = run.answer_to(text, Some(&schema)) {
                    return done(answer.to_value());
                }
                let kind = QuestionKind::Elicitation;
                let question = Question { kind, message: Arc::new(message), schema: Some(schema) };
                match run.ask(Arc::new(question)).await {
                    Ok(answer) => done(answer.to_value()),
                    Err(_) => Outcome::Declined,
                }
            }
            "ask-all" => {
                let mut answers = Vec::new();
                for text in arguments["questions"].as_array().unwrap() {
                    let id = MessageId::parse("question").unwrap();
                    let message = Message::from_agent(id, vec![Part::text(text.as_str().unwrap())]);
                    let question =
                        Question { kind: QuestionKind::Elicitation, message: Arc::new(message), schema: None };
                    match run.ask(Arc::new(question)).await {
                        Ok(answer) => answers.push(answer.to_value()),
                        Err(_) => return Outcome::Declined,
                    }
                }
                done(answers.into())
            }
            "large" => {
                let bytes = arguments["bytes"].as_u64().unwrap() as usize;
                done(json!({ "large": "x".repeat(bytes), "of": bytes }))
            }
            "hold" => {
                run.canceled().await;
                self.canceled.fetch_add(1, Ordering::SeqCst);
                Outcome::Failed(Fault::new("canceled", "it was canceled"))
            }
            _ => Outcome::Rejected(Fault::new("unknown-tool", format!("there is no tool {skill}"))),
        }
    }
}

fn done(value: Value) -> Outcome {
    let id = ArtifactId::parse("result").unwrap();
    Outcome::Completed {
        artifacts: vec![Arc::new(Artifact::new(id, vec![Part::data(Json::from(&value))]))],
        message: None,
    }
}

/// The same tools, on every engine of a test.
#[derive(Debug)]
struct Tool(Arc<Tools>);

#[async_trait]
impl Agent for Tool {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        if request.question().is_some() {
            let answer = request.message.data().cloned().unwrap_or_else(|| Json::of(&request.message.text()));
            return Plan::Answer(answer);
        }
        let call = Call {
            skill: request.skill.cloned(),
            arguments: request.message.data().cloned(),
            converted: Vec::new(),
            effect: Effect::Idempotent,
        };
        Plan::Call(Arc::new(call))
    }

    fn max_concurrency(&self) -> usize {
        64
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let skill = run.call().skill.as_ref().map(|skill| skill.as_str().to_owned()).unwrap_or_default();
        let arguments = run.call().arguments.as_ref().map(Json::to_value).unwrap_or_default();
        self.0.ledger.lock().unwrap().push((skill.clone(), arguments.clone()));
        self.0.work(&run, &skill, &arguments).await
    }

    async fn shutdown(&self) {}
}

/// The same, for the node's own runs alone.
#[derive(Debug)]
struct Hidden(Tool);

#[async_trait]
impl Agent for Hidden {
    fn describe(&self) -> Arc<Description> {
        self.0.describe()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        self.0.prepare(request)
    }

    fn max_concurrency(&self) -> usize {
        self.0.max_concurrency()
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn is_internal(&self) -> bool {
        true
    }

    async fn run(&self, run: Run) -> Outcome {
        self.0.run(run).await
    }

    async fn shutdown(&self) {}
}

/// Nobody may have `fail` called with the key `secret`, and nobody `hold` by a flow of a message.
#[derive(Debug)]
struct NoFailures;

impl Authorizer for NoFailures {
    fn allows_call(&self, _: &Caller, _: &AgentName, call: &Call) -> Result<(), Fault> {
        let key = call.arguments.as_ref().map(|arguments| arguments.to_value()["key"].clone());
        let is_secret = key.is_some_and(|key| key == "secret");
        if is_secret { Err(Fault::new("denied", "that is secret")) } else { Ok(()) }
    }

    fn may_allow_call(&self, _: &Caller, _: &AgentName, call: &Call) -> Result<(), Fault> {
        let is_hold = call.skill.as_ref().is_some_and(|skill| skill.as_str() == "hold");
        if is_hold { Err(Fault::new("denied", "nobody may hold")) } else { Ok(()) }
    }

    fn allows_publish(&self, _: &Caller, _: &Json) -> Result<(), Fault> {
        Ok(())
    }

    fn allows_listen(&self, _: &Caller) -> Result<(), Fault> {
        Ok(())
    }
}

/// Allows calls, and nothing else.
#[derive(Debug)]
struct OnlyCalls;

impl Authorizer for OnlyCalls {
    fn allows_call(&self, _: &Caller, _: &AgentName, _: &Call) -> Result<(), Fault> {
        Ok(())
    }
}

/// An engine with these flows, by the names of their agents.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) tools: Arc<Tools>,
}

pub(crate) fn ann() -> Caller {
    Caller::new(Principal::parse("ann").unwrap(), Tenant::parse("acme").unwrap())
}

pub(crate) fn name_of(name: &str) -> AgentName {
    AgentName::parse(name).unwrap()
}

/// A document with these steps.
pub(crate) fn document(name: &str, steps: &str) -> String {
    format!("document: {{ dsl: '1.0.3', namespace: tests, name: {name}, version: '1.0.0' }}\n{steps}")
}

impl Bench {
    pub(crate) async fn open(store: Arc<dyn Store>, tools: &Arc<Tools>, flows: &[(&str, String)]) -> Self {
        Self::limited(store, tools, flows, Limits::default()).await
    }

    pub(crate) async fn limited(
        store: Arc<dyn Store>,
        tools: &Arc<Tools>,
        flows: &[(&str, String)],
        limits: Limits,
    ) -> Self {
        Self::at(store, tools, flows, limits, Arc::new(SystemEnv)).await
    }

    /// With this clock.
    pub(crate) async fn at(
        store: Arc<dyn Store>,
        tools: &Arc<Tools>,
        flows: &[(&str, String)],
        limits: Limits,
        env: Arc<dyn Env>,
    ) -> Self {
        Self::with(store, tools, flows, limits, env, Arc::new(NoFailures)).await
    }

    /// With nobody who may do anything with events.
    pub(crate) async fn denying(store: Arc<dyn Store>, flows: &[(&str, String)]) -> Self {
        let (tools, env) = (Arc::default(), Arc::new(SystemEnv));
        Self::with(store, &tools, flows, Limits::default(), env, Arc::new(OnlyCalls)).await
    }

    async fn with(
        store: Arc<dyn Store>,
        tools: &Arc<Tools>,
        flows: &[(&str, String)],
        limits: Limits,
        env: Arc<dyn Env>,
        authorizer: Arc<dyn Authorizer>,
    ) -> Self {
        let mut mesh = Mesh::default();
        let mut read = Vec::new();
        for (name, text) in flows {
            let flow = Flow { file: format!("{name}.yaml"), text: text.as_str().into(), secrets: BTreeMap::new() };
            let definition = FlowAgent::read(&flow, &RunLimits::default()).unwrap_or_else(|fault| {
                let what = fault.findings.iter().map(|finding| finding.message.clone()).collect::<Vec<_>>();
                panic!("{name}: {what:?}")
            });
            mesh = mesh.with_flow(&definition, name_of(name));
            read.push((name_of(name), flow, definition));
        }
        let mesh = Arc::new(mesh);
        let mut agents: BTreeMap<AgentName, Arc<dyn Agent>> = BTreeMap::new();
        agents.insert(name_of("tools"), Arc::new(Tool(tools.clone())));
        agents.insert(name_of("hidden"), Arc::new(Hidden(Tool(tools.clone()))));
        for (name, flow, definition) in read {
            let agent = FlowAgent::new(flow, definition, mesh.clone(), FlowLimits::default(), RunLimits::default());
            agents.insert(name, agent);
        }
        agents.insert(name_of("sent"), MessageFlowAgent::new(mesh.clone(), FlowLimits::default()));
        let setup = Setup { store, agents, env, limits, authorizer };
        Self { engine: Engine::open(setup).await.unwrap(), tools: tools.clone() }
    }

    pub(crate) fn begin(&self, flow: &str, input: &Value) -> Handle {
        let message = Message {
            role: Role::User,
            ..Message::from_agent(MessageId::parse("m1").unwrap(), vec![Part::data(Json::from(input))])
        };
        let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
        self.engine.submit(&ann(), &name_of(flow), new).unwrap()
    }

    /// The flow's task once it has ended or asks.
    pub(crate) async fn settled(&self, flow: &str, input: &Value) -> Arc<Task> {
        soon(self.begin(flow, input).settled()).await.unwrap()
    }

    /// The output of a flow that must complete.
    pub(crate) async fn output(&self, flow: &str, input: &Value) -> Value {
        let task = self.settled(flow, input).await;
        output(&task)
    }

    pub(crate) async fn get(&self, agent: &str, id: &TaskId) -> Arc<Task> {
        self.engine.get(&ann(), &name_of(agent), id).await.unwrap()
    }

    /// The task once it is so.
    pub(crate) async fn until(&self, agent: &str, id: &TaskId, is_so: impl Fn(&Task) -> bool) -> Arc<Task> {
        for _ in 0..3_000 {
            let task = self.get(agent, id).await;
            if is_so(&task) {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not come to be so: {:?}", self.get(agent, id).await);
    }

    pub(crate) async fn answer(&self, flow: &str, id: &TaskId, message: &str, answer: &Value) -> Handle {
        let message = Message {
            role: Role::User,
            ..Message::from_agent(MessageId::parse(message).unwrap(), vec![Part::data(Json::from(answer))])
        };
        let reply = Reply { message, context: None, skill: None, idempotency: None };
        self.engine.reply(&ann(), &name_of(flow), id, reply).await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.engine.shutdown(Duration::ZERO).await;
    }
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it does not hang")
}

pub(crate) fn output(task: &Task) -> Value {
    assert_eq!(task.state, State::Completed, "{}", status(task));
    let part = &task.artifacts[0].parts[0];
    part.as_data().map_or_else(|| Value::from(part.as_text().unwrap()), Json::to_value)
}

pub(crate) fn status(task: &Task) -> String {
    task.status_message.as_ref().map(|message| message.text()).unwrap_or_default()
}
