//! A2A 1.0 over JSON: ProtoJSON of the package `lf.a2a.v1`, in camelCase, enums by name, oneofs as wrappers.

pub mod card;
mod card_view;
pub mod client;
pub mod error;
mod names;
pub mod push;
mod read;
mod read_event;
mod read_task_request;
pub mod request;
pub mod response;
pub mod rest;
pub mod rest_client;
mod version;
pub mod view_write;
mod write;

pub use card_view::{ApiKeyScheme, CardError, CardView, ExtensionSkill, Interface, SkillView};
pub use names::Method;
pub use version::{BINDING, VERSION, is_version};
