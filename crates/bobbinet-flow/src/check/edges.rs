//! Calls and what they call: agents and skills that there are not, and arguments that do not fit.

use std::collections::BTreeMap;

use bobbinet_text::nearest;
use serde_json::Value as Json;

use super::{
    Catalog, Findings, KnownFlow, KnownSkill,
    shape::{Shape, follow, path},
};
use crate::{
    document::{Call, CallTarget, Definition, Kind, ListId, Output, Task, TaskId, Then},
    finding::Severity,
    template::Template,
};

pub(super) fn check(definition: &Definition, catalog: &dyn Catalog, findings: &mut Findings<'_>) {
    let mut walk = Walk { definition, catalog, findings, skills: BTreeMap::new(), flows: BTreeMap::new() };
    for task in &definition.tasks {
        walk.resolve(task);
    }
    let raw = definition.input.schema.as_ref().map_or(Shape::Unknown, |schema| Shape::of_schema(&schema.json));
    let input = filtered(definition.input.from.as_ref(), &raw);
    walk.list(definition.main, input);
    for function in definition.functions.values() {
        walk.task(*function, &Shape::Unknown);
    }
    for task in &definition.tasks {
        walk.retried(task);
    }
}

struct Walk<'a, 'f> {
    definition: &'a Definition,
    catalog: &'a dyn Catalog,
    findings: &'a mut Findings<'f>,
    skills: BTreeMap<String, KnownSkill>,
    flows: BTreeMap<String, KnownFlow>,
}

impl Walk<'_, '_> {
    /// Finds what a step calls.
    fn resolve(&mut self, task: &Task) {
        let Kind::Call(call) = &task.kind else { return };
        match &call.target {
            CallTarget::Skill { agent, skill } => self.resolve_skill(task, call, agent, skill),
            CallTarget::Workflow { namespace, name, version, .. } => {
                self.resolve_flow(task, call, namespace, name, version);
            }
            CallTarget::Function(..) | CallTarget::A2a { .. } | CallTarget::Http { .. } => {}
        }
    }

