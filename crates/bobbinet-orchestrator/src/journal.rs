//! What is kept of a run: the records of its task, as this crate writes them.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{Json, cloud_event::hops_of};
use bobbinet_events::Position;
use bobbinet_flow::{
    document::Definition,
    run::{Came, Effect, Id, Record, State, Surroundings, decide},
};
use serde::{Deserialize, Serialize};

use crate::definition::DefinitionId;

/// One record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The definition that the run began with. In the first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) definition: Option<String>,
    /// Whether it was kept together with the record before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) joined: bool,
    /// Where in the tenant's events what was heard stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<Position>,
    /// Where in the tenant's events waits begin that this record leads to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) listens: Vec<(Id, Position)>,
    #[serde(flatten)]
    pub(crate) record: Record,
}

/// What the records of a run say.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) definition: DefinitionId,
    pub(crate) records: Vec<Record>,
    /// How many of the last records were kept by one commit. What follows from those may not have been carried out.
    pub(crate) last: usize,
    /// How far each wait for events has heard.
    pub(crate) heard: BTreeMap<Id, Position>,
}

/// Where a run is after its records, and what answers it has had.
#[derive(Debug, Default)]
pub(crate) struct Progressed {
    pub(crate) state: State,
    /// For each call that was answered: the question, and what was said.
    pub(crate) answers: BTreeMap<Id, (Arc<serde_json::Value>, Arc<serde_json::Value>)>,
    /// How many flows the events have come through that it has heard, at most.
    pub(crate) hops: u32,
}

impl Entry {
    pub(crate) fn json(&self) -> Json {
        Json::of(self)
    }
}

impl Journal {
    /// Reads the records of a task. `None` if there are none yet.
    ///
    /// # Errors
    /// If one is not as this version, or one before it, has written it.
    pub(crate) fn read(records: &[Json]) -> Result<Option<Self>, String> {
        let mut definition = None;
        let mut read = Vec::with_capacity(records.len());
        let (mut last, mut heard) = (0, BTreeMap::new());
        for (number, json) in records.iter().enumerate() {
            let entry: Entry = json.read().map_err(|error| format!("record {}: {error}", number + 1))?;
            definition = definition.or(entry.definition);
            last = if entry.joined { last + 1 } else { 1 };
            heard.extend(entry.listens);
            if let (Came::Heard { listen, .. }, Some(position)) = (&entry.record.came, entry.position) {
                heard.insert(*listen, position);
            }
            read.push(entry.record);
        }
        if read.is_empty() {
            return Ok(None);
        }
        let definition = definition.as_deref().and_then(DefinitionId::parse);
        let definition = definition.ok_or("the first record names no definition")?;
        Ok(Some(Self { definition, records: read, last, heard }))
    }
}

impl Progressed {
    /// Folds one record. With what follows from it.
    pub(crate) fn fold(&mut self, definition: &Definition, record: &Record, around: &Surroundings<'_>) -> Vec<Effect> {
        self.note(record);
        let (state, effects) = decide(definition, std::mem::take(&mut self.state), record, around);
        self.state = state;
        effects
    }

    /// Remembers an answer, and how far an event has come, before it is decided.
    pub(crate) fn note(&mut self, record: &Record) {
        if let Came::Heard { event, .. } = &record.came {
            self.hops = self.hops.max(hops_of(event));
        }
        if let Came::Answered { answer } = &record.came
            && let Some((call, question)) = self.state.question()
        {
            let said = (Arc::new(question.clone()), Arc::new(answer.clone()));
            self.answers.insert(call, said);
        }
    }
}
