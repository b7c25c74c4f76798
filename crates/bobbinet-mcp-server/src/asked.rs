//! What a task asks, as its host is asked it: one question, or several requests of a server at once. Of those each host sees the ones that
//! it can answer; what it answers is kept, and the others wait.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{Json, Part, Question, QuestionKind, Task};
use serde_json::json;

use crate::{
    client::McpClient,
    object::Object,
    question::{Answered, Elicitation},
};

/// The name of the one question that a result asks (2026-07-28), if the server that asks has none for it.
const QUESTION_KEY: &str = "answer";

/// What the data of several requests has under `type`, as a wrapped server's agent puts them.
const SEVERAL: &str = "input-requests";

/// A request for a form.
const ELICITATION: &str = "elicitation/create";

/// How a host has a request's name: one that is unique in its result, or in all the life of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Names<'a> {
    InResult,
    OfTask(&'a Task),
}

/// What a host is asked.
#[derive(Debug)]
pub(crate) enum Asked {
    One(Elicitation),
    Several { round: String, requests: Vec<(String, InputRequest)> },
}

/// One of several requests.
#[derive(Debug)]
pub(crate) enum InputRequest {
    Form(Elicitation),
    /// What the host's program answers.
    Program {
        method: &'static str,
        params: Json,
    },
}

impl Asked {
    /// What to ask this client; `None` if it cannot be asked that. Of questions in the words of MCP only those of agents are taken that are
    /// MCP servers here (`is_of_mcp`): whoever else writes such words has been lent nothing.
    pub(crate) fn of(question: &Arc<Question>, client: McpClient, id: &str, is_of_mcp: bool) -> Option<Self> {
        match Several::read(question).filter(|_| is_of_mcp) {
            None => Elicitation::of(question, client, id).map(Self::One),
            Some(several) => {
                let requests = several.requests.into_iter().filter(|(name, _)| !several.answered.contains_key(name));
                let requests: Vec<_> = requests
                    .filter_map(|(name, request)| Some((name, InputRequest::read(&request, client, id)?)))
                    .collect();
                (!requests.is_empty()).then_some(Self::Several { round: several.round, requests })
            }
        }
    }

    /// As the requests that a result or a task has in it.
    pub(crate) fn requests(&self, names: Names<'_>) -> Object {
        match self {
            Self::One(elicitation) => Object::default().with_owned(name_of(elicitation, names), elicitation.request()),
            Self::Several { round, requests } => requests.iter().fold(Object::default(), |object, (name, request)| {
                let (method, params) = request.shown();
                let request = Object::default().with("method", method).with("params", params);
                object.with_owned(names.of(round, name), request.to_json())
            }),
        }
    }

    /// What the client's results mean; `None` if there are none for what is asked.
    pub(crate) fn read(&self, results: &BTreeMap<String, Json>, names: Names<'_>) -> Option<Answered> {
        match self {
            Self::One(elicitation) => results.get(&name_of(elicitation, names)).map(|result| elicitation.read(result)),
            Self::Several { round, requests } => {
                let results = requests.iter().filter_map(|(name, request)| {
                    let result = request.result(results.get(&names.of(round, name))?)?;
                    Some((name.clone(), result))
                });
                tell(results.collect())
            }
        }
    }
}

/// The results of several requests, as a message to their task.
pub(crate) fn tell(results: Vec<(String, Json)>) -> Option<Answered> {
    let told = results.into_iter().fold(Object::default(), |told, (name, result)| told.with_owned(name, result));
    let answer = Object::default().with("inputResponses", &told);
    (!told.is_empty()).then(|| Answered::Tell(vec![Part::data(answer.to_json())]))
}

impl Names<'_> {
    fn of(self, round: &str, name: &str) -> String {
        match self {
            Self::InResult => name.to_owned(),
            Self::OfTask(_) => format!("question-{round}-{name}"),
        }
    }
}

fn name_of(elicitation: &Elicitation, names: Names<'_>) -> String {
    match names {
        Names::InResult => elicitation.key.clone().unwrap_or_else(|| QUESTION_KEY.to_owned()),
        Names::OfTask(task) => question_key(task),
    }
}

/// The key of a task's question: no two questions of a task have the same.
fn question_key(task: &Task) -> String {
    format!("question-{}", task.asked.0)
}

impl InputRequest {
    fn read(request: &Json, client: McpClient, id: &str) -> Option<Self> {
        let mut fields: BTreeMap<String, Json> = request.read().ok()?;
        let params = fields.remove("params").unwrap_or_else(|| Object::default().to_json());
        match fields.get("method")?.read::<String>().ok()?.as_str() {
            "sampling/createMessage" if client.samples => {
                Some(Self::Program { method: "sampling/createMessage", params })
            }
            "roots/list" if client.lists_roots => Some(Self::Program { method: "roots/list", params }),
            ELICITATION => {
                let mut asked: BTreeMap<String, Json> = params.read().ok()?;
                let schema = asked.remove("requestedSchema");
                let message =
                    asked.get("message").and_then(|message| message.read::<String>().ok()).unwrap_or_default();
                let parts = vec![Part::data(Object::default().with("message", &message).to_json())];
                let id_of_form = bobbinet_core::MessageId::parse("form").ok()?;
                let message = Arc::new(bobbinet_core::Message::from_agent(id_of_form, parts));
                let form = Question { kind: QuestionKind::Elicitation, message, schema };
                Elicitation::of(&form, client, id).map(Self::Form)
            }
            _ => None,
        }
    }

