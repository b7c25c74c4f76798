//! What an operator says of a model.

use std::fmt;

use bobbinet_outbound::Guard;

/// Tokens that a tree of tasks may spend before it is asked, if nothing is said.
pub const BUDGET: u64 = 200_000;

/// A model as an agent.
#[derive(Clone)]
pub struct ModelConfig {
    /// The endpoint, without `/chat/completions`: `https://api.openai.com/v1`.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// What it is shown to be let in, if anything.
    pub key: Option<ModelKey>,
    /// What it is told before every prompt that brings no such words of its own.
    pub system: Option<String>,
    /// Tokens of one answer at the most.
    pub max_tokens: Option<u64>,
    /// Tokens that one tree of tasks may spend on models before this agent asks: prompts and answers together.
    pub budget: u64,
    /// Its name for people.
    pub title: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Requests at a time.
    pub calls_max: usize,
    /// What its requests go through.
    pub guard: Guard,
}

/// A secret: it is never shown.
#[derive(Clone)]
pub struct ModelKey(pub String);

impl fmt::Debug for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelKey(…)")
    }
}

impl fmt::Debug for ModelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelConfig").field("url", &self.url).field("model", &self.model).finish_non_exhaustive()
    }
}
