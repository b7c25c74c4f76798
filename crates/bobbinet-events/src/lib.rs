//! The events of a tenant: one durable stream of CloudEvents, which whoever may publish to, and flows follow from cursors of their own.
//!
//! The stream keeps the newest events, within [`bobbinet_core::Limits`]; a repeat of one that is kept is dropped. Several that are
//! published at the same time are one commit, as with every aggregate. Begin with [`Events`].

mod kept;
mod listener;
mod service;
mod stream;

pub use listener::{Heard, ListenError, Listener};
pub use service::{Events, Published};
pub use stream::{EventStream, Position, StreamCommand, StreamEvent, StreamKey};
