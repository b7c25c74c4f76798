//! From a message to the input of a flow, without a model (DESIGN section 7).

use std::sync::Arc;

use bobbinet_core::{
    Call, Effect, Fault, Json, Message, Part, Plan, Question, QuestionKind, SkillId, agent::skill_named_in,
};
use bobbinet_engine::Request;
use bobbinet_flow::{document::Definition, limits::Limits};
use serde_json::{Value, json};

/// The names by which others call the arguments of a skill in a data part.
const ARGUMENT_WORDS: [&str; 5] = ["arguments", "args", "params", "parameters", "input"];

/// The names by which others call the skill itself.
const SKILL_WORDS: [&str; 4] = ["skill", "skillId", "tool", "name"];

/// What a flow makes of a message.
pub(crate) fn plan(definition: &Definition, skill: &SkillId, request: &Request<'_>, limits: &Limits) -> Plan {
    match request.question().map(|question| question.kind) {
        Some(QuestionKind::Elicitation | QuestionKind::Authorization) => {
            return Plan::Answer(crate::question::answer(request.message));
        }
        // The engine reads the verdict itself.
        Some(QuestionKind::Outcome { .. }) => return Plan::Answer(Json::of(&())),
        Some(QuestionKind::Input) | None => {}
    }
    let (input, is_of_person) = match read(request, skill) {
        Ok(read) => read,
        Err(fault) => return Plan::Reject(fault),
    };
    match definition.input.schema.as_ref().and_then(|schema| schema.fault(&input, limits)) {
        None => {
            let arguments = Some(Json::from(&input));
            Plan::Call(Arc::new(Call {
                skill: Some(skill.clone()),
                arguments,
                converted: Vec::new(),
                effect: Effect::Keyed,
            }))
        }
        Some(fault) if is_of_person => ask(definition, request, &fault),
        Some(fault) => Plan::Reject(Fault {
            data: Some(Json::from(&json!({ "violations": [fault] }))),
            ..Fault::new("bad-arguments", format!("the input is not what the flow takes: {fault}"))
        }),
    }
}

/// The input, and whether a person wrote it, who can be asked for what is missing.
fn read(request: &Request<'_>, skill: &SkillId) -> Result<(Value, bool), Fault> {
    let message = request.message;
    let named = request.skill.map(|named| named.as_str().to_owned());
    let named = named.or_else(|| message.metadata.as_ref().and_then(skill_named_in));
    if let Some(named) = named.filter(|named| named != skill.as_str()) {
        let text = format!("there is no skill {named:?} here: this flow has one, {:?}", skill.as_str());
        return Err(Fault::new("unknown-skill", text));
    }
    if let Some(data) = message.data() {
        let value = data.to_value();
        return Ok((arguments(&value, skill).unwrap_or(value), false));
    }
    let text = message.text();
    let text = text.trim();
    let text = text.strip_prefix(skill.as_str()).filter(|rest| rest.starts_with([' ', '\n'])).unwrap_or(text).trim();
    let value = serde_json::from_str(text).ok().filter(|value: &Value| value.is_object() || value.is_array());
    Ok(match value {
        Some(value) => (arguments(&value, skill).unwrap_or(value), false),
        None if text.is_empty() => (json!({}), true),
        None => (Value::from(text), true),
    })
}

/// The arguments, if this names our skill beside them.
fn arguments(value: &Value, skill: &SkillId) -> Option<Value> {
    let fields = value.as_object()?;
    let is_named = SKILL_WORDS.iter().any(|word| fields.get(*word).and_then(Value::as_str) == Some(skill.as_str()));
    is_named.then(|| ARGUMENT_WORDS.iter().find_map(|word| fields.get(*word))).flatten().cloned()
}

fn ask(definition: &Definition, request: &Request<'_>, fault: &str) -> Plan {
    let schema = definition.input.schema.as_ref().map(|schema| Json::from(&*schema.json));
    let text = format!("The flow {} needs another input: {fault}", definition.name);
    let mut parts = vec![Part::text(text)];
    if let Some(schema) = &schema {
        parts.push(Part::data(Json::from(&json!({ "schema": schema.to_value() }))));
    }
    let message = Arc::new(Message::from_agent(request.question_id.clone(), parts));
    Plan::Ask(Arc::new(Question { kind: QuestionKind::Input, message, schema }))
}
