//! A2A 0.3 over JSON-RPC: objects that say in `kind` what they are, states and roles in small words. [`request`] and [`task`] are a
//! server's; [`response`] writes what somebody else's agent has said; [`client`] reads it.
//!
//! What 0.3 has no words for:
//!
//! * The media type of a text or of data, and a text's file name, are left out.
//! * Data that is no object stands in one, as the official SDKs write it: `{"value": …}`, with `data_part_compat` in the part's metadata.
//! * `tasks/list` has no name in 0.3's JSON-RPC; it is taken under the one that its other methods would give it, with their parameters.
//! * Errors that only 1.0 knows have the codes that they have there.
//! * A tenant is not spoken of.

pub(crate) mod card;
pub mod client;
pub mod error;
mod names;
pub mod push;
mod read;
mod read_event;
pub mod request;
pub mod response;
pub mod task;
mod version;
mod write;

pub use names::Method;
pub(crate) use read::{File, FileFields, data_of};
pub(crate) use request::List;
pub use version::{VERSION, is_version};
pub(crate) use write::{write_value, write_value_mark};
