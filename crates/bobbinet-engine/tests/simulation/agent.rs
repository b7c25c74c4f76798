//! The agents: tools that do, by chance, all that tools do, and the calls that they keep outside of every process.

use std::sync::Arc;

use async_trait::async_trait;
use bobbinet_core::{
    Artifact, ArtifactId, Call, Description, Effect, Fault, Json, Message, MessageId, Outcome, Part, Plan, Question,
    QuestionKind,
};
use bobbinet_engine::{Agent, Request, Run, Unanswered};
use tokio::time::Duration;

use crate::{
    history::{Execution, Returned},
    planted::Plant,
    scene::{Process, Scene},
};

/// What a tool asks in the middle of its work.
const ASKED: &str = "really?";

/// How long a quick tool takes at the most: less than `HOLD_MAX` of the engine.
const QUICK_MAX: u64 = 15;

/// How often it is not known yet what can be called.
const DEFERRED_PERCENT: u64 = 5;

#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) scene: Arc<Scene>,
    pub(crate) process: Arc<Process>,
}

/// An execution in the calls. Its end is noted whatever becomes of the future that holds it.
struct Entered {
    scene: Arc<Scene>,
    process: Arc<Process>,
    index: usize,
}

impl Entered {
    fn enter(tool: &Tool, run: &Run) -> Self {
        let (scene, process) = (tool.scene.clone(), tool.process.clone());
        let began = scene.moment();
        let key = run.key();
        let call = key.rsplit('/').next().and_then(|call| call.parse().ok()).expect("a key ends with the call");
        let said = run.task().history.first().map(|first| first.text()).unwrap_or_default();
        let execution = Execution {
            tag: said.split(' ').next_back().unwrap_or_default().to_owned(),
            task: run.task().id,
            agent: run.task().agent.clone(),
            call,
            attempt: run.attempt(),
            effect: run.call().effect,
            process: process.number,
            began,
            asked: None,
            ended: None,
            returned: None,
        };
        scene.note(format_args!("process {} calls {key}.{} {:?}", process.number, run.attempt(), execution.effect));
        let mut history = scene.history();
        // A run that has asked may have lent its slot, and make its call again beside whoever has it now.
        let has_asked = history.executions.iter().any(|earlier| {
            earlier.task == execution.task && earlier.process == execution.process && earlier.asked.is_some()
        });
        let execution = Execution { asked: has_asked.then_some(began), ..execution };
        history.executions.push(execution);
        let index = history.executions.len() - 1;
        drop(history);
        Self { scene, process, index }
    }

    fn asks(&self) {
        let now = self.scene.moment();
        self.scene.history().executions[self.index].asked.get_or_insert(now);
    }

    fn returned(&self, returned: Returned) {
        self.scene.history().executions[self.index].returned = Some(returned);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // What a dead process drops ended with it.
        if !self.process.dead.is_cancelled() {
            let ended = self.scene.moment();
            let mut history = self.scene.history();
            let execution = &mut history.executions[self.index];
            execution.ended = Some(ended);
            let line = format!("{} {:?}", execution.task, execution.returned);
            drop(history);
            self.scene.note(format_args!("call of {line} ended"));
        }
    }
}

/// Whether the question ends with this word: its number.
pub(crate) fn is_about(question: &Question, word: &str) -> bool {
    question.message.text().split(' ').next_back() == Some(word)
}

fn effect_of(word: &str) -> Option<Effect> {
    let all = [Effect::ReadOnly, Effect::Idempotent, Effect::Keyed, Effect::AtMostOnce];
    all.into_iter().find(|effect| effect.as_str() == word)
}

#[async_trait]
impl Agent for Tool {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    /// Reads `call <effect>`, `answer <number>` and `reject`; of anything else it asks what is meant. Now and then it cannot say yet.
    fn prepare(&self, request: &Request<'_>) -> Plan {
        let is_of_call = request.question().is_some_and(|question| question.kind != QuestionKind::Input);
        if !is_of_call && self.scene.strikes(DEFERRED_PERCENT) {
            return Plan::Defer;
        }
        let text = request.message.text();
        let mut words = text.split(' ');
        match (words.next(), words.next()) {
            (Some("call"), Some(word)) => {
                Plan::Call(Arc::new(Call::of_message(effect_of(word).expect("a client knows the effects"))))
            }
            // What answers another question is no answer.
            (Some("answer"), Some(word)) if request.question().is_some_and(|question| is_about(question, word)) => {
                Plan::Answer(Json::of(&text))
            }
            (Some("reject"), _) => Plan::Reject(Fault::new("bad-arguments", "no")),
            _ => {
                let message = Message::from_agent(request.question_id.clone(), vec![Part::text("what?")]);
                Plan::Ask(Arc::new(Question { kind: QuestionKind::Input, message: Arc::new(message), schema: None }))
            }
        }
    }

    async fn ready_to_plan(&self) -> Result<(), Fault> {
        self.process.alive().await;
        tokio::time::sleep(Duration::from_millis(self.scene.up_to(2_000))).await;
        self.process.alive().await;
        if self.scene.strikes(10) { Err(Fault::new("server-not-ready", "it does not start")) } else { Ok(()) }
    }

