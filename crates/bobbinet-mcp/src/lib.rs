//! Any MCP server as an agent: its tools become skills, its calls survive its deaths, and nothing of it outlives us.
//!
//! [`McpAgent`] is the agent. It keeps one server process alive (`supervise`), talks to it over a pipe (`handshake`,
//! `transport`, `in_flight`, `session`), turns messages into checked calls (`resolve`, `arguments`, `schema`) and results into artifacts
//! (`result`). [`exec_mcp`] is the small program that stands between us and the server, so that its whole tree dies
//! with us. Knows MCP, and nothing of A2A's wire.

mod agent;
mod answer;
mod arguments;
mod blame;
mod block;
mod breaker;
mod call;
mod catalog;
mod checking;
mod config;
mod convert;
mod fields;
mod handler;
mod handshake;
mod in_flight;
mod lane;
mod listen;
mod listing;
mod mailbox;
mod message;
mod opening;
mod pace;
mod pool;
mod question;
mod remembered;
mod resolve;
mod result;
mod rpc_channel;
mod salvage;
mod schema;
mod server_profile;
mod session;
mod skill_request;
mod supervised_session;
mod transport;

pub use agent::McpAgent;
pub use config::{Isolation, McpConfig, McpLimits, ProtocolEra, SkillNotes};
pub use transport::stdio::{Launcher, adopt_orphans, exec_mcp};

/// What a log filter should say of the protocol library, which logs whole messages at `info`.
pub const LOG_DIRECTIVE: &str = "rmcp=warn";
