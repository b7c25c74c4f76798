//! How long a task waits for an answer, and for an agent that is not configured any more.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use bobbinet_core::{Caller, Limits, State, Task, TaskId, task::CallOutcome};
use bobbinet_engine::{Engine, EngineError};

use crate::lab::{Lab, answer, begin, begin_at, caller, kept, name_of, until};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Some days pass, and reconcile looks.
async fn days(lab: &Lab, days: u32) {
    lab.clock.forward(DAY * days);
    tokio::time::sleep(Duration::from_secs(3)).await;
}

async fn state(engine: &Engine, owner: &Caller, agent: &str, id: &TaskId) -> State {
    engine.get(owner, &name_of(agent), id).await.unwrap().state
}

/// The code and the words of a task's status.
fn words(task: &Task) -> (String, String) {
    let message = task.status_message.as_ref().expect("the status says something");
    let code = message.data().unwrap().to_value()["code"].as_str().unwrap().to_owned();
    (code, message.text())
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_ends_its_task() {
    let lab = Lab::new(Limits::default());
    let (engine, ann) = (lab.open(&["tool"]).await, caller("ann"));
    let asked = kept(&engine, &ann, "ask").await.id;
    let unknown = kept(&engine, &ann, "once").await.id;
    until(&engine, &ann, "tool", &unknown, State::InputRequired).await;
    days(&lab, 29).await;
    // It is asked anew, and that has a time of its own.
    let again = engine.reply(&ann, &name_of("tool"), &unknown, answer("m", "retry", None)).await.unwrap();
    again.settled().await.unwrap();
    engine.shutdown(Duration::ZERO).await;
    drop(engine);
    let engine = lab.open(&["tool"]).await;
    assert_eq!(state(&engine, &ann, "tool", &asked).await, State::InputRequired);
    days(&lab, 2).await;
    let ended = engine.get(&ann, &name_of("tool"), &asked).await.unwrap();
    assert_eq!(ended.state, State::Failed);
    let said = ("question-expired".to_owned(), "nobody answered its question within 30 days".to_owned());
    assert_eq!(words(&ended), said);
    assert_eq!(state(&engine, &ann, "tool", &unknown).await, State::InputRequired);
    days(&lab, 29).await;
    let ended = engine.get(&ann, &name_of("tool"), &unknown).await.unwrap();
    assert_eq!((ended.state, ended.calls[0].outcome), (State::Failed, Some(CallOutcome::Unknown)));
    assert!(words(&ended).1.ends_with("whether call 1 had an effect is not known"), "{:?}", words(&ended));
    engine.shutdown(Duration::ZERO).await;
}

/// Tasks of an agent that is then not configured any more: one that works, two in line, one that asks, one whose call's
/// outcome is not known.
async fn left(lab: &Lab, owner: &Caller) -> Vec<TaskId> {
    let engine = lab.open(&["tool", "other"]).await;
    let mut tasks = vec![kept(&engine, owner, "once").await.id];
    until(&engine, owner, "tool", &tasks[0], State::InputRequired).await;
    for text in ["ask", "work", "work", "work"] {
        tasks.push(kept(&engine, owner, text).await.id);
    }
    until(&engine, owner, "tool", &tasks[2], State::Working).await;
    engine.shutdown(Duration::ZERO).await;
    tasks
}

#[tokio::test(start_paused = true)]
async fn a_task_without_its_agent_is_its_owners_and_ends_when_its_time_is_up() {
    let mut lab = Lab::new(Limits { tasks_parked_per_owner_max: 3, ..Limits::default() });
    let (ann, eve) = (caller("ann"), caller("eve"));
    let tasks = left(&lab, &ann).await;
    lab.limits.tasks_open_per_owner_max = 2;
    let engine = lab.open(&["other"]).await;
    assert_eq!(engine.unserved().collect::<Vec<_>>(), [&name_of("tool")]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    for agent in ["tool", "other"] {
        for task in &tasks[2..] {
            let task = engine.get(&ann, &name_of(agent), task).await.unwrap();
            assert_eq!(task.state, State::Submitted);
            let (code, text) = words(&task);
            assert_eq!(code, "unknown-agent");
            assert!(text.contains("no agent tool any more: the task waits 7 days"), "{text}");
            let strangers = engine.get(&eve, &name_of(agent), &task.id).await;
            assert_eq!(strangers.err(), Some(EngineError::NotFound));
        }
    }
    assert!(engine.follow(&ann, &name_of("other"), &tasks[2]).await.is_ok());
    // They take no room from another agent, and get no new company.
    for _ in 0..2 {
        begin_at("other", &engine, &ann, "work").unwrap().accepted().await.unwrap();
    }
    assert_eq!(begin(&engine, &ann, "work").err(), Some(EngineError::UnknownAgent));
    let canceled = engine.cancel(&ann, &name_of("other"), &tasks[2]).await.unwrap();
    assert_eq!(canceled.state, State::Canceled);
    // What became of a call can be said; what needs the agent cannot.
    let go = || answer("m", "go", None);
    assert_eq!(engine.reply(&ann, &name_of("other"), &tasks[1], go()).await.err(), Some(EngineError::UnknownAgent));
    engine.reply(&ann, &name_of("other"), &tasks[0], answer("m", "happened", None)).await.unwrap();
    assert_eq!(state(&engine, &ann, "other", &tasks[0]).await, State::Completed);

    days(&lab, 4).await;
    engine.shutdown(Duration::ZERO).await;
    drop(engine);
    // The time goes on over a restart.
    let engine = lab.open(&["other"]).await;
    days(&lab, 2).await;
    assert_eq!(state(&engine, &ann, "other", &tasks[3]).await, State::Submitted);
    days(&lab, 2).await;
    let ended = engine.get(&ann, &name_of("other"), &tasks[3]).await.unwrap();
    assert_eq!(ended.state, State::Failed);
    let said = "agent tool was not configured on this node for 7 days".to_owned();
    assert_eq!(words(&ended), ("unknown-agent".to_owned(), said));
    assert_eq!(state(&engine, &ann, "other", &tasks[1]).await, State::InputRequired);
    days(&lab, 23).await;
    assert_eq!(state(&engine, &ann, "other", &tasks[1]).await, State::Failed, "its question has its own time");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_goes_on_when_its_agent_comes_back() {
    let lab = Lab::new(Limits::default());
    let ann = caller("ann");
    let tasks = left(&lab, &ann).await;
    let engine = lab.open(&["other"]).await;
    days(&lab, 6).await;
    engine.shutdown(Duration::ZERO).await;
    drop(engine);
    lab.let_go(3);
    let engine = lab.open(&["tool", "other"]).await;
    assert_eq!(engine.unserved().count(), 0);
    for task in &tasks[2..] {
        until(&engine, &ann, "tool", task, State::Completed).await;
        assert_eq!(engine.get(&ann, &name_of("other"), task).await.err(), Some(EngineError::NotFound));
    }
    engine.shutdown(Duration::ZERO).await;
}

/// What is logged while this is there.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_once_of_an_agent_that_is_gone() {
    let lab = Lab::new(Limits::default());
    left(&lab, &caller("ann")).await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let engine = lab.open(&["other"]).await;
    days(&lab, 1).await;
    engine.shutdown(Duration::ZERO).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let told: Vec<_> = text.lines().filter(|line| line.contains("agent=tool open=3 parked=2")).collect();
    assert_eq!(told.len(), 1, "{text}");
    assert!(told[0].contains("WARN"), "{told:?}");
}
