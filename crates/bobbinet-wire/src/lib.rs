//! A2A as bytes: what comes in becomes words of the core, what goes out is written from them.
//!
//! Wire versions stop here (DESIGN section 3, invariant 6). [`envelope`] is JSON-RPC and [`error`] its faults; [`bobbinet_core::Operation`] is
//! what a caller can ask in any version, and [`view`] what a client reads in any version. [`v1_0`] turns the one into the other. A further version is a
//! module beside it, which converts straight to the same types and never to another version.

pub mod envelope;
pub mod error;
pub mod reply;
pub mod sse;
pub mod v1_0;
pub mod view;

mod dialect;
mod digest;
mod faults;
mod from_proto;
mod json_value;
mod list;
pub mod pieces;
mod rules;
mod scalar;
#[cfg(test)]
mod second_dialect;
mod task_ids;
mod write;

pub use bobbinet_core::agent::EXTENSION_URI;
pub use digest::sha256_hex;
pub use envelope::{RequestError, RequestId, RpcRequest};
pub use error::{Error, ErrorKind, FieldViolation};
pub use pieces::Pieces;
pub use reply::{RemoteError, ReplyError};
pub use write::Sink;
