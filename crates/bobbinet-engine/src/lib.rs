//! Runs tasks: one place that commits, one queue of commands for each stream, runs, followers, and `reconcile`, which
//! is the only recovery there is.
//!
//! The engine knows neither HTTP nor MCP. It takes a [`bobbinet_store::Store`], some [`Agent`]s and a [`World`] that has
//! the clock and the ids, so that all of it can run in simulated time.

mod accounts;
mod agent;
mod aggregate;
mod authorizer;
mod cache;
mod damaged;
mod deadline;
mod deferred;
mod drive;
mod engine;
mod error;
mod follow;
mod handle;
mod history;
#[cfg(test)]
mod interleaved;
mod kinds;
mod live;
mod reconcile;
mod record;
mod run;
mod runner;
mod slots;
mod streams;
mod sync;
mod task_live;
mod transaction;
mod uncertain;
mod unserved;
mod watched;
mod world;

pub use agent::{Agent, Request};
pub use aggregate::{Aggregate, LiveState};
pub use authorizer::{AllowAll, Authorizer};
pub use engine::{Engine, Filter, NewTask, PlannedReply, PlannedTask, Reply, Setup, TaskList};
pub use error::EngineError;
pub use follow::{Follower, PublicEvent, Resumed};
pub use handle::Handle;
pub use kinds::Aggregates;
pub use record::{FORMAT, Kept, decode, encode};
pub use run::{Aside, LATE_MAX, Run, Unanswered};
pub use transaction::Transaction;
pub use watched::{panics, watched};
pub use world::{SystemWorld, World};
