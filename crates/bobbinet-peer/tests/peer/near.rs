//! Agents of the node itself.

use std::sync::Arc;

use async_trait::async_trait;
use bobbinet_core::{
    Artifact, ArtifactId, Call, Description, Effect, Message, Outcome, Part, Plan, Question, QuestionKind, TaskId,
};
use bobbinet_engine::{Agent, Request, Run};
use bobbinet_peer::{A2aAgent, CallCredentials};
use serde_json::Value;

/// One that is no peer.
#[derive(Debug)]
pub(crate) struct Near;

#[async_trait]
impl Agent for Near {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, _: &Request<'_>) -> Plan {
        Plan::Call(Arc::new(Call::of_message(Effect::ReadOnly)))
    }

    fn max_concurrency(&self) -> usize {
        8
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, _: Run) -> Outcome {
        let artifact = Artifact::new(ArtifactId::parse("a").unwrap(), vec![Part::text("near does it")]);
        Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }
    }

    async fn shutdown(&self) {}
}

/// One that asks, and makes of the answer an artifact.
#[derive(Debug)]
pub(crate) struct AsksNear;

#[async_trait]
impl Agent for AsksNear {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        match request.question() {
            Some(_) => Plan::Answer(bobbinet_core::Json::of(&request.message.text())),
            None => Plan::Call(Arc::new(Call::of_message(Effect::Keyed))),
        }
    }

    fn max_concurrency(&self) -> usize {
        8
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let message = Arc::new(Message::from_agent(run.message_id("ask"), vec![Part::text("near or far?")]));
        let question = Question { kind: QuestionKind::Elicitation, message, schema: None };
        let answer = match run.answer_to("near or far?", None) {
            Some(answer) => answer,
            None => match run.ask(Arc::new(question)).await {
                Ok(answer) => answer,
                Err(_) => return Outcome::Declined,
            },
        };
        let text = answer.read::<String>().unwrap();
        let artifact = Artifact::new(ArtifactId::parse("a").unwrap(), vec![Part::text(text)]);
        Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }
    }

    async fn shutdown(&self) {}
}

/// An agent that flows alone can call, as if anybody could.
#[derive(Debug)]
pub(crate) struct Reached(pub(crate) Arc<A2aAgent>);

#[async_trait]
impl Agent for Reached {
    fn describe(&self) -> Arc<Description> {
        assert!(self.0.is_internal());
        self.0.describe()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        self.0.prepare(request)
    }

    fn max_concurrency(&self) -> usize {
        self.0.max_concurrency()
    }

    fn ready(&self) -> Result<(), String> {
        self.0.ready()
    }

    async fn run(&self, run: Run) -> Outcome {
        self.0.run(run).await
    }

    async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

/// Knows no flow.
pub(crate) struct Tokens;

#[async_trait]
impl CallCredentials for Tokens {
    async fn of(&self, _: TaskId, _: u64) -> Option<Arc<Value>> {
        None
    }
}
