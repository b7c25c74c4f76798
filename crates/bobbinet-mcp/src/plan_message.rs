//! From a message to a checked call, or to the question that is missing for one (DESIGN section 7, without a model).

use std::sync::Arc;

use bobbinet_core::{Call, Fault, Json, Message, MessageId, Part, Plan, Question, QuestionKind};
use bobbinet_engine::Request;
use serde::Serialize;

use crate::{
    answer, arguments,
    arguments::{NotArguments, ParsedText},
    catalog::{Catalog, Tool},
    config::McpConfig,
    convert, input_requests,
    json_object::JsonObject,
    rpc_message,
    schema::{self, Violation},
    skill_request::{self, SkillInput, SkillRequest},
    uploads,
};

/// Skills that are named to somebody who has to choose.
const CANDIDATES_MAX: usize = 50;

/// Bytes of the candidates' schemas that are told with them.
const CANDIDATE_SCHEMAS_MAX: usize = 32 << 10;

/// Characters of a skill's name that is told back to whoever said it.
const NAME_SHOWN_MAX: usize = 200;

/// What to make of a message. While nothing is known of the tools, only what a call has asked can be answered.
pub(crate) fn plan(config: &McpConfig, catalog: Option<&Catalog>, request: &Request<'_>) -> Plan {
    let asked = match request.question() {
        None => None,
        Some(question) => match question.kind {
            QuestionKind::Input => Some(question),
            QuestionKind::Elicitation | QuestionKind::Authorization => {
                let (message, id) = (request.message, &request.question_id);
                let of_client = input_requests::plan(question, message, id, config.limits.sample_bytes_max);
                return of_client.unwrap_or_else(|| answer::plan(question, message, id));
            }
            // Bobbinet's own question: the engine reads the verdict itself.
            QuestionKind::Outcome { .. } => return Plan::Answer(Json::of(&())),
        },
    };
    let Some(catalog) = catalog else { return Plan::Defer };
    let resolver = Resolver { agent: &config.name, extension: config.extension_uri, catalog };
    match asked {
        Some(question) => resolver.go_on(request, question),
        None => resolver.begin(request),
    }
}

/// Everything that planning looks at.
#[derive(Clone, Copy, Debug)]
struct Resolver<'a> {
    agent: &'a str,
    extension: &'a str,
    catalog: &'a Catalog,
}

/// How faults are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFault {
    /// A program: told what is wrong.
    Reject,
    /// Somebody who speaks: asked for what is missing, told what is wrong.
    AskMissing,
    /// Somebody in the middle of answering: asked again, whatever is wrong.
    AskAll,
}

