//! Agents that are somewhere else: any A2A agent by its URL, as an agent of this node.
//!
//! A [`PeerAgent`] carries out a task by sending its message to the other agent and following what becomes of it there. The id of that
//! task is a checkpoint of ours, so that a run that is taken up goes on with that very task. A peer has replicas, each with a breaker;
//! what was surely not sent is sent again elsewhere, what may have been sent only where the same key makes it the same task.
//!
//! An [`A2aAgent`] does the same for flows that call agents by URL: peers that nobody has configured, asked and answering in the words of
//! A2A 0.3 (`asked.rs`, `gathered.rs`).
//!
//! It knows no MCP, no store and no flow; A2A's JSON is read and written by `bobbinet-wire` alone. All it sends goes
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
mod gathered;
mod message;
mod peer;
mod plan;
mod replicas;
mod results;
mod retry_budget;
mod schema;
mod send;
mod transient;

pub use a2a_agent::{A2aAgent, CallCredentials};
pub use agent::PeerAgent;
pub use bobbinet_core::agent::VIA_KEY;
pub use bobbinet_outbound::SecretSource;
pub use catalog::{CatalogEntry, catalog};
pub use config::{PeerConfig, PeerLimits};
pub use credentials::{ClientCredentials, MintToken, PeerAuth};
pub use peer::{PeerTest, test};
