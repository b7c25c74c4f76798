//! What a task is and how it may change. Pure: no I/O, no clock, no randomness.
//!
//! [`decide`] is all the logic of a task: it takes the state and a [`Command`] and returns what has happened, as
//! [`Event`]s, or why not. [`Task::apply`] folds events into the state; it is used for writing and for reading back.
//! Time, ids and chance come in with the command (DESIGN section 3, invariant 1).

pub mod agent;
pub mod answer;
pub mod caller;
pub mod chain;
pub mod cloud_event;
pub mod content;
pub mod effect;
pub mod id;
pub mod json;
pub mod limits;
pub mod operation;
pub mod push;
pub mod secret;
pub mod task;
pub mod text;
pub mod time;

pub use agent::{Capabilities, Description, Extended, Extension, Skill};
pub use caller::Caller;
pub use cloud_event::{CloudEvent, CloudEventFault};
pub use content::{Artifact, Base64, Content, Message, Part, Role};
pub use effect::Effect;
pub use id::{
    AgentName, ArtifactId, ContextId, IdError, MessageId, Principal, RunnerId, SkillId, StreamId, TaskId, Tenant,
};
pub use json::Json;
pub use limits::Limits;
pub use operation::{Operation, Selection};
pub use push::{PushAuthentication, PushConfig, PushOperation, PushPage, PushView};
pub use secret::Secret;
pub use task::{
    Call, CallId, CallRecord, Claim, Command, Deferred, Event, Fault, Generation, Outcome, Plan, Question,
    QuestionKind, Refused, RequestKey, Said, State, Submission, Task, decide,
};
pub use time::Timestamp;
