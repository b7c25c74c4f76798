//! The program as it is typed: what it says, where, and what it ends with. Nothing here starts a node.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "cli/agents.rs"]
mod agents;
#[path = "cli/completion.rs"]
mod completion;
#[path = "cli/configuration.rs"]
mod configuration;
#[path = "cli/conventions.rs"]
mod conventions;
#[path = "cli/flow.rs"]
mod flow;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/owner.rs"]
mod owner;
#[path = "cli/policy.rs"]
mod policy;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/server_login.rs"]
mod server_login;
