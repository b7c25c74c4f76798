//! What a server wants a language model to say (`sampling/createMessage`): a task of the agent that the operator names for it, begun by
//! the run that the server works for. So it is in the log, policy is asked whether its caller may, and it counts against his budgets; the
//! server learns the words that came of it, and nothing of where they came from.

use std::sync::Arc;

use bobbinet_core::{Json, Message, MessageId, Part, Role, State, Task};
use bobbinet_engine::{ChildError, NewChild, Run};
use rmcp::model::SamplingCapability;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{config::McpConfig, json_object::JsonObject};

/// How a server asks for it.
pub(crate) const METHOD: &str = "sampling/createMessage";

/// What the tasks of a run are called that answer such a request.
const CHILD: &str = "sample-";

/// What is offered to a server of this.
pub(crate) fn capability(config: &McpConfig) -> Option<SamplingCapability> {
    (config.sampling.is_some() || config.lends.sampling).then(SamplingCapability::default)
}

/// The request, as far as it is understood.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateMessage {
    messages: Vec<SamplingMessage>,
    #[serde(default)]
    system_prompt: Option<String>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    tools: Option<Value>,
}

#[derive(Deserialize)]
struct SamplingMessage {
    role: String,
    content: Value,
}

/// What is asked of the agent, or why nothing is.
fn prompt(config: &McpConfig, params: &Json) -> Result<Value, String> {
    let limits = &config.limits;
    if params.as_str().len() > limits.sample_bytes_max {
        return Err(format!("it is longer than {} bytes (sample_bytes_max)", limits.sample_bytes_max));
    }
    let asked: CreateMessage = params.read().map_err(|error| format!("it cannot be read: {error}"))?;
    if asked.tools.is_some_and(|tools| !tools.is_null()) {
        return Err("tools were not offered for it".to_owned());
    }
    let mut said = Vec::with_capacity(asked.messages.len());
    for message in asked.messages {
        let blocks = match message.content.as_array() {
            Some(blocks) => blocks.clone(),
            None => vec![message.content],
        };
        let texts = blocks.iter().map(|block| match (block["type"].as_str(), block["text"].as_str()) {
            (Some("text"), Some(text)) => Ok(text),
            _ => Err("only text is taken".to_owned()),
        });
        said.push((message.role, texts.collect::<Result<Vec<_>, _>>()?.join("\n")));
    }
    let prompt = match said.as_slice() {
        [] => return Err("it has no messages".to_owned()),
        [(role, text)] if role == "user" => text.clone(),
        said => said.iter().map(|(role, text)| format!("{role}: {text}")).collect::<Vec<_>>().join("\n\n"),
    };
    let tokens = asked.max_tokens.unwrap_or(limits.sample_tokens_max).clamp(1, limits.sample_tokens_max);
    let mut prompt = json!({ "prompt": prompt, "maxTokens": tokens });
    if let Some(system) = asked.system_prompt {
        prompt["system"] = system.into();
    }
    Ok(prompt)
}

/// Has the agent say what the server wants to hear. `what` tells the request apart from others of the call. `Err`: why not, in words
/// that the server may read.
pub(crate) async fn sample(run: &Run, config: &McpConfig, what: &str, params: &Json) -> Result<Json, String> {
    let sampling = config.sampling.as_ref().ok_or("it was not offered")?;
    let prompt = prompt(config, params)?;
    // The same request in the same place finds its task again.
    let hash = Sha256::digest(prompt.to_string());
    let hash = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>();
    let name = format!("{CHILD}{what}-{hash}");
    let max = config.limits.samples_max;
    let own = run.current().await.map_err(|_| "the call is over")?;
    let others = own.children.iter().filter(|child| child.name.starts_with(CHILD) && *child.name != *name).count();
    if others >= max {
        return Err(format!("one call has {max} of them at the most (samples_max)"));
    }
    let id = format!("{}-{name}", run.key().replace('/', "-"));
    let parts = vec![Part::data(Json::from(&prompt))];
    let id = MessageId::parse(&id).map_err(|_| "it cannot be named")?;
    let message = Message { role: Role::User, ..Message::from_agent(id, parts) };
    let (agent, name) = (sampling.agent.clone(), Arc::from(name));
    let new = NewChild { name, agent, message, skill: None, time: None, budget: None };
    let child = run.begin_child(new).await.map_err(|error| refused(run, &error))?;
    let task = run.wait_for(&child).await.map_err(|error| refused(run, &error))?;
    if task.state.is_interrupted() {
        // There is nobody to answer it: it is not the question of the call that our caller has made.
        run.cancel_child(&child);
        return Err("the model asks something itself".to_owned());
    }
    answer(run, &task)
}

/// What a caller's client is asked to have its model say: as the server asks for it, within the same bounds. `Err`: why it is not asked.
pub(crate) fn lent(config: &McpConfig, params: &Json) -> Result<Json, String> {
    let limits = &config.limits;
    if params.as_str().len() > limits.sample_bytes_max {
        return Err(format!("it is longer than {} bytes (sample_bytes_max)", limits.sample_bytes_max));
    }
    let mut asked = JsonObject::read(params).ok_or("it cannot be read")?;
    if asked.get("tools").is_some_and(|tools| tools.as_str() != "null") {
        return Err("tools were not offered for it".to_owned());
    }
    // What else that client knows is no concern of the server's.
    asked.take("includeContext");
    asked.take("_meta");
    let max = limits.sample_tokens_max;
    let tokens = asked.get("maxTokens").and_then(|tokens| tokens.read::<u64>().ok());
    if !tokens.is_some_and(|tokens| (1..=max).contains(&tokens)) {
        asked.set("maxTokens", Json::of(&tokens.unwrap_or(max).clamp(1, max)));
    }
    Ok(asked.to_json())
}

