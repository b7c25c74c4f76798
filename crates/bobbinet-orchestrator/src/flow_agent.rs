//! A flow as an agent: its card, its tasks.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bobbinet_core::{AgentName, Description, Effect, Json, Outcome, Plan, Skill, SkillId};
use bobbinet_engine::{Agent, Request, Run};
use bobbinet_flow::{document::Definition, finding::Finding, limits::Limits};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{CredentialsInHand, FlowLimits, definition::DefinitionId, driver, input};

/// Definitions of earlier runs that are kept ready.
const EARLIER_MAX: usize = 8;

/// A flow that is to be an agent.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What its file is called, for people.
    pub file: String,
    /// The document.
    pub text: Arc<str>,
    /// The values of its secrets, by name.
    pub secrets: BTreeMap<String, Value>,
}

/// Why a document is no flow that can be run.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} is no flow that can be run", .file)]
pub struct FlowFault {
    /// What its file is called.
    pub file: String,
    /// All that is wrong.
    pub findings: Vec<Finding>,
}

/// What flows can reach, beside agents by their names.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    flows: BTreeMap<(String, String), Vec<(String, AgentName)>>,
    http: Option<AgentName>,
    a2a: Option<AgentName>,
    credentials: Arc<CredentialsInHand>,
}

impl Mesh {
    /// With a flow, which others can run as `run: workflow`.
    #[must_use]
    pub fn with_flow(mut self, definition: &Definition, agent: AgentName) -> Self {
        let key = (definition.namespace.clone(), definition.name.clone());
        self.flows.entry(key).or_default().push((definition.version.clone(), agent));
        self
    }

    /// With these credentials in hand, which the agents that make requests know too.
    #[must_use]
    pub fn with_credentials(self, credentials: Arc<CredentialsInHand>) -> Self {
        Self { credentials, ..self }
    }

    pub(crate) fn credentials(&self) -> &CredentialsInHand {
        &self.credentials
    }

    /// With the agent that makes HTTP requests.
    #[must_use]
    pub fn with_http(self, agent: AgentName) -> Self {
        Self { http: Some(agent), ..self }
    }

    /// With the agent that calls agents by URL.
    #[must_use]
    pub fn with_a2a(self, agent: AgentName) -> Self {
        Self { a2a: Some(agent), ..self }
    }

    /// The agent of a flow: in this version, or in any if that is `latest`.
    pub(crate) fn flow(&self, namespace: &str, name: &str, version: &str) -> Option<&AgentName> {
        let versions = self.flows.get(&(namespace.to_owned(), name.to_owned()))?;
        let mut fit = versions.iter().filter(|(known, _)| version == "latest" || known == version);
        fit.next_back().map(|(_, agent)| agent)
    }

    pub(crate) fn http(&self) -> Option<&AgentName> {
        self.http.as_ref()
    }

    pub(crate) fn a2a(&self) -> Option<&AgentName> {
        self.a2a.as_ref()
    }
}

/// What all runs of a flow share.
pub(crate) struct Shared {
    pub(crate) id: DefinitionId,
    pub(crate) text: Arc<str>,
    pub(crate) definition: Arc<Definition>,
    pub(crate) secrets: Arc<BTreeMap<String, Value>>,
    pub(crate) runtime: Arc<Value>,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) limits: FlowLimits,
    pub(crate) run_limits: Limits,
    /// Whether it came in a message.
    pub(crate) is_of_message: bool,
    /// That the definition is in the store.
    pub(crate) kept: OnceCell<()>,
    earlier: Mutex<BTreeMap<DefinitionId, Arc<Definition>>>,
}

impl Shared {
    pub(crate) fn new(
        flow: Flow,
        definition: Arc<Definition>,
        mesh: Arc<Mesh>,
        limits: FlowLimits,
        run_limits: Limits,
    ) -> Self {
        let runtime = json!({ "name": "bobbinet", "version": env!("CARGO_PKG_VERSION"), "metadata": {} });
        Self {
            id: DefinitionId::of(&flow.text),
            text: flow.text,
            definition,
            secrets: Arc::new(flow.secrets),
            runtime: Arc::new(runtime),
            mesh,
            limits,
            run_limits,
            is_of_message: false,
            kept: OnceCell::new(),
            earlier: Mutex::default(),
        }
    }

    /// The same of a flow that came in a message: its text stands there, and what it computes is done apart.
    pub(crate) fn of_a_message(self) -> Self {
        Self { kept: OnceCell::new_with(Some(())), is_of_message: true, ..self }
    }

    /// The definition of an earlier run, if it is ready.
    pub(crate) fn earlier(&self, id: DefinitionId) -> Option<Arc<Definition>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub(crate) fn remember(&self, id: DefinitionId, definition: Arc<Definition>) {
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        if earlier.len() >= EARLIER_MAX {
            earlier.pop_first();
        }
        earlier.insert(id, definition);
    }
}

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
