//! What is kept of a run: the records of its task, as this crate writes them.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::Json;
use bobbinet_flow::{
    document::Definition,
    run::{Came, Id, Record, State, Surroundings, decide},
};
use serde::{Deserialize, Serialize};

use crate::definition::DefinitionId;

/// One record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The definition that the run began with. In the first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) definition: Option<String>,
    #[serde(flatten)]
    pub(crate) record: Record,
}

/// What the records of a run say.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) definition: DefinitionId,
    pub(crate) records: Vec<Record>,
}

/// Where a run is after its records, and what answers it has had.
#[derive(Debug, Default)]
pub(crate) struct Progressed {
    pub(crate) state: State,
    /// For each call that was answered: the question, and what was said.
    pub(crate) answers: BTreeMap<Id, (Arc<serde_json::Value>, Arc<serde_json::Value>)>,
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
        for (number, json) in records.iter().enumerate() {
            let entry: Entry = json.read().map_err(|error| format!("record {}: {error}", number + 1))?;
            definition = definition.or(entry.definition);
            read.push(entry.record);
        }
        if read.is_empty() {
            return Ok(None);
        }
        let definition = definition.as_deref().and_then(DefinitionId::parse);
        let definition = definition.ok_or("the first record names no definition")?;
        Ok(Some(Self { definition, records: read }))
    }
}

impl Progressed {
    /// Folds the records.
    pub(crate) fn of(definition: &Definition, records: &[Record], around: &Surroundings<'_>) -> Self {
        let mut progressed = Self::default();
        for record in records {
            progressed.note(record);
            progressed.state = decide(definition, std::mem::take(&mut progressed.state), record, around).0;
        }
        progressed
    }

    /// Remembers an answer, before it is decided.
    pub(crate) fn note(&mut self, record: &Record) {
        if let Came::Answered { answer } = &record.came
            && let Some((call, question)) = self.state.question()
        {
            let said = (Arc::new(question.clone()), Arc::new(answer.clone()));
            self.answers.insert(call, said);
        }
    }
}
