//! Requests of a server that the client of our caller answers: several forms at once, its model, its roots. All in one question, which
//! may be answered piece by piece; what was answered is in the question that is asked next.
//!
//! The question's data is `{"type": "input-requests", "inputRequests": {NAME: {"method": …, "params": …}}}`, with what was answered before
//! under `inputResponses`; an answer's is `{"inputResponses": {NAME: RESULT}}`, where `{"error": {"message": …}}` says no.

use std::{fmt::Write as _, sync::Arc};

use bobbinet_core::{Json, Message, MessageId, Part, Plan, Question, QuestionKind, Role, Task};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{answer, elicitation::Elicitation, json_object::JsonObject, roots, rpc_message::shorten, sampling};

/// What the data of such a question has under `type`.
const TYPE: &str = "input-requests";

/// Where the requests are, by their names.
const REQUESTS: &str = "inputRequests";

/// Where their results are, by the same names.
const RESPONSES: &str = "inputResponses";

/// What is wrong with results, by their names.
const ERRORS: &str = "errors";

/// Characters of one request that are shown to people.
const SHOWN_MAX: usize = 500;

/// What a server wants to know of a user in the middle of a call.
pub(crate) const ELICITATION: &str = "elicitation/create";

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InputRequest {
    pub(crate) method: String,
    pub(crate) params: Json,
}

/// Requests of a server, each with its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct InputRequests(Vec<(String, InputRequest)>);

impl InputRequest {
    pub(crate) fn new(method: &str, params: Json) -> Self {
        Self { method: method.to_owned(), params }
    }

    /// The result that says no. A form has one of its own.
    fn refused(&self, word: &str) -> Json {
        match self.method.as_str() {
            ELICITATION => Json::from(&json!({ "action": word })),
            _ => refusal("the caller has declined it"),
        }
    }

    /// The result as its server is told it. `Err`: what is wrong with it, where somebody may give another.
    fn result(&self, result: &Json, bytes_max: usize) -> Result<Json, Json> {
        if self.method == ELICITATION {
            let asked = Elicitation::read(&self.params).unwrap_or_default();
            let id = MessageId::parse("form").expect("it is short and printable");
            let said =
                Message { role: Role::User, ..Message::from_agent(id.clone(), vec![Part::data(result.clone())]) };
            return match answer::plan(&asked.ask(id.clone()), &said, &id) {
                Plan::Answer(answer) => Ok(answer),
                Plan::Ask(again) => {
                    let errors =
                        again.message.data().and_then(JsonObject::read).and_then(|data| data.get(ERRORS).cloned());
                    Err(errors.unwrap_or_else(|| Json::of("it does not fit")))
                }
                Plan::Call(_) | Plan::Reject(_) | Plan::Defer | Plan::Say(_) => Err(Json::of("it does not fit")),
            };
        }
        // Programs answer these: they would give the same again.
        Ok(match result_fault(&self.method, result, bytes_max) {
            None => result.clone(),
            Some(why) => refusal(&why),
        })
    }

    /// For people.
    fn shown(&self) -> String {
        let asked = match self.method.as_str() {
            ELICITATION => JsonObject::read(&self.params).and_then(|params| params.text("message")),
            sampling::METHOD => sampling::last_words(&self.params),
            _ => None,
        };
        asked.map(|words| format!(": {}", shorten(&words, SHOWN_MAX))).unwrap_or_default()
    }
}

/// What is wrong with the result of a program.
fn result_fault(method: &str, result: &Json, bytes_max: usize) -> Option<String> {
    let fields = JsonObject::read(result).unwrap_or_default();
    if let Some(error) = fields.get("error") {
        let message = JsonObject::read(error).and_then(|error| error.text("message"));
        return Some(
            shorten(&message.unwrap_or_else(|| "the client has refused it".to_owned()), SHOWN_MAX).into_owned(),
        );
    }
    if result.as_str().len() > bytes_max {
        return Some(format!("the client's answer is longer than {bytes_max} bytes (sample_bytes_max)"));
    }
    let is_whole = match method {
        roots::METHOD => fields.get("roots").is_some_and(|roots| {
            let roots = roots.read::<Vec<JsonObject>>();
            roots.is_ok_and(|roots| roots.iter().all(|root| root.text("uri").is_some()))
        }),
        _ => fields.text("role").is_some() && fields.get("content").is_some(),
    };
    (!is_whole).then(|| "the client's answer is none that the protocol has".to_owned())
}

