//! The names that 1.0 has for methods, states and roles.

use bobbinet_core::{Role, State};
use serde::de::Deserializer;

use super::version::{At, V1_0};
use crate::{
    faults::Author,
    from_proto::{Field, FromProto},
    json_value::Scalar,
};

/// A method of A2A 1.0 (specification section 9.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `SendMessage`.
    SendMessage,
    /// `SendStreamingMessage`.
    SendStreamingMessage,
    /// `GetTask`.
    GetTask,
    /// `ListTasks`.
    ListTasks,
    /// `CancelTask`.
    CancelTask,
    /// `SubscribeToTask`.
    SubscribeToTask,
    /// `CreateTaskPushNotificationConfig`.
    CreateTaskPushNotificationConfig,
    /// `GetTaskPushNotificationConfig`.
    GetTaskPushNotificationConfig,
    /// `ListTaskPushNotificationConfigs`.
    ListTaskPushNotificationConfigs,
    /// `DeleteTaskPushNotificationConfig`.
    DeleteTaskPushNotificationConfig,
    /// `GetExtendedAgentCard`.
    GetExtendedAgentCard,
}

impl Method {
    /// All that 1.0 has.
    pub const ALL: [Self; 11] = [
        Self::SendMessage,
        Self::SendStreamingMessage,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::SubscribeToTask,
        Self::CreateTaskPushNotificationConfig,
        Self::GetTaskPushNotificationConfig,
        Self::ListTaskPushNotificationConfigs,
        Self::DeleteTaskPushNotificationConfig,
        Self::GetExtendedAgentCard,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendMessage => "SendMessage",
            Self::SendStreamingMessage => "SendStreamingMessage",
            Self::GetTask => "GetTask",
            Self::ListTasks => "ListTasks",
            Self::CancelTask => "CancelTask",
            Self::SubscribeToTask => "SubscribeToTask",
            Self::CreateTaskPushNotificationConfig => "CreateTaskPushNotificationConfig",
            Self::GetTaskPushNotificationConfig => "GetTaskPushNotificationConfig",
            Self::ListTaskPushNotificationConfigs => "ListTaskPushNotificationConfigs",
            Self::DeleteTaskPushNotificationConfig => "DeleteTaskPushNotificationConfig",
            Self::GetExtendedAgentCard => "GetExtendedAgentCard",
        }
    }

    /// The method of this name, if 1.0 has it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether its answer is a stream of events.
    pub fn is_streaming(self) -> bool {
        match self {
            Self::SendStreamingMessage | Self::SubscribeToTask => true,
            Self::SendMessage
            | Self::GetTask
            | Self::ListTasks
            | Self::CancelTask
            | Self::CreateTaskPushNotificationConfig
            | Self::GetTaskPushNotificationConfig
            | Self::ListTaskPushNotificationConfigs
            | Self::DeleteTaskPushNotificationConfig
            | Self::GetExtendedAgentCard => false,
        }
    }
}

pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Submitted => "TASK_STATE_SUBMITTED",
        State::Working => "TASK_STATE_WORKING",
        State::Completed => "TASK_STATE_COMPLETED",
        State::Failed => "TASK_STATE_FAILED",
        State::Canceled => "TASK_STATE_CANCELED",
        State::InputRequired => "TASK_STATE_INPUT_REQUIRED",
        State::Rejected => "TASK_STATE_REJECTED",
        State::AuthRequired => "TASK_STATE_AUTH_REQUIRED",
    }
}

fn state_number(state: State) -> i64 {
    match state {
        State::Submitted => 1,
        State::Working => 2,
        State::Completed => 3,
        State::Failed => 4,
        State::Canceled => 5,
        State::InputRequired => 6,
        State::Rejected => 7,
        State::AuthRequired => 8,
    }
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "ROLE_USER",
        Role::Agent => "ROLE_AGENT",
    }
}

fn role_number(role: Role) -> i64 {
    match role {
        Role::User => 1,
        Role::Agent => 2,
    }
}

/// By name or by number; the number 0 and its name are what proto3 writes for none, as is a value that a later version may know when
/// an agent says it.
impl<'de> FromProto<'de, V1_0> for State {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        let by_number = |number| State::ALL.into_iter().find(|state| state_number(*state) == number);
        let by_name = |name: &str| State::ALL.into_iter().find(|state| state_name(*state) == name);
        read_enum(from, at, "TASK_STATE_UNSPECIFIED", "a task state such as TASK_STATE_WORKING", by_number, by_name)
    }
}

/// By name or by number, like a state.
impl<'de> FromProto<'de, V1_0> for Role {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        let roles = [Role::User, Role::Agent];
        let by_number = |number| roles.into_iter().find(|role| role_number(*role) == number);
        let by_name = |name: &str| roles.into_iter().find(|role| role_name(*role) == name);
        read_enum(from, at, "ROLE_UNSPECIFIED", "ROLE_USER or ROLE_AGENT", by_number, by_name)
    }
}

fn read_enum<'de, T, D: Deserializer<'de>>(
    from: D,
    at: &At<'_>,
    unspecified: &str,
    expected: &str,
    by_number: impl FnOnce(i64) -> Option<T>,
    by_name: impl FnOnce(&str) -> Option<T>,
) -> Result<Field<T>, D::Error> {
    let scalar = Scalar::read(from)?;
    let found = match &scalar {
        Scalar::Integer(0) => return Ok(Field::Absent),
        Scalar::Integer(number) => by_number(*number),
        Scalar::Text(name) if name == unspecified => return Ok(Field::Absent),
        Scalar::Text(name) => by_name(name),
        Scalar::Null | Scalar::Boolean(_) | Scalar::Float(_) | Scalar::Nested(_) => {
            return Ok(scalar.mismatch(at, expected));
        }
    };
    Ok(match found {
        Some(value) => Field::Given(value),
        None if at.author() == Author::Agent => Field::Absent,
        None => {
            at.wrong(format!("must be {expected}"));
            Field::Wrong
        }
    })
}
