//! What can be said of a definition before it runs: steps that are never reached, loops without a way out, failures that nobody can
//! have, and calls that do not fit what is called.

mod callees;
mod edges;
mod shape;
mod ways;

use serde_json::Value as Json;

use bobbinet_core::Effect;
use bobbinet_text::{Position, nearest};

use crate::{
    document::Definition,
    finding::{Finding, Findings, Severity},
};

/// What is known of the agents of a mesh.
pub trait Catalog {
    /// The agents' names.
    fn agents(&self) -> Vec<String>;
    /// The skills of an agent; nothing if it cannot say at the moment.
    fn skills(&self, agent: &str) -> Option<Vec<String>>;
    /// What is known of a skill.
    fn skill(&self, agent: &str, skill: &str) -> Option<KnownSkill>;
    /// The flows that `run: workflow` finds; nothing if nobody knows them here, and then nothing is said of them.
    fn flows(&self) -> Option<Vec<KnownFlow>> {
        None
    }
}

/// What is known of a flow.
#[derive(Clone, Debug, Default)]
pub struct KnownFlow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The JSON Schema of its input.
    pub input: Option<Json>,
    /// The JSON Schema of its output.
    pub output: Option<Json>,
}

impl KnownFlow {
    /// What a definition says of itself.
    pub fn of(definition: &Definition) -> Self {
        Self {
            namespace: definition.namespace.clone(),
            name: definition.name.clone(),
            version: definition.version.clone(),
            input: definition.input_schema().cloned(),
            output: definition.output_schema().cloned(),
        }
    }
}

/// What is known of a skill.
#[derive(Clone, Debug, Default)]
pub struct KnownSkill {
    /// The JSON Schema of its arguments.
    pub input: Option<Json>,
    /// The JSON Schema of what it gives.
    pub output: Option<Json>,
    /// What it means to call it twice.
    pub effect: Effect,
}

/// What is wrong with a definition, apart from any mesh. `text` is what it was read from.
pub fn check(definition: &Definition, file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Told { file, text, all: Findings::default() };
    ways::check(definition, &mut findings);
    findings.all.sorted()
}

/// The same in a mesh: also the calls of agents and skills that there are not, and arguments that do not fit.
pub fn check_in(definition: &Definition, file: &str, text: &str, catalog: &dyn Catalog) -> Vec<Finding> {
    let mut findings = Told { file, text, all: Findings::default() };
    ways::check(definition, &mut findings);
    edges::check(definition, catalog, &mut findings);
    findings.all.sorted()
}

/// What was found so far, and where it is looked for.
struct Told<'a> {
    file: &'a str,
    text: &'a str,
    all: Findings,
}

impl Told<'_> {
    fn add(&mut self, severity: Severity, at: Position, pointer: &str, message: String, hint: String) {
        if !self.all.are_enough(severity) {
            self.all.add(Finding::new(severity, (self.file, self.text), at, pointer, message, Some(hint)));
        }
    }

    /// The word that was meant; none if nobody would be told.
    fn meant<'k>(&self, written: &str, known: &[&'k str]) -> Option<&'k str> {
        if self.all.are_enough(Severity::Error) { None } else { nearest(written, known) }
    }
}
