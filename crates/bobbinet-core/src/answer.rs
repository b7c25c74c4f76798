//! What a caller says of a call whose outcome is unknown: `retry`, `happened` or `failed` (DESIGN section 8).

use serde::Deserialize;

use crate::{Json, Message};

/// The caller's word on a call whose outcome nobody else knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did not happen, or doubling it does no harm: make the call again.
    Retry,
    /// It happened; with its result, if the caller knows it.
    Happened(Option<Json>),
    /// It did not happen, and shall not.
    Failed,
}

/// JSON Schema of a [`Verdict`], for the question.
pub const SCHEMA: &str = r#"{"type":"object","properties":{"outcome":{"enum":["retry","happened","failed"]},"result":{}},"required":["outcome"]}"#;

#[derive(Deserialize)]
struct Form {
    outcome: String,
    #[serde(default)]
    result: Option<Json>,
}

impl Verdict {
    /// Reads a verdict from a data part `{"outcome": …, "result"?: …}`, from the same as text, or from the bare word.
    pub fn read(message: &Message) -> Option<Self> {
        let text = message.text();
        let form = message
            .data()
            .and_then(|data| data.read::<Form>().ok())
            .or_else(|| Json::parse_strict(&text).ok()?.read::<Form>().ok())
            .unwrap_or_else(|| Form { outcome: text.trim().to_owned(), result: None });
        match form.outcome.to_ascii_lowercase().as_str() {
            "retry" => Some(Self::Retry),
            "happened" => Some(Self::Happened(form.result)),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MessageId, Part, Role};

    fn check(parts: Vec<Part>, expected: Option<Verdict>) {
        let message = Message { role: Role::User, ..Message::from_agent(MessageId::parse("m").unwrap(), parts) };
        assert_eq!(Verdict::read(&message), expected);
    }

    #[test]
    fn a_verdict_is_read_from_data_and_from_text() {
        let data = |text| vec![Part::data(Json::parse(text).unwrap())];
        check(vec![Part::text(" Retry\n")], Some(Verdict::Retry));
        check(vec![Part::text("failed")], Some(Verdict::Failed));
        check(vec![Part::text(r#"{"outcome":"happened"}"#)], Some(Verdict::Happened(None)));
        check(
            data(r#"{"outcome":"happened","result":{"n":1}}"#),
            Some(Verdict::Happened(Some(Json::parse(r#"{"n":1}"#).unwrap()))),
        );
        check(data(r#"{"outcome":"maybe"}"#), None);
        check(vec![Part::text("who knows")], None);
        // Whoever reads the result after us may take the other one.
        check(vec![Part::text(r#"{"outcome":"happened","result":{"n":1,"n":2}}"#)], None);
    }
}
