//! A node: a store, keys, agents, an engine and a server, put together, run, and taken down in order.

mod commands;
mod descriptors;
mod plan;
mod run;
mod running;
mod say;
mod schedules;
mod start;
mod stop;

pub(crate) use commands::{agent, check, up};
pub(crate) use plan::Plan;
pub(crate) use run::run;
pub(crate) use running::{Running, Whose, is_starting};
pub(crate) use start::{SHIM, STORE_FOLDER, of_store, store_options};
