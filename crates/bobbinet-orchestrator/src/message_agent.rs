//! Flows that come in messages, as data: checked before the first step, under the rights of whoever sent them.
//!
//! Such a definition is hostile until shown otherwise. It is bounded more tightly than one of the operator's, its addresses stand in it as
//! they are, it reads no secrets, and what its run computes is done apart, one at a time, so that nobody else waits for it. It is read,
//! within its bounds, when the message is planned.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bobbinet_core::{AgentName, Call, Description, Effect, Fault, Json, Outcome, Plan, QuestionKind, Skill, SkillId};
use bobbinet_engine::{Agent, Request, Run};
use bobbinet_flow::{
    document::{Definition, Reach},
    finding::Finding,
    limits::Limits,
};
use serde_json::{Value, json};

use crate::{FlowLimits, driver, flow::Flow, mesh::Mesh, question, shared::Shared};

/// What a definition of a message is called where it is told what is wrong with it.
const FILE: &str = "message";

/// What it is told of at most.
const FINDINGS_MAX: usize = 20;

/// Runs the flows of messages.
pub struct MessageFlowAgent {
    description: Arc<Description>,
    skill: SkillId,
    mesh: Arc<Mesh>,
    limits: FlowLimits,
    run_limits: Limits,
}

impl MessageFlowAgent {
    /// One whose flows can reach this mesh.
    pub fn new(mesh: Arc<Mesh>, limits: FlowLimits) -> Arc<Self> {
        let skill = SkillId::parse("run").expect("a word");
        let name = "Flows in messages".to_owned();
        let description =
            "Runs a flow in the Open Workflow DSL that comes with the message: {\"flow\": …, \"input\": …}.".to_owned();
        let input = json!({
            "type": "object", "required": ["flow"],
            "properties": { "flow": { "type": ["object", "string"] }, "input": {} },
        });
        let skills = vec![Skill {
            id: skill.clone(),
            name: "Run a flow".to_owned(),
            description: description.clone(),
            tags: vec!["flow".to_owned()],
            examples: Vec::new(),
            input: Some(Json::from(&input)),
            output: None,
            effect: Effect::Keyed,
        }];
        let description = Description { name, description, version: "1".to_owned(), skills, ..Description::default() };
        Arc::new(Self { description: Arc::new(description), skill, mesh, limits, run_limits: hostile_limits() })
    }

    fn read(&self, text: &str) -> Result<Arc<Definition>, Fault> {
        let reading = Definition::read(FILE, text, &self.run_limits);
        let Some(definition) = reading.definition else {
            let errors = || reading.findings.iter().filter(|finding| finding.is_error());
            let first = errors().next().map(|finding| finding.message.clone()).unwrap_or_default();
            let findings: Vec<&Finding> = errors().take(FINDINGS_MAX).collect();
            let data = Some(Json::from(&json!({ "findings": findings })));
            return Err(Fault { data, ..Fault::new("bad-flow", format!("the flow has faults: {first}")) });
        };
        if let Some(name) = definition.secrets.first() {
            let text = format!("the flow reads the secret {name}: a flow in a message reads none");
            return Err(Fault::new("bad-flow", text));
        }
        let computed = definition
            .reaches()
            .find(|(_, reach)| matches!(reach, Reach::Http(None) | Reach::A2a(None) | Reach::Mcp(None)));
        if let Some((task, _)) = computed {
            let text =
                format!("step {} computes its address: in a flow in a message it stands there as it is", task.pointer);
            return Err(Fault::new("bad-flow", text));
        }
        if let Some((task, _)) = definition.reaches().find(|(_, reach)| matches!(reach, Reach::Command)) {
            let text = format!("step {} starts an MCP server: a flow in a message starts none", task.pointer);
            return Err(Fault::new("bad-flow", text));
        }
        Ok(Arc::new(definition))
    }

    /// Asks policy about every step's agent, skill and address.
    fn check(&self, run: &Run, definition: &Definition) -> Result<(), Fault> {
        for (task, reach) in definition.reaches() {
            let asked = match reach {
                Reach::Skill { agent, skill } => {
                    let asked = ask(agent, Some(skill), None);
                    if asked.as_ref().is_some_and(|(agent, _)| run.is_internal(agent)) {
                        let text = format!("step {}: no agent is called {agent:?}", task.pointer);
                        return Err(Fault::new("unknown-agent", text));
                    }
                    asked
                }
                Reach::Http(uri) => self.mesh.http().map(|agent| (agent.clone(), call(None, uri_of(uri)))),
                Reach::A2a(uri) => self.mesh.a2a().map(|agent| (agent.clone(), call(None, uri_of(uri)))),
                Reach::Workflow { namespace, name, version } => {
                    self.mesh.flow(namespace, name, version).map(|agent| (agent.clone(), call(None, None)))
                }
                Reach::Mcp(uri) => self.mesh.mcp().map(|agent| (agent.clone(), call(None, uri_of(uri)))),
                Reach::Events | Reach::Command => None,
            };
            // What does not exist fails when it is called.
            let Some((agent, call)) = asked else { continue };
            run.may_call(&agent, &call)
                .map_err(|fault| Fault { text: format!("step {}: {}", task.pointer, fault.text), ..fault })?;
        }
        Ok(())
    }
}

