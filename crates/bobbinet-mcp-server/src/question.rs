//! A task's question as an elicitation of MCP, and its answer as a message to the task.

use std::collections::BTreeMap;

use bobbinet_core::{Json, Part, Question, QuestionKind};
use serde_json::{Value, json};

use crate::{client::McpClient, object::Object};

/// The field of a form that stands for words as such.
const WORDS: &str = "answer";

/// A question that a client can be asked.
#[derive(Debug)]
pub(crate) struct Elicitation {
    /// The parameters of `elicitation/create`.
    pub(crate) params: Json,
    /// By which name the server that asks knows it, if it has one.
    pub(crate) key: Option<String>,
    answer_is: AnswerIs,
}

/// What a task is told of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerIs {
    /// The whole of it, as the server that asks wants it.
    Result,
    /// The fields of the form.
    Fields,
    /// The only field of the form, as words.
    Words,
    /// That it is done.
    Done,
}

/// What an answer comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The task is told this.
    Tell(Vec<Part>),
    /// The user does not want to.
    Refused,
    /// It is no answer.
    Unclear,
}

impl Elicitation {
    /// What to ask this client; `None` if it cannot be asked that.
    pub(crate) fn of(question: &Question, client: McpClient, id: &str) -> Option<Self> {
        let data =
            question.message.data().and_then(|data| data.read::<BTreeMap<String, Json>>().ok()).unwrap_or_default();
        let text = |name: &str| data.get(name).and_then(|value| value.read::<String>().ok());
        let key = text("key");
        let said = text("message").filter(|_| !data.contains_key("errors"));
        let message = said.unwrap_or_else(|| question.message.text());
        if question.kind == QuestionKind::Authorization {
            let url = text("url").filter(|_| client.visits_urls)?;
            let params = Object::default().with("mode", "url").with("message", &message).with("url", &url);
            // A revision without handshakes has no word of the end of a visit, and so no name for it.
            let params = params.with_some("elicitationId", (!client.revision.is_stateless()).then_some(id));
            return Some(Self { params: params.to_json(), key, answer_is: AnswerIs::Done });
        }
        if !client.fills_forms {
            return None;
        }
        let answers = data.get("answers").and_then(|answers| answers.read::<Vec<String>>().ok());
        let words = |field: Value| json!({"type": "object", "properties": {WORDS: field}, "required": [WORDS]});
        let (schema, answer_is) = match (question.kind, &question.schema, answers) {
            (QuestionKind::Elicitation, Some(schema), _) => (flat(schema)?, AnswerIs::Result),
            (QuestionKind::Elicitation, None, _) => {
                (Json::from(&json!({"type": "object", "properties": {}})), AnswerIs::Result)
            }
            (QuestionKind::Outcome { .. }, _, Some(answers)) => {
                (Json::from(&words(json!({"type": "string", "enum": answers}))), AnswerIs::Words)
            }
            (QuestionKind::Input, Some(schema), _) => (flat(schema)?, AnswerIs::Fields),
            (QuestionKind::Input | QuestionKind::Outcome { .. }, _, _) => {
                (Json::from(&words(json!({"type": "string"}))), AnswerIs::Words)
            }
            (QuestionKind::Authorization, _, _) => return None,
        };
        let params = Object::default().with_some("mode", client.revision.has_url_elicitation().then_some("form"));
        let params = params.with("message", &message).with("requestedSchema", &schema);
        Some(Self { params: params.to_json(), key, answer_is })
    }

    /// As the request that a result or a task has in it.
    pub(crate) fn request(&self) -> Json {
        Object::default().with("method", "elicitation/create").with("params", &self.params).to_json()
    }

    /// What the client's result means.
    pub(crate) fn read(&self, result: &Json) -> Answered {
        let Ok(fields) = result.read::<BTreeMap<String, Json>>() else { return Answered::Unclear };
        let action = fields.get("action").and_then(|action| action.read::<String>().ok());
        let content = fields.get("content").filter(|content| content.is_object());
        match (action.as_deref(), self.answer_is) {
            (Some("accept" | "decline" | "cancel"), AnswerIs::Result) => {
                let answer = Object::default().with_some("action", action.as_ref()).with_some("content", content);
                Answered::Tell(vec![Part::data(answer.to_json())])
            }
            (Some("accept"), AnswerIs::Done) => Answered::Tell(vec![Part::text("done")]),
            (Some("accept"), AnswerIs::Fields) => match content {
                Some(content) => Answered::Tell(vec![Part::data(content.clone())]),
                None => Answered::Unclear,
            },
            (Some("accept"), AnswerIs::Words) => {
                let fields = content.and_then(|content| content.read::<BTreeMap<String, Json>>().ok());
                match fields.and_then(|fields| fields.get(WORDS)?.read::<String>().ok()) {
                    Some(words) => Answered::Tell(vec![Part::text(words)]),
                    None => Answered::Unclear,
                }
            }
            (Some("decline" | "cancel"), _) => Answered::Refused,
            (_, _) => Answered::Unclear,
        }
    }
}

