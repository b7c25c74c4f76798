//! Language models as agents: an endpoint that speaks as OpenAI's chat completions do, with one skill, `think`.
//!
//! What a tree of tasks spends is counted with its root, durably ([`TokenAccount`]); over its budget, the agent asks. A flow thinks by
//! calling such an agent, as it calls any other, and needs no word of its own for it.

mod account;
mod agent;
mod config;
mod prompt;
mod wire;

pub use account::{AccountCommand, AccountEvent, AccountId, TokenAccount};
pub use agent::{ModelAgent, describe};
pub use config::{BUDGET, ModelConfig, ModelKey};
