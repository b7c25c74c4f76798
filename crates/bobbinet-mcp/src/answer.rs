//! What a caller's message answers to the question of a server.

use std::sync::Arc;

use bobbinet_core::{Json, Message, MessageId, Part, Plan, Question, QuestionKind};
use serde_json::Value;

use crate::{
    arguments::{self, NotArguments, ParsedText},
    json_object::JsonObject,
    schema::{self, Schema, Violation},
};

/// Bytes of a question's schema that answers are checked against.
const SCHEMA_MAX: usize = 64 << 10;

/// Reads an answer: accepted with content that fits, declined, or canceled. What does not fit is asked again.
pub(crate) fn plan(question: &Question, message: &Message, id: &MessageId) -> Plan {
    match read(question, message) {
        Ok(answer) => Plan::Answer(answer),
        Err(violations) => Plan::Ask(Arc::new(ask_again(question, &violations, id))),
    }
}

fn read(question: &Question, message: &Message) -> Result<Json, Vec<Violation>> {
    let text = message.text();
    let text = text.trim();
    let data = message.data().cloned().or_else(|| arguments::object(text).map(|fields| fields.to_json()));
    let action = data.as_ref().and_then(JsonObject::read).and_then(|fields| fields.text("action"));
    let said = action.unwrap_or_else(|| if data.is_none() { text.to_lowercase() } else { String::new() });
    match said.as_str() {
        "decline" | "cancel" => return Ok(Json::from(&serde_json::json!({ "action": said }))),
        _ => {}
    }
    if question.kind == QuestionKind::Authorization {
        // Whatever is said after a visit to the address means that it was visited.
        return Ok(Json::from(&serde_json::json!({"action": "accept"})));
    }
    let schema = question.schema.clone().unwrap_or_else(|| Json::from(&serde_json::json!({"type": "object"})));
    let schema = Schema::new(schema, SCHEMA_MAX);
    let content = match data {
        Some(data) => {
            let fields = JsonObject::read(&data).unwrap_or_default();
            let is_explicit = said == "accept" && (fields.get("content").is_some() || !schema_names(&schema, "action"));
            match fields.get("content") {
                Some(content) if is_explicit => content.clone(),
                None if is_explicit => JsonObject::default().to_json(),
                Some(_) | None => data,
            }
        }
        None => spoken(&schema, text, &said)?,
    };
    // One that is too much work to check goes to the server as it is: it checks it itself.
    let violations = schema.check_light(&content).unwrap_or_default();
    if !violations.is_empty() {
        return Err(violations);
    }
    let mut answer = JsonObject::default();
    answer.set("action", Json::of("accept"));
    answer.set("content", with_defaults(question.schema.as_ref(), content));
    Ok(answer.to_json())
}

/// What is left out of an accepted answer has the value that its form would have shown (2025-11-25, elicitation).
fn with_defaults(schema: Option<&Json>, content: Json) -> Json {
    let schema = schema.filter(|schema| schema.as_str().len() <= SCHEMA_MAX).map(Json::to_value).unwrap_or_default();
    let Some(mut fields) = JsonObject::read(&content) else { return content };
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let left_out = properties.filter_map(|(name, property)| Some((name, property.get("default")?)));
    let left_out: Vec<_> = left_out.filter(|(name, _)| fields.get(name).is_none()).collect();
    if left_out.is_empty() {
        return content;
    }
    for (name, value) in left_out {
        fields.set(name, Json::from(value));
    }
    fields.to_json()
}

fn schema_names(schema: &Schema, property: &str) -> bool {
    schema.properties().any(|(name, _)| name == property)
}

