//! A2A 0.3 over JSON-RPC: objects that say in `kind` what they are, states and roles in small words.
//!
//! What 0.3 has no words for is left out: the media type of a text or of data, and a text's file name. Data that is no object stands in
//! one, as the official SDKs write it: `{"value": …}`, with `data_part_compat` in the part's metadata.

pub mod client;
mod names;
pub mod push;
mod read;
mod read_task;
pub mod request;
pub mod response;
mod version;
mod write;

pub use names::Method;
pub use version::VERSION;
