//! The agent against servers that behave and servers that do not, with a real engine above it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod apart;
mod authority;
mod bad_http;
mod by_address;
mod caching;
mod calls;
mod contract;
mod conversation;
mod fallback;
mod faults;
mod front;
mod hygiene;
mod isolation;
mod keyed;
mod killed;
mod lab;
mod lent;
mod log_lines;
mod lost;
mod offers;
mod over;
mod over_http;
mod over_login;
mod over_oauth;
mod own_folder;
mod people;
mod pinned;
mod places;
mod questions;
mod retries;
mod samples;
mod server_tasks;
mod sharing;
mod tree;
mod web;
