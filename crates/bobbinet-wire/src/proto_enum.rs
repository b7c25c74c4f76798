//! States and roles as ProtoJSON reads them, by name or by number. The numbers, and the names of roles, are the same in both packages of
//! A2A's proto files; what a state is called is not.

use bobbinet_core::{Role, State};
use serde::de::Deserializer;

use crate::{
    dialect::Dialect,
    faults::{At, Author},
    from_proto::Field,
    json_value::Scalar,
};

/// What both packages call a role.
pub(crate) fn role_name(role: Role) -> &'static str {
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

/// Reads a state, which a dialect calls so.
pub(crate) fn read_state<'de, V: Dialect, D: Deserializer<'de>>(
    from: D,
    at: &At<'_, V>,
    state_name: impl Fn(State) -> &'static str,
) -> Result<Field<State>, D::Error> {
    let by_number = |number| State::ALL.into_iter().find(|state| state_number(*state) == number);
    let by_name = |name: &str| State::ALL.into_iter().find(|state| state_name(*state) == name);
    read(from, at, "TASK_STATE_UNSPECIFIED", "a task state such as TASK_STATE_WORKING", by_number, by_name)
}

/// Reads a role.
pub(crate) fn read_role<'de, V: Dialect, D: Deserializer<'de>>(
    from: D,
    at: &At<'_, V>,
) -> Result<Field<Role>, D::Error> {
    let roles = [Role::User, Role::Agent];
    let by_number = |number| roles.into_iter().find(|role| role_number(*role) == number);
    let by_name = |name: &str| roles.into_iter().find(|role| role_name(*role) == name);
    read(from, at, "ROLE_UNSPECIFIED", "ROLE_USER or ROLE_AGENT", by_number, by_name)
}

/// The number 0 and its name are what proto3 writes for none, as is a value that a later version may know when an agent says it.
fn read<'de, T, V: Dialect, D: Deserializer<'de>>(
    from: D,
    at: &At<'_, V>,
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
