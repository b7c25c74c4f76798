//! The agent against servers that behave and servers that do not, with a real engine above it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod conversation;
mod faults;
mod isolation;
mod lab;
mod over;
mod over_http;
mod questions;
mod sharing;
mod tree;
mod web;
