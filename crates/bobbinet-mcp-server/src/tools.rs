//! The agents of the node as tools: which there are for a caller, and what one of them is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bobbinet_core::{AgentName, Caller, Description, Effect, Json, Skill, SkillId, Task};
use bobbinet_engine::Offers;
use bobbinet_gateway::{Gateway, GatewayError, RequestContext};
use bobbinet_wire::EXTENSION_URI;
use futures::future::join_all;
use serde_json::json;

use crate::{
    content::without_headers,
    limits::McpServerLimits,
    mesh_tools,
    names::{self, Naming, Target},
    object::Object,
    pages::{Cursor, Page},
    revision::Revision,
};

/// The extensions of A2A that this door speaks.
pub(crate) const EXTENSIONS: [&str; 1] = [EXTENSION_URI];

/// An agent, as a caller may know it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: AgentName,
    pub(crate) description: Arc<Description>,
    /// Why it takes no calls now, if it does not.
    pub(crate) unavailable: Option<String>,
}

/// A tool that was found by its name.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) target: Target,
    /// Whether its arguments are a message in words.
    pub(crate) takes_words: bool,
    /// Whether it has promised a structure for its result.
    pub(crate) is_strict: bool,
}

/// What asks for nothing of a task's.
pub(crate) fn context<'a>(caller: &'a Caller, agent: &'a AgentName) -> RequestContext<'a> {
    RequestContext { caller, agent, skill: None, trace: None, idempotency: None, extensions: &EXTENSIONS }
}

/// Waits so long for agents that were never seen.
pub(crate) async fn await_started(gateway: &Gateway, patience: Duration) {
    join_all(gateway.agents().map(|name| gateway.await_start_within(name, patience))).await;
}

/// The agents that this caller may call, each with the skills that he may.
pub(crate) fn known_now(gateway: &Gateway, caller: &Caller) -> Vec<Known> {
    gateway
        .agents()
        .filter_map(|name| {
            let agent = gateway.agent(name)?;
            let description = match gateway.extended_card(&context(caller, name)) {
                Ok(description) => description,
                Err(GatewayError::Unsupported(_)) => agent.describe(),
                // What he may not call is not there for him.
                Err(_) => return None,
            };
            let why_not = if agent.is_starting() { Some("it is starting".to_owned()) } else { agent.ready().err() };
            // The reason may name what is the owner's to know.
            let unavailable = why_not.map(|why| if caller.is_node_owner { why } else { "not ready now".to_owned() });
            Some(Known { name: name.clone(), description, unavailable })
        })
        .collect()
}

/// The tools of these agents by their names. What fills in a prompt is none: that is listed as what it is.
pub(crate) fn named(gateway: &Gateway, agents: &[Known], naming: Naming) -> BTreeMap<String, Target> {
    names::name_all(naming, agents.iter().flat_map(|known| targets(gateway, known)))
}

fn targets(gateway: &Gateway, known: &Known) -> Vec<Target> {
    let target = |skill: Option<SkillId>| Target { agent: known.name.clone(), skill };
    let offers = gateway.agent(&known.name).map(|agent| agent.offers()).unwrap_or_default();
    match known.description.skills.as_slice() {
        [] => vec![target(None)],
        skills => {
            let is_tool = |skill: &&Skill| !offers.beside.contains(&skill.id);
            skills.iter().filter(is_tool).map(|skill| target(Some(skill.id.clone()))).collect()
        }
    }
}

/// One page of the list.
pub(crate) fn list(
    gateway: &Gateway,
    caller: &Caller,
    cursor: &Cursor,
    revision: Revision,
    naming: Naming,
    limits: &McpServerLimits,
) -> Json {
    let (available, unavailable): (Vec<Known>, Vec<Known>) =
        known_now(gateway, caller).into_iter().partition(|known| known.unavailable.is_none());
    let with_offers = |known: &'_ Known| gateway.agent(&known.name).map(|agent| agent.offers()).unwrap_or_default();
    let by_name: BTreeMap<&AgentName, (&Known, Arc<Offers>)> =
        available.iter().map(|known| (&known.name, (known, with_offers(known)))).collect();
    let first = if cursor.is_first() { mesh_tools::tools() } else { Vec::new() };
    let write = |name: &str, target: &Target| {
        let (known, offers) = by_name.get(&target.agent)?;
        Some(describe(name, target, &known.description, offers, revision))
    };
    let page = Page::fill(cursor, first, named(gateway, &available, naming), write, limits);
    let missing: BTreeMap<&str, &str> =
        unavailable.iter().filter_map(|known| Some((known.name.as_str(), known.unavailable.as_deref()?))).collect();
    let meta = Object::default().with_some("unavailable", (!missing.is_empty()).then_some(&missing));
    page.to_json("tools", meta, revision, limits)
}

