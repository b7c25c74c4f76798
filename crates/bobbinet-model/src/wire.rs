//! Chat completions, as OpenAI's API has them and many others speak them.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{config::ModelConfig, prompt::Prompt};

/// What came back.
#[derive(Debug, Deserialize)]
pub(crate) struct Completion {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    message: Option<Said>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

/// Tokens, as the endpoint counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Usage {
    #[serde(default)]
    pub(crate) prompt_tokens: u64,
    #[serde(default)]
    pub(crate) completion_tokens: u64,
    #[serde(default)]
    total_tokens: u64,
}

impl Usage {
    pub(crate) fn total(&self) -> u64 {
        self.total_tokens.max(self.prompt_tokens.saturating_add(self.completion_tokens))
    }
}

/// The body of a request.
pub(crate) fn body(config: &ModelConfig, prompt: &Prompt) -> Value {
    let system = prompt.system.as_ref().or(config.system.as_ref());
    let system = system.map(|system| json!({ "role": "system", "content": system }));
    let user = json!({ "role": "user", "content": prompt.prompt });
    let messages: Vec<Value> = system.into_iter().chain([user]).collect();
    let mut body = json!({ "model": config.model, "messages": messages });
    // Whoever asks may want less than the operator allows, never more.
    if let Some(max) = prompt.max_tokens.into_iter().chain(config.max_tokens).min() {
        body["max_tokens"] = max.into();
    }
    if let Some(schema) = &prompt.schema {
        body["response_format"] =
            json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema, "strict": true } });
    }
    body
}

impl Completion {
    /// What the model said.
    ///
    /// # Errors
    /// Why it said nothing.
    pub(crate) fn text(&self) -> Result<&str, String> {
        let choice = self.choices.first().ok_or("the answer has no choices")?;
        if let Some(refusal) = choice.message.as_ref().and_then(|said| said.refusal.as_deref()) {
            return Err(format!("the model refuses: {refusal}"));
        }
        let text = choice.message.as_ref().and_then(|said| said.content.as_deref());
        text.ok_or_else(|| match &choice.finish_reason {
            Some(reason) => format!("the model said nothing, since {reason}"),
            None => "the model said nothing".to_owned(),
        })
    }

    /// The model that answered, as it calls itself.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// What it cost; guessed from what was said if the endpoint does not count.
    pub(crate) fn usage(&self, prompt: &Prompt) -> Usage {
        self.usage.unwrap_or_else(|| {
            // Four characters a token, which is about what they come to in English.
            let tokens = |text: &str| (text.len() as u64).div_ceil(4);
            Usage {
                prompt_tokens: tokens(&prompt.prompt) + prompt.system.as_deref().map_or(0, tokens),
                completion_tokens: self.text().map_or(0, tokens),
                total_tokens: 0,
            }
        })
    }
}
