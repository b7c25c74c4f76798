//! A2A 1.0 over JSON: ProtoJSON of the package `lf.a2a.v1`, in camelCase, enums by name, oneofs as wrappers.

pub mod card;
mod card_view;
pub mod client;
mod names;
mod read;
mod read_task;
mod read_task_request;
pub mod request;
pub mod response;
mod write;

pub use card_view::{ApiKeyScheme, CardError, CardView, ExtensionSkill, Interface, OlderInterface, SkillView};
pub use names::Method;

/// What stands in the `A2A-Version` header and in cards.
pub const VERSION: &str = "1.0";

/// What cards call this binding.
pub const BINDING: &str = "JSONRPC";

/// Whether this names 1.0. A patch number is not to matter, though nobody should write one (specification section 3.6).
pub fn is_version(text: &str) -> bool {
    text.strip_prefix(VERSION).is_some_and(|patch| patch.is_empty() || patch.starts_with('.'))
}
