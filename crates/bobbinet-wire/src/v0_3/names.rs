//! The words that 0.3 has for methods, states and roles.

use bobbinet_core::{Role, State};
use serde::de::Deserializer;

use super::version::{At, V0_3};
use crate::{
    faults::Author,
    from_proto::{Field, FromProto},
    scalar::Text,
};

/// A method of A2A 0.3 over JSON-RPC, and `tasks/list`, which only its other bindings have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `message/send`.
    SendMessage,
    /// `message/stream`.
    StreamMessage,
    /// `tasks/get`.
    GetTask,
    /// `tasks/list`.
    ListTasks,
    /// `tasks/cancel`.
    CancelTask,
    /// `tasks/resubscribe`.
    Resubscribe,
    /// `tasks/pushNotificationConfig/set`.
    SetPushConfig,
    /// `tasks/pushNotificationConfig/get`.
    GetPushConfig,
    /// `tasks/pushNotificationConfig/list`.
    ListPushConfigs,
    /// `tasks/pushNotificationConfig/delete`.
    DeletePushConfig,
    /// `agent/getAuthenticatedExtendedCard`.
    GetExtendedCard,
}

impl Method {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::SendMessage,
        Self::StreamMessage,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::Resubscribe,
        Self::SetPushConfig,
        Self::GetPushConfig,
        Self::ListPushConfigs,
        Self::DeletePushConfig,
        Self::GetExtendedCard,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendMessage => "message/send",
            Self::StreamMessage => "message/stream",
            Self::GetTask => "tasks/get",
            Self::ListTasks => "tasks/list",
            Self::CancelTask => "tasks/cancel",
            Self::Resubscribe => "tasks/resubscribe",
            Self::SetPushConfig => "tasks/pushNotificationConfig/set",
            Self::GetPushConfig => "tasks/pushNotificationConfig/get",
            Self::ListPushConfigs => "tasks/pushNotificationConfig/list",
            Self::DeletePushConfig => "tasks/pushNotificationConfig/delete",
            Self::GetExtendedCard => "agent/getAuthenticatedExtendedCard",
        }
    }

    /// The method of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether its answer is a stream of events.
    pub fn is_streaming(self) -> bool {
        match self {
            Self::StreamMessage | Self::Resubscribe => true,
            Self::SendMessage
            | Self::GetTask
            | Self::ListTasks
            | Self::CancelTask
            | Self::SetPushConfig
            | Self::GetPushConfig
            | Self::ListPushConfigs
            | Self::DeletePushConfig
            | Self::GetExtendedCard => false,
        }
    }
}

pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Submitted => "submitted",
        State::Working => "working",
        State::Completed => "completed",
        State::Failed => "failed",
        State::Canceled => "canceled",
        State::InputRequired => "input-required",
        State::Rejected => "rejected",
        State::AuthRequired => "auth-required",
    }
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Agent => "agent",
    }
}

/// `unknown` is what 0.3 says for none.
impl<'de> FromProto<'de, V0_3> for State {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        let by_name = |name: &str| State::ALL.into_iter().find(|state| state_name(*state) == name);
        read_word(from, at, "a task state such as working", by_name)
    }
}

impl<'de> FromProto<'de, V0_3> for Role {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        let by_name = |name: &str| [Role::User, Role::Agent].into_iter().find(|role| role_name(*role) == name);
        read_word(from, at, "user or agent", by_name)
    }
}

/// A word that an agent says and nobody here knows is nothing.
fn read_word<'de, T, D: Deserializer<'de>>(
    from: D,
    at: &At<'_>,
    expected: &str,
    by_name: impl FnOnce(&str) -> Option<T>,
) -> Result<Field<T>, D::Error> {
    Ok(match Text::read(from, at)? {
        Field::Absent => Field::Absent,
        Field::Wrong => Field::Wrong,
        Field::Given(Text(word)) => match by_name(&word) {
            Some(known) => Field::Given(known),
            None if at.author() == Author::Agent || word == "unknown" => Field::Absent,
            None => {
                at.wrong(format!("must be {expected}"));
                Field::Wrong
            }
        },
    })
}
