//! From a message to what a peer is asked to do: a skill with arguments where that is plainly meant, else the message as it is, which
//! the peer makes something of by itself.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{
    Call, Fault, Json, Message, Plan, QuestionKind, SkillId,
    agent::EXTENSION_URI,
    chain::{Chain, ChainFault},
};
use bobbinet_engine::Request;
use bobbinet_text::nearest;

use crate::{card::Known, config::PeerConfig, message};

/// Skills that are named to whoever has meant another.
const SKILLS_TOLD_MAX: usize = 50;

/// What to make of a message.
pub(crate) fn plan(config: &PeerConfig, known: Option<&Known>, is_given_up: bool, request: &Request<'_>) -> Plan {
    match request.question().map(|question| question.kind) {
        Some(QuestionKind::Elicitation | QuestionKind::Authorization) => {
            return Plan::Answer(message::keep_answer(request.message));
        }
        // The engine reads the verdict itself.
        Some(QuestionKind::Outcome { .. }) => return Plan::Answer(Json::of(&())),
        // We ask nothing of our own.
        Some(QuestionKind::Input) | None => {}
    }
    if let Err(fault) = Chain::of(request.message).passed_on_by(&path_name(config)) {
        return Plan::Reject(of_chain(&fault));
    }
    let Some(known) = known else {
        // Another agent stands in for it, and reads the message for itself.
        return match is_given_up && config.fallback.is_some() {
            true => Plan::Call(Arc::new(Call::of_message(config.effect.unwrap_or_default()))),
            false => Plan::Defer,
        };
    };
    let Meant { skill, arguments } = meant(request, known);
    let Some(name) = skill else {
        return Plan::Call(Arc::new(Call::of_message(known.effect(None, config))));
    };
    let Some(skill) = known.skill(&name) else {
        // A card without skills says nothing of what there is: the peer knows.
        return match SkillId::parse(&name) {
            Ok(skill) if known.description.skills.is_empty() => {
                let effect = known.effect(None, config);
                Plan::Call(Arc::new(Call { skill: Some(skill), arguments, converted: Vec::new(), effect }))
            }
            Ok(_) | Err(_) => Plan::Reject(unknown_skill(config, known, &name)),
        };
    };
    if let Some(arguments) = &arguments
        && let Some(check) = known.checks.get(&name).and_then(Option::as_ref)
    {
        let violations = check.check(arguments);
        if !violations.is_empty() {
            let told: Vec<String> = violations
                .iter()
                .map(|it| format!("{}: {}", if it.path.is_empty() { "/" } else { &it.path }, it.text))
                .collect();
            let errors: Vec<_> =
                violations.iter().map(|it| serde_json::json!({ "path": it.path, "text": it.text })).collect();
            let data = Json::from(&serde_json::json!({ "skill": name, "errors": errors }));
            let text = format!("the arguments do not fit `{name}` of {}: {}", config.name, told.join("; "));
            return Plan::Reject(Fault { data: Some(data), ..Fault::new("bad-arguments", text) });
        }
    }
    let effect = known.effect(Some(&name), config);
    Plan::Call(Arc::new(Call { skill: Some(skill.id.clone()), arguments, converted: Vec::new(), effect }))
}

/// What this agent is called in the path of a call.
pub(crate) fn path_name(config: &PeerConfig) -> String {
    format!("{}/{}", config.node, config.name)
}

/// Why a message is not passed on.
pub(crate) fn of_chain(fault: &ChainFault) -> Fault {
    match fault {
        ChainFault::Circle(path) => Fault {
            data: Some(Json::from(&serde_json::json!({ "path": path }))),
            ..Fault::new("call-cycle", format!("{fault}. Nothing was sent"))
        },
        ChainFault::TooFar(path) => Fault {
            data: Some(Json::from(&serde_json::json!({ "path": path }))),
            ..Fault::new("too-many-hops", format!("{fault}. Nothing was sent"))
        },
    }
}

/// What a message plainly means.
struct Meant {
    skill: Option<String>,
    arguments: Option<Json>,
}

/// Reads a message in the order in which agents of ours read it: the extension, a data part that names its skill, the URL.
fn meant(request: &Request<'_>, known: &Known) -> Meant {
    let data = request.message.data().filter(|data| data.is_object());
    let named = note_skill(request.message).or_else(|| request.skill.map(|skill: &SkillId| skill.as_str().to_owned()));
    let form = data.and_then(|data| form(data, known));
    match (named, form) {
        (Some(named), Some((skill, arguments))) if named == skill => {
            Meant { skill: Some(skill), arguments: Some(arguments) }
        }
        (Some(named), _) => Meant { skill: Some(named), arguments: data.cloned() },
        (None, Some((skill, arguments))) => Meant { skill: Some(skill), arguments: Some(arguments) },
        (None, None) => Meant { skill: None, arguments: None },
    }
}

fn note_skill(message: &Message) -> Option<String> {
    let mut metadata = message.metadata.as_ref()?.read::<BTreeMap<String, Json>>().ok()?;
    let note = metadata.remove(EXTENSION_URI)?;
    note.read::<String>().ok().or_else(|| note.read::<BTreeMap<String, Json>>().ok()?.get("skill")?.read().ok())
}

/// `{"skill": …, "arguments": {…}}`, of a skill that the card has.
fn form(data: &Json, known: &Known) -> Option<(String, Json)> {
    let fields = data.read::<BTreeMap<String, Json>>().ok()?;
    let is_fit = |name: &String| known.skill(name).is_some() || known.description.skills.is_empty();
    let skill = fields.get("skill")?.read::<String>().ok().filter(is_fit)?;
    let arguments = fields.get("arguments").filter(|value| value.is_object())?;
    (fields.len() == 2).then(|| (skill, arguments.clone()))
}

fn unknown_skill(config: &PeerConfig, known: &Known, name: &str) -> Fault {
    let skills: Vec<&str> =
        known.description.skills.iter().map(|skill| skill.id.as_str()).take(SKILLS_TOLD_MAX).collect();
    let name: String = name.chars().take(200).collect();
    let hint = nearest(&name, &skills).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let data = Json::from(&serde_json::json!({ "skill": name, "skills": skills }));
    let text = format!("agent `{}` has no skill `{name}`{hint}", config.name);
    Fault { data: Some(data), ..Fault::new("unknown-skill", text) }
}
