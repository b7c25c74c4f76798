//! A2A agents in Rust. You write what the agent does; this crate serves it: listener, tokens, a store on disk, shutdown. Its tasks
//! survive every crash, stream, ask their caller and are cancelled as A2A says.
//!
//! This is a whole agent, and this crate all that its `Cargo.toml` needs:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use bobbinet_agent::{Agent, Answer, Card, Effect, Failure, Message, Part, Skill, Task};
//!
//! struct Greeter;
//!
//! impl Agent for Greeter {
//!     fn card(&self) -> Card {
//!         let greet = Skill::new("greet", "Greets whom you name.").example("Ada").effect(Effect::ReadOnly);
//!         Card::new("greeter", "Greets people, politely.").skill(greet)
//!     }
//!
//!     fn reply(&self, message: &Message) -> Option<Vec<Part>> {
//!         (message.text() == "ping").then(|| vec![Part::text("pong")])
//!     }
//!
//!     async fn run(&self, task: Task) -> Result<Answer, Failure> {
//!         let mut name = task.text();
//!         if name.is_empty() {
//!             name = task.ask("Whom shall I greet?").await?.text();
//!         }
//!         task.progress(format!("thinking of {name}"));
//!         let mut letter = task.chunked("letter");
//!         letter.push(Part::text(format!("Dear {name}, "))).await?;
//!         letter.finish(Part::text("good morning.")).await?;
//!         Ok(Answer::nothing().saying("Greeted."))
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     bobbinet_agent::serve(Greeter)
//! }
//! ```
//!
//! Run it with `--print-token`, and ask it with any A2A client, or with `bobbinet send -a URL --bearer TOKEN TEXT`.
//!
//! # What happens to a message
//!
//! [`Agent::reply`] sees it first. What it returns is the answer, as a plain message: no task begins, and nothing is kept. Else the message
//! becomes a task, which is on disk before [`Agent::run`] is called, and again before anybody hears how it ended.
//!
//! # What a crash does
//!
//! [`Effect`] says what it means to run the agent twice. A task of a skill that may run again is run again from its beginning, and has the
//! answers that it had: [`Task::ask`] returns them at once. One that runs at most once (that is what a skill is if it does not say) asks
//! its caller what became of it.
//!
//! # More than one agent, a mesh, a policy
//!
//! One process of this crate is one agent, for the owner of its data folder. Nodes with many agents, other callers, policy and flows are
//! what `bobbinet up` is for.

mod adapter;
mod agent;
mod answer;
mod card;
mod error;
mod failure;
mod node;
mod serving;
mod task;

pub use agent::Agent;
pub use answer::{Answer, file};
pub use bobbinet_core::{
    Artifact, ArtifactId, Base64, Content, ContextId, Effect, Extension, Json, Message, MessageId, Part, Role, SkillId,
    TaskId,
};
pub use bobbinet_http::CardForm;
pub use card::{Card, Skill};
pub use error::NodeError;
pub use failure::Failure;
pub use node::{Flags, Node, serve};
pub use serving::Serving;
pub use task::{Chunks, Task};

/// The README's example is compiled with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
