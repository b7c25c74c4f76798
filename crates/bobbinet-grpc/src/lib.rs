//! A2A over gRPC: the services `lf.a2a.v1.A2AService` of 1.0 and `a2a.v1.A2AService` of 0.3, on the port that all else is on, and
//! what carries the calls of the client of `bobbinet-http` over it.
//!
//! The types of a package are generated from its `.proto` file, and converted straight from and to the core's: never one package through
//! the other, nor through JSON. It must not know who may do what, which is the gateway's, nor how a task is kept, nor MCP. Begin with
//! [`routes`], then `server/door.rs` and `server/call.rs`; what a package says stands in `v1_0` and `v0_3`.
//!
//! Beside what the specification has, requests may carry `idempotency-key`, `traceparent` and, to follow a task from where a reader was,
//! `last-event-id` in their metadata, as they may over HTTP. A stream's answer says under `first-event-id` which id its first event has;
//! each further one has the next number.

mod client;
mod codec;
mod faults;
mod json;
mod push;
mod rules;
mod server;
mod status;
mod status_of;
pub mod v0_3;
pub mod v1_0;

pub use client::carry;
pub use server::routes;

/// What is generated from the `.proto` files.
pub mod pb {
    /// `lf.a2a.v1`.
    #[allow(
        missing_docs,
        missing_debug_implementations,
        unreachable_pub,
        clippy::all,
        clippy::disallowed_types,
        clippy::wildcard_enum_match_arm,
        reason = "generated"
    )]
    pub mod v1_0 {
        tonic::include_proto!("lf.a2a.v1");
    }

    /// `a2a.v1`.
    #[allow(
        missing_docs,
        missing_debug_implementations,
        unreachable_pub,
        clippy::all,
        clippy::disallowed_types,
        clippy::wildcard_enum_match_arm,
        reason = "generated"
    )]
    pub mod v0_3 {
        tonic::include_proto!("a2a.v1");
    }
}
