//! Runs tasks: one place that commits, one queue of commands for each stream, runs, followers, and `reconcile`, which
//! is the only recovery there is.
//!
//! The engine knows neither HTTP nor MCP. It takes a [`bobbinet_store::Store`], some [`Agent`]s and an [`Env`] that has
//! the clock and the ids, so that all of it can run in simulated time.

mod accounts;
mod agent;
mod agents;
mod aggregate;
mod authorizer;
mod blobs;
mod cache;
mod caller_blobs;
mod child_error;
mod children;
mod commit_loop;
mod damage_log;
mod damaged;
mod deadline;
mod deferred;
mod drive;
mod elsewhere;
mod engine;
mod engine_inner;
mod env;
mod error;
mod follow;
mod handle;
mod history;
#[cfg(test)]
mod interleaved;
mod kinds;
mod lanes;
mod lease;
mod lifecycle;
mod list;
mod live;
mod marks;
mod offers;
mod plan_queue;
mod planned;
mod processes;
mod public_event;
mod reconcile;
mod record;
mod reply;
mod run;
mod run_blobs;
mod run_call;
mod run_host;
mod slots;
mod steady_clock;
mod submit;
mod sync;
mod task_aggregate;
mod task_live;
mod transaction;
mod uncertain;
mod unkept;
mod unserved;
mod watched;

pub use agent::{Agent, Request};
pub use aggregate::{Aggregate, LocalState};
pub use authorizer::{AllowAll, Authorizer};
pub use blobs::{BlobPlace, BlobUrls, TaskBlobs, UploadId};
pub use bobbinet_store::blobs::{BlobError, BlobHash, BlobReader};
pub use caller_blobs::{BlobFault, OpenBlob, Upload, Uploaded};
pub use child_error::ChildError;
pub use children::{NewChild, Rest};
pub use elsewhere::WorksElsewhere;
pub use engine::{Engine, Setup};
pub use env::{Env, SystemEnv};
pub use error::EngineError;
pub use follow::{Follower, Resumed};
pub use handle::Handle;
pub use kinds::Aggregates;
pub use lanes::Lane;
pub use list::{Filter, TaskList};
pub use marks::Marks;
pub use offers::Offers;
pub use planned::{NewTask, PlannedReply, PlannedTask, Reply};
pub use public_event::PublicEvent;
pub use record::{FORMAT, RecordedEvent, decode, encode};
pub use run::{CANCEL_GRACE, LentSlot, Run, Unanswered};
pub use run_blobs::{BlobKind, KeptBlob};
pub use transaction::Transaction;
pub use watched::{panics, watched};
