//! From a message to what a model is told.

use std::sync::Arc;

use bobbinet_core::{Call, Effect, Fault, Json, Message, Plan, QuestionKind, SkillId};
use bobbinet_engine::Request;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The one skill.
pub(crate) const SKILL: &str = "think";

/// What a model is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Prompt {
    /// What it is asked.
    pub(crate) prompt: String,
    /// What it is told before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) system: Option<String>,
    /// A JSON Schema that its answer is to have: then the answer is data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<Value>,
    /// Tokens of the answer at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<u64>,
}

/// The schema of a call.
pub(crate) fn input_schema() -> Json {
    Json::from(&json!({
        "type": "object", "required": ["prompt"], "additionalProperties": false,
        "properties": {
            "prompt": { "type": "string", "description": "what the model is asked" },
            "system": { "type": "string", "description": "what it is told before" },
            "schema": { "type": "object", "description": "the JSON Schema of its answer, which is data then" },
            "maxTokens": { "type": "integer", "minimum": 1, "description": "tokens of the answer at the most" },
        },
    }))
}

/// The schema of the answer to whether more may be spent.
pub(crate) fn answer_schema() -> Json {
    Json::from(&json!({ "type": "object", "required": ["go"], "properties": { "go": { "type": "boolean" } } }))
}

/// What is made of a message.
pub(crate) fn plan(request: &Request<'_>) -> Plan {
    match request.question().map(|question| question.kind) {
        Some(QuestionKind::Elicitation | QuestionKind::Authorization) => {
            return Plan::Answer(Json::of(&is_go(request.message)));
        }
        Some(QuestionKind::Outcome { .. }) => return Plan::Answer(Json::of(&())),
        Some(QuestionKind::Input) | None => {}
    }
    match read(request.message) {
        Ok(prompt) => {
            let skill = Some(SkillId::parse(SKILL).expect("a word"));
            // Asked again it answers again, and spends again; it changes nothing.
            let call =
                Call { skill, arguments: Some(Json::of(&prompt)), converted: Vec::new(), effect: Effect::ReadOnly };
            Plan::Call(Arc::new(call))
        }
        Err(why) => Plan::Reject(Fault::new("bad-arguments", why)),
    }
}

fn read(message: &Message) -> Result<Prompt, String> {
    let Some(data) = message.data() else {
        let prompt = message.text();
        if prompt.trim().is_empty() {
            return Err("there is nothing to think about: send a text, or {\"prompt\": …}".to_owned());
        }
        return Ok(Prompt { prompt, system: None, schema: None, max_tokens: None });
    };
    let mut value = data.to_value();
    if let Some(arguments) = value.get_mut("arguments").filter(|arguments| arguments.is_object()) {
        value = arguments.take();
    }
    serde_json::from_value(value).map_err(|error| format!("this is no prompt: {error}"))
}

/// Whether an answer lets it go on.
fn is_go(message: &Message) -> bool {
    match message.data() {
        Some(data) => data.to_value().get("go").and_then(Value::as_bool).unwrap_or(false),
        None => {
            let said = message.text().trim().to_ascii_lowercase();
            ["yes", "y", "go", "go on", "true", "ok"].contains(&said.as_str())
        }
    }
}
