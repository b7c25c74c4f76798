//! Calls and what they call: agents and skills that there are not, and arguments that do not fit.

use std::{collections::BTreeMap, rc::Rc};

use jsonschema::Validator;
use serde_json::Value as Json;

use super::{
    Catalog, Told,
    callees::{Callee, Callees},
    shape::{Shape, follow, path},
};
use crate::{
    document::{Call, CallTarget, Definition, Kind, ListId, Output, Task, TaskId, Then},
    finding::Severity,
    template::Template,
};

pub(super) fn check(definition: &Definition, catalog: &dyn Catalog, told: &mut Told<'_>) {
    let callees = Callees::find(definition, catalog, told);
    let mut walk = Walk { definition, callees: &callees, told, validators: BTreeMap::new() };
    let raw = definition.input_schema().map_or(Shape::Unknown, Shape::of_schema);
    let input = filtered(definition.input.from.as_ref(), &raw);
    walk.list(definition.main, input);
    for function in definition.functions.values() {
        walk.task(*function, &Shape::Unknown);
    }
    for task in &definition.tasks {
        walk.retried(task);
    }
}

struct Walk<'a, 't, 'f> {
    definition: &'a Definition,
    callees: &'a Callees,
    told: &'t mut Told<'f>,
    /// Those of arguments, by the place of their schema: one is wanted for each call.
    validators: BTreeMap<*const Json, Option<Rc<Validator>>>,
}

