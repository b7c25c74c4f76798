//! The names of states and roles.

use bobbinet_core::{Role, State};
use serde::de::Deserializer;

use super::{At, V0_3Proto};
use crate::{
    from_proto::{Field, FromProto},
    scalar::Text,
};

pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Submitted => "TASK_STATE_SUBMITTED",
        State::Working => "TASK_STATE_WORKING",
        State::Completed => "TASK_STATE_COMPLETED",
        State::Failed => "TASK_STATE_FAILED",
        // With two l, unlike 1.0 and 0.3's JSON-RPC.
        State::Canceled => "TASK_STATE_CANCELLED",
        State::InputRequired => "TASK_STATE_INPUT_REQUIRED",
        State::Rejected => "TASK_STATE_REJECTED",
        State::AuthRequired => "TASK_STATE_AUTH_REQUIRED",
    }
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "ROLE_USER",
        Role::Agent => "ROLE_AGENT",
    }
}

impl<'de> FromProto<'de, V0_3Proto> for State {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        let by_name = |name: &str| State::ALL.into_iter().find(|state| state_name(*state) == name);
        read_name(from, at, "TASK_STATE_UNSPECIFIED", "a task state such as TASK_STATE_WORKING", by_name)
    }
}

impl<'de> FromProto<'de, V0_3Proto> for Role {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        let by_name = |name: &str| [Role::User, Role::Agent].into_iter().find(|role| role_name(*role) == name);
        read_name(from, at, "ROLE_UNSPECIFIED", "ROLE_USER or ROLE_AGENT", by_name)
    }
}

fn read_name<'de, T, D: Deserializer<'de>>(
    from: D,
    at: &At<'_>,
    unspecified: &str,
    expected: &str,
    by_name: impl FnOnce(&str) -> Option<T>,
) -> Result<Field<T>, D::Error> {
    Ok(match Text::read(from, at)? {
        Field::Absent => Field::Absent,
        Field::Wrong => Field::Wrong,
        Field::Given(Text(name)) if name == unspecified => Field::Absent,
        Field::Given(Text(name)) => match by_name(&name) {
            Some(known) => Field::Given(known),
            None => {
                at.wrong(format!("must be {expected}"));
                Field::Wrong
            }
        },
    })
}
