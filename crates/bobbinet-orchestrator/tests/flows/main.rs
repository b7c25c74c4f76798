//! Flows as agents, on a real engine: each test writes a flow, and looks at its task and at what its steps have called.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod bench;
mod calls;
mod events;
mod messages;
mod questions;
mod restarts;
mod schedules;
