//! The names of states.

use bobbinet_core::{Role, State};
use serde::de::Deserializer;

use super::{At, V0_3Proto};
use crate::{
    from_proto::{Field, FromProto},
    proto_enum,
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

impl<'de> FromProto<'de, V0_3Proto> for State {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        proto_enum::read_state(from, at, state_name)
    }
}

impl<'de> FromProto<'de, V0_3Proto> for Role {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        proto_enum::read_role(from, at)
    }
}
