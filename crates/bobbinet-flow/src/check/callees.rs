//! What steps call: agents, skills and flows of the mesh, and a finding for each that there is not.

use std::{collections::BTreeMap, rc::Rc};

use bobbinet_core::Effect;
use serde_json::Value as Json;

use super::{Catalog, KnownFlow, Told};
use crate::{
    document::{Call, CallTarget, Definition, Kind, Task, TaskId},
    finding::Severity,
};

/// What is called, as far as it is known.
#[derive(Debug)]
pub(super) struct Callee {
    /// `skill` or `flow`.
    pub(super) noun: &'static str,
    /// What its arguments are called.
    pub(super) argument: &'static str,
    /// Where they stand, below the step.
    pub(super) place: &'static str,
    pub(super) input: Option<Json>,
    pub(super) output: Option<Json>,
    /// What a skill's second run means.
    pub(super) effect: Option<Effect>,
}

/// What each step calls.
#[derive(Debug, Default)]
pub(super) struct Callees {
    by_task: BTreeMap<TaskId, Rc<Callee>>,
}

impl Callees {
    pub(super) fn find(definition: &Definition, catalog: &dyn Catalog, told: &mut Told<'_>) -> Self {
        let agents = catalog.agents();
        let mut search =
            Search { catalog, told, agents, flows: catalog.flows(), skills: BTreeMap::new(), callees: BTreeMap::new() };
        let mut all = Self::default();
        for (at, task) in definition.tasks.iter().enumerate() {
            if let Kind::Call(call) = &task.kind {
                let found = match &call.target {
                    CallTarget::Skill { agent, skill } => search.skill(task, call, agent, skill),
                    CallTarget::Workflow { namespace, name, version, .. } => {
                        search.flow(task, call, namespace, name, version)
                    }
                    CallTarget::Function(..)
                    | CallTarget::A2a { .. }
                    | CallTarget::Mcp { .. }
                    | CallTarget::Http { .. } => None,
                };
                all.by_task.extend(found.map(|found| (TaskId(at), found)));
            }
        }
        all
    }

    pub(super) fn get(&self, task: TaskId) -> Option<&Callee> {
        self.by_task.get(&task).map(|callee| &**callee)
    }
}

/// What was asked of the catalog is asked once, however many steps want to know it.
struct Search<'a, 'f> {
    catalog: &'a dyn Catalog,
    told: &'a mut Told<'f>,
    agents: Vec<String>,
    flows: Option<Vec<KnownFlow>>,
    skills: BTreeMap<String, Option<Vec<String>>>,
    callees: BTreeMap<(String, String), Rc<Callee>>,
}

impl Search<'_, '_> {
    fn skill(&mut self, task: &Task, call: &Call, agent: &str, skill: &str) -> Option<Rc<Callee>> {
        let key = (agent.to_owned(), skill.to_owned());
        if let Some(known) = self.callees.get(&key) {
            return Some(known.clone());
        }
        let pointer = format!("{}/call", task.pointer);
        if !self.agents.iter().any(|known| known == agent) {
            let known: Vec<&str> = self.agents.iter().map(String::as_str).collect();
            let hint = match self.told.meant(agent, &known) {
                Some(meant) => format!("did you mean {meant}.{skill}?"),
                None if known.is_empty() => "no agent is configured".to_owned(),
                None => format!("there is {}", known.join(", ")),
            };
            let message = format!("there is no agent {agent:?}");
            self.told.add(Severity::Error, call.at, &pointer, message, hint);
            return None;
        }
        let catalog = self.catalog;
        let is_first = !self.skills.contains_key(agent);
        let skills = self.skills.entry(agent.to_owned()).or_insert_with(|| catalog.skills(agent));
        // What cannot be asked now is asked when it is called. Once is enough to say so.
        if skills.is_none() && is_first {
            let message = format!("not checked: {}", catalog.why_unknown(agent));
            let hint = "start it, by `bobbinet up` or where it belongs, and check again".to_owned();
            self.told.add(Severity::Note, call.at, &pointer, message, hint);
        }
        let Some(known) = catalog.skill(agent, skill) else {
            let known: Vec<&str> = skills.as_ref()?.iter().map(String::as_str).collect();
            let hint = match self.told.meant(skill, &known) {
                Some(meant) => format!("did you mean {agent}.{meant}?"),
                None if known.is_empty() => format!("{agent} has none"),
                None => format!("{agent} has {}", known.join(", ")),
            };
            let message = format!("the agent {agent} has no skill {skill:?}");
            self.told.add(Severity::Error, call.at, &pointer, message, hint);
            return None;
        };
        let callee = Rc::new(Callee {
            noun: "skill",
            argument: "argument",
            place: "with",
            input: known.input,
            output: known.output,
            effect: Some(known.effect),
        });
        self.callees.insert(key, callee.clone());
        Some(callee)
    }

    fn flow(&mut self, task: &Task, call: &Call, namespace: &str, name: &str, version: &str) -> Option<Rc<Callee>> {
        let flows = self.flows.as_ref()?;
        let named: Vec<&KnownFlow> = flows.iter().filter(|flow| flow.name == name).collect();
        let here: Vec<&&KnownFlow> = named.iter().filter(|flow| flow.namespace == namespace).collect();
        // The newest is what comes last: a mesh has one version of a flow, as a rule.
        let found = here.iter().rev().find(|flow| version == "latest" || flow.version == version);
        let (message, hint) = match (found, here.last(), named.first()) {
            (Some(flow), ..) => {
                return Some(Rc::new(Callee {
                    noun: "flow",
                    argument: "input",
                    place: "run/workflow/input",
                    input: flow.input.clone(),
                    output: flow.output.clone(),
                    effect: None,
                }));
            }
            (None, Some(flow), _) => (
                format!("the flow {namespace}/{name} has no version {version:?}"),
                format!("there is {:?}; or write version: latest", flow.version),
            ),
            (None, None, Some(flow)) => (
                format!("there is no flow {name:?} in the namespace {namespace:?}"),
                format!("it stands in the namespace {:?}", flow.namespace),
            ),
            (None, None, None) => {
                let known: Vec<&str> = flows.iter().map(|flow| flow.name.as_str()).collect();
                let hint = match self.told.meant(name, &known) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None if known.is_empty() => {
                        "no flow is configured: name it under flows in bobbinet.yaml".to_owned()
                    }
                    None => format!("there is {}", known.join(", ")),
                };
                (format!("there is no flow {name:?}"), hint)
            }
        };
        self.told.add(Severity::Error, call.at, &format!("{}/run/workflow", task.pointer), message, hint);
        None
    }
}
