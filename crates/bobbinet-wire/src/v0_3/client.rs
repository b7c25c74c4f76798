//! What an agent of 0.3 answers, and what its streams say.

use serde_json::value::RawValue;

use super::version::V0_3;
use crate::{
    error::FieldViolation,
    faults::{self, Author},
    from_proto::{self, FromProto},
    reply::ReplyError,
    view::{PageView, Sent, StreamEvent, TaskView},
};

/// Reads the result of `message/send`.
pub fn read_sent(result: &RawValue) -> Result<Sent, ReplyError> {
    read(result)
}

/// Reads the result of `tasks/get` and of `tasks/cancel`.
pub fn read_task(result: &RawValue) -> Result<TaskView, ReplyError> {
    read(result)
}

/// Reads the result of `tasks/list`.
pub fn read_page(result: &RawValue) -> Result<PageView, ReplyError> {
    read(result)
}

/// Reads one event of a stream; `None` if it is of no kind that is known here.
pub fn read_event(result: &RawValue) -> Result<Option<StreamEvent>, ReplyError> {
    from_proto::read_optional::<V0_3, _>(result.get(), Author::Agent).map_err(|faults| malformed(&faults))
}

fn read<'de, T: FromProto<'de, V0_3>>(result: &'de RawValue) -> Result<T, ReplyError> {
    from_proto::read::<V0_3, _>(result.get(), Author::Agent).map_err(|faults| malformed(&faults))
}

fn malformed(faults: &[FieldViolation]) -> ReplyError {
    ReplyError::Malformed(faults::tell(faults, "the result"))
}
