//! Agents that are somewhere else: any A2A agent by its URL, as an agent of this node.
//!
//! A [`PeerAgent`] carries out a task by sending its message to the other agent and following what becomes of it there. The id of that
//! task is a checkpoint of ours, so that a run that is taken up goes on with that very task. A peer has replicas, each with a breaker;
//! what was surely not sent is sent again elsewhere, what may have been sent only where the same key makes it the same task.
//!
//! It knows no MCP, no store, and no word of A2A's JSON beyond what the client of `bobbinet-http` reads of it. All it sends goes
//! through `bobbinet-outbound`. Begin with `agent.rs`, and follow a run through `call.rs` and `follow.rs`.

mod a2a_agent;
mod agent;
mod answers;
mod artifacts;
mod asked;
mod begin;
mod breaker;
mod call;
mod card;
mod catalog;
mod causes;
mod checkpoint;
mod config;
mod credentials;
mod fallback;
mod fault;
mod follow;
mod gather;
mod gathered;
mod message;
mod peer;
mod plan;
mod replicas;
mod retry_budget;
mod schema;
mod transient;

pub use a2a_agent::{A2aAgent, CallCredentials};
pub use agent::PeerAgent;
pub use catalog::{CatalogEntry, catalog};
pub use config::{PeerConfig, PeerLimits};
pub use credentials::{ClientCredentials, MintToken, PeerAuth, SecretSource};
pub use message::VIA_KEY;
pub use peer::{PeerTest, test};
