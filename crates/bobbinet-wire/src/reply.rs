//! What a client learns from an answer without a result, in any version of A2A.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    dialect::Dialect,
    error::{ErrorKind, FieldViolation},
    faults::{self, Author},
    from_proto::{self, FromProto},
};

/// The error object of an answer, as far as JSON-RPC says what it is.
#[derive(Deserialize)]
pub(crate) struct RpcFault<'a> {
    #[serde(default)]
    pub(crate) code: Option<i64>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    /// Of 1.0, an array of details; other agents put anything here.
    #[serde(borrow, default)]
    pub(crate) data: Option<&'a RawValue>,
}

/// Why an answer holds no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The agent said no.
    #[error("{0}")]
    Remote(RemoteError),
    /// The agent's answer is not what the specification says it is.
    #[error("the agent's answer could not be read: {0}")]
    Malformed(String),
}

/// An error as an agent told it.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RemoteError {
    /// The class of the error, if it is one that we know.
    pub kind: Option<ErrorKind>,
    /// The JSON-RPC code.
    pub code: i64,
    /// The reason of its `ErrorInfo`, if it has one.
    pub reason: Option<String>,
    /// What it says went wrong.
    pub message: String,
    /// What it advises: in the metadata of its `ErrorInfo`, if it is an agent of ours.
    pub hint: Option<String>,
    /// The fields it does not like.
    pub violations: Vec<FieldViolation>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    reason: Option<String>,
    metadata: Option<DetailMetadata>,
    field_violations: Option<Vec<DetailViolation>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DetailMetadata {
    hint: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DetailViolation {
    field: Option<String>,
    description: Option<String>,
}

impl RemoteError {
    /// The error object of a JSON-RPC answer, as far as it goes.
    pub(crate) fn of_rpc(fault: RpcFault<'_>, kind_of: impl FnOnce(i64) -> Option<ErrorKind>) -> Self {
        let code = fault.code.unwrap_or_default();
        let message = fault.message.unwrap_or_default();
        let mut error = Self { kind: kind_of(code), code, message, ..Self::default() };
        error.add_details(fault.data);
        error
    }

    /// What its details say: an array of them in 1.0, one object where an agent of 0.3 says it in the same words. Anything else is
    /// passed over.
    pub(crate) fn add_details(&mut self, data: Option<&RawValue>) {
        let Some(data) = data else { return };
        let details = serde_json::from_str::<Vec<&RawValue>>(data.get()).unwrap_or_else(|_| vec![data]);
        for detail in details {
            let Ok(detail) = serde_json::from_str::<Detail>(detail.get()) else { continue };
            self.reason = self.reason.take().or(detail.reason);
            self.hint = self.hint.take().or(detail.metadata.and_then(|metadata| metadata.hint));
            let violations = detail.field_violations.into_iter().flatten();
            self.violations.extend(violations.map(|DetailViolation { field, description }| FieldViolation {
                field: field.unwrap_or_default(),
                description: description.unwrap_or_default(),
            }));
        }
    }
}

/// Reads the result of an answer in this dialect.
pub(crate) fn read<'de, V: Dialect, T: FromProto<'de, V>>(result: &'de RawValue) -> Result<T, ReplyError> {
    from_proto::read::<V, _>(result.get(), Author::Agent).map_err(|faults| malformed(&faults))
}

/// The same for what may also be nothing.
pub(crate) fn read_optional<'de, V: Dialect, T: FromProto<'de, V>>(
    result: &'de RawValue,
) -> Result<Option<T>, ReplyError> {
    from_proto::read_optional::<V, _>(result.get(), Author::Agent).map_err(|faults| malformed(&faults))
}

fn malformed(faults: &[FieldViolation]) -> ReplyError {
    ReplyError::Malformed(faults::tell(faults, "the result"))
}
