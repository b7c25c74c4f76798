//! A run that keeps how far it has come is taken over whatever its effect, and while its task waits for its caller.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Description, Effect, Event, Json, Limits, Message, Outcome, Part, Plan,
    Question, QuestionKind, Refused, State, Task, TaskId,
};
use bobbinet_engine::{Agent, AllowAll, Engine, EngineError, NewTask, Request, Run, Setup, SystemEnv};
use bobbinet_store::MemoryStore;
use tokio::sync::Semaphore;

use crate::lab::{answer, caller, name_of, said, until};

/// Asks once in each life, as its caller says: `ask`, and before that, in a later life, waits for the gate; `withdraw` asks, and then
/// needs no answer; `hold` never ends.
#[derive(Debug)]
struct Resuming {
    gate: Semaphore,
    lives: Mutex<Vec<Option<Json>>>,
}

fn question(run: &Run) -> Arc<Question> {
    let message = Arc::new(Message::from_agent(run.message_id("q"), vec![Part::text("really?")]));
    Arc::new(Question { kind: QuestionKind::Elicitation, message, schema: None })
}

#[async_trait]
impl Agent for Resuming {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        if request.question().is_some() {
            return Plan::Answer(Json::of(&request.message.text()));
        }
        let call = Call { arguments: Some(Json::of(&request.message.text())), ..Call::of_message(Effect::AtMostOnce) };
        Plan::Call(Arc::new(call))
    }

    fn max_concurrency(&self) -> usize {
        4
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let is_first = run.checkpointed().is_none();
        self.lives.lock().unwrap().push(run.checkpointed().cloned());
        run.checkpoint(Json::of(&run.attempt())).await.unwrap();
        if !is_first {
            self.gate.acquire().await.unwrap().forget();
        }
        let what: String = run.call().arguments.as_ref().unwrap().read().unwrap();
        let said = match what.as_str() {
            "ask" => match run.ask(question(&run)).await {
                Ok(answer) => answer.read().unwrap(),
                Err(_) => return Outcome::Declined,
            },
            "withdraw" => {
                run.put_question(question(&run)).await.unwrap();
                self.gate.acquire().await.unwrap().forget();
                run.withdraw_question().await.unwrap();
                "it went without".to_owned()
            }
            _ => std::future::pending().await,
        };
        let artifact = Artifact::new(ArtifactId::parse("said").unwrap(), vec![Part::text(said)]);
        Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }
    }

    async fn shutdown(&self) {}
}

async fn open(store: &Arc<MemoryStore>, open_for: usize) -> (Engine, Arc<Resuming>) {
    let agent = Arc::new(Resuming { gate: Semaphore::new(open_for), lives: Mutex::default() });
    let agents: BTreeMap<AgentName, Arc<dyn Agent>> = BTreeMap::from([(name_of("tool"), agent.clone() as _)]);
    let (env, authorizer) = (Arc::new(SystemEnv), Arc::new(AllowAll));
    let setup = Setup { store: store.clone(), agents, env, limits: Limits::default(), authorizer };
    (Engine::open(setup).await.unwrap(), agent)
}

async fn begin(engine: &Engine, text: &str) -> TaskId {
    let new = NewTask { message: said("m1", text), context: None, skill: None, trace: None, idempotency: None };
    engine.submit(&caller("ann"), &name_of("tool"), new).unwrap().accepted().await.unwrap().id
}

async fn until_so(engine: &Engine, id: &TaskId, is_so: impl Fn(&Task) -> bool) -> Arc<Task> {
    for _ in 0..3_000 {
        let task = engine.get(&caller("ann"), &name_of("tool"), id).await.unwrap();
        if is_so(&task) {
            return task;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to be so");
}

async fn asks(engine: &Engine, id: &TaskId) -> usize {
    let log = engine.log(&caller("ann"), &name_of("tool"), id).await.unwrap();
    log.iter().filter(|(_, recorded)| matches!(recorded.event, Event::Asked { .. })).count()
}

fn text(task: &Task) -> &str {
    task.artifacts[0].parts[0].as_text().unwrap()
}

/// The caller answers after the next process has taken the run, and before that has come to ask: it hears the answer, and asks nothing
/// again.
#[tokio::test]
async fn an_answer_that_comes_before_the_run_has_asked_again_is_heard() {
    let store = Arc::new(MemoryStore::new());
    let (first, _) = open(&store, 0).await;
    let id = begin(&first, "ask").await;
    let asked = until(&first, &caller("ann"), "tool", &id, State::InputRequired).await;
    first.shutdown(Duration::ZERO).await;

    let (second, agent) = open(&store, 0).await;
    until_so(&second, &id, |task| task.epoch > asked.epoch).await;
    let reply = answer("m2", "surely", None);
    let handle = second.reply(&caller("ann"), &name_of("tool"), &id, reply).await.unwrap();
    assert_eq!(until_so(&second, &id, |task| task.question.is_none()).await.state, State::Working);
    agent.gate.add_permits(1);
    let ended =
        tokio::time::timeout(Duration::from_secs(30), handle.settled()).await.expect("it does not hang").unwrap();
    assert_eq!((ended.state, text(&ended)), (State::Completed, "surely"));
    assert_eq!(asks(&second, &id).await, 1, "it was asked once");
    second.shutdown(Duration::ZERO).await;
}

/// The same question stays open over the restart, and its answer reaches the run that has it now.
#[tokio::test]
async fn a_question_that_is_open_is_not_asked_again() {
    let store = Arc::new(MemoryStore::new());
    let (first, _) = open(&store, 0).await;
    let id = begin(&first, "ask").await;
    let asked = until(&first, &caller("ann"), "tool", &id, State::InputRequired).await;
    first.shutdown(Duration::ZERO).await;

    let (second, agent) = open(&store, 1).await;
    let taken = until_so(&second, &id, |task| task.epoch > asked.epoch && task.checkpoint == Some(Json::of(&2))).await;
    assert_eq!((taken.state, &taken.question), (State::InputRequired, &asked.question));
    let handle = second.reply(&caller("ann"), &name_of("tool"), &id, answer("m2", "surely", None)).await.unwrap();
    let ended =
        tokio::time::timeout(Duration::from_secs(30), handle.settled()).await.expect("it does not hang").unwrap();
    assert_eq!((ended.state, text(&ended)), (State::Completed, "surely"));
    assert_eq!((asks(&second, &id).await, agent.lives.lock().unwrap().len()), (1, 1));
    second.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_question_that_is_withdrawn_takes_no_answer() {
    let (engine, agent) = open(&Arc::new(MemoryStore::new()), 0).await;
    let id = begin(&engine, "withdraw").await;
    until(&engine, &caller("ann"), "tool", &id, State::InputRequired).await;
    agent.gate.add_permits(1);
    let ended = until_so(&engine, &id, |task| task.state.is_terminal()).await;
    assert_eq!((ended.state, text(&ended)), (State::Completed, "it went without"));
    let late = engine.reply(&caller("ann"), &name_of("tool"), &id, answer("m2", "surely", None)).await;
    assert_eq!(late.map(|handle| handle.id()), Err(EngineError::Refused(Refused::Ended)));
    engine.shutdown(Duration::ZERO).await;
}
