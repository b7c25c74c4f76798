//! Messages that come before their agent knows what can be called.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Call, Caller, Description, Effect, Fault, Limits, Message, Outcome, Part, Plan, Question, QuestionKind,
    SkillId, State, Task,
};
use bobbinet_engine::{Agent, Authorizer, Engine, Handle, NewTask, Reply, Request, Run, Setup};
use tokio::sync::Notify;

use crate::lab::{Lab, answer, caller, name_of, said, until};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Knows what can be called once it is told. Calls the skill that the message or its URL names; `ask` asks for it first, `bad` is
/// refused.
#[derive(Debug)]
struct Late {
    /// What it says to whoever waits; `None` for nothing yet.
    known: Mutex<Option<Result<(), Fault>>>,
    told: Notify,
    /// Whether it breaks over whoever waits for it next.
    panics: AtomicBool,
    called: Mutex<Vec<String>>,
}

impl Late {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            told: Notify::new(),
            panics: AtomicBool::new(false),
            called: Mutex::default(),
        })
    }

    fn knowing() -> Arc<Self> {
        let late = Self::new();
        late.learn();
        late
    }

    fn learn(&self) {
        self.tell(Ok(()));
    }

    fn tell(&self, known: Result<(), Fault>) {
        *self.known.lock().unwrap() = Some(known);
        self.told.notify_waiters();
    }

    fn knows(&self) -> bool {
        *self.known.lock().unwrap() == Some(Ok(()))
    }

    fn called(&self) -> Vec<String> {
        self.called.lock().unwrap().clone()
    }
}

#[async_trait]
impl Agent for Late {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        if !self.knows() {
            return Plan::Defer;
        }
        let text = request.message.text();
        match (text.as_str(), request.question()) {
            ("ask", None) => {
                let message = Arc::new(Message::from_agent(request.question_id.clone(), vec![Part::text("what?")]));
                Plan::Ask(Arc::new(Question { kind: QuestionKind::Input, message, schema: None }))
            }
            ("bad", _) => Plan::Reject(Fault::new("bad-arguments", "no")),
            (text, question) => {
                let said = request.task.map_or(0, |task| task.history.len());
                let skill = match (request.skill, question) {
                    (Some(skill), _) => skill.to_string(),
                    (None, Some(question)) => format!("{text}-after-{said}-{}", question.message.text()),
                    (None, None) => text.to_owned(),
                };
                let skill = Some(SkillId::parse(&skill).unwrap());
                Plan::Call(Arc::new(Call { skill, ..Call::of_message(Effect::AtMostOnce) }))
            }
        }
    }

    async fn ready_to_plan(&self) -> Result<(), Fault> {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "an agent that breaks when it is waited for");
        let mut told = std::pin::pin!(self.told.notified());
        told.as_mut().enable();
        // What was said before somebody waited is no answer.
        if !self.knows() {
            told.await;
        }
        self.known.lock().unwrap().clone().expect("nobody unlearns")
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        self.called.lock().unwrap().push(run.call().skill.as_ref().unwrap().to_string());
        Outcome::Completed { artifacts: Vec::new(), message: None }
    }

    async fn shutdown(&self) {}
}

/// Lets callers call what their scopes name.
#[derive(Debug)]
struct Scopes;

impl Authorizer for Scopes {
    fn allows_call(&self, caller: &Caller, _: &AgentName, call: &Call) -> Result<(), Fault> {
        let skill = call.skill.as_ref().unwrap().as_str();
        let is_allowed = caller.is_node_owner || caller.scopes.iter().any(|scope| scope == skill);
        if is_allowed { Ok(()) } else { Err(Fault::new("denied", format!("{} may not {skill}", caller.principal))) }
    }
}

async fn open(lab: &Lab, agents: &[(&str, Arc<Late>)]) -> Engine {
    let agents = agents.iter().map(|(name, late)| (name_of(name), late.clone() as Arc<dyn Agent>));
    let setup = Setup {
        store: lab.store.clone(),
        agents: agents.collect::<BTreeMap<_, _>>(),
        env: lab.clock.clone(),
        limits: lab.limits.clone(),
        authorizer: Arc::new(Scopes),
    };
    Engine::open(setup).await.unwrap()
}

fn owner() -> Caller {
    Caller { is_node_owner: true, ..caller("ann") }
}