fn refusal(why: &str) -> Json {
    Json::from(&json!({ "error": { "code": -1, "message": why } }))
}

/// Why a result says no, if it does.
pub(crate) fn refused(result: &Json) -> Option<String> {
    let error = JsonObject::read(result).filter(|fields| fields.get("action").is_none())?.take("error")?;
    Some(JsonObject::read(&error).and_then(|error| error.text("message")).unwrap_or_default())
}

/// How many requests of this method a task's caller was asked and has answered.
pub(crate) fn asked_before(task: &Task, method: &str) -> usize {
    let of = |question: &Question| {
        let (_, requests) = InputRequests::of(question)?;
        Some(requests.iter().filter(|(_, request)| request.method == method).count())
    };
    task.answers.iter().filter_map(|(question, _)| of(question)).sum()
}

impl InputRequests {
    pub(crate) fn one(name: &str, request: InputRequest) -> Self {
        Self(vec![(name.to_owned(), request)])
    }

    pub(crate) fn push(&mut self, name: &str, request: InputRequest) {
        self.0.push((name.to_owned(), request));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &InputRequest)> {
        self.0.iter().map(|(name, request)| (name.as_str(), request))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a question with a message of this id. `round` tells it apart from others of the call that ask the same.
    pub(crate) fn ask(&self, id: MessageId, round: &str) -> Question {
        let mut data = JsonObject::default();
        data.set("type", Json::of(TYPE));
        data.set("round", Json::of(round));
        let requests = self.iter().map(|(name, request)| (name.to_owned(), Json::of(request)));
        data.set(REQUESTS, requests.collect::<JsonObject>().to_json());
        let mut text = format!(
            "The MCP server asks the client of whoever has made this call. It is answered with data, \
             {{\"{RESPONSES}\": {{NAME: RESULT}}}}, or with `decline`:"
        );
        for (name, request) in self.iter() {
            let _ = write!(text, "\n- {name} ({}){}", request.method, request.shown());
        }
        let message = Message::from_agent(id, vec![Part::text(text), Part::data(data.to_json())]);
        Question { kind: QuestionKind::Elicitation, message: Arc::new(message), schema: None }
    }

    /// The data and the requests of such a question. No server can make one: what it asks is under another `type`.
    fn of(question: &Question) -> Option<(JsonObject, Self)> {
        let data = question.message.data().and_then(JsonObject::read)?;
        let is_ours = question.kind == QuestionKind::Elicitation && data.text("type").as_deref() == Some(TYPE);
        let requests = JsonObject::read(data.get(REQUESTS).filter(|_| is_ours)?)?;
        let requests = requests.iter().filter_map(|(name, request)| Some((name.to_owned(), request.read().ok()?)));
        let requests = Self(requests.collect());
        Some((data, requests))
    }
}

/// Reads an answer to such a question: with all results that are there now if it has the last of them, else as the question for the rest.
/// `None` if it is another question.
pub(crate) fn plan(question: &Question, message: &Message, id: &MessageId, bytes_max: usize) -> Option<Plan> {
    let (mut data, requests) = InputRequests::of(question)?;
    let mut answered = data.get(RESPONSES).and_then(JsonObject::read).unwrap_or_default();
    let said = message.data().and_then(JsonObject::read).unwrap_or_default();
    let results = said.get(RESPONSES).and_then(JsonObject::read);
    let word = said.text("action").unwrap_or_else(|| message.text().trim().to_lowercase());
    let no = Some(word.as_str()).filter(|word| matches!(*word, "decline" | "cancel"));
    let mut errors = JsonObject::default();
    for (name, request) in requests.iter() {
        if answered.get(name).is_some() {
            continue;
        }
        let result = match (&results, no) {
            (Some(results), _) => results.get(name).map(|result| request.result(result, bytes_max)),
            (None, Some(word)) => Some(Ok(request.refused(word))),
            (None, None) => None,
        };
        match result {
            Some(Ok(result)) => answered.set(name, result),
            Some(Err(wrong)) => errors.set(name, wrong),
            None => {}
        }
    }
    if requests.iter().all(|(name, _)| answered.get(name).is_some()) {
        return Some(Plan::Answer(answered.to_json()));
    }
    data.take(ERRORS);
    if !errors.is_empty() {
        data.set(ERRORS, errors.to_json());
    }
    data.set(RESPONSES, answered.to_json());
    let parts = vec![Part::text(question.message.text()), Part::data(data.to_json())];
    let message = Arc::new(Message::from_agent(id.clone(), parts));
    Some(Plan::Ask(Arc::new(Question { message, ..question.clone() })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elicitation::is_same;

    fn question() -> Question {
        let form = json!({"message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string", "minLength": 2}}, "required": ["name"]}});
        let mut requests = InputRequests::one("who", InputRequest::new(ELICITATION, Json::from(&form)));
        let sample = json!({"messages": [{"role": "user", "content": {"type": "text", "text": "Hi"}}], "maxTokens": 5});
        requests.push("said", InputRequest::new(sampling::METHOD, Json::from(&sample)));
        requests.push("roots", InputRequest::new(roots::METHOD, Json::from(&json!({}))));
        requests.ask(MessageId::parse("q").unwrap(), "0.0")
    }