    fn max_concurrency(&self) -> usize {
        self.scene.nature.slots + usize::from(self.scene.plant == Plant::OneSlotTooMany)
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        self.process.alive().await;
        if self.scene.plant == Plant::CallsTwice {
            drop(Entered::enter(self, &run));
        }
        let entered = Entered::enter(self, &run);
        let outcome = self.work(&run, &entered).await;
        self.process.alive().await;
        let (returned, outcome) = outcome.unwrap_or_else(|| {
            entered.returned(Returned::Panicked);
            // Unlike `panic!`, this says nothing on its way.
            std::panic::resume_unwind(Box::new("a simulated panic"))
        });
        entered.returned(returned);
        outcome
    }

    async fn shutdown(&self) {
        self.process.alive().await;
    }
}

impl Tool {
    /// Some work, and how it ended. `None`: with a panic.
    async fn work(&self, run: &Run, entered: &Entered) -> Option<(Returned, Outcome)> {
        let is_stubborn = self.scene.happens(30);
        let is_quick = self.scene.happens(self.scene.nature.quick);
        let (acts_max, pause_max) = if is_quick { (1, QUICK_MAX) } else { (4, 400) };
        for act in 0..self.scene.up_to(acts_max) {
            if let Some(over) = self.act(run, entered, act).await {
                return Some(over);
            }
            self.process.alive().await;
            let pause = tokio::time::sleep(Duration::from_millis(self.scene.up_to(pause_max)));
            tokio::select! {
                biased;
                () = run.canceled(), if !is_stubborn => return Some(unknown("canceled", false)),
                () = pause => {}
            }
            self.process.alive().await;
        }
        if self.scene.happens(self.scene.nature.hangs) {
            std::future::pending::<()>().await;
        }
        if self.scene.happens(self.scene.nature.failures) {
            return self.fail(run);
        }
        let artifact = Artifact::new(ArtifactId::parse("result").unwrap(), vec![Part::text("done")]);
        Some((Returned::Completed, Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }))
    }

    fn fail(&self, run: &Run) -> Option<(Returned, Outcome)> {
        let fault = Fault::new("broken", "it broke");
        Some(match self.scene.up_to(5) {
            0 => (Returned::Failed, Outcome::Failed(fault)),
            1 => (Returned::Rejected, Outcome::Rejected(fault)),
            2 => {
                let message = Message::from_agent(run.message_id("no"), vec![Part::text("the tool says no")]);
                (Returned::Refused, Outcome::ToolError { artifacts: Vec::new(), message: Arc::new(message) })
            }
            3 => return None,
            _ => unknown("server-died", self.scene.happens(70)),
        })
    }

    /// One thing that a tool does on the way; gives its end if that was it.
    async fn act(&self, run: &Run, entered: &Entered, number: u64) -> Option<(Returned, Outcome)> {
        if self.scene.happens(self.scene.nature.asks) {
            return self.ask(run, entered, number).await;
        }
        match self.scene.up_to(9) {
            0..3 => {
                for step in 0..self.scene.up_to(3) {
                    let text = format!("step {number}.{step}");
                    let message = Message::from_agent(run.message_id("at"), vec![Part::text(text)]);
                    run.progress(Some(Arc::new(message)), None);
                }
                None
            }
            3..6 => self.add(run, number, 1 + self.scene.up_to(2)).await,
            // More than the engine keeps in memory for its followers.
            6 => self.add(run, number, 40).await,
            _ => None,
        }
    }

    async fn add(&self, run: &Run, number: u64, chunks: u64) -> Option<(Returned, Outcome)> {
        for chunk in 0..chunks {
            let text = format!("{}.{} chunk {number}.{chunk}", run.key(), run.attempt());
            let id = ArtifactId::parse(&format!("log-{}-{number}", run.attempt())).unwrap();
            let artifact = Artifact::new(id, vec![Part::text(&text)]);
            let added = run.add(Arc::new(artifact), chunk > 0, chunk + 1 == chunks).await;
            self.process.alive().await;
            match added {
                Ok(()) => self.scene.history().added.push((run.task().id, text)),
                Err(_) => return Some(unknown("server-died", true)),
            }
        }
        None
    }

    async fn ask(&self, run: &Run, entered: &Entered, number: u64) -> Option<(Returned, Outcome)> {
        let text = format!("{ASKED} {number}");
        if run.answer_to(&text, None).is_some() {
            return None;
        }
        let kind = if self.scene.happens(20) { QuestionKind::Authorization } else { QuestionKind::Elicitation };
        let id = MessageId::parse(&format!("{}-{number}", run.message_id("ask"))).unwrap();
        let message = Arc::new(Message::from_agent(id, vec![Part::text(text)]));
        entered.asks();
        let answer = run.ask(Arc::new(Question { kind, message, schema: None })).await;
        self.process.alive().await;
        match answer {
            Ok(_) => None,
            Err(Unanswered::Expired) => Some((Returned::Declined, Outcome::Declined)),
            Err(Unanswered::Over | Unanswered::NotAsked(_)) => Some(unknown("over", false)),
        }
    }
}

fn unknown(code: &'static str, again: bool) -> (Returned, Outcome) {
    (Returned::Unknown, Outcome::Unknown { fault: Fault::new(code, "nobody knows"), again })
}
