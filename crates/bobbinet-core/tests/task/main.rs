//! What a task does in every state: one table, some conversations, and what holds for any sequence of commands.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod conversations;
mod limits;
mod properties;
mod table;
mod talk;