    fn say(question: &Question, part: Part) -> Plan {
        let message = Message { role: Role::User, ..Message::from_agent(MessageId::parse("m").unwrap(), vec![part]) };
        plan(question, &message, &MessageId::parse("n").unwrap(), 100).unwrap()
    }

    fn data(text: &str) -> Part {
        Part::data(Json::parse(text).unwrap())
    }

    fn again(plan: Plan) -> Arc<Question> {
        let Plan::Ask(again) = plan else { panic!("{plan:?}") };
        again
    }

    #[test]
    fn what_is_answered_piece_by_piece_is_kept_until_all_is_there() {
        let asked = question();
        assert!(asked.message.text().contains("- said (sampling/createMessage): Hi"), "{}", asked.message.text());
        let wrong =
            again(say(&asked, data(r#"{"inputResponses":{"who":{"action":"accept","content":{"name":"A"}},"x":1}}"#)));
        assert!(is_same(&asked, &wrong) && wrong.message.text() == asked.message.text());
        assert!(wrong.message.data().unwrap().as_str().contains(r#""errors":{"who":"#), "{wrong:?}");
        let part =
            again(say(&wrong, data(r#"{"inputResponses":{"who":{"action":"accept","content":{"name":"Ann"}}}}"#)));
        assert!(!part.message.data().unwrap().as_str().contains("errors"));
        // What was given once is not taken back.
        let more = r#"{"inputResponses":{"who":{"action":"decline"},"roots":{"roots":[{"uri":"file:///a"}]}}}"#;
        let rest = again(say(&part, data(more)));
        let last =
            r#"{"inputResponses":{"said":{"role":"assistant","content":{"type":"text","text":"Ho"},"model":"m"}}}"#;
        let Plan::Answer(answer) = say(&rest, data(last)) else { panic!() };
        assert_eq!(
            answer.as_str(),
            r#"{"who":{"action":"accept","content":{"name":"Ann"}},"roots":{"roots":[{"uri":"file:///a"}]},"said":{"role":"assistant","content":{"type":"text","text":"Ho"},"model":"m"}}"#
        );
    }

    #[test]
    fn no_is_an_answer_and_so_is_what_a_program_gets_wrong() {
        let Plan::Answer(answer) = say(&question(), Part::text(" Decline ")) else { panic!() };
        let answer = JsonObject::read(&answer).unwrap();
        assert_eq!(answer.get("who").unwrap().as_str(), r#"{"action":"decline"}"#);
        assert_eq!(refused(answer.get("said").unwrap()).as_deref(), Some("the caller has declined it"));
        let sampled = InputRequest::new(sampling::METHOD, Json::of(&()));
        let roots = InputRequest::new(roots::METHOD, Json::of(&()));
        let long = format!(r#"{{"role":"assistant","content":"{}"}}"#, "x".repeat(100));
        for (request, result, expected) in [
            (&sampled, r#"{"error":{"code":-1,"message":"no"}}"#, "no"),
            (&sampled, r#"{"action":"accept"}"#, "none that the protocol has"),
            (&sampled, &long, "sample_bytes_max"),
            (&roots, r#"{"roots":[{"name":"a"}]}"#, "none that the protocol has"),
            (&roots, "[]", "none that the protocol has"),
        ] {
            let result = request.result(&Json::parse(result).unwrap(), 100).unwrap();
            assert!(refused(&result).is_some_and(|why| why.contains(expected)), "{result:?}");
        }
    }

    #[test]
    fn a_servers_own_question_is_never_one() {
        let params = Json::from(
            &json!({"type": TYPE, "message": "Who?", "inputRequests": {"a": {"method": "x", "params": {}}}}),
        );
        let asked = Elicitation::read(&params).unwrap().ask(MessageId::parse("q").unwrap());
        assert!(InputRequests::of(&asked).is_none());
    }
}
