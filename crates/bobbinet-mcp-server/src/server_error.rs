//! The error of a wrapped server's own protocol that a task has failed with: its server has answered, and said no in these words.

use std::collections::BTreeMap;

use bobbinet_core::{Json, Part, State, Task};

use crate::{client::McpClient, content::is_unmarked_data, object::Object, rpc::RpcError};

/// The client has not declared what a request takes (2026-07-28).
const MISSING_CAPABILITY: i64 = -32021;

/// What a server has said no with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Json>,
}

impl ServerError {
    /// What this task has failed with, if it was that.
    pub(crate) fn of(task: &Task) -> Option<Self> {
        match task.state {
            State::Failed | State::Rejected => {}
            State::Submitted
            | State::Working
            | State::InputRequired
            | State::AuthRequired
            | State::Completed
            | State::Canceled => return None,
        }
        let parts = task.status_message.as_ref()?.parts.iter();
        parts.filter(|part| is_unmarked_data(part)).filter_map(Part::as_data).find_map(Self::read)
    }

    /// The error that the client is given, if what the server misses is what the client has not declared either (2026-07-28).
    pub(crate) fn missing_capability(&self, client: McpClient) -> Option<RpcError> {
        let wants_model =
            self.data.as_ref().is_some_and(|data| data.to_value()["requiredCapabilities"]["sampling"].is_object());
        let is_missing =
            self.code == MISSING_CAPABILITY && client.revision.is_stateless() && wants_model && !client.samples;
        let sampling = Object::default().with("sampling", &Object::default());
        is_missing.then(|| RpcError::missing_capability(&self.message, &sampling))
    }

    fn read(data: &Json) -> Option<Self> {
        let mut fields: BTreeMap<String, Json> = data.read().ok()?;
        // Of a fault that has a word of its own, it is among the details.
        if fields.get("code").is_some_and(|code| code.as_str().starts_with('"')) {
            fields = fields.get("details")?.read().ok()?;
        }
        let (code, message) = (fields.get("code")?.read().ok()?, fields.get("message")?.read().ok()?);
        Some(Self { code, message, data: fields.remove("data") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_has_said_is_found_again() {
        let check = |data: &str, expected: Option<(i64, &str)>| {
            let read = ServerError::read(&Json::parse(data).unwrap());
            assert_eq!(read.as_ref().map(|error| (error.code, error.message.as_str())), expected, "{data}");
        };
        check(r#"{"code":-32603,"message":"broke"}"#, Some((-32603, "broke")));
        check(
            r#"{"code":"bad-arguments","details":{"code":-32602,"message":"no","data":{"uri":"u"}}}"#,
            Some((-32602, "no")),
        );
        check(r#"{"code":"timed-out"}"#, None);
        check(r#"{"code":"bad-arguments","details":{"errors":[]}}"#, None);
    }
}