/// The schema, if it is one that a form can have: an object of plain fields. Others are asked for in words.
fn flat(schema: &Json) -> Option<Json> {
    let value = schema.to_value();
    let fields = value.get("properties").and_then(Value::as_object);
    let is_plain = |field: &Value| match field.get("type").and_then(Value::as_str) {
        Some("string" | "number" | "integer" | "boolean") => true,
        Some("array") => {
            field.get("items").is_some_and(|items| items.get("enum").is_some() || items.get("anyOf").is_some())
        }
        Some(_) => false,
        None => field.get("enum").is_some(),
    };
    let is_flat = value.get("type").is_none_or(|kind| kind == "object")
        && fields.is_none_or(|fields| fields.values().all(is_plain));
    if !is_flat || (fields.is_none() && value.get("type").is_none()) {
        return None;
    }
    if value.get("type").is_some() && fields.is_some() {
        return Some(schema.clone());
    }
    let mut value = value;
    value["type"] = "object".into();
    if value.get("properties").is_none() {
        value["properties"] = json!({});
    }
    Some(Json::from(&value))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bobbinet_core::{Message, MessageId};

    use super::*;
    use crate::revision::Revision;

    fn question(kind: QuestionKind, data: &Value, schema: Option<&Value>) -> Question {
        let parts = vec![Part::text("Well?"), Part::data(Json::from(data))];
        let message = Arc::new(Message::from_agent(MessageId::parse("q").unwrap(), parts));
        Question { kind, message, schema: schema.map(Json::from) }
    }

    fn client(revision: Revision) -> McpClient {
        McpClient { fills_forms: true, visits_urls: true, ..McpClient::silent(revision) }
    }

    fn check(question: &Question, params: &Value, answers: &[(Value, Answered)]) {
        let elicitation = Elicitation::of(question, client(Revision::V2025_06_18), "e").unwrap();
        assert_eq!(&elicitation.params.to_value(), params);
        for (answer, expected) in answers {
            assert_eq!(&elicitation.read(&Json::from(answer)), expected, "{answer}");
        }
    }

    fn tell(data: &Value) -> Answered {
        Answered::Tell(vec![Part::data(Json::from(data))])
    }

    #[test]
    fn a_servers_question_is_asked_as_it_asked_it() {
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
        let asked = question(QuestionKind::Elicitation, &json!({"message": "Who?"}), Some(&schema));
        let accepted = json!({"action": "accept", "content": {"name": "Ann"}});
        check(
            &asked,
            &json!({"message": "Who?", "requestedSchema": schema}),
            &[
                (accepted.clone(), tell(&accepted)),
                (json!({"action": "decline"}), tell(&json!({"action": "decline"}))),
                (json!({}), Answered::Unclear),
            ],
        );
        // One that is asked again says what was wrong.
        let again = question(QuestionKind::Elicitation, &json!({"message": "Who?", "errors": []}), Some(&schema));
        check(&again, &json!({"message": "Well?", "requestedSchema": schema}), &[]);
    }

    #[test]
    fn a_question_of_the_node_is_a_form_too() {
        let outcome = question(QuestionKind::Input, &json!({"answers": ["retry", "failed"]}), None);
        let outcome = Question { kind: QuestionKind::Outcome { call_id: bobbinet_core::CallId(1) }, ..outcome };
        let schema = json!({"type": "object", "properties": {"answer": {"type": "string", "enum": ["retry", "failed"]}}, "required": ["answer"]});
        check(
            &outcome,
            &json!({"message": "Well?", "requestedSchema": schema}),
            &[
                (
                    json!({"action": "accept", "content": {"answer": "retry"}}),
                    Answered::Tell(vec![Part::text("retry")]),
                ),
                (json!({"action": "cancel"}), Answered::Refused),
                (json!({"action": "accept"}), Answered::Unclear),
            ],
        );
        let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}});
        let input = question(QuestionKind::Input, &json!({}), Some(&schema));
        check(
            &input,
            &json!({"message": "Well?", "requestedSchema": schema}),
            &[(json!({"action": "accept", "content": {"path": "a"}}), tell(&json!({"path": "a"})))],
        );
        let nested = json!({"type": "object", "properties": {"path": {"type": "object"}}});
        let asked = question(QuestionKind::Input, &json!({}), Some(&nested));
        assert!(Elicitation::of(&asked, client(Revision::V2025_11_25), "e").is_none());
    }

    #[test]
    fn a_visit_is_asked_of_those_who_visit() {
        let asked = question(QuestionKind::Authorization, &json!({"message": "Sign in", "url": "https://x"}), None);
        let of = |revision| Elicitation::of(&asked, client(revision), "e").unwrap();
        let elicitation = of(Revision::V2025_11_25);
        let expected = json!({"mode": "url", "message": "Sign in", "url": "https://x", "elicitationId": "e"});
        assert_eq!(elicitation.params.to_value(), expected);
        assert!(of(Revision::V2026_07_28).params.to_value().get("elicitationId").is_none());
        let accepted = elicitation.read(&Json::from(&json!({"action": "accept"})));
        assert_eq!(accepted, Answered::Tell(vec![Part::text("done")]));
        let silent = McpClient { visits_urls: false, ..client(Revision::V2025_11_25) };
        assert!(Elicitation::of(&asked, silent, "e").is_none());
    }
}