impl Resolver<'_> {
    fn skill_request(&self, request: &Request<'_>) -> SkillRequest {
        skill_request::read(request.message, request.skill.map(|skill| skill.as_str()), self.extension, self.catalog)
    }

    fn begin(&self, request: &Request<'_>) -> Plan {
        let mut skill_request = self.skill_request(request);
        if let Err(fault) = uploads::attach(&mut skill_request, request.message, self.catalog) {
            return Plan::Reject(fault);
        }
        let on_fault = if skill_request.asks { OnFault::AskMissing } else { OnFault::Reject };
        self.fulfil(skill_request, on_fault, &request.question_id)
    }

    fn fulfil(&self, skill_request: SkillRequest, on_fault: OnFault, id: &MessageId) -> Plan {
        let Some(name) = skill_request.skill else {
            return match &skill_request.input {
                SkillInput::Data(data) => self.ask_skill(JsonObject::read(data).as_ref(), None, id),
                SkillInput::Text(text) => self.ask_skill(None, text.split_whitespace().next(), id),
            };
        };
        let Some(tool) = self.catalog.get(&name) else {
            if let Some(why) = self.catalog.withheld(&name) {
                return Plan::Reject(why.fault(self.agent, &name));
            }
            return match on_fault {
                OnFault::AskAll => self.ask_skill(None, Some(&name), id),
                OnFault::Reject | OnFault::AskMissing => Plan::Reject(self.unknown(&name)),
            };
        };
        match skill_request.input {
            SkillInput::Data(data) => self.check(tool, &data, on_fault, id),
            SkillInput::Text(text) => match arguments::read(&text, &tool.input) {
                ParsedText::Arguments(fields) => self.check(tool, &fields.to_json(), on_fault, id),
                ParsedText::NotArguments(why) => {
                    self.ask_arguments(tool, &JsonObject::default(), &[], Some((&text, &why)), id)
                }
            },
        }
    }

    /// The last step: the arguments against their schema.
    fn check(&self, tool: &Tool, data: &Json, on_fault: OnFault, id: &MessageId) -> Plan {
        if skill_request::is_nothing(data) {
            return self.check(tool, &JsonObject::default().to_json(), on_fault, id);
        }
        let Some(fields) = JsonObject::read(data) else {
            let text = "the arguments must be a JSON object".to_owned();
            return Plan::Reject(bad_arguments(tool, &[Violation { path: String::new(), text, is_missing: false }]));
        };
        // What takes long is checked when the call is made, away from the threads that serve everybody.
        let Some(found) = tool.input.check_light(data) else { return call(tool, data.clone(), Vec::new()) };
        // Arguments that fit, as most do, are not looked at again.
        let better = if found.is_empty() { None } else { convert::to_fit(&tool.input, &fields) };
        let (fields, violations, converted) = match better {
            Some((fields, converted)) => {
                let violations = tool.input.check_light(&fields.to_json()).unwrap_or_default();
                (fields, violations, converted)
            }
            None => (fields, found, Vec::new()),
        };
        let is_only_missing = violations.iter().all(|it| it.is_missing && !it.path[1..].contains('/'));
        let asks = match on_fault {
            OnFault::Reject => false,
            OnFault::AskMissing => is_only_missing,
            OnFault::AskAll => true,
        };
        if violations.is_empty() {
            let arguments = if converted.is_empty() { data.clone() } else { fields.to_json() };
            return call(tool, arguments, converted);
        }
        if asks {
            return self.ask_arguments(tool, &fields, &violations, None, id);
        }
        Plan::Reject(bad_arguments(tool, &violations))
    }

    /// A follow-up on a question of ours, taken together with what the question remembers.
    fn go_on(&self, request: &Request<'_>, question: &Question) -> Plan {
        let id = &request.question_id;
        let memory = question.message.data().and_then(JsonObject::read).unwrap_or_default();
        let known = memory.get("arguments").and_then(JsonObject::read).unwrap_or_default();
        let asked = memory.text("skill");
        let mut skill_request = self.skill_request(request);
        let is_fresh = skill_request.is_named
            && skill_request.skill.as_deref().is_some_and(|name| self.catalog.get(name).is_some());
        if is_fresh {
            let continues = skill_request.skill == asked || asked.is_none();
            if continues && !known.is_empty() {
                self.add_known(&mut skill_request, known);
            }
            // What nobody knows a place for is asked for again.
            let _ = uploads::attach(&mut skill_request, request.message, self.catalog);
            return self.fulfil(skill_request, OnFault::AskAll, id);
        }
        let Some(tool) = asked.as_deref().and_then(|name| self.catalog.get(name)) else {
            return self.ask_skill(Some(&known), Some(request.message.text().trim()), id);
        };
        let mut with_files = known.clone();
        let has_files = uploads::attach_to(tool, &mut with_files, request.message).unwrap_or_default();
        match self.add_answer(tool, with_files.clone(), request.message) {
            Ok(mut fields) => {
                // A file is what was asked for, and the words beside it are not.
                let files = with_files.iter().filter(|(name, _)| known.get(name).is_none());
                files.for_each(|(name, url)| fields.set(name, url.clone()));
                self.check(tool, &fields.to_json(), OnFault::AskAll, id)
            }
            Err(_) if has_files => self.check(tool, &with_files.to_json(), OnFault::AskAll, id),
            Err(why) => {
                let violations = tool.input.check_light(&known.to_json()).unwrap_or_default();
                self.ask_arguments(tool, &known, &violations, Some((&request.message.text(), &why)), id)
            }
        }
    }

    /// Adds what was said before the skill was known.
    fn add_known(&self, skill_request: &mut SkillRequest, mut known: JsonObject) {
        let Some(tool) = skill_request.skill.as_deref().and_then(|name| self.catalog.get(name)) else { return };
        let more = match &skill_request.input {
            SkillInput::Data(data) => JsonObject::read(data),
            SkillInput::Text(text) => match arguments::read(text, &tool.input) {
                ParsedText::Arguments(fields) => Some(fields),
                ParsedText::NotArguments(_) => None,
            },
        };
        if let Some(more) = more {
            known.merge(more);
            skill_request.input = SkillInput::Data(known.to_json());
        }
    }

    /// What was asked for, from an answer: data, pairs, or, if only one thing is missing, that thing.
    fn add_answer(&self, tool: &Tool, mut known: JsonObject, message: &Message) -> Result<JsonObject, NotArguments> {
        let text = message.text();
        let data = match message.data() {
            Some(data) => Some(JsonObject::read(data).ok_or(NotArguments::Words)?),
            None => arguments::object(&text),
        };
        if let Some(mut data) = data {
            // The arguments alone, or in the form that the skill would be named in.
            let inner = data.take("arguments").filter(|_| data.is_empty());
            known.merge(inner.as_ref().and_then(JsonObject::read).unwrap_or(data));
            return Ok(known);
        }
        let missing = tool.input.required().into_iter().filter(|name| known.get(name).is_none()).collect::<Vec<_>>();
        match (arguments::read(&text, &tool.input), missing.as_slice()) {
            // Other arguments than what was asked for, too: that is asked for again.
            (ParsedText::Arguments(fields), _) => known.merge(fields),
            (ParsedText::NotArguments(NotArguments::Words | NotArguments::Unknown(_)), [only]) => {
                known.set(only, arguments::typed(&tool.input, only, text.trim(), false));
            }
            (ParsedText::NotArguments(why), _) => return Err(why),
        }
        Ok(known)
    }

    fn unknown(&self, name: &str) -> Fault {
        let near = self.catalog.near(name);
        let hint = match near.as_slice() {
            [] => String::new(),
            near => {
                format!("; did you mean {}?", near.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" or "))
            }
        };
        let skills = self.catalog.tools().take(CANDIDATES_MAX).map(|tool| tool.id.as_str()).collect::<Vec<_>>();
        let name = rpc_message::shorten(name, NAME_SHOWN_MAX);
        let data = serde_json::json!({"skill": name, "near": near, "skills": skills});
        let text = format!("agent `{}` has no skill `{name}`{hint}", self.agent);
        Fault { data: Some(Json::from(&data)), ..Fault::new("unknown-skill", text) }
    }

    fn ask_skill(&self, known: Option<&JsonObject>, unknown: Option<&str>, id: &MessageId) -> Plan {
        let tools = self.catalog.tools().take(CANDIDATES_MAX).collect::<Vec<_>>();
        let names = tools.iter().map(|tool| tool.id.as_str()).collect::<Vec<_>>();
        if names.is_empty() {
            let text = format!("agent `{}` has no skills", self.agent);
            return Plan::Reject(Fault::new("no-skills", text));
        }
        let bytes = tools.iter().map(|tool| tool.input.json.as_str().len()).sum::<usize>();
        #[derive(Serialize)]
        struct Candidate<'a> {
            skill: &'a str,
            description: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            input: Option<&'a Json>,
        }
        let candidates = tools.iter().map(|tool| Candidate {
            skill: tool.id.as_str(),
            description: first_sentence(&tool.description),
            input: (bytes <= CANDIDATE_SCHEMAS_MAX).then_some(&tool.input.json),
        });
        let near = unknown.map(|name| self.catalog.near(name)).unwrap_or_default();
        let mut data = JsonObject::default();
        data.set("type", Json::of("input"));
        data.set("candidates", Json::of(&candidates.collect::<Vec<_>>()));
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            data.set("arguments", known.to_json());
        }
        let hint = match near.first() {
            Some(near) => format!(" Did you mean `{near}`?"),
            None => String::new(),
        };
        let text = format!(
            "Which skill of `{}`, with which arguments?{hint} Say for example `{} name=value`, or send data \
             {{\"skill\": …, \"arguments\": {{…}}}}. Skills: {}.",
            self.agent,
            near.first().unwrap_or(&names[0]),
            names.join(", "),
        );
        let schema = serde_json::json!({"type": "object", "required": ["skill"], "properties": {
            "skill": {"enum": names}, "arguments": {"type": "object"}}});
        ask(id, text, &data, Json::from(&schema))
    }

    fn ask_arguments(
        &self,
        tool: &Tool,
        known: &JsonObject,
        violations: &[Violation],
        unclear: Option<(&str, &NotArguments)>,
        id: &MessageId,
    ) -> Plan {
        let mut wanted = tool
            .input
            .required()
            .into_iter()
            .filter(|name| known.get(name).is_none())
            .map(str::to_owned)
            .collect::<Vec<_>>();
        let mut wrong = Vec::new();
        for violation in violations.iter().filter(|violation| !violation.is_missing) {
            let name = violation.path.split('/').nth(1).unwrap_or_default().to_owned();
            wrong.push(format!("{}: {}", if name.is_empty() { "the arguments" } else { &name }, violation.text));
            if tool.input.has_property(&name) && !name.is_empty() && !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        let mut text = match unclear {
            Some((said, why)) if !said.trim().is_empty() => {
                format!("That cannot be read as arguments of `{}`. {}", tool.id, why.advice(said))
            }
            Some(_) | None => String::new(),
        };
        if !wrong.is_empty() {
            text.push_str(&format!("That does not fit: {}. ", wrong.join("; ")));
        }
        text.push_str(&match wanted.as_slice() {
            [] => format!("`{}` needs other arguments.", tool.id),
            wanted => format!(
                "`{}` needs {}.",
                tool.id,
                wanted.iter().map(|name| self.describe(tool, name)).collect::<Vec<_>>().join(", ")
            ),
        });
        let mut data = JsonObject::default();
        data.set("type", Json::of("input"));
        data.set("skill", Json::of(tool.id.as_str()));
        // A value that does not fit is not kept: the next answer is checked without it.
        let mut kept = known.clone();
        kept.take_all(&wanted.iter().map(String::as_str).collect());
        data.set("arguments", kept.to_json());
        data.set("missing", Json::of(&wanted));
        if !violations.is_empty() {
            data.set("errors", schema::errors(violations));
        }
        let schema = if wanted.is_empty() { tool.input.json.clone() } else { tool.input.only(&wanted) };
        ask(id, text, &data, schema)
    }

    fn describe(&self, tool: &Tool, name: &str) -> String {
        let types = tool.input.types(name).into_iter().filter(|word| word != "null").collect::<Vec<_>>().join(" or ");
        let types = if types.is_empty() { String::new() } else { format!(" ({types})") };
        match tool.input.description(name).map(first_line).filter(|text| !text.is_empty()) {
            Some(what) => format!("`{name}`{types}: {}", what.trim_end_matches('.')),
            None => format!("`{name}`{types}"),
        }
    }
}

