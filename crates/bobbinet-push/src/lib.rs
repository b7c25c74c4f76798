//! Webhooks: where a task's events are sent, and that each of them arrives.
//!
//! A webhook is a follower of its task's log with a stored mark: it tells its receiver one event after the other, and marks what the
//! receiver has taken. So nothing here decides what has happened, a restart goes on where the mark is, and no receiver holds up
//! another. The webhooks of a task are an aggregate of their own ([`TaskHooks`]), which is kept before the task is, if it is to have one
//! from its beginning.
//!
//! It must not know HTTP, nor what a notification looks like: that is its [`Courier`]'s. Begin with [`Webhooks`].

mod courier;
mod error;
mod lanes;
mod letters;
mod pauses;
mod running;
mod secrets;
mod shared;
mod task_hooks;
mod tell;
mod trying;
mod unsure;
mod webhooks;

pub use courier::{Courier, Destination, Notification, Posted, Told, What};
pub use error::WebhookError;
pub use letters::{LETTERS_MAX, Letter, LetterState, Letters};
pub use task_hooks::{Hook, HookState, HooksCommand, HooksEvent, NewHook, Of, TaskHooks};
pub use webhooks::{Registered, Webhooks, WebhooksSetup};
