//! What a tree of tasks may spend on a model, over a scripted endpoint.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{Json as Body, Router, routing::post};
use bobbinet_core::{
    AgentName, Call, Caller, Description, Effect, Json, Limits, Message, MessageId, Outcome, Part, Plan, Principal,
    Role, State, Task, TaskId, Tenant,
};
use bobbinet_engine::{Agent, AllowAll, Engine, NewChild, NewTask, Reply, Request, Run, Setup, SystemEnv};
use bobbinet_model::{ModelAgent, ModelConfig};
use bobbinet_outbound::{Guard, Origin, OutboundLimits};
use bobbinet_store::MemoryStore;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

/// Tokens that one answer of the endpoint costs.
const COST: u64 = 500;

/// Thinks so often, one thought after the other: a tree of tasks.
#[derive(Debug)]
struct Thinker(usize);

#[async_trait]
impl Agent for Thinker {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, _: &Request<'_>) -> Plan {
        Plan::Call(Arc::new(Call::of_message(Effect::Idempotent)))
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn begins_tasks(&self) -> bool {
        true
    }

    async fn run(&self, run: Run) -> Outcome {
        for number in 0..self.0 {
            let child = NewChild {
                name: number.to_string().into(),
                agent: name("model"),
                message: message(&number.to_string(), &json!({ "prompt": "Shall it?" })),
                skill: None,
                time: None,
                budget: None,
            };
            let mut child = run.begin_child(child).await.unwrap();
            loop {
                let task = run.wait_for(&child).await.unwrap();
                if task.state.is_terminal() {
                    break;
                }
                child = child.after(task.generation);
            }
        }
        Outcome::Completed { artifacts: Vec::new(), message: None }
    }

    async fn shutdown(&self) {}
}

struct Bench {
    engine: Engine,
    /// What the endpoint was sent.
    sent: Arc<Mutex<Vec<Value>>>,
    _serving: JoinSet<()>,
}

impl Bench {
    async fn open(thoughts: usize, budget: u64, max_tokens: Option<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent: Arc<Mutex<Vec<Value>>> = Arc::default();
        let seen = sent.clone();
        let answer = async move |Body(body): Body<Value>| {
            seen.lock().unwrap().push(body);
            Body(json!({ "choices": [{ "message": { "content": "yes" } }], "usage": { "total_tokens": COST } }))
        };
        let router = Router::new().route("/chat/completions", post(answer));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let origin = Origin::of(&url.parse().unwrap()).unwrap();
        let model = ModelAgent::new(ModelConfig {
            url,
            model: "scripted".to_owned(),
            key: None,
            system: None,
            max_tokens,
            budget,
            title: None,
            description: None,
            calls_max: 4,
            guard: Guard::new([origin], OutboundLimits::default()).unwrap(),
        })
        .unwrap();
        let agents: BTreeMap<AgentName, Arc<dyn Agent>> =
            BTreeMap::from([(name("model"), model as _), (name("thinker"), Arc::new(Thinker(thoughts)) as _)]);
        let setup = Setup {
            store: Arc::new(MemoryStore::new()),
            agents,
            env: Arc::new(SystemEnv),
            limits: Limits::default(),
            authorizer: Arc::new(AllowAll),
        };
        Self { engine: Engine::open(setup).await.unwrap(), sent, _serving: serving }
    }

    async fn begin(&self, agent: &str, said: &Value) -> Arc<Task> {
        let new = NewTask { message: message("m1", said), context: None, skill: None, trace: None, idempotency: None };
        soon(self.engine.submit(&ann(), &name(agent), new).unwrap().accepted()).await.unwrap()
    }

    /// The next question of a child of this task, or nothing once the task has ended.
    async fn next_question(&self, root: &TaskId, after: Option<&MessageId>) -> Option<(TaskId, Arc<Message>)> {
        loop {
            let task = self.engine.get(&ann(), &name("thinker"), root).await.unwrap();
            for child in &task.children {
                let child = self.engine.get(&ann(), &name("model"), &child.task).await.unwrap();
                if let Some(question) = child.question.as_ref().filter(|asked| Some(&asked.message.id) != after) {
                    return Some((child.id, question.message.clone()));
                }
            }
            if task.state.is_terminal() {
                assert_eq!(task.state, State::Completed);
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn answer(&self, id: &TaskId, word: &str) {
        let message = message(word, &json!({ "go": true }));
        let reply = Reply { message, context: None, skill: None, idempotency: None };
        self.engine.reply(&ann(), &name("model"), id, reply).await.unwrap();
    }
}

fn name(name: &str) -> AgentName {
    AgentName::parse(name).unwrap()
}

fn ann() -> Caller {
    Caller::new(Principal::parse("ann").unwrap(), Tenant::parse("acme").unwrap())
}

fn message(id: &str, data: &Value) -> Message {
    let parts = vec![Part::data(Json::from(data))];
    Message { role: Role::User, ..Message::from_agent(MessageId::parse(id).unwrap(), parts) }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.expect("it does not hang")
}

/// One answer costs many budgets: each yes is good for one more, and the questions are told apart.
#[tokio::test]
async fn a_tree_that_has_spent_far_more_than_its_budget_goes_on_with_each_yes() {
    let bench = Bench::open(3, 10, None).await;
    let root = bench.begin("thinker", &json!({})).await;
    let mut asked = Vec::new();
    let mut last = None;
    while let Some((child, question)) = soon(bench.next_question(&root.id, last.as_ref())).await {
        asked.push(question.text());
        bench.answer(&child, &format!("yes-{}", asked.len())).await;
        last = Some(question.id.clone());
    }
    let text = |spent: u64, allowed: u64| {
        format!(
            "The tasks beneath {} have spent {spent} tokens on models, of {allowed} that they may. May they spend 10 more?",
            root.id
        )
    };
    assert_eq!(asked, [text(500, 10), text(1_000, 510)]);
    assert_eq!(bench.sent.lock().unwrap().len(), 3);
    bench.engine.shutdown(Duration::ZERO).await;
}