/// Plain text, where it can only be the value of the one property, or `name=value` pairs.
fn spoken(schema: &Schema, text: &str, said: &str) -> Result<Json, Vec<Violation>> {
    let properties = schema.properties().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    let mut fields = JsonObject::default();
    match properties.as_slice() {
        [] if said == "accept" => {}
        [only] => {
            let types = schema.types(only);
            let is_yes_or_no = types.len() == 1 && types.contains("boolean");
            let value = match said {
                "yes" | "y" if is_yes_or_no => Json::of(&true),
                "no" | "n" if is_yes_or_no => Json::of(&false),
                _ => match pair(schema, text)? {
                    Some(pairs) => return Ok(pairs.to_json()),
                    None => arguments::typed(schema, only, text, false),
                },
            };
            fields.set(only, value);
        }
        _ => match pair(schema, text)? {
            Some(pairs) => fields = pairs,
            None if said == "accept" && schema.check(&Value::Object(serde_json::Map::new())).is_empty() => {}
            None => {
                let text = format!(
                    "answer with data, or say {}",
                    properties.iter().map(|name| format!("{name}=…")).collect::<Vec<_>>().join(" ")
                );
                return Err(vec![Violation { path: String::new(), text, is_missing: false }]);
            }
        },
    }
    Ok(fields.to_json())
}

