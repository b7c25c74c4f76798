//! What a caller can ask of an agent, in any version of A2A (specification section 3.1). Made by decoding, or by a client to be encoded.

use crate::{ContextId, Json, Message, PushConfig, PushOperation, State, Timestamp};

/// How many tasks a page has if nobody says how many (specification section 3.1.4).
pub const PAGE_SIZE_DEFAULT: u32 = 50;

/// The largest page of tasks (specification section 3.1.4).
pub const PAGE_SIZE_MAX: u32 = 100;

/// One request, decoded: all that can be checked without the task has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Say something, and hear how it ends.
    Send(Box<SendParams>),
    /// Say something, and hear all that follows.
    SendStreaming(Box<SendParams>),
    /// Show a task.
    Get(GetParams),
    /// Show many.
    List(ListParams),
    /// Stop one.
    Cancel(CancelParams),
    /// Hear all that follows in a task.
    Subscribe(SubscribeParams),
    /// Show the card that only known callers see.
    ExtendedCard(ExtendedCardParams),
    /// Something about a task's webhooks.
    PushConfig(PushOperation),
}

/// A message to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendParams {
    /// The caller's message.
    pub message: Message,
    /// In which context, if it is to be one that exists or one that the caller names.
    pub context: Option<ContextId>,
    /// To which task, if it exists already. Any text: one that is no id of ours is a task that is not found.
    pub task: Option<String>,
    /// How to answer.
    pub configuration: Configuration,
    /// What else the caller says of the request: a JSON object.
    pub metadata: Option<Json>,
    /// As the agent's card gave it to the caller.
    pub tenant: Option<String>,
}

/// How a caller wants its message to be answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The media types it reads, best first; empty for any.
    pub accepted_output_modes: Vec<String>,
    /// How many messages of the history to show, the latest; `None` for all.
    pub history_length: Option<u32>,
    /// Whether to answer as soon as the task is kept, instead of waiting until it ends or asks.
    pub return_immediately: bool,
    /// A webhook that is to be told of the task's events.
    pub push_config: Option<Box<PushConfig>>,
}

/// Which task to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetParams {
    /// Its id: any text.
    pub id: String,
    /// How many messages of the history to show, the latest; `None` for all.
    pub history_length: Option<u32>,
    /// As the agent's card gave it to the caller.
    pub tenant: Option<String>,
}

/// Which tasks to show. A field that is `None` does not filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListParams {
    /// Of this context.
    pub context: Option<ContextId>,
    /// In this state.
    pub state: Option<State>,
    /// With a status as young as this, or younger.
    pub status_timestamp_after: Option<Timestamp>,
    /// How many to show: 1 to [`PAGE_SIZE_MAX`].
    pub page_size: u32,
    /// Where the page before ended, as its answer said; `None` for the first page.
    pub page_token: Option<String>,
    /// How many messages of each history to show, the latest; `None` for all.
    pub history_length: Option<u32>,
    /// Whether to show artifacts.
    pub include_artifacts: bool,
    /// As the agent's card gave it to the caller.
    pub tenant: Option<String>,
}

impl Default for ListParams {
    fn default() -> Self {
        Self {
            context: None,
            state: None,
            status_timestamp_after: None,
            page_size: PAGE_SIZE_DEFAULT,
            page_token: None,
            history_length: None,
            include_artifacts: false,
            tenant: None,
        }
    }
}

/// Which task to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CancelParams {
    /// Its id: any text.
    pub id: String,
    /// What else the caller says of the request: a JSON object.
    pub metadata: Option<Json>,
    /// As the agent's card gave it to the caller.
    pub tenant: Option<String>,
}

/// Which task to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeParams {
    /// Its id: any text.
    pub id: String,
    /// As the agent's card gave it to the caller.
    pub tenant: Option<String>,
}

/// Whose extended card to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedCardParams {
    /// As the agent's card gave it to the caller.
    pub tenant: Option<String>,
}

/// How much of a task is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// How many messages of the history, the latest. `None` for all; 0 leaves the history out.
    pub history_length: Option<u32>,
    /// Whether artifacts are shown.
    pub artifacts: bool,
}

impl Selection {
    /// All there is.
    pub const ALL: Self = Self { history_length: None, artifacts: true };

    /// All but the older messages.
    pub fn history(length: Option<u32>) -> Self {
        Self { history_length: length, ..Self::ALL }
    }

    /// What of a history is shown.
    pub fn latest<'a, T>(&self, history: &'a [T]) -> &'a [T] {
        let length = self.history_length.map_or(usize::MAX, |length| usize::try_from(length).unwrap_or(usize::MAX));
        &history[history.len().saturating_sub(length)..]
    }
}

impl SendParams {
    /// How much of the task the caller wants to see.
    pub fn selection(&self) -> Selection {
        Selection::history(self.configuration.history_length)
    }
}

impl ListParams {
    /// How much of each task the caller wants to see.
    pub fn selection(&self) -> Selection {
        Selection { history_length: self.history_length, artifacts: self.include_artifacts }
    }
}
