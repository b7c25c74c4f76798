//! The agents whose tasks are in the stores, and the clock that stands where it stood when a store was written.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Caller, Description, Effect, Fault, Json, Limits, Message, MessageId,
    Outcome, Part, Plan, Principal, Question, QuestionKind, Role, State, Task, TaskId, Tenant, Timestamp,
};
use bobbinet_engine::{Agent, AllowAll, Engine, Env, NewTask, Request, Run, Setup};
use bobbinet_store::{SledOptions, SledStore};
use uuid::Uuid;

/// When the stores were written, by their own clock: nothing in them is ever overdue.
pub(crate) const BEGINNING: u64 = 1_795_773_600_000;

/// Bytes of the artifact that is kept as a blob.
pub(crate) const LARGE: usize = 100_000;

/// Serves everybody.
pub(crate) const DESK: &str = "desk";

/// Takes no calls while a store is written: its tasks wait.
pub(crate) const AWAY: &str = "away";

/// What an agent makes of a message:
/// - `report` says how far it is, adds a small and a large artifact, and completes.
/// - `ask` asks first; any answer to it completes.
/// - `confirm` asks during its call, and completes with the answer.
/// - `fail` and `reject` do so.
/// - `work` and `wait` may run again, `once` may not: while a store is written none of them comes to an end.
/// - Anything else completes at once.
#[derive(Debug)]
pub(crate) struct Desk {
    takes_calls: bool,
    ends_work: bool,
}

impl Desk {
    fn question(kind: QuestionKind, id: MessageId) -> Arc<Question> {
        let words = if kind == QuestionKind::Input { "What exactly?" } else { "Are you sure?" };
        Arc::new(Question { kind, message: Arc::new(Message::from_agent(id, vec![Part::text(words)])), schema: None })
    }
}

#[async_trait]
impl Agent for Desk {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        let call = |effect| Plan::Call(Arc::new(Call::of_message(effect)));
        match (request.question().map(|question| question.kind), request.message.text().as_str()) {
            (Some(QuestionKind::Elicitation), answer) => Plan::Answer(Json::parse(&format!("{answer:?}")).unwrap()),
            (None, "ask") => Plan::Ask(Self::question(QuestionKind::Input, request.question_id.clone())),
            (None, "reject") => Plan::Reject(Fault::new("unknown", "there is no such thing")),
            (None, "once") => call(Effect::AtMostOnce),
            (_, _) => call(Effect::Idempotent),
        }
    }

    fn max_concurrency(&self) -> usize {
        16
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn takes_calls(&self) -> bool {
        self.takes_calls
    }

    async fn run(&self, run: Run) -> Outcome {
        let said = run.task().history.first().unwrap().text();
        let mut artifacts = Vec::new();
        match said.as_str() {
            "fail" => return Outcome::Failed(Fault::new("broken", "it is broken")),
            "work" | "once" | "wait" if !self.ends_work => run.canceled().await,
            "confirm" if run.answer_to("Are you sure?", None).is_none() => {
                let question = Self::question(QuestionKind::Elicitation, run.message_id("q"));
                // An answer completes it, and without one whatever is returned here is too late.
                run.ask(question).await.ok();
            }
            "report" => {
                run.progress(Some(Arc::new(Message::from_agent(run.message_id("p"), vec![Part::text("half")]))), None);
                let large = Artifact::new(
                    ArtifactId::parse("large").unwrap(),
                    vec![Part::text("0123456789".repeat(LARGE / 10))],
                );
                run.add(Arc::new(large), false, true).await.unwrap();
                artifacts.push(Arc::new(Artifact::new(ArtifactId::parse("small").unwrap(), vec![Part::text("done")])));
            }
            _ => {}
        }
        Outcome::Completed { artifacts, message: None }
    }

    async fn shutdown(&self) {}
}

/// A clock that begins at [`BEGINNING`], or a little later.
#[derive(Debug)]
struct Clock {
    begin: u64,
    started: Instant,
    last: AtomicU64,
}

impl Env for Clock {
    fn now(&self) -> Timestamp {
        let now = self.begin + u64::try_from(self.monotonic().as_millis()).unwrap();
        Timestamp::from_millis(self.last.fetch_max(now, Ordering::Relaxed).max(now))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Opens the store in a folder.
pub(crate) fn open(folder: &Path) -> Arc<SledStore> {
    Arc::new(SledStore::open(SledOptions::new(folder)).unwrap())
}

/// An engine while a store is written: work does not come to an end.
pub(crate) async fn engine_then(store: &Arc<SledStore>) -> Engine {
    engine(store, BEGINNING, Desk { takes_calls: true, ends_work: false }, false).await
}

/// An engine that serves a store an hour after it was written: work is done.
pub(crate) async fn engine_now(store: &Arc<SledStore>) -> Engine {
    engine(store, BEGINNING + 3_600_000, Desk { takes_calls: true, ends_work: true }, true).await
}

async fn engine(store: &Arc<SledStore>, begin: u64, desk: Desk, is_away_back: bool) -> Engine {
    let away = Desk { takes_calls: is_away_back, ends_work: desk.ends_work };
    let agents: BTreeMap<AgentName, Arc<dyn Agent>> =
        BTreeMap::from([(name(DESK), Arc::new(desk) as Arc<dyn Agent>), (name(AWAY), Arc::new(away))]);
    let env = Arc::new(Clock { begin, started: Instant::now(), last: AtomicU64::new(0) });
    Engine::open(Setup { store: store.clone(), agents, env, limits: Limits::default(), authorizer: Arc::new(AllowAll) })
        .await
        .unwrap()
}

pub(crate) fn name(agent: &str) -> AgentName {
    AgentName::parse(agent).unwrap()
}

/// The one whose tasks they are.
pub(crate) fn caller() -> Caller {
    Caller {
        principal: Principal::parse("ann").unwrap(),
        tenant: Tenant::parse("acme").unwrap(),
        is_node_owner: false,
        scopes: Vec::new(),
        chain: Vec::new(),
        issuer: None,
        claims: None,
    }
}

pub(crate) fn said(text: &str) -> Message {
    let id = MessageId::parse(&format!("m-{text}")).unwrap();
    Message { role: Role::User, ..Message::from_agent(id, vec![Part::text(text)]) }
}

/// A message that begins a task; `report` comes under an idempotency key.
pub(crate) fn new_task(text: &str) -> NewTask {
    let idempotency = (text == "report").then(|| ("once-only".to_owned(), [7; 32]));
    NewTask { message: said(text), context: None, skill: None, trace: None, idempotency }
}

/// How long anything is waited for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the task is in this state.
pub(crate) async fn until(engine: &Engine, agent: &str, id: &TaskId, state: State) -> Arc<Task> {
    let end = Instant::now() + PATIENCE;
    loop {
        let task = engine.get(&caller(), &name(agent), id).await.unwrap();
        if task.state == state {
            return task;
        }
        assert!(Instant::now() < end, "{id} does not come to be {state:?}, it is {:?}", task.state);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
