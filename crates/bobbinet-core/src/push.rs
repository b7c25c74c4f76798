//! Webhooks as callers speak of them (specification sections 3.1.7 to 3.1.10 and 4.3): where a task's events are to be sent.

use std::sync::Arc;

use crate::Secret;

/// The longest URL of a webhook, in bytes: what browsers and proxies agree to carry.
pub const PUSH_URL_LENGTH_MAX: usize = 2_048;

/// The longest token, scheme or credentials of a webhook, in bytes: servers take headers of eight kilobytes in all.
pub const PUSH_SECRET_LENGTH_MAX: usize = 4_096;

/// The longest id of a webhook, in characters.
pub const PUSH_ID_LENGTH_MAX: usize = 128;

/// What is to be done with the configuration of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushOperation {
    /// Make one, or put it in the place of the one of the same id.
    Create(Box<CreatePushParams>),
    /// Show one.
    Get(GetPushParams),
    /// Show all of a task.
    List(ListPushParams),
    /// Remove one.
    Delete(DeletePushParams),
}

/// A webhook, as its caller wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushConfig {
    /// What it is called among those of its task; one is made up if the caller says none.
    pub id: Option<String>,
    /// Where events are sent.
    pub url: String,
    /// What its receiver knows us by, in a header of its own.
    pub token: Option<Secret>,
    /// What stands in the `Authorization` header.
    pub authentication: Option<PushAuthentication>,
    /// The version of A2A that it was asked for in, and so what is sent: a word of the edge, which nobody below it reads.
    pub dialect: Arc<str>,
}

/// How we authenticate to a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushAuthentication {
    /// A scheme of HTTP: `Bearer`, `Basic` ...
    pub scheme: String,
    /// What follows it.
    pub credentials: Option<Secret>,
}

/// A webhook for a task that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePushParams {
    /// The task's id: any text.
    pub task: String,
    /// The webhook.
    pub config: PushConfig,
    /// As the agent's card gave it to the caller.
    pub tenant: Option<String>,
}

/// Which webhook to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetPushParams {
    /// The task's id: any text.
    pub task: String,
    /// Which of its webhooks; `None` for the first, where a version of A2A lets that be left out.
    pub id: Option<String>,
    /// As the agent's card gave it to the caller.
    pub tenant: Option<String>,
}

/// Whose webhooks to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPushParams {
    /// The task's id: any text.
    pub task: String,
    /// How many at most; `None` for as many as there may be.
    pub page_size: Option<u32>,
    /// Where the page before ended, as its answer said.
    pub page_token: Option<String>,
    /// As the agent's card gave it to the caller.
    pub tenant: Option<String>,
}

/// Which webhook to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletePushParams {
    /// The task's id: any text.
    pub task: String,
    /// Which of its webhooks.
    pub id: String,
    /// As the agent's card gave it to the caller.
    pub tenant: Option<String>,
}

/// A webhook as it is shown: without what is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushView {
    /// Its task.
    pub task: String,
    /// What it is called among those of its task.
    pub id: String,
    /// Where events are sent.
    pub url: String,
    /// The scheme that we authenticate with. The credentials are not shown.
    pub scheme: Option<String>,
}

/// Some of a task's webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushPage {
    /// In the order of their registration.
    pub configs: Vec<PushView>,
    /// Where the next page begins, if there is one.
    pub next_page_token: Option<String>,
}
