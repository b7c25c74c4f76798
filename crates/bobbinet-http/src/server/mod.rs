//! Agents at their URLs: accepting, asking who calls and what they may, and answering.

mod a2a_server;
mod answer;
mod auth;
mod binding;
mod body;
mod call;
mod card;
mod cards;
mod catalog;
mod events;
mod fault;
mod forwarded;
mod gate;
mod heads;
mod held;
mod letters;
mod listen;
pub mod other_binding;
mod pace;
mod probe;
mod receive;
mod rest;
mod router;
mod rpc;
mod shape;
mod show;
mod socket;
mod stream;
mod tasks;
mod tls;
mod transport;
mod unsent;
mod version;

pub use a2a_server::{Mount, OtherBinding, Server, ServerSetup, SetupError};
pub use listen::serve;
pub use tls::{Tls, TlsFault, TlsFiles};
