//! A definition while it is read.

use std::collections::BTreeMap;

use super::{ErrorTemplate, Retry, Span, Task, TaskId};
use crate::template::Template;

/// What is read so far.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) tasks: Vec<Option<Task>>,
    pub(crate) lists: Vec<Vec<TaskId>>,
    pub(crate) functions: BTreeMap<String, TaskId>,
    pub(crate) reuse: Reuse,
}

/// What a definition has named.
#[derive(Default)]
pub(crate) struct Reuse {
    pub(crate) secrets: Vec<String>,
    pub(crate) authentications: BTreeMap<String, Template>,
    pub(crate) errors: BTreeMap<String, ErrorTemplate>,
    pub(crate) retries: BTreeMap<String, Retry>,
    pub(crate) timeouts: BTreeMap<String, Span>,
    pub(crate) function_names: Vec<String>,
}
