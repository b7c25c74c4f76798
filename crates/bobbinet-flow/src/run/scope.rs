//! What expressions see, and their evaluation.

use std::{sync::Arc, time::Duration};

use bobbinet_core::Timestamp;
use serde_json::{Value as Json, json};

use super::{
    Turn,
    error::{Error, Standard},
    state::{Frame, Names, State},
};
use crate::{
    document::{Definition, Output, Schema, Span, Task},
    expression::{EvaluateFault, Program, Variables},
    template::Template,
};

/// The variables at one place of one step.
pub(super) struct Scope<'a> {
    pub(super) definition: &'a Definition,
    pub(super) state: &'a State,
    pub(super) secrets: &'a std::collections::BTreeMap<String, Json>,
    pub(super) runtime: &'a Json,
    pub(super) task: Option<&'a Task>,
    pub(super) entered: Timestamp,
    pub(super) raw: Arc<Json>,
    pub(super) input: Arc<Json>,
    pub(super) raw_output: Option<Arc<Json>>,
    pub(super) output: Option<Arc<Json>>,
    pub(super) names: Names,
}

fn moment(at: Timestamp) -> Json {
    let millis = at.as_millis();
    json!({"iso8601": at.to_string(), "epoch": {"seconds": millis / 1000, "milliseconds": millis}})
}

impl Variables for Scope<'_> {
    fn get(&self, name: &str) -> Option<Arc<Json>> {
        match name {
            "context" => Some(self.state.context.clone()),
            "input" => Some(self.input.clone()),
            "output" => self.output.clone(),
            "secrets" => {
                let named = self.definition.secrets.iter();
                let known = named.filter_map(|name| Some((name.clone(), self.secrets.get(name)?.clone())));
                Some(Arc::new(Json::Object(known.collect())))
            }
            "task" => {
                let task = self.task?;
                Some(Arc::new(json!({
                    "name": task.name,
                    "reference": task.pointer,
                    "definition": *task.json,
                    "input": *self.raw,
                    "output": self.raw_output.as_deref(),
                    "startedAt": moment(self.entered),
                })))
            }
            "workflow" => Some(Arc::new(json!({
                "id": self.state.run,
                "definition": *self.definition.json,
                "input": *self.state.raw,
                "startedAt": moment(self.state.started),
            }))),
            "runtime" => Some(Arc::new(self.runtime.clone())),
            other => self.names.get(other).cloned(),
        }
    }
}

fn expression_error(fault: &EvaluateFault) -> Error {
    Error::standard(Standard::Expression, fault.to_string())
}

impl<'a> Turn<'a> {
    /// What a step sees before it has an input of its own.
    pub(super) fn before(&self, task: &'a Task, raw: &Arc<Json>, names: &Names) -> Scope<'_> {
        Scope {
            definition: self.definition,
            state: &self.state,
            secrets: self.around.secrets,
            runtime: self.around.runtime,
            task: Some(task),
            entered: self.at,
            raw: raw.clone(),
            input: raw.clone(),
            raw_output: None,
            output: None,
            names: names.clone(),
        }
    }

    /// What a step sees that is being carried out.
    pub(super) fn within(&self, frame: &Frame) -> Scope<'_> {
        Scope {
            definition: self.definition,
            state: &self.state,
            secrets: self.around.secrets,
            runtime: self.around.runtime,
            task: frame.task.map(|task| self.definition.task(task)),
            entered: frame.entered,
            raw: frame.raw.clone(),
            input: frame.input.clone(),
            raw_output: None,
            output: None,
            names: frame.names.clone(),
        }
    }

    pub(super) fn fill(&self, template: &Template, input: &Json, scope: &Scope<'_>) -> Result<Arc<Json>, Error> {
        if let Template::Fixed(json) = template {
            return Ok(json.clone());
        }
        template.fill(input, scope, self.around.limits).map(Arc::new).map_err(|fault| expression_error(&fault))
    }

    pub(super) fn evaluate(&self, program: &Program, input: &Json, scope: &Scope<'_>) -> Result<Json, Error> {
        program.evaluate(input, scope, self.around.limits).map_err(|fault| expression_error(&fault))
    }

    /// Whether a condition holds: as in jq, everything but null and false does.
    pub(super) fn holds(&self, program: &Program, input: &Json, scope: &Scope<'_>) -> Result<bool, Error> {
        let value = self.evaluate(program, input, scope)?;
        Ok(!matches!(value, Json::Null | Json::Bool(false)))
    }

    pub(super) fn length(&self, span: &Span, input: &Json, scope: &Scope<'_>) -> Result<Duration, Error> {
        let length = span.length(input, scope, self.around.limits);
        length.map_err(|detail| Error::standard(Standard::Expression, detail))
    }

    pub(super) fn validated(&self, schema: Option<&Schema>, value: &Json, what: &str) -> Result<(), Error> {
        match schema.and_then(|schema| schema.fault(value, self.around.limits)) {
            None => Ok(()),
            Some(fault) => {
                Err(Error::standard(Standard::Validation, format!("{what} is not what its schema says: {fault}")))
            }
        }
    }

    /// `output.as` and `output.schema`, or `export` likewise.
    pub(super) fn transformed(
        &self,
        output: &Output,
        value: &Arc<Json>,
        scope: &Scope<'_>,
        what: &str,
    ) -> Result<Arc<Json>, Error> {
        let value = match &output.filter {
            Some(filter) => self.fill(filter, value, scope)?,
            None => value.clone(),
        };
        self.validated(output.schema.as_ref(), &value, what)?;
        Ok(value)
    }

    fn outside(&self, input: &Arc<Json>) -> Scope<'_> {
        Scope {
            definition: self.definition,
            state: &self.state,
            secrets: self.around.secrets,
            runtime: self.around.runtime,
            task: None,
            entered: self.state.started,
            raw: self.state.raw.clone(),
            input: input.clone(),
            raw_output: None,
            output: None,
            names: Names::default(),
        }
    }

    /// The workflow's `input`.
    pub(super) fn workflow_input(&self, raw: &Arc<Json>) -> Result<Arc<Json>, Error> {
        let input = &self.definition.input;
        self.validated(input.schema.as_ref(), raw, "the input").map_err(|error| error.at("/input/schema"))?;
        match &input.from {
            Some(from) => self.fill(from, raw, &self.outside(raw)).map_err(|error| error.at("/input/from")),
            None => Ok(raw.clone()),
        }
    }

    /// The workflow's `output`.
    pub(super) fn workflow_output(&self, raw: &Arc<Json>) -> Result<Arc<Json>, Error> {
        let output = &self.definition.output;
        self.transformed(output, raw, &self.outside(raw), "the output").map_err(|error| error.at("/output"))
    }
}
