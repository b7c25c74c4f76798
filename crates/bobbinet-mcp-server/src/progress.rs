//! How far a task is, as notifications whose numbers grow.

use bobbinet_core::{Json, Message};
use serde::Deserialize;

use crate::object::Object;

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    value: Option<f64>,
}

#[derive(Deserialize)]
struct Noted {
    progress: Numbers,
}

#[derive(Deserialize)]
struct Numbers {
    value: f64,
    #[serde(default)]
    total: Option<f64>,
}

impl Progress {
    /// The parameters of the next notification; `None` if its number would not be larger than the last one's. Words without a number are
    /// counted.
    pub(crate) fn next(&mut self, token: &Json, message: Option<&Message>, metadata: Option<&Json>) -> Option<Object> {
        let noted = metadata.and_then(|metadata| metadata.read::<Noted>().ok()).map(|noted| noted.progress);
        let (value, total) = match noted {
            Some(numbers) => (numbers.value, numbers.total),
            None => (self.value.unwrap_or_default() + 1.0, None),
        };
        if self.value.is_some_and(|last| value <= last) {
            return None;
        }
        self.value = Some(value);
        let text = message.map(Message::text).filter(|text| !text.is_empty());
        Some(
            Object::default()
                .with("progressToken", token)
                .with("progress", &value)
                .with_some("total", total)
                .with_some("message", text),
        )
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::{MessageId, Part};

    use super::*;

    #[test]
    fn numbers_grow_and_words_are_counted() {
        let mut progress = Progress::default();
        let token = Json::of("t");
        let mut check = |words: Option<&str>, metadata: Option<&str>, expected: Option<&str>| {
            let message =
                words.map(|words| Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::text(words)]));
            let metadata = metadata.map(|text| Json::parse(text).unwrap());
            let told = progress.next(&token, message.as_ref(), metadata.as_ref());
            assert_eq!(told.map(|told| told.to_json().as_str().to_owned()).as_deref(), expected);
        };
        check(Some("a"), None, Some(r#"{"progressToken":"t","progress":1.0,"message":"a"}"#));
        check(
            None,
            Some(r#"{"progress":{"value":2,"total":4}}"#),
            Some(r#"{"progressToken":"t","progress":2.0,"total":4.0}"#),
        );
        check(None, Some(r#"{"progress":{"value":2,"total":4}}"#), None);
        check(Some("b"), Some("{}"), Some(r#"{"progressToken":"t","progress":3.0,"message":"b"}"#));
    }
}
