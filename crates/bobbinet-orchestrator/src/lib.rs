//! Flows as agents: each run is a task, each call of a step a child of it, and what came to the run are the task's records.
//!
//! The logic of a flow is [`bobbinet_flow::run::decide`], which is pure. This crate brings it the world: it keeps what came and begins
//! the children that follow by one commit ([`bobbinet_engine::Run::advance`]), waits for children, timers and answers, and tells whoever
//! watches. After a crash a run reads its records, and goes on with the very same children.

mod again;
mod child;
mod credentials_in_hand;
mod definition;
mod definition_kept;
mod driver;
mod flow;
mod flow_agent;
mod http_agent;
mod input;
mod journal;
mod limits;
mod listening;
mod mesh;
mod message_agent;
mod output;
mod over;
mod progress;
mod question;
mod schedule;
mod scheduler;
mod shared;
mod waiting;

pub use credentials_in_hand::CredentialsInHand;
pub use definition::{DefinitionId, KeptDefinition};
pub use flow::{Flow, FlowFault};
pub use flow_agent::FlowAgent;
pub use http_agent::HttpAgent;
pub use limits::FlowLimits;
pub use mesh::Mesh;
pub use message_agent::MessageFlowAgent;
pub use schedule::{KeptSchedule, ScheduleCommand, ScheduleId};
pub use scheduler::{ScheduledFlow, Scheduler};