/// The tool that is called so. One whose agent is just starting is waited for as long as the first says; where it is not known whose it is,
/// all that are starting for as long as the second.
pub(crate) async fn find(
    gateway: &Gateway,
    caller: &Caller,
    name: &str,
    revision: Revision,
    naming: Naming,
    [patience, list_patience]: [Duration; 2],
) -> Option<Tool> {
    let plain = names::split(name).and_then(|(agent, skill)| Some((AgentName::parse(agent).ok()?, skill)));
    if let Some((agent, skill)) = &plain
        && naming == Naming::AgentAndSkill
        && gateway.agent(agent).is_some_and(|agent| !agent.is_internal())
    {
        let plainly = || found(gateway, agent, *skill, revision).filter(|tool| tool.target.tool_name() == name);
        let found = plainly();
        if found.is_some() {
            return found;
        }
        gateway.await_start_within(agent, patience).await;
        let found = plainly();
        if found.is_some() {
            return found;
        }
    }
    await_started(gateway, list_patience).await;
    let target = named(gateway, &known_now(gateway, caller), naming).remove(name)?;
    found(gateway, &target.agent, target.skill.as_ref().map(SkillId::as_str), revision)
}

fn found(gateway: &Gateway, agent: &AgentName, skill: Option<&str>, revision: Revision) -> Option<Tool> {
    let description = gateway.agent(agent)?.describe();
    let more = description.capabilities.extended.as_ref().map(|more| more.skills.as_slice()).unwrap_or_default();
    let mut skills = description.skills.iter().chain(more);
    let (skill, is_none) = match skill {
        Some(id) => (Some(skills.find(|skill| skill.id.as_str() == id)?), false),
        None => (None, skills.next().is_none()),
    };
    let target = Target { agent: agent.clone(), skill: skill.map(|skill| skill.id.clone()) };
    (skill.is_some() || is_none).then(|| Tool {
        takes_words: skill.and_then(input_of).is_none(),
        is_strict: skill.and_then(|skill| output_of(skill, revision)).is_some(),
        target,
    })
}

/// Whether what a task's call has made was promised as a structure.
pub(crate) fn is_strict(gateway: &Gateway, task: &Task, revision: Revision) -> bool {
    let skill = task.calls.last().and_then(|call| call.skill.as_ref());
    skill.and_then(|skill| found(gateway, &task.agent, Some(skill.as_str()), revision)).is_some_and(|it| it.is_strict)
}

/// The schema of a skill's arguments, if they are an object.
fn input_of(skill: &Skill) -> Option<Json> {
    let input = skill.input.as_ref()?;
    let value = input.to_value();
    match value.get("type") {
        Some(kind) => (kind == "object").then(|| without_headers(input)),
        None if value.is_object() => {
            let mut value = value;
            value["type"] = "object".into();
            Some(without_headers(&Json::from(&value)))
        }
        None => None,
    }
}

/// The schema of its structured result, where this revision can say it.
fn output_of(skill: &Skill, revision: Revision) -> Option<Json> {
    let output = skill.output.as_ref()?;
    let is_object = || output.to_value().get("type").is_some_and(|kind| kind == "object");
    (revision.has_any_structure() || is_object()).then(|| output.clone())
}

fn words() -> Json {
    Json::from(&json!({
        "type": "object",
        "properties": {"message": {"type": "string", "description": "What to tell the agent, in words."}},
        "required": ["message"],
    }))
}

fn describe(name: &str, target: &Target, description: &Description, offers: &Offers, revision: Revision) -> Json {
    // Every call is a task; whether a host wants it as one is its own to say.
    let execution = revision.has_core_tasks().then(|| json!({"taskSupport": "optional"}));
    let skill = target.skill.as_ref().and_then(|id| description.skills.iter().find(|skill| skill.id == *id));
    let meta = Object::default().with("bobbinet/agent", target.agent.as_str());
    let tool = Object::default().with("name", name);
    let Some(skill) = skill else {
        return tool
            .with("title", &description.name)
            .with("description", &description.description)
            .with("inputSchema", &words())
            .with_some("execution", execution)
            .with("_meta", &meta)
            .to_json();
    };
    let mut said: BTreeMap<String, Json> =
        offers.tools.get(&skill.id).and_then(|said| said.read().ok()).unwrap_or_default();
    let of_server: BTreeMap<String, Json> = said.remove("_meta").and_then(|meta| meta.read().ok()).unwrap_or_default();
    let meta = of_server.into_iter().fold(meta, |meta, (name, value)| meta.with_owned(name, value));
    tool.with("title", &skill.name)
        .with("description", &skill.description)
        .with("inputSchema", &input_of(skill).unwrap_or_else(words))
        .with_some("outputSchema", output_of(skill, revision))
        .with_some("annotations", said.remove("annotations").or_else(|| annotations(skill.effect)))
        .with_some("execution", execution)
        .with("_meta", &meta.with("bobbinet/skill", skill.id.as_str()))
        .to_json()
}

/// What the effect class means in hints, where it is an agent's own word and no server's is behind it. The careful class is the one of those
/// that say nothing, so it is no hint.
fn annotations(effect: Effect) -> Option<Json> {
    match effect {
        Effect::ReadOnly => Some(Json::from(&json!({"readOnlyHint": true, "idempotentHint": true}))),
        Effect::Idempotent => Some(Json::from(&json!({"readOnlyHint": false, "idempotentHint": true}))),
        Effect::Keyed | Effect::AtMostOnce => None,
    }
}