    fn resolve_flow(&mut self, task: &Task, call: &Call, namespace: &str, name: &str, version: &str) {
        let Some(flows) = self.catalog.flows() else { return };
        let pointer = format!("{}/run/workflow", task.pointer);
        let named: Vec<&KnownFlow> = flows.iter().filter(|flow| flow.name == name).collect();
        let here: Vec<&&KnownFlow> = named.iter().filter(|flow| flow.namespace == namespace).collect();
        // The newest is what comes last: a mesh has one version of a flow, as a rule.
        let found = here.iter().rev().find(|flow| version == "latest" || flow.version == version);
        let (message, hint) = match (found, here.last(), named.first()) {
            (Some(flow), ..) => {
                self.flows.insert(task.pointer.clone(), KnownFlow::clone(flow));
                return;
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
                let hint = match nearest(name, &known) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None if known.is_empty() => {
                        "no flow is configured: name it under flows in bobbinet.yaml".to_owned()
                    }
                    None => format!("there is {}", known.join(", ")),
                };
                (format!("there is no flow {name:?}"), hint)
            }
        };
        self.findings.add(Severity::Error, call.at, &pointer, message, hint);
    }

    fn resolve_skill(&mut self, task: &Task, call: &Call, agent: &String, skill: &str) {
        let pointer = format!("{}/call", task.pointer);
        let agents = self.catalog.agents();
        if !agents.contains(agent) {
            let known: Vec<&str> = agents.iter().map(String::as_str).collect();
            let hint = match nearest(agent, &known) {
                Some(meant) => format!("did you mean {meant}.{skill}?"),
                None if known.is_empty() => "no agent is configured".to_owned(),
                None => format!("there is {}", known.join(", ")),
            };
            let message = format!("there is no agent {agent:?}");
            return self.findings.add(Severity::Error, call.at, &pointer, message, hint);
        }
        // What cannot be asked now is asked when it is called.
        let Some(skills) = self.catalog.skills(agent) else {
            let message = format!("the skills of {agent} are not known at the moment");
            let hint = "check again while it is running".to_owned();
            return self.findings.add(Severity::Warning, call.at, &pointer, message, hint);
        };
        match self.catalog.skill(agent, skill) {
            Some(known) => {
                self.skills.insert(task.pointer.clone(), known);
            }
            None => {
                let known: Vec<&str> = skills.iter().map(String::as_str).collect();
                let hint = match nearest(skill, &known) {
                    Some(meant) => format!("did you mean {agent}.{meant}?"),
                    None => format!("{agent} has {}", known.join(", ")),
                };
                let message = format!("the agent {agent} has no skill {skill:?}");
                self.findings.add(Severity::Error, call.at, &pointer, message, hint);
            }
        }
    }

    /// The steps of a list one after the other; what the last gives is what the list gives.
    fn list(&mut self, list: ListId, input: Shape) -> Shape {
        let definition = self.definition;
        let tasks = definition.list(list);
        let is_straight = tasks.iter().all(|id| is_straight(definition.task(*id)));
        let mut shape = input;
        for id in tasks {
            // Where something else may come before a step than the one above it, nothing is known of its input.
            let known = if is_straight { shape } else { Shape::Unknown };
            shape = self.task(*id, &known);
        }
        if is_straight { shape } else { Shape::Unknown }
    }

    fn task(&mut self, id: TaskId, raw: &Shape) -> Shape {
        let definition = self.definition;
        let task = definition.task(id);
        let input = filtered(task.input.from.as_ref(), raw);
        let output = match &task.kind {
            Kind::Do(list) => self.list(*list, input.clone()),
            Kind::Set(values) => template(values, &input),
            Kind::For(looped) => {
                self.list(looped.body, Shape::Unknown);
                Shape::Unknown
            }
            Kind::Fork { branches, .. } => {
                for id in definition.list(*branches) {
                    self.task(*id, &input);
                }
                Shape::Unknown
            }
            Kind::Try { body, catch } => {
                let tried = self.list(*body, input.clone());
                if let Some(list) = catch.body {
                    self.list(list, input.clone());
                    Shape::Unknown
                } else if catch.retry.is_some() && catch.then.is_none() {
                    tried
                } else {
                    Shape::Unknown
                }
            }
            Kind::Listen(listen) => {
                if let Some(body) = listen.each.as_ref().and_then(|each| each.body) {
                    self.list(body, Shape::Unknown);
                }
                Shape::Unknown
            }
            Kind::Call(call) => self.called(task, call, &input),
            Kind::Switch(_) | Kind::Wait(_) => input.clone(),
            Kind::Emit(_) | Kind::Raise(_) => Shape::Unknown,
        };
        let output = given(&task.output, &output);
        if task.condition.is_some() { Shape::Unknown } else { output }
    }

    /// What a call gives, its arguments looked at.
    fn called(&mut self, task: &Task, call: &Call, input: &Shape) -> Shape {
        let (callee, wants, gives) = match &call.target {
            CallTarget::Skill { .. } => {
                let Some(skill) = self.skills.get(&task.pointer).cloned() else { return Shape::Unknown };
                (Callee { noun: "skill", argument: "argument", place: "with" }, skill.input, skill.output)
            }
            CallTarget::Workflow { waits, .. } => {
                let Some(flow) = self.flows.get(&task.pointer).cloned() else { return Shape::Unknown };
                let callee = Callee { noun: "flow", argument: "input", place: "run/workflow/input" };
                // Whoever does not wait goes on with what it had.
                if !waits {
                    self.arguments(task, call, input, &callee, flow.input.as_ref());
                    return input.clone();
                }
                (callee, flow.input, flow.output)
            }
            CallTarget::Function(..) | CallTarget::A2a { .. } | CallTarget::Http { .. } => return Shape::Unknown,
        };
        self.arguments(task, call, input, &callee, wants.as_ref());
        gives.as_ref().map_or(Shape::Unknown, Shape::of_schema)
    }

    /// Arguments against the schema of what is called, as far as both are known.
    fn arguments(&mut self, task: &Task, call: &Call, input: &Shape, callee: &Callee, schema: Option<&Json>) {
        let Some(schema) = schema else { return };
        let Callee { noun, argument, place } = callee;
        let shape = template(&call.with, input);
        let names: Vec<String> = match &shape {
            Shape::Map(entries) => entries.iter().map(|(name, _)| name.clone()).collect(),
            Shape::Value(Json::Object(entries)) => entries.keys().cloned().collect(),
            Shape::Unknown | Shape::Value(_) | Shape::Schema(_) => return,
        };
        let pointer = format!("{}/{place}", task.pointer);
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        let properties = schema.get("properties").and_then(Json::as_object);
        let known: Vec<&str> = properties.into_iter().flat_map(|known| known.keys().map(String::as_str)).collect();
        let is_closed = schema.get("additionalProperties") == Some(&Json::Bool(false));
        let mut misspelt = Vec::new();
        for name in &names {
            if known.contains(&name.as_str()) {
                continue;
            }
            let meant = nearest(name, &known).filter(|meant| !names.iter().any(|name| name == meant));
            if is_closed || meant.is_some() {
                misspelt.extend(meant);
                let hint = match meant {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None if known.is_empty() => "it takes none".to_owned(),
                    None => format!("it takes {}", known.join(", ")),
                };
                let message = format!("the {noun} takes no {argument} {name:?}");
                let at = call.arguments_at.get(name).copied().unwrap_or(call.at);
                self.findings.add(Severity::Error, at, &format!("{pointer}/{name}"), message, hint);
            }
        }
        for name in required.filter(|name| !names.iter().any(|said| said == name) && !misspelt.contains(name)) {
            let hint = format!("add it: {}: {{ {name}: … }}", place.rsplit('/').next().unwrap_or(place));
            let message = format!("the {argument} {name:?} is missing");
            self.findings.add(Severity::Error, call.at, &pointer, message, hint);
        }
        for name in names.iter().filter(|name| known.contains(&name.as_str())) {
            let Some(wanted) = properties.and_then(|known| known.get(name)) else { continue };
            let found = match &shape {
                Shape::Map(entries) => entries.iter().find(|(known, _)| known == name).map(|(_, shape)| shape.clone()),
                Shape::Value(value) => value.get(name).cloned().map(Shape::Value),
                Shape::Unknown | Shape::Schema(_) => None,
            };
            if let Some(message) = found.and_then(|found| misfit(&found, wanted, schema)) {
                let hint = format!("the {noun} wants {}", wants(wanted));
                let message = format!("the {argument} {name:?} does not fit: {message}");
                let at = call.arguments_at.get(name).copied().unwrap_or(call.at);
                self.findings.add(Severity::Error, at, &format!("{pointer}/{name}"), message, hint);
            }
        }
    }

    /// A warning for steps that are tried again and must not be carried out twice.
    fn retried(&mut self, task: &Task) {
        let Kind::Try { body, catch } = &task.kind else { return };
        if catch.retry.is_none() {
            return;
        }
        for id in self.within(*body) {
            let inner = self.definition.task(id);
            let Some(skill) = self.skills.get(&inner.pointer) else { continue };
            if !skill.effect.may_run_again()
                && let Kind::Call(call) = &inner.kind
            {
                let message = format!("{:?} is tried again, but its skill may not run twice", inner.name);
                let hint = "a failure that it reports is tried again; where its outcome is unknown, the flow asks. If it may run twice, say so with the agent: effect: idempotent".to_owned();
                self.findings.add(Severity::Warning, call.at, &format!("{}/call", inner.pointer), message, hint);
            }
        }
    }

    fn within(&self, list: ListId) -> Vec<TaskId> {
        let mut all = Vec::new();
        for id in self.definition.list(list) {
            all.push(*id);
            let inner = match &self.definition.task(*id).kind {
                Kind::Do(list) => Some(*list),
                Kind::For(looped) => Some(looped.body),
                Kind::Fork { branches, .. } => Some(*branches),
                // What is tried in here again has a policy of its own.
                Kind::Try { .. } => None,
                Kind::Set(_)
                | Kind::Switch(_)
                | Kind::Raise(_)
                | Kind::Wait(_)
                | Kind::Emit(_)
                | Kind::Listen(_)
                | Kind::Call(_) => None,
            };
            all.extend(inner.into_iter().flat_map(|list| self.within(list)));
        }
        all
    }
}

