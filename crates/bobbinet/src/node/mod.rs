//! A node: a store, keys, agents, an engine and a server, put together, run, and taken down in order.

mod commands;
mod descriptors;
mod flows;
mod logins;
mod mesh_access;
mod plan;
mod reload;
mod run;
mod running;
mod say;
mod schedules;
mod start;
mod start_pace;
mod stop;

pub(crate) use commands::{agent, check, of_own, tell, up};
pub(crate) use plan::Plan;
pub(crate) use reload::CallersSource;
pub(crate) use run::{run, run_until};
pub(crate) use running::{Running, Whose, is_starting};
pub(crate) use say::finding as tell_finding;
pub(crate) use start::{AGENTS_FOLDER, SHIM, of_store, store_options};