/// The text as `name=value` pairs of properties that there are, if it looks like them. What only begins so is neither
/// those nor a value.
fn pair(schema: &Schema, text: &str) -> Result<Option<JsonObject>, Vec<Violation>> {
    let begins_so =
        schema.properties().any(|(name, _)| text.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')));
    match arguments::read(text, schema) {
        ParsedText::Arguments(fields) if begins_so => Ok(Some(fields)),
        ParsedText::NotArguments(why @ (NotArguments::Half(_) | NotArguments::Twice(_))) => {
            let text = why.advice(text).trim_end().trim_end_matches('.').to_owned();
            Err(vec![Violation { path: String::new(), text, is_missing: false }])
        }
        ParsedText::Arguments(_) | ParsedText::NotArguments(NotArguments::Words | NotArguments::Unknown(_)) => Ok(None),
    }
}

/// The same question, with what was wrong with the answer.
fn ask_again(question: &Question, violations: &[Violation], id: &MessageId) -> Question {
    let mut data = question.message.data().and_then(JsonObject::read).unwrap_or_default();
    let asked = data.text("message").unwrap_or_else(|| question.message.text());
    data.set("errors", schema::errors(violations));
    let wrong = violations.iter().map(|it| match it.path.trim_start_matches('/') {
        "" => it.text.clone(),
        name => format!("{name}: {}", it.text),
    });
    let text = format!("That does not fit: {}.\n{asked}", wrong.collect::<Vec<_>>().join("; "));
    let message = Message::from_agent(id.clone(), vec![Part::text(text), Part::data(data.to_json())]);
    Question { kind: question.kind, message: Arc::new(message), schema: question.schema.clone() }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::Role;
    use serde_json::json;

    use super::*;
    use crate::elicitation::{Elicitation, is_same};

    fn question(schema: &Value) -> Question {
        let params = Json::from(&json!({"message": "Well?", "requestedSchema": schema}));
        Elicitation::read(&params).unwrap().ask(MessageId::parse("q").unwrap())
    }

    fn check(schema: &Value, part: &str, expected: &str) {
        let parts = match part.strip_prefix("data:") {
            Some(data) => vec![Part::data(Json::parse(data).unwrap())],
            None => vec![Part::text(part)],
        };
        let message = Message { role: Role::User, ..Message::from_agent(MessageId::parse("m").unwrap(), parts) };
        let asked = question(schema);
        let found = match plan(&asked, &message, &MessageId::parse("n").unwrap()) {
            Plan::Answer(answer) => answer.as_str().to_owned(),
            Plan::Ask(again) => {
                assert!(is_same(&asked, &again), "{part}");
                let text = again.message.text();
                assert!(text.ends_with("\nWell?"), "{text}");
                format!(
                    "again {}",
                    again
                        .message
                        .data()
                        .and_then(JsonObject::read)
                        .unwrap()
                        .get("errors")
                        .unwrap()
                        .as_str()
                        .matches("path")
                        .count()
                )
            }
            Plan::Call(_) | Plan::Reject(_) | Plan::Defer | Plan::Say(_) => "neither".to_owned(),
        };
        assert_eq!(found, expected, "{part}");
    }

    #[test]
    fn one_property_is_answered_in_plain_words() {
        let name = json!({"type":"object","properties":{"name":{"type":"string"}},"required":["name"]});
        check(&name, "Ann", r#"{"action":"accept","content":{"name":"Ann"}}"#);
        check(&name, "name=Ann", r#"{"action":"accept","content":{"name":"Ann"}}"#);
        check(&name, "name=Ann Lee", "again 1");
        let form = json!({"type":"object","properties":{"name":{"type":"string","default":"Ann"},"age":{"type":"integer","default":30},"x":{"type":"string"}}});
        check(&form, "accept", r#"{"action":"accept","content":{"age":30,"name":"Ann"}}"#);
        check(&form, "data:{}", r#"{"action":"accept","content":{"age":30,"name":"Ann"}}"#);
        check(
            &form,
            r#"data:{"action":"accept","content":{"age":7}}"#,
            r#"{"action":"accept","content":{"age":7,"name":"Ann"}}"#,
        );
        check(&name, "Ann Lee", r#"{"action":"accept","content":{"name":"Ann Lee"}}"#);
        check(&name, " Decline ", r#"{"action":"decline"}"#);
        check(&name, r#"data:{"action":"cancel"}"#, r#"{"action":"cancel"}"#);
        check(&name, r#"data:{"name":"Ann"}"#, r#"{"action":"accept","content":{"name":"Ann"}}"#);
        check(&name, r#"{"name":"Ann"}"#, r#"{"action":"accept","content":{"name":"Ann"}}"#);
        check(
            &name,
            r#"data:{"action":"accept","content":{"name":"Ann"}}"#,
            r#"{"action":"accept","content":{"name":"Ann"}}"#,
        );
        check(&name, r#"data:{"action":"accept","content":{}}"#, "again 1");
        check(&name, r#"data:{"name":7}"#, "again 1");
        let count = json!({"properties":{"n":{"type":"integer","minimum":1}},"required":["n"]});
        check(&count, "3", r#"{"action":"accept","content":{"n":3}}"#);
        check(&count, "0", "again 1");
        check(&count, "three", "again 1");
        let sure = json!({"properties":{"sure":{"type":"boolean"}},"required":["sure"]});
        check(&sure, "Yes", r#"{"action":"accept","content":{"sure":true}}"#);
        check(&sure, "false", r#"{"action":"accept","content":{"sure":false}}"#);
        let color = json!({"properties":{"color":{"enum":["red","green"]}},"required":["color"]});
        check(&color, "red", r#"{"action":"accept","content":{"color":"red"}}"#);
        check(&color, "blue", "again 1");
    }

    #[test]
    fn several_properties_need_names() {
        let both =
            json!({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"required":["a"]});
        check(&both, "a=x b=2", r#"{"action":"accept","content":{"a":"x","b":2}}"#);
        check(&both, "x", "again 1");
        check(&both, "accept", "again 1");
        let none = json!({"type":"object","properties":{}});
        check(&none, "accept", r#"{"action":"accept","content":{}}"#);
        let odd = json!({"type":"object","properties":{"s":{"type":["string","null"]},"o":{"type":"object"}}});
        check(
            &odd,
            r#"data:{"s":null,"o":{"x":[1.0]}}"#,
            r#"{"action":"accept","content":{"s":null,"o":{"x":[1.0]}}}"#,
        );
        check(&odd, "accept", r#"{"action":"accept","content":{}}"#);
    }

    #[test]
    fn an_address_is_accepted_by_any_word_but_no() {
        let params = Json::from(&json!({"mode":"url","message":"Sign in","url":"https://example.com/x?y=1"}));
        let asked = Elicitation::read(&params).unwrap().ask(MessageId::parse("q").unwrap());
        assert_eq!(asked.kind, QuestionKind::Authorization);
        assert_eq!(asked.message.text(), "Sign in\nhttps://example.com/x?y=1");
        for (said, expected) in [("done", "accept"), ("decline", "decline")] {
            let message = Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::text(said)]);
            let Plan::Answer(answer) = plan(&asked, &message, &MessageId::parse("n").unwrap()) else {
                panic!("{said}")
            };
            assert_eq!(answer.to_value(), json!({"action": expected}));
        }
    }
}
