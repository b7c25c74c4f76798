//! The door over real sockets, on a real engine, with agents that do what the test says.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod bridge;
mod calls;
mod desk;
mod host;
mod large;
mod lent;
mod listen;
mod mesh;
mod offers;
mod questions;
mod sessions;
mod stateless;
mod tasks;