/// What is called, in words.
struct Callee {
    noun: &'static str,
    argument: &'static str,
    /// Where its arguments stand, below the step.
    place: &'static str,
}

/// Whether the step after it in the list, and no other, comes after it.
fn is_straight(task: &Task) -> bool {
    let goes_on = |then: &Then| matches!(then, Then::Continue | Then::Exit | Then::End);
    goes_on(&task.then)
        && match &task.kind {
            Kind::Switch(cases) => cases.iter().all(|case| goes_on(&case.then)),
            Kind::Try { catch, .. } => catch.then.as_ref().is_none_or(goes_on),
            Kind::Do(_)
            | Kind::Set(_)
            | Kind::For(_)
            | Kind::Fork { .. }
            | Kind::Raise(_)
            | Kind::Wait(_)
            | Kind::Emit(_)
            | Kind::Listen(_)
            | Kind::Call(_) => true,
        }
}

/// What a template gives; `.` and `$input` are this.
fn template(template_: &Template, input: &Shape) -> Shape {
    match template_ {
        Template::Fixed(json) => Shape::Value(Json::clone(json)),
        Template::Program(program) => match path(program.text()) {
            Some((None, steps)) => follow(input, &steps),
            Some((Some(start), steps)) if start == "input" => follow(input, &steps),
            Some((Some(_), _)) | None => Shape::Unknown,
        },
        Template::List(_) => Shape::Schema(serde_json::json!({"type": "array"})),
        Template::Map(entries) => {
            Shape::Map(entries.iter().map(|(name, value)| (name.clone(), template(value, input))).collect())
        }
    }
}

