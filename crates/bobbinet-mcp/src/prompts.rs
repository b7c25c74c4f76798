//! A server's prompts as it lists them, each a skill of its own, and the messages that one comes to.

use bobbinet_core::{Json, Part};
use serde::{Deserialize, Serialize};

use crate::{
    block,
    config::McpLimits,
    json_object::JsonObject,
    paged_list::{EntryFields, ListEntry},
};

/// What stands before a prompt's name in the name of its skill.
pub(crate) const PREFIX: &str = "prompt:";

/// Arguments of a prompt that are taken.
const ARGUMENTS_MAX: usize = 100;

/// One prompt as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct RawPrompt {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) arguments: Vec<RawPromptArgument>,
}

/// One argument of a prompt. Its value is a text, whatever it means.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct RawPromptArgument {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) required: bool,
}

impl ListEntry for RawPrompt {
    const METHOD: &'static str = "prompts/list";
    const FIELD: &'static str = "prompts";
    const NOUN: &'static str = "prompt";

    fn read(json: &Json, odd: &mut Vec<String>) -> Option<Self> {
        let mut fields = EntryFields::read(json, "name", odd)?;
        let (name, title, description) = (fields.key(), fields.text("title"), fields.text("description"));
        let listed = fields.list("arguments").unwrap_or_default();
        let read = |json: &Json, odd: &mut Vec<String>| {
            let mut fields = EntryFields::read(json, "name", odd)?;
            let (title, description) = (fields.text("title"), fields.text("description"));
            Some(RawPromptArgument {
                name: fields.key(),
                title,
                description,
                required: fields.flag("required") == Some(true),
            })
        };
        let mut arguments = Vec::new();
        for json in listed.iter().take(ARGUMENTS_MAX) {
            match read(json, odd) {
                Some(argument) => arguments.push(argument),
                None => odd.push(format!("an argument of {name}")),
            }
        }
        if listed.len() > ARGUMENTS_MAX {
            odd.push(format!("arguments beyond {ARGUMENTS_MAX} of {name}"));
        }
        Some(Self { name, title, description, arguments })
    }

    fn key(&self) -> &str {
        &self.name
    }

    fn count_max(limits: &McpLimits) -> usize {
        limits.list_prompts_max
    }
}

impl RawPrompt {
    /// The name of its skill.
    pub(crate) fn skill(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// What its skill takes: texts, as the protocol has it.
    pub(crate) fn input_schema(&self) -> Json {
        let mut properties = JsonObject::default();
        for argument in &self.arguments {
            let mut property = JsonObject::default();
            property.set("type", Json::of("string"));
            for (name, text) in [("title", &argument.title), ("description", &argument.description)] {
                if let Some(text) = text {
                    property.set(name, Json::of(text));
                }
            }
            properties.set(&argument.name, property.to_json());
        }
        let required = self.arguments.iter().filter(|argument| argument.required);
        let required = required.map(|argument| argument.name.as_str()).collect::<Vec<_>>();
        let mut schema = JsonObject::default();
        schema.set("type", Json::of("object"));
        schema.set("properties", properties.to_json());
        if !required.is_empty() {
            schema.set("required", Json::of(&required));
        }
        // One that its server forgot to list goes there all the same.
        schema.set("additionalProperties", Json::from(&serde_json::json!({"type": "string"})));
        schema.to_json()
    }
}

/// One message of a prompt: a part for each of its blocks, which says whose words they are.
pub(crate) fn parts(message: &Json) -> Vec<Part> {
    let fields = JsonObject::read(message);
    let content = fields.as_ref().and_then(|fields| fields.get("content"));
    let Some(content) = content else { return vec![block::part(message)] };
    let blocks = content.read::<Vec<Json>>().unwrap_or_else(|_| vec![content.clone()]);
    let role = fields.as_ref().and_then(|fields| fields.get("role"));
    let part = |json: &Json| {
        let part = block::part(json);
        let mut metadata = part.metadata.as_ref().and_then(JsonObject::read).unwrap_or_default();
        if let Some(role) = role {
            metadata.set("role", role.clone());
        }
        Part { metadata: (!metadata.is_empty()).then(|| metadata.to_json()), ..part }
    };
    blocks.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_texts_and_those_that_must_be_there_are_required() {
        let mut odd = Vec::new();
        let json = r#"{"name":"review","title":7,"arguments":[
            {"name":"code","description":"What to look at","required":true},{"name":"a b","required":"yes"},{"title":"nameless"}]}"#;
        let prompt = RawPrompt::read(&Json::parse(json).unwrap(), &mut odd).unwrap();
        assert_eq!(odd, ["title of review", "required of a b", "an argument of review"]);
        assert_eq!(prompt.skill(), "prompt:review");
        assert_eq!(
            prompt.input_schema().as_str(),
            r#"{"type":"object","properties":{"code":{"type":"string","description":"What to look at"},"a b":{"type":"string"}},"required":["code"],"additionalProperties":{"type":"string"}}"#
        );
    }
}