fn ask(agent: &str, skill: Option<&str>, arguments: Option<Json>) -> Option<(AgentName, Call)> {
    let agent = AgentName::parse(agent).ok()?;
    Some((agent, call(skill.and_then(|skill| SkillId::parse(skill).ok()), arguments)))
}

fn call(skill: Option<SkillId>, arguments: Option<Json>) -> Call {
    Call { skill, arguments, ..Call::of_message(Effect::AtMostOnce) }
}

fn uri_of(uri: Option<&str>) -> Option<Json> {
    uri.map(|uri| Json::from(&json!({ "uri": uri })))
}

/// A definition of somebody else's may be smaller, and its runs shorter.
fn hostile_limits() -> Limits {
    let limits = Limits::default();
    Limits {
        tasks: 500,
        expression_work: limits.expression_work / 4,
        value_bytes: 4 * 1024 * 1024,
        steps: 10_000,
        iterations: 1_000,
        fork_width: 16,
        depth: 32,
        run_work: limits.run_work / 10,
        work_at_once: limits.work_at_once / 4,
        ..limits
    }
}

/// The flow and the input of a message.
fn taken_apart(request: &Request<'_>) -> Result<(String, Value), Fault> {
    let nothing = || {
        Fault::new(
            "bad-arguments",
            "send the flow as data: {\"flow\": a definition in the Open Workflow DSL, \"input\": …}",
        )
    };
    let Some(data) = request.message.data() else {
        let text = request.message.text();
        return if text.contains("document:") { Ok((text, json!({}))) } else { Err(nothing()) };
    };
    let mut value = data.to_value();
    // `{"skill": "run", "arguments": …}`, as the skills of other agents are called.
    if let Some(arguments) = value.get_mut("arguments").filter(|arguments| arguments.is_object()) {
        value = arguments.take();
    }
    let input = value.get_mut("input").map(Value::take).unwrap_or_else(|| json!({}));
    match value.get_mut("flow").map(Value::take) {
        Some(Value::String(text)) => Ok((text, input)),
        Some(flow @ Value::Object(_)) => Ok((flow.to_string(), input)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => Err(nothing()),
        None if value.get("document").is_some() => Ok((value.to_string(), json!({}))),
        None => Err(nothing()),
    }
}

#[async_trait]
impl Agent for MessageFlowAgent {
    fn describe(&self) -> Arc<Description> {
        self.description.clone()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        match request.question().map(|question| question.kind) {
            Some(QuestionKind::Elicitation | QuestionKind::Authorization) => {
                return Plan::Answer(question::answer(request.message));
            }
            Some(QuestionKind::Outcome { .. }) => return Plan::Answer(Json::of(&())),
            Some(QuestionKind::Input) | None => {}
        }
        let read = taken_apart(request).and_then(|(text, input)| self.read(&text).map(|_| (text, input)));
        match read {
            Ok((text, input)) => {
                let arguments = Some(Json::from(&json!({ "flow": text, "input": input })));
                let skill = Some(self.skill.clone());
                Plan::Call(Arc::new(Call { skill, arguments, converted: Vec::new(), effect: Effect::Keyed }))
            }
            Err(fault) => Plan::Reject(fault),
        }
    }

    fn max_concurrency(&self) -> usize {
        self.limits.computing_max
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn begins_tasks(&self) -> bool {
        true
    }

    async fn run(&self, run: Run) -> Outcome {
        let arguments = run.call().arguments.as_ref().map(Json::to_value).unwrap_or_default();
        let text = arguments["flow"].as_str().unwrap_or_default().to_owned();
        let definition = match self.read(&text) {
            Ok(definition) => definition,
            Err(fault) => return Outcome::Rejected(fault),
        };
        if run.records().is_empty()
            && let Err(fault) = self.check(&run, &definition)
        {
            return Outcome::Rejected(fault);
        }
        let flow = Flow { file: FILE.to_owned(), text: text.into(), secrets: Default::default() };
        let shared = Shared::new(flow, definition, self.mesh.clone(), self.limits, self.run_limits).of_a_message();
        driver::drive(&shared, run, arguments["input"].clone()).await
    }

    async fn shutdown(&self) {}
}

impl fmt::Debug for MessageFlowAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageFlowAgent").finish_non_exhaustive()
    }
}