fn begin(engine: &Engine, who: &Caller, text: &str, skill: Option<&str>) -> Handle {
    let skill = skill.map(|skill| SkillId::parse(skill).unwrap());
    let new = NewTask { message: said("first", text), context: None, skill, trace: None, idempotency: None };
    engine.submit(who, &name_of("late"), new).unwrap()
}

/// Begins a task that waits to be planned.
async fn waiting(engine: &Engine, who: &Caller, text: &str) -> Arc<Task> {
    let task = begin(engine, who, text, None).accepted().await.unwrap();
    assert_eq!((task.state, task.deferred.is_some(), task.planned_call.is_some()), (State::Submitted, true, false));
    task
}

fn code(task: &Task) -> String {
    let data = task.status_message.as_ref().unwrap().data().unwrap().to_value();
    data["code"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_message_is_planned_once_it_is_known_what_can_be_called() {
    let lab = Lab::new(Limits::default());
    let late = Late::new();
    let (engine, ann) = (open(&lab, &[("late", late.clone())]).await, owner());
    let handles = ["work", "anything", "ask", "bad"].map(|text| {
        let skill = (text == "anything").then_some("named");
        begin(&engine, &ann, text, skill)
    });
    tokio::time::sleep(DAY).await;
    for handle in &handles {
        assert_eq!(handle.accepted().await.unwrap().state, State::Submitted);
    }
    late.learn();
    let mut states = Vec::new();
    for handle in &handles {
        states.push(handle.settled().await.unwrap().state);
    }
    assert_eq!(states, [State::Completed, State::Completed, State::InputRequired, State::Rejected]);
    assert_eq!(late.called(), ["work", "named"]);
    let log = engine.log(&ann, &name_of("late"), &handles[0].id()).await.unwrap();
    let planned = log.iter().filter(|(_, kept)| matches!(kept.event, bobbinet_core::Event::Planned { .. })).count();
    assert_eq!((log.len(), planned), (7, 1), "{log:?}");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn policy_sees_the_call_and_whoever_asked_for_it_before_it_is_made() {
    let lab = Lab::new(Limits::default());
    let late = Late::new();
    let engine = open(&lab, &[("late", late.clone())]).await;
    let bob = Caller { scopes: vec!["read".to_owned()], ..caller("bob") };
    let (denied, allowed) = (waiting(&engine, &bob, "write").await, waiting(&engine, &bob, "read").await);
    // Also by a node that knows the callers from its store alone.
    lab.kill(engine).await;
    let engine = open(&lab, &[("late", late.clone())]).await;
    late.learn();
    let denied = until(&engine, &bob, "late", &denied.id, State::Rejected).await;
    assert_eq!((code(&denied), denied.calls.len(), denied.planned_call.is_some()), ("denied".to_owned(), 0, false));
    until(&engine, &bob, "late", &allowed.id, State::Completed).await;
    assert_eq!(late.called(), ["read"]);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_planned_with_its_question_and_for_the_one_who_gave_it() {
    let lab = Lab::new(Limits::default());
    let (knowing, ann) = (Late::knowing(), Caller { scopes: vec!["it-after-2-what?".to_owned()], ..caller("ann") });
    let engine = open(&lab, &[("late", knowing)]).await;
    let asked = [begin(&engine, &ann, "ask", None), begin(&engine, &ann, "ask", None)];
    for handle in &asked {
        assert_eq!(handle.settled().await.unwrap().state, State::InputRequired);
    }
    engine.shutdown(Duration::ZERO).await;
    let late = Late::new();
    let engine = open(&lab, &[("late", late.clone())]).await;
    let name = name_of("late");
    for (handle, text) in asked.iter().zip(["it", "that"]) {
        let replied = engine.reply(&ann, &name, &handle.id(), answer(text, text, None)).await.unwrap();
        assert_eq!(replied.accepted().await.unwrap().state, State::Submitted);
        // It is at work on the first one.
        let more = Reply { message: said("m", "more"), context: None, skill: None, idempotency: None };
        engine.reply(&ann, &name, &handle.id(), more).await.unwrap_err();
    }
    lab.kill(engine).await;
    let engine = open(&lab, &[("late", late.clone())]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    late.learn();
    until(&engine, &ann, "late", &asked[0].id(), State::Completed).await;
    let denied = until(&engine, &ann, "late", &asked[1].id(), State::Rejected).await;
    assert_eq!((code(&denied), late.called()), ("denied".to_owned(), vec!["it-after-2-what?".to_owned()]));
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_to_be_planned_can_be_canceled() {
    let lab = Lab::new(Limits::default());
    let late = Late::new();
    let (engine, ann) = (open(&lab, &[("late", late.clone())]).await, owner());
    let (canceled, other) = (waiting(&engine, &ann, "canceled").await, waiting(&engine, &ann, "other").await);
    let canceled = engine.cancel(&ann, &name_of("late"), &canceled.id).await.unwrap();
    assert_eq!((canceled.state, canceled.status_message.is_some()), (State::Canceled, false));
    late.learn();
    until(&engine, &ann, "late", &other.id, State::Completed).await;
    assert_eq!(late.called(), ["other"]);
    assert_eq!(engine.get(&ann, &name_of("late"), &canceled.id).await.unwrap().state, State::Canceled);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_an_agent_that_does_not_come_to_know() {
    let lab = Lab::new(Limits::default());
    let late = Late::new();
    let (engine, ann) = (open(&lab, &[("late", late.clone())]).await, owner());
    let first = waiting(&engine, &ann, "first").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    // This one has not waited as long as the agent was waited for.
    let second = waiting(&engine, &ann, "second").await;
    late.tell(Err(Fault::new("server-not-ready", "it is not there")));
    let failed = until(&engine, &ann, "late", &first.id, State::Failed).await;
    assert_eq!((code(&failed), failed.calls.len()), ("server-not-ready".to_owned(), 0));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(engine.get(&ann, &name_of("late"), &second.id).await.unwrap().state, State::Submitted);
    late.learn();
    until(&engine, &ann, "late", &second.id, State::Completed).await;
    assert_eq!(late.called(), ["second"]);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_breaks_when_it_is_waited_for_is_waited_for_again() {
    let lab = Lab::new(Limits::default());
    let late = Late::new();
    late.panics.store(true, Ordering::SeqCst);
    let (engine, ann) = (open(&lab, &[("late", late.clone())]).await, owner());
    let task = waiting(&engine, &ann, "work").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    late.learn();
    until(&engine, &ann, "late", &task.id, State::Completed).await;
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_to_be_planned_waits_for_its_agent_too() {
    let lab = Lab::new(Limits::default());
    let (late, ann) = (Late::new(), owner());
    let engine = open(&lab, &[("late", late.clone())]).await;
    let (back, gone) = (waiting(&engine, &ann, "back").await, waiting(&engine, &ann, "gone").await);
    let other = begin(&engine, &ann, "other", None);
    engine.cancel(&ann, &name_of("late"), &other.accepted().await.unwrap().id).await.unwrap();
    engine.shutdown(Duration::ZERO).await;
    let engine = open(&lab, &[("another", late.clone())]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for task in [&back, &gone] {
        let task = engine.get(&ann, &name_of("another"), &task.id).await.unwrap();
        assert_eq!((task.is_unserved, task.deferred.is_some()), (true, true));
    }
    engine.shutdown(Duration::ZERO).await;
    let engine = open(&lab, &[("late", late.clone())]).await;
    late.learn();
    for task in [&back, &gone] {
        until(&engine, &ann, "late", &task.id, State::Completed).await;
    }
    engine.shutdown(Duration::ZERO).await;
    // One that nobody comes back for.
    let late = Late::new();
    let engine = open(&lab, &[("late", late.clone())]).await;
    let gone = waiting(&engine, &ann, "gone").await;
    engine.shutdown(Duration::ZERO).await;
    let engine = open(&lab, &[("another", late)]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    lab.clock.forward(DAY * 8);
    let failed = until(&engine, &ann, "another", &gone.id, State::Failed).await;
    assert_eq!(code(&failed), "unknown-agent");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn many_wait_without_being_read_and_all_are_planned() {
    let lab = Lab::new(Limits { hot_tasks_max: 10, ..Limits::default() });
    let late = Late::new();
    let (engine, ann) = (open(&lab, &[("late", late.clone())]).await, owner());
    let mut tasks = Vec::new();
    for _ in 0..200 {
        tasks.push(waiting(&engine, &ann, "work").await.id);
    }
    lab.reads();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(lab.reads(), 0, "what waits is not read with each look");
    lab.commits();
    late.learn();
    for id in &tasks {
        until(&engine, &ann, "late", id, State::Completed).await;
    }
    assert_eq!(late.called().len(), 200);
    engine.shutdown(Duration::ZERO).await;
}