fn filtered(filter: Option<&Template>, dot: &Shape) -> Shape {
    filter.map_or_else(|| dot.clone(), |filter| template(filter, dot))
}

fn given(output: &Output, raw: &Shape) -> Shape {
    if let Some(schema) = &output.schema {
        return Shape::of_schema(&schema.json);
    }
    filtered(output.filter.as_ref(), raw)
}

/// Why a value of this shape can never be what a schema wants.
fn misfit(found: &Shape, wanted: &Json, whole: &Json) -> Option<String> {
    if let Some(value) = found.value() {
        // References lead to the whole schema's definitions.
        let mut schema = wanted.clone();
        if let (Some(schema), Some(defs)) = (schema.as_object_mut(), whole.get("$defs")) {
            schema.entry("$defs").or_insert_with(|| defs.clone());
        }
        let validator =
            jsonschema::options().with_pattern_options(jsonschema::PatternOptions::regex()).build(&schema).ok()?;
        return validator.iter_errors(&value).next().map(|error| error.to_string());
    }
    let kind = found.kind()?;
    let wanted_kinds: Vec<&str> = match wanted.get("type")? {
        Json::String(kind) => vec![kind],
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => return None,
    };
    let fits = wanted_kinds.iter().any(|wanted| {
        *wanted == kind || matches!((*wanted, kind.as_str()), ("number", "integer") | ("integer", "number"))
    });
    (!fits).then(|| format!("it is {kind}, and {} is wanted", wanted_kinds.join(" or ")))
}

fn wants(schema: &Json) -> String {
    match schema.get("type") {
        Some(Json::String(kind)) => kind.clone(),
        _ => schema.to_string().chars().take(200).collect(),
    }
}