fn call(tool: &Tool, arguments: Json, converted: Vec<String>) -> Plan {
    let skill = Some(tool.id.clone());
    Plan::Call(Arc::new(Call { skill, arguments: Some(arguments), converted, effect: tool.effect }))
}

fn ask(id: &MessageId, text: String, data: &JsonObject, schema: Json) -> Plan {
    let message = Message::from_agent(id.clone(), vec![Part::text(text), Part::data(data.to_json())]);
    Plan::Ask(Arc::new(Question { kind: QuestionKind::Input, message: Arc::new(message), schema: Some(schema) }))
}

/// Enough to choose by: descriptions are written for models, and long.
fn first_sentence(text: &str) -> &str {
    let line = first_line(text);
    line.find(". ").map_or(line, |end| &line[..=end])
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// The fault of arguments that do not fit, with a JSON pointer to each place.
pub(crate) fn bad_arguments(tool: &Tool, violations: &[Violation]) -> Fault {
    let told = violations.iter().map(|it| format!("{}: {}", if it.path.is_empty() { "/" } else { &it.path }, it.text));
    let text = format!("the arguments do not fit `{}`: {}", tool.id, told.collect::<Vec<_>>().join("; "));
    let mut data = JsonObject::default();
    data.set("skill", Json::of(tool.id.as_str()));
    data.set("errors", schema::errors(violations));
    Fault { data: Some(data.to_json()), ..Fault::new("bad-arguments", text) }
}
