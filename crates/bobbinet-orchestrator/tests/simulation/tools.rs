//! The tools of the flows, and the ledger of their effects, which survives every process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{
    Artifact, ArtifactId, Call, Description, Effect, Fault, Json, Message, Outcome, Part, Plan, Question, QuestionKind,
};
use bobbinet_engine::{Agent, Request, Run};
use fastrand::Rng;
use serde_json::{Value, json};

/// How often `fail` fails before it works.
const FAILURES: u32 = 2;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// How often each step has had its effect.
    pub(crate) effects: BTreeMap<String, u32>,
    /// How often each was begun.
    pub(crate) begun: BTreeMap<String, u32>,
    /// What keyed tools drop repeats by.
    pub(crate) keys: BTreeSet<String>,
    /// How often each has failed.
    failures: BTreeMap<String, u32>,
}

/// The agent of one process.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) chance: Arc<Mutex<Rng>>,
}

impl Tools {
    async fn works(&self) {
        let millis = self.chance.lock().unwrap().u64(0..60);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

fn effect_of(skill: &str) -> Effect {
    match skill {
        "look" => Effect::ReadOnly,
        "set" | "ask" | "fail" => Effect::Idempotent,
        "put" => Effect::Keyed,
        _ => Effect::AtMostOnce,
    }
}

#[async_trait]
impl Agent for Tools {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        if request.question().is_some() {
            return Plan::Answer(request.message.data().cloned().unwrap_or_else(|| Json::of(&())));
        }
        let skill = request.skill.cloned();
        let effect = effect_of(skill.as_ref().map(|skill| skill.as_str()).unwrap_or_default());
        let arguments = request.message.data().cloned();
        Plan::Call(Arc::new(Call { skill, arguments, converted: Vec::new(), effect }))
    }

    fn max_concurrency(&self) -> usize {
        4
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let skill = run.call().skill.as_ref().map(|skill| skill.as_str().to_owned()).unwrap_or_default();
        let arguments = run.call().arguments.as_ref().map(Json::to_value).unwrap_or_default();
        let id = arguments["id"].as_str().unwrap_or_default().to_owned();
        *self.ledger.lock().unwrap().begun.entry(id.clone()).or_default() += 1;
        self.works().await;
        if skill == "ask" {
            let schema = Json::from(&json!({ "type": "object" }));
            if run.answer_to("Shall it?", Some(&schema)).is_none() {
                let message = Arc::new(Message::from_agent(run.message_id("ask"), vec![Part::text("Shall it?")]));
                let question = Question { kind: QuestionKind::Elicitation, message, schema: Some(schema) };
                if run.ask(Arc::new(question)).await.is_err() {
                    return Outcome::Declined;
                }
            }
        }
        {
            let mut ledger = self.ledger.lock().unwrap();
            if skill == "fail" {
                let failures = ledger.failures.entry(id.clone()).or_default();
                *failures += 1;
                if *failures <= FAILURES {
                    return Outcome::Failed(Fault::new("server-died", "not yet"));
                }
            }
            let is_repeat = skill == "put" && !ledger.keys.insert(run.key());
            if !is_repeat {
                *ledger.effects.entry(id.clone()).or_default() += 1;
            }
        }
        self.works().await;
        let value: Value = json!({ "did": id });
        let artifact = Artifact::new(ArtifactId::parse("result").unwrap(), vec![Part::data(Json::from(&value))]);
        Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }
    }

    async fn shutdown(&self) {}
}
