//! A server's question to a user, as the question of a task.

use std::sync::Arc;

use bobbinet_core::{Json, Message, MessageId, Part, Question, QuestionKind};
use serde::{Deserialize, Serialize};

use crate::json_object::JsonObject;

/// What a server asks: the parameters of `elicitation/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Elicitation {
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    requested_schema: Option<Json>,
    #[serde(default)]
    url: Option<String>,
    /// By which name its server knows it.
    #[serde(default)]
    key: Option<String>,
}

impl Elicitation {
    /// Reads the parameters; whatever the schema is, it is kept as it came.
    pub(crate) fn read(params: &Json) -> Option<Self> {
        let read: Self = params.read().ok()?;
        Some(Self { key: None, ..read })
    }

    /// The same, which its server knows by this name.
    pub(crate) fn named(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// Whether it is a form to fill in, and no address to visit.
    pub(crate) fn is_form(&self) -> bool {
        !self.is_link()
    }

    fn is_link(&self) -> bool {
        self.mode.as_deref() == Some("url") || (self.url.is_some() && self.requested_schema.is_none())
    }

    /// As the request that it was, without the name that its server has for it.
    pub(crate) fn params(&self) -> Json {
        let Self { mode, message, requested_schema, url, key: _ } = self;
        let mut params = JsonObject::default();
        let fields = [("mode", mode.as_ref().map(Json::of)), ("message", Some(Json::of(message)))];
        let fields = fields
            .into_iter()
            .chain([("requestedSchema", requested_schema.clone()), ("url", url.as_ref().map(Json::of))]);
        for (name, value) in fields {
            value.into_iter().for_each(|value| params.set(name, value));
        }
        params.to_json()
    }

    /// As a question with a message of this id.
    pub(crate) fn ask(&self, id: MessageId) -> Question {
        let mut data = JsonObject::default();
        let is_link = self.is_link();
        let text = match self.url.as_deref().filter(|_| is_link) {
            Some(url) => {
                data.set("type", Json::of("authorization"));
                data.set("message", Json::of(&self.message));
                data.set("url", Json::of(url));
                // The whole address, so that whoever opens it knows where it leads. Nobody opens it here.
                format!("{}\n{url}", self.message)
            }
            None => {
                data.set("type", Json::of("elicitation"));
                data.set("message", Json::of(&self.message));
                if let Some(schema) = &self.requested_schema {
                    data.set("requestedSchema", schema.clone());
                }
                self.message.clone()
            }
        };
        if let Some(key) = &self.key {
            data.set("key", Json::of(key));
        }
        let kind = if is_link { QuestionKind::Authorization } else { QuestionKind::Elicitation };
        let message = Message::from_agent(id, vec![Part::text(text), Part::data(data.to_json())]);
        let schema = self.requested_schema.clone().filter(|_| !is_link);
        Question { kind, message: Arc::new(message), schema }
    }
}

/// The same question, with something said before its words.
pub(crate) fn with_note(question: &Question, note: &str) -> Question {
    let text = format!("{note}\n{}", question.message.text());
    let data = question.message.data().cloned().map(Part::data);
    let parts = std::iter::once(Part::text(text)).chain(data).collect();
    let message = Arc::new(Message::from_agent(question.message.id.clone(), parts));
    Question { kind: question.kind, message, schema: question.schema.clone() }
}

/// Whether an earlier question asked the same. Its words may differ: an answer that did not fit is told so.
pub(crate) fn is_same(asked: &Question, now: &Question) -> bool {
    let essence = |question: &Question| {
        let mut data = question.message.data().and_then(JsonObject::read).unwrap_or_default();
        data.take("errors");
        // And so may how much of it was answered.
        data.take("inputResponses");
        data.to_json()
    };
    asked.kind == now.kind && asked.schema == now.schema && essence(asked) == essence(now)
}
