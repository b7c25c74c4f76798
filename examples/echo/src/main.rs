//! An agent without MCP: it says back what it is told, as an artifact.

mod serve;

use std::sync::Arc;

use async_trait::async_trait;
use bobbinet_core::{Artifact, ArtifactId, Call, Description, Effect, Outcome, Plan, Skill, SkillId};
use bobbinet_engine::{Agent, Request, Run};

#[derive(Debug)]
struct Echo;

#[async_trait]
impl Agent for Echo {
    fn describe(&self) -> Arc<Description> {
        let (name, description) = ("echo".to_owned(), "Says back what it is told.".to_owned());
        let skill = Skill {
            id: SkillId::parse("echo").expect("a word"),
            name: name.clone(),
            description: description.clone(),
            tags: vec!["example".to_owned()],
            examples: vec!["hello".to_owned()],
            input: None,
            output: None,
            effect: Effect::ReadOnly,
        };
        Arc::new(Description {
            name,
            description,
            version: "1".to_owned(),
            skills: vec![skill],
            ..Description::default()
        })
    }

    fn prepare(&self, _request: &Request<'_>) -> Plan {
        Plan::Call(Arc::new(Call::of_message(Effect::ReadOnly)))
    }

    fn max_concurrency(&self) -> usize {
        1_024
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let id = ArtifactId::parse("echo").expect("a word");
        let artifact = Artifact::new(id, run.message().parts.clone());
        Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }
    }

    async fn shutdown(&self) {}
}

fn main() -> anyhow::Result<()> {
    serve::run("echo", Arc::new(Echo))
}
