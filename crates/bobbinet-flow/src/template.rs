//! A value of a definition in which texts of the form `${ … }` are expressions. Only what the definition says is ever one: text
//! that comes in as data stays text.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::{
    expression::{EvaluateFault, Program, Variables},
    limits::Limits,
};

/// A value to be filled in.
#[derive(Clone, Debug)]
pub enum Template {
    /// Without expressions.
    Fixed(Arc<Json>),
    /// An expression.
    Program(Arc<Program>),
    /// Values in order.
    List(Vec<Template>),
    /// Named values.
    Map(Vec<(String, Template)>),
}

impl Template {
    /// One without expressions.
    pub(crate) fn fixed(json: Json) -> Self {
        Self::Fixed(Arc::new(json))
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        let fixed: Option<Vec<Json>> = items.iter().map(|item| item.known().cloned()).collect();
        fixed.map_or(Self::List(items), |items| Self::fixed(Json::Array(items)))
    }

    pub(crate) fn map(entries: Vec<(String, Self)>) -> Self {
        let fixed: Option<serde_json::Map<String, Json>> =
            entries.iter().map(|(name, value)| Some((name.clone(), value.known()?.clone()))).collect();
        fixed.map_or(Self::Map(entries), |entries| Self::fixed(Json::Object(entries)))
    }

    /// What it is, if that is known without running anything.
    pub fn known(&self) -> Option<&Json> {
        match self {
            Self::Fixed(json) => Some(json),
            Self::Program(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The value.
    pub fn fill(&self, input: &Json, variables: &dyn Variables, limits: &Limits) -> Result<Json, EvaluateFault> {
        match self {
            Self::Fixed(json) => {
                crate::expression::count_work(parts(json) / COPIED_OF_A_UNIT);
                Ok(Json::clone(json))
            }
            Self::Program(program) => program.evaluate(input, variables, limits),
            Self::List(items) => items.iter().map(|item| item.fill(input, variables, limits)).collect(),
            Self::Map(entries) => {
                let filled =
                    entries.iter().map(|(name, value)| Ok((name.clone(), value.fill(input, variables, limits)?)));
                filled.collect::<Result<_, _>>().map(Json::Object)
            }
        }
    }
}

/// Parts of a value that are copied for a unit of work.
const COPIED_OF_A_UNIT: u64 = 8;

fn parts(json: &Json) -> u64 {
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 1,
        Json::Array(items) => items.iter().map(parts).sum::<u64>() + 1,
        Json::Object(entries) => entries.values().map(parts).sum::<u64>() + 1,
    }
}

/// The program in a text of the form `${ … }`, and the byte at which it begins.
pub(crate) fn unwrapped(text: &str) -> Option<(&str, usize)> {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix("${")?.strip_suffix('}')?;
    let start = text.len() - text.trim_start().len() + 2;
    (!inner.trim().is_empty()).then_some((inner, start))
}
