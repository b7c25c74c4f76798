//! A flow as an agent: its card, its tasks.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bobbinet_core::{Description, Effect, Json, Outcome, Plan, Skill, SkillId};
use bobbinet_engine::{Agent, Request, Run};
use bobbinet_flow::{document::Definition, limits::Limits};

use crate::{
    FlowLimits, driver,
    flow::{Flow, FlowFault},
    input,
    mesh::Mesh,
    shared::Shared,
};

/// A flow as an agent.
pub struct FlowAgent {
    skill: SkillId,
    description: Arc<Description>,
    shared: Shared,
}

impl FlowAgent {
    /// Reads a flow.
    ///
    /// # Errors
    /// [`FlowFault`] with all that is wrong with it.
    pub fn read(flow: &Flow, limits: &Limits) -> Result<Arc<Definition>, FlowFault> {
        let reading = Definition::read(&flow.file, &flow.text, limits);
        let findings = reading.findings;
        reading.definition.map(Arc::new).ok_or_else(|| FlowFault { file: flow.file.clone(), findings })
    }

    /// The agent of a flow that was read.
    pub fn new(
        flow: Flow,
        definition: Arc<Definition>,
        mesh: Arc<Mesh>,
        limits: FlowLimits,
        run_limits: Limits,
    ) -> Arc<Self> {
        let skill = SkillId::parse(&definition.name).unwrap_or_else(|_| SkillId::parse("run").expect("a word"));
        let description = Arc::new(describe(&definition, &skill));
        let shared = Shared::new(flow, definition, mesh, limits, run_limits);
        Arc::new(Self { skill, description, shared })
    }

    /// The definition that new runs begin with.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.shared.definition
    }
}

fn describe(definition: &Definition, skill: &SkillId) -> Description {
    let name = definition.title.clone().unwrap_or_else(|| definition.name.clone());
    let description = definition.summary.clone().unwrap_or_else(|| format!("Runs the flow {}.", definition.name));
    let skill = Skill {
        id: skill.clone(),
        name: name.clone(),
        description: description.clone(),
        tags: vec!["flow".to_owned(), definition.namespace.clone()],
        examples: Vec::new(),
        input: definition.input.schema.as_ref().map(|schema| Json::from(&*schema.json)),
        output: definition.output.schema.as_ref().map(|schema| Json::from(&*schema.json)),
        effect: Effect::Keyed,
    };
    Description {
        name,
        description,
        version: definition.version.clone(),
        skills: vec![skill],
        ..Description::default()
    }
}

#[async_trait]
impl Agent for FlowAgent {
    fn describe(&self) -> Arc<Description> {
        self.description.clone()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        input::plan(&self.shared.definition, &self.skill, request, &self.shared.run_limits)
    }

    fn max_concurrency(&self) -> usize {
        self.shared.limits.computing_max
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn begins_tasks(&self) -> bool {
        true
    }

    async fn run(&self, run: Run) -> Outcome {
        let input = run.call().arguments.as_ref().map(Json::to_value).unwrap_or_default();
        driver::drive(&self.shared, run, input).await
    }

    async fn shutdown(&self) {}
}

impl fmt::Debug for FlowAgent {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowAgent").field("flow", &self.shared.definition.name).finish_non_exhaustive()
    }
}