    /// The method, and its parameters.
    pub(crate) fn shown(&self) -> (&'static str, &Json) {
        match self {
            Self::Form(form) => (ELICITATION, &form.params),
            Self::Program { method, params } => (method, params),
        }
    }

    /// What its server is told of a result; `None` if it is none.
    fn result(&self, result: &Json) -> Option<Json> {
        match self {
            Self::Form(form) => match form.read(result) {
                Answered::Tell(parts) => parts.iter().find_map(Part::as_data).cloned(),
                Answered::Refused | Answered::Unclear => None,
            },
            Self::Program { .. } => result.is_object().then(|| result.clone()),
        }
    }

    /// The same of what a client has answered to a request in the middle of a call: nothing, if it was an error.
    pub(crate) fn told(&self, result: Option<&Json>) -> Json {
        result.and_then(|result| self.result(result)).unwrap_or_else(|| match self {
            Self::Form(_) => Json::from(&json!({"action": "cancel"})),
            Self::Program { .. } => Json::from(&json!({"error": {"code": -1, "message": "the client has refused it"}})),
        })
    }
}

/// The data of such a question.
struct Several {
    round: String,
    requests: Vec<(String, Json)>,
    answered: BTreeMap<String, Json>,
}

impl Several {
    fn read(question: &Question) -> Option<Self> {
        let is_elicitation = question.kind == QuestionKind::Elicitation;
        let mut data: BTreeMap<String, Json> = question.message.data().filter(|_| is_elicitation)?.read().ok()?;
        if data.get("type")?.read::<String>().ok()? != SEVERAL {
            return None;
        }
        let fields = |data: Option<Json>| data.and_then(|data| data.read().ok()).unwrap_or_default();
        let requests: BTreeMap<String, Json> = fields(data.remove("inputRequests"));
        let answered: BTreeMap<String, Json> = fields(data.remove("inputResponses"));
        let round = data.get("round").and_then(|round| round.read().ok()).unwrap_or_default();
        Some(Self { round, requests: requests.into_iter().collect(), answered })
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::{Message, MessageId};

    use super::*;
    use crate::revision::Revision;

    fn question(answered: &serde_json::Value) -> Arc<Question> {
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        let requests = json!({
            "who": {"method": ELICITATION, "params": {"message": "Who?", "requestedSchema": schema}},
            "said": {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 5}},
            "roots": {"method": "roots/list", "params": {}},
        });
        let data = json!({"type": SEVERAL, "round": "0", "inputRequests": requests, "inputResponses": answered});
        let parts = vec![Part::text("Well?"), Part::data(Json::from(&data))];
        let message = Arc::new(Message::from_agent(MessageId::parse("q").unwrap(), parts));
        Arc::new(Question { kind: QuestionKind::Elicitation, message, schema: None })
    }

    fn asked(capabilities: &str, answered: &serde_json::Value, is_of_mcp: bool) -> Option<Asked> {
        let client = McpClient::with(Revision::V2026_07_28, Some(&Json::parse(capabilities).unwrap()));
        Asked::of(&question(answered), client, "e", is_of_mcp)
    }

    fn names(asked: Option<Asked>) -> String {
        let requests = asked.map(|asked| asked.requests(Names::InResult).to_json().to_value()).unwrap_or_default();
        let names = requests.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        names.join(" ")
    }

    #[test]
    fn a_host_is_asked_what_it_can_answer_and_what_is_open() {
        let all = r#"{"elicitation":{},"sampling":{},"roots":{}}"#;
        for (capabilities, answered, expected) in [
            (all, json!({}), "roots said who"),
            (r#"{"sampling":{}}"#, json!({}), "said"),
            (all, json!({"said": {}}), "roots who"),
            (r#"{"sampling":{}}"#, json!({"said": {}}), ""),
            ("{}", json!({}), ""),
        ] {
            assert_eq!(names(asked(capabilities, &answered, true)), expected, "{capabilities} {answered}");
        }
        // Whoever is no server of this node's borrows nothing with the same words: it asks for a form.
        assert!(matches!(asked(all, &json!({}), false), Some(Asked::One(_))));
    }

    #[test]
    fn results_go_to_the_task_by_the_names_of_the_server() {
        let asked = asked(r#"{"elicitation":{},"roots":{}}"#, &json!({}), true).unwrap();
        let results = |text: &str| Json::parse(text).unwrap().read::<BTreeMap<String, Json>>().unwrap();
        let told =
            asked.read(&results(r#"{"roots":{"roots":[]},"who":{"action":"decline"},"said":{}}"#), Names::InResult);
        let Some(Answered::Tell(parts)) = told else { panic!("{told:?}") };
        let expected = r#"{"inputResponses":{"roots":{"roots":[]},"who":{"action":"decline"}}}"#;
        assert_eq!(parts[0].as_data().unwrap().as_str(), expected);
        assert!(asked.read(&results(r#"{"who":{},"roots":7}"#), Names::InResult).is_none());
        let Asked::Several { requests, .. } = &asked else { panic!() };
        assert_eq!(requests[0].1.told(None).to_value()["error"]["code"], -1);
        assert_eq!(requests[1].1.told(None).as_str(), r#"{"action":"cancel"}"#);
    }
}
