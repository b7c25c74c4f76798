//! A2A as bytes: what comes in becomes values of the core, what goes out is written from them.
//!
//! This crate knows JSON, JSON-RPC and the versions of A2A. It must not know who asks, what is allowed, how a task is kept or how bytes
//! travel: it does no I/O, and uses nothing of ours but the core. Nothing below it knows a name of the wire (DESIGN section 3, invariant 6).
//!
//! Begin with [`v1_0`]: a version is a module with both directions in it, `request` and `response` for a server, `client` for a client,
//! `card` and `card_view` for what an agent says of itself, `error` for its codes. What no version owns stands beside it: [`envelope`] is
//! JSON-RPC; [`bobbinet_core::Operation`] is what a caller can ask, [`view`] what a client reads and [`error`] what can fail, in any of
//! them. A further version is a module beside `v1_0`, converts straight to the same types and never to another version, and brings a
//! `Dialect` (`dialect.rs`), by which the one reader (`from_proto.rs`) is told which JSON it reads; [`v0_3`] is one, and [`v0_3_proto`],
//! the other JSON that 0.3 has, another. Where the fields of an object are called alike in several of them, one reader
//! (`read_message.rs`, `read_task.rs`, `read_event.rs`, `list_params.rs`) or writer (`task_write.rs`) serves all, with the dialect as its type; what differs
//! each reads and writes by functions of its own over the one [`Sink`]. What an event tells the world is decided once, by
//! [`Update`](update::Update).

pub mod card_faults;
pub mod envelope;
pub mod error;
pub mod interface;
pub mod page;
pub mod protocol;
pub mod reply;
pub mod rest;
pub mod rest_error;
pub mod rest_request;
pub mod signed_card;
pub mod update;
pub mod v0_3;
pub mod v0_3_proto;
pub mod v1_0;
pub mod view;

mod dialect;
mod digest;
mod error_details;
mod faults;
mod from_proto;
mod json_value;
mod list;
mod list_params;
pub mod login;
pub mod pieces;
mod proto_enum;
pub mod push;
mod read_event;
mod read_message;
mod read_task;
mod rules;
mod scalar;
mod task_ids;
mod task_write;
mod write;

pub use bobbinet_core::agent::EXTENSION_URI;
pub use digest::sha256_hex;
pub use envelope::{RequestError, RequestId, RpcRequest};
pub use error::{Error, ErrorKind, FieldViolation};
pub use pieces::Pieces;
pub use protocol::{Protocol, Transport, Version};
pub use reply::{RemoteError, ReplyError};
pub use write::Sink;