impl<'a> Walk<'a, '_, '_> {
    /// The steps of a list one after the other; what the last gives is what the list gives.
    fn list(&mut self, list: ListId, input: Shape<'a>) -> Shape<'a> {
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

    fn task(&mut self, id: TaskId, raw: &Shape<'a>) -> Shape<'a> {
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
            Kind::Call(call) => self.called(id, call, &input),
            Kind::Switch(_) | Kind::Wait(_) => input.clone(),
            Kind::Emit(_) | Kind::Raise(_) => Shape::Unknown,
        };
        let output = given(&task.output, &output);
        if task.condition.is_some() { Shape::Unknown } else { output }
    }

    /// What a call gives, its arguments looked at.
    fn called(&mut self, id: TaskId, call: &'a Call, input: &Shape<'a>) -> Shape<'a> {
        let Some(callee) = self.callees.get(id) else { return Shape::Unknown };
        if let Some(schema) = &callee.input {
            self.arguments(self.definition.task(id), call, input, callee, schema);
        }
        // Whoever does not wait goes on with what it had.
        if let CallTarget::Workflow { waits: false, .. } = &call.target {
            return input.clone();
        }
        callee.output.as_ref().map_or(Shape::Unknown, Shape::of_schema)
    }

    /// Arguments against the schema of what is called, as far as both are known.
    fn arguments(&mut self, task: &Task, call: &'a Call, input: &Shape<'a>, callee: &'a Callee, schema: &'a Json) {
        let Callee { noun, argument, place, .. } = callee;
        let shape = template(&call.with, input);
        let names: Vec<&str> = match &shape {
            Shape::Map(entries) => entries.iter().map(|(name, _)| *name).collect(),
            Shape::Value(Json::Object(entries)) => entries.keys().map(String::as_str).collect(),
            Shape::Unknown | Shape::Kind(_) | Shape::Value(_) | Shape::Schema(_) => return,
        };
        let pointer = format!("{}/{place}", task.pointer);
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        let properties = schema.get("properties").and_then(Json::as_object);
        let known: Vec<&str> = properties.into_iter().flat_map(|known| known.keys().map(String::as_str)).collect();
        let is_closed = schema.get("additionalProperties") == Some(&Json::Bool(false));
        let mut misspelt = Vec::new();
        for name in &names {
            if known.contains(name) {
                continue;
            }
            let meant = self.told.meant(name, &known).filter(|meant| !names.contains(meant));
            if is_closed || meant.is_some() {
                misspelt.extend(meant);
                let hint = match meant {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None if known.is_empty() => "it takes none".to_owned(),
                    None => format!("it takes {}", known.join(", ")),
                };
                let message = format!("the {noun} takes no {argument} {name:?}");
                let at = call.arguments_at.get(*name).copied().unwrap_or(call.at);
                self.told.add(Severity::Error, at, &format!("{pointer}/{name}"), message, hint);
            }
        }
        for name in required.filter(|name| !names.contains(name) && !misspelt.contains(name)) {
            let hint = format!("add it: {}: {{ {name}: … }}", place.rsplit('/').next().unwrap_or(place));
            let message = format!("the {argument} {name:?} is missing");
            self.told.add(Severity::Error, call.at, &pointer, message, hint);
        }
        for name in names.iter().filter(|name| known.contains(*name)) {
            let Some(wanted) = properties.and_then(|known| known.get(*name)) else { continue };
            let found = match &shape {
                Shape::Map(entries) => entries.iter().find(|(known, _)| known == name).map(|(_, shape)| shape.clone()),
                Shape::Value(value) => value.get(*name).map(Shape::Value),
                Shape::Unknown | Shape::Kind(_) | Shape::Schema(_) => None,
            };
            if let Some(message) = found.and_then(|found| self.misfit(&found, wanted, schema)) {
                let hint = format!("the {noun} wants {}", wants(wanted));
                let message = format!("the {argument} {name:?} does not fit: {message}");
                let at = call.arguments_at.get(*name).copied().unwrap_or(call.at);
                self.told.add(Severity::Error, at, &format!("{pointer}/{name}"), message, hint);
            }
        }
    }

    /// Why a value of this shape can never be what a schema wants.
    fn misfit(&mut self, found: &Shape<'_>, wanted: &'a Json, whole: &'a Json) -> Option<String> {
        if let Some(value) = found.value() {
            let validator = self.validators.entry(wanted).or_insert_with(|| {
                // References lead to the whole schema's definitions.
                let mut schema = wanted.clone();
                if let (Some(schema), Some(defs)) = (schema.as_object_mut(), whole.get("$defs")) {
                    schema.entry("$defs").or_insert_with(|| defs.clone());
                }
                let options = jsonschema::options().with_pattern_options(jsonschema::PatternOptions::regex());
                options.build(&schema).ok().map(Rc::new)
            });
            return validator.as_ref()?.iter_errors(&value).next().map(|error| error.to_string());
        }
        let kind = found.kind()?;
        let wanted_kinds: Vec<&str> = match wanted.get("type")? {
            Json::String(kind) => vec![kind],
            Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => return None,
        };
        let fits = wanted_kinds
            .iter()
            .any(|wanted| *wanted == kind || matches!((*wanted, kind), ("number", "integer") | ("integer", "number")));
        (!fits).then(|| format!("it is {kind}, and {} is wanted", wanted_kinds.join(" or ")))
    }

    /// A warning for steps that are tried again and must not be carried out twice.
    fn retried(&mut self, task: &Task) {
        let Kind::Try { body, catch } = &task.kind else { return };
        if catch.retry.is_none() {
            return;
        }
        for id in self.within(*body) {
            let inner = self.definition.task(id);
            let effect = self.callees.get(id).and_then(|callee| callee.effect);
            if effect.is_some_and(|effect| !effect.may_run_again())
                && let Kind::Call(call) = &inner.kind
            {
                let message = format!("{:?} is tried again, but its skill may not run twice", inner.name);
                let hint = "a failure that it reports is tried again; where its outcome is unknown, the flow asks. If it may run twice, say so with the agent: effect: idempotent".to_owned();
                self.told.add(Severity::Warning, call.at, &format!("{}/call", inner.pointer), message, hint);
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
fn template<'a>(template_: &'a Template, input: &Shape<'a>) -> Shape<'a> {
    match template_ {
        Template::Fixed(json) => Shape::Value(json),
        Template::Program(program) => match path(program.text()) {
            Some((None, steps)) => follow(input, &steps),
            Some((Some(start), steps)) if start == "input" => follow(input, &steps),
            Some((Some(_), _)) | None => Shape::Unknown,
        },
        Template::List(_) => Shape::Kind("array"),
        Template::Map(entries) => {
            let entries = entries.iter().map(|(name, value)| (name.as_str(), template(value, input)));
            Shape::Map(Rc::new(entries.collect()))
        }
    }
}

fn filtered<'a>(filter: Option<&'a Template>, dot: &Shape<'a>) -> Shape<'a> {
    filter.map_or_else(|| dot.clone(), |filter| template(filter, dot))
}

fn given<'a>(output: &'a Output, raw: &Shape<'a>) -> Shape<'a> {
    if let Some(schema) = &output.schema {
        return Shape::of_schema(&schema.json);
    }
    filtered(output.filter.as_ref(), raw)
}

fn wants(schema: &Json) -> String {
    match schema.get("type") {
        Some(Json::String(kind)) => kind.clone(),
        _ => schema.to_string().chars().take(200).collect(),
    }
}
