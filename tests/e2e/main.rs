//! The binary as its users run it: real processes, real sockets, real MCP servers, real kills.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

mod blobs;
mod browser;
mod by_url;
mod called;
mod callers;
mod chart;
mod crash;
mod demo;
mod edge;
mod events;
mod examples;
mod flow_crash;
mod flow_run;
mod foreign;
mod guarded;
mod hostile;
mod interop;
mod mcp_conformance;
mod mcp_hosts;
mod mcp_sessions;
mod mcp_tasks;
mod model;
mod node;
mod once;
mod peers;
mod published;
mod push_config;
mod readme;
mod reload;
mod remote;
mod reproductions;
mod revisions;
mod sdk;
mod server_calls_server;
mod servers;
mod shared;
mod typed;
mod webhooks;