/// The last words of what a model is to answer, for people.
pub(crate) fn last_words(params: &Json) -> Option<String> {
    let messages = params.to_value();
    let content = &messages["messages"].as_array()?.last()?["content"];
    let text = content["text"].as_str().or_else(|| content.as_array()?.iter().find_map(|block| block["text"].as_str()));
    text.map(str::to_owned)
}

/// The answer that says why there is none. It never goes out as it is.
pub(crate) fn no(why: &str) -> Json {
    Json::from(&json!({ "refused": why }))
}

/// Why there is no answer, if this says so and has no such member.
pub(crate) fn refusal(answer: &Json, member: &str) -> Option<String> {
    let fields = JsonObject::read(answer).unwrap_or_default();
    let why = || fields.text("refused").unwrap_or_else(|| "nobody was asked".to_owned());
    fields.get(member).is_none().then(why)
}

/// What the server may know of a task that could not be had. The rest is the operator's.
fn refused(run: &Run, error: &ChildError) -> String {
    tracing::warn!(task = %run.task().id, %error, "what a server wanted a model to say was not asked for");
    match error {
        ChildError::Denied(_) => "the caller may not use the model".to_owned(),
        ChildError::Over | ChildError::Engine(_) => "the model could not be asked".to_owned(),
    }
}

fn answer(run: &Run, task: &Task) -> Result<Json, String> {
    if task.state != State::Completed {
        let why = task.status_message.as_ref().map(|message| message.text()).unwrap_or_default();
        tracing::warn!(task = %run.task().id, why, "the model that a server asked for has failed");
        return Err("the model gave no answer".to_owned());
    }
    let parts = task.artifacts.iter().flat_map(|artifact| &artifact.parts);
    let texts = parts.filter_map(|part| match (part.as_text(), part.as_data()) {
        (Some(text), _) => Some(text.to_owned()),
        (None, Some(data)) => Some(data.as_str().to_owned()),
        (None, None) => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    let named = task
        .artifacts
        .iter()
        .find_map(|artifact| artifact.metadata.as_ref()?.to_value()["model"].as_str().map(str::to_owned));
    let model = named.unwrap_or_else(|| task.agent.to_string());
    let content = json!({ "type": "text", "text": text });
    Ok(Json::from(&json!({ "role": "assistant", "content": content, "model": model, "stopReason": "endTurn" })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(params: &str, expected: &str) {
        let mut config = McpConfig::new("a", "x", &[]);
        config.limits.sample_tokens_max = 100;
        config.limits.sample_bytes_max = 200;
        let found = prompt(&config, &Json::parse(params).unwrap());
        assert_eq!(found.map_or_else(|why| why, |prompt| prompt.to_string()), expected, "{params}");
    }

    #[test]
    fn what_a_callers_client_is_asked_is_what_the_server_asks_within_bounds() {
        let mut config = McpConfig::new("a", "x", &[]);
        (config.limits.sample_tokens_max, config.limits.sample_bytes_max) = (100, 200);
        let check = |params: &str, expected: &str| {
            let found = lent(&config, &Json::parse(params).unwrap());
            assert_eq!(found.map_or_else(|why| why, |params| params.as_str().to_owned()), expected, "{params}");
        };
        check(
            r#"{"messages":[1.0],"includeContext":"allServers","maxTokens":7,"_meta":{},"x":2.0}"#,
            r#"{"messages":[1.0],"maxTokens":7,"x":2.0}"#,
        );
        check(r#"{"maxTokens":900}"#, r#"{"maxTokens":100}"#);
        check(r#"{"maxTokens":"many"}"#, r#"{"maxTokens":100}"#);
        check(r#"{"tools":[]}"#, "tools were not offered for it");
        check("[]", "it cannot be read");
        let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(200));
        check(&long, "it is longer than 200 bytes (sample_bytes_max)");
    }

    #[test]
    fn what_a_server_asks_for_becomes_a_prompt_within_bounds() {
        let user = r#"{"role":"user","content":{"type":"text","text":"Hi"}}"#;
        check(&format!(r#"{{"messages":[{user}],"maxTokens":7}}"#), r#"{"maxTokens":7,"prompt":"Hi"}"#);
        let more = format!(
            r#"{{"messages":[{user},{{"role":"assistant","content":[{{"type":"text","text":"Yes"}}]}}],"systemPrompt":"Be","maxTokens":900}}"#
        );
        check(&more, r#"{"maxTokens":100,"prompt":"user: Hi\n\nassistant: Yes","system":"Be"}"#);
        check(r#"{"messages":[]}"#, "it has no messages");
        check(r#"{"messages":[{"role":"user","content":{"type":"image","data":""}}]}"#, "only text is taken");
        check(&format!(r#"{{"messages":[{user}],"tools":[]}}"#), "tools were not offered for it");
        let long = "x".repeat(200);
        check(&format!(r#"{{"messages":[],"x":"{long}"}}"#), "it is longer than 200 bytes (sample_bytes_max)");
    }
}
