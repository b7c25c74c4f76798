//! The engine by itself, on a store that counts how often it is asked, with agents that do what they are told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod admission;
mod answers;
#[path = "../common/counter.rs"]
mod counter;
mod counters;
mod crash;
mod damaged;
mod deferred;
mod dropped;
mod faults;
mod golden;
mod lab;
mod lanes;
mod nested;
mod one_commit;
mod reads;
mod resumed;
mod shared;
mod waits;
