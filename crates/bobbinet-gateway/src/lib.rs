//! What every edge goes through: may this caller do this to this agent, with these arguments? Then the engine is asked.
//!
//! Operations come in as values of the core, tasks and streams of events go out the same way: nothing here may know JSON-RPC, HTTP, MCP
//! or any wire version. An edge (JSON-RPC today) decodes, says who calls, asks the [`Gateway`], and encodes what it is given. So what
//! every binding must do alike is done here once: policy, limits, how long a send waits, and what a stream tells.
//!
//! Begin with [`Gateway`].

mod admission;
mod answer;
mod authorizer;
mod blobs;
mod callers;
mod error;
mod gateway;
mod limits;
mod pages;
mod push;
mod shares;
mod stream;
mod tree;

pub use admission::AdmissionPermit;
pub use answer::{Answer, PlainMessage};
pub use authorizer::PolicyAuthorizer;
pub use blobs::BlobRefusal;
pub use callers::{CallerLimits, NamedCallerLimits};
pub use error::{Full, GatewayError, Unsupported};
pub use gateway::{Gateway, GatewaySetup, RequestContext, START_WAIT_MAX, TaskRecord};
pub use limits::GatewayLimits;
pub use pages::TaskPages;
pub use shares::{Share, Shares};
pub use stream::{Resume, StreamItem, TaskStream};
pub use tree::{TREE_TASKS_MAX, TreeTask};
