//! The mesh as one MCP server: every agent of the node as tools for any MCP host, on the port that all else is on.
//!
//! It is an edge like the others: it says who calls, asks the gateway, and writes what it is given. A tool call is a durable task. It must
//! not know who may do what, which is the gateway's, nor how a task is kept, nor how an MCP server is wrapped, which is `bobbinet-mcp`'s.
//! Begin with [`routes`] and follow a message from `endpoint` (who calls, which session) through `dispatch` (the methods) to `call` (a
//! tool call as a task); `tools` and `names` say which tools there are, `content` and `result` what comes back.
//!
//! [`bridge()`] is the same for a host that starts its servers itself: it passes lines on to a node's door.
//!
//! The revisions from 2024-11-05 to 2025-11-25 have sessions: an id for each `initialize`, which is its caller's. In 2026-07-28 each request
//! stands alone. A connection that breaks under a call cancels its task there, as that revision wants it; in the older ones the task goes
//! on, and `mesh_task` finds it.

mod asked;
mod asking;
mod blob_bytes;
mod bridge;
mod call;
mod client;
mod content;
mod dispatch;
mod door;
mod endpoint;
mod headers;
mod limits;
mod line_messages;
mod linked;
mod listen;
mod log_lines;
mod mesh;
mod mesh_tools;
pub mod names;
mod notes;
mod object;
mod offer_requests;
mod offered;
mod pages;
mod progress;
mod question;
mod reading;
mod reply;
mod restored;
mod result;
mod revision;
mod rpc;
mod sealed_session;
mod server_error;
mod sessions;
mod structure;
mod task_requests;
mod task_watch;
mod tasks;
mod tools;
mod watch;

use std::sync::Arc;

use axum::{Router, routing::post};
use bobbinet_http::{Server, server::other_binding::MCP_PATH};

pub use bridge::{NodeDoor, ShowWho, bridge};
pub use limits::McpServerLimits;
use names::Naming;

/// The route of the MCP server: to be given to a server as its `mcp`.
pub fn routes(server: Arc<Server>) -> Router {
    routes_with(server, McpServerLimits::default(), Naming::default())
}

/// The same with tools and prompts that are called as their servers call them, where no other agent has one of that name.
pub fn transparent_routes(server: Arc<Server>) -> Router {
    routes_with(server, McpServerLimits::default(), Naming::SkillAlone)
}

/// The same with other limits than the usual ones.
pub fn routes_with(server: Arc<Server>, limits: McpServerLimits, naming: Naming) -> Router {
    let methods = || post(endpoint::post).get(endpoint::get).delete(endpoint::delete);
    let door = door::Door::new(server, limits, naming);
    Router::new().route(MCP_PATH, methods()).route(&format!("{MCP_PATH}/"), methods()).with_state(door)
}
