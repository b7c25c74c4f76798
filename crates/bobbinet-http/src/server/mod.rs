//! Agents at their URLs: accepting, asking who calls and what they may, and answering.

mod answer;
mod auth;
mod body;
mod call;
mod card;
mod fault;
mod gate;
mod heads;
mod held;
mod listen;
mod pace;
mod probe;
mod router;
mod rpc;
mod shape;
mod show;
mod site;
mod socket;
mod stream;
mod tasks;
mod unsent;

pub use listen::serve;
pub use site::{Mount, Site, SiteError, SiteSetup};
