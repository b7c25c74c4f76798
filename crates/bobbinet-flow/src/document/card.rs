//! What a definition says of itself, as the card of an agent wants it.

use serde_json::Value as Json;

use super::Definition;

impl Definition {
    /// Its name for people: the title, or else the name.
    pub fn display_name(&self) -> &str {
        self.title.as_deref().map(str::trim).filter(|title| !title.is_empty()).unwrap_or(&self.name)
    }

    /// What it is for: the summary, or else a sentence that says what it is.
    pub fn description(&self) -> String {
        match self.summary.as_deref().map(str::trim).filter(|summary| !summary.is_empty()) {
            Some(summary) => summary.to_owned(),
            None => format!("The flow {}/{}.", self.namespace, self.name),
        }
    }

    /// The JSON Schema of what a run takes, if it says one.
    pub fn input_schema(&self) -> Option<&Json> {
        self.input.schema.as_ref().map(|schema| &*schema.json)
    }

    /// The JSON Schema of what a run gives, if it says one.
    pub fn output_schema(&self) -> Option<&Json> {
        self.output.schema.as_ref().map(|schema| &*schema.json)
    }
}
