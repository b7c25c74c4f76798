//! Both packages over real sockets, on a real engine.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod calls;
mod client;
mod conversions;
mod node;
mod older;
mod push;
mod refusals;
mod streams;
#[path = "../../../bobbinet-http/tests/http/worker.rs"]
mod worker;
