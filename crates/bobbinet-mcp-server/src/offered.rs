//! Resources and prompts of all agents, under names that lead back to each.
//!
//! A prompt is called as a tool is. A resource has its server's own address where no other agent lists the same; else, and wherever a host
//! wants to say which agent is meant, `mesh://AGENT/` stands before it.

use std::collections::BTreeMap;

use bobbinet_core::{AgentName, Caller, Json, SkillId};
use bobbinet_gateway::Gateway;

use crate::{
    names::{self, Naming, Target},
    rpc::RpcError,
    tools::{self, Known},
};

/// What stands before an agent's name in the address of a resource.
const MESH: &str = "mesh://";

/// Something that is read by a skill of an agent.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    pub(crate) agent: AgentName,
    pub(crate) skill: SkillId,
    /// By which name or address its server knows it.
    pub(crate) own: String,
    /// As its server lists it.
    listed: Json,
}

/// Which address a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Resource,
    Template,
}

impl Address {
    fn key(self) -> &'static str {
        match self {
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }
}

impl Offered {
    /// As a host is shown it, under this name.
    pub(crate) fn shown(&self, key: &'static str, name: &str) -> Option<Json> {
        let mut fields: BTreeMap<String, Json> = self.listed.read().ok()?;
        fields.insert(key.to_owned(), Json::of(name));
        let meta = fields.get("_meta").and_then(|meta| meta.read::<BTreeMap<String, Json>>().ok());
        let mut meta = meta.unwrap_or_default();
        meta.insert("bobbinet/agent".to_owned(), Json::of(self.agent.as_str()));
        fields.insert("_meta".to_owned(), Json::of(&meta));
        Some(Json::of(&fields))
    }
}

/// What those agents offer that take calls now, as far as this caller may read it.
fn available(gateway: &Gateway, caller: &Caller) -> Vec<Known> {
    let known = tools::known_now(gateway, caller);
    known.into_iter().filter(|known| known.unavailable.is_none()).collect()
}

fn may_read(known: &Known, skill: &SkillId) -> bool {
    known.description.skills.iter().any(|known| known.id == *skill)
}

fn text_of(listed: &Json, key: &str) -> Option<String> {
    listed.read::<BTreeMap<String, Json>>().ok()?.remove(key)?.read().ok()
}

/// All prompts by their names.
pub(crate) fn prompts(gateway: &Gateway, caller: &Caller, naming: Naming) -> BTreeMap<String, Offered> {
    let mut by_target = BTreeMap::new();
    for known in available(gateway, caller) {
        let Some(agent) = gateway.agent(&known.name) else { continue };
        for (skill, listed) in &agent.offers().prompts {
            let own = text_of(listed, "name");
            let named = own.as_ref().and_then(|name| SkillId::parse(name).ok());
            let (Some(own), Some(named)) = (own, named.filter(|_| may_read(&known, skill))) else { continue };
            let offered = Offered { agent: known.name.clone(), skill: skill.clone(), own, listed: listed.clone() };
            by_target.insert(Target { agent: known.name.clone(), skill: Some(named) }, offered);
        }
    }
    let named = names::name_all(naming, by_target.keys().cloned());
    named.into_iter().filter_map(|(name, target)| Some((name, by_target.remove(&target)?))).collect()
}

/// All resources, or all templates, by their addresses.
pub(crate) fn resources(gateway: &Gateway, caller: &Caller, address: Address) -> BTreeMap<String, Offered> {
    let mut by_own: BTreeMap<String, Vec<Offered>> = BTreeMap::new();
    for known in available(gateway, caller) {
        let Some(agent) = gateway.agent(&known.name) else { continue };
        let offers = agent.offers();
        let Some(skill) = offers.reader.as_ref().filter(|skill| may_read(&known, skill)) else { continue };
        let listed = match address {
            Address::Resource => &offers.resources,
            Address::Template => &offers.templates,
        };
        for listed in listed {
            let Some(own) = text_of(listed, address.key()) else { continue };
            let (agent, skill) = (known.name.clone(), skill.clone());
            let offered = Offered { agent, skill, own: own.clone(), listed: listed.clone() };
            by_own.entry(own).or_default().push(offered);
        }
    }
    let mut shown = BTreeMap::new();
    for (own, offered) in by_own {
        let is_clear = offered.len() == 1 && !own.starts_with(MESH);
        for offered in offered {
            let address = if is_clear { own.clone() } else { format!("{MESH}{}/{own}", offered.agent) };
            shown.insert(address, offered);
        }
    }
    shown
}

/// Who reads a resource, and by which address its server knows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    One {
        agent: AgentName,
        skill: SkillId,
        own: String,
    },
    /// Several have one of that address.
    Several(Vec<AgentName>),
    None,
}

/// Finds who reads the resource of this address: who lists it, who lists a template that it fits, or the only one who reads any.
pub(crate) fn find(gateway: &Gateway, caller: &Caller, uri: &str) -> Found {
    let readers: BTreeMap<AgentName, SkillId> = available(gateway, caller)
        .into_iter()
        .filter_map(|known| {
            let skill = gateway.agent(&known.name)?.offers().reader.clone()?;
            may_read(&known, &skill).then_some((known.name, skill))
        })
        .collect();
    let one = |agent: &AgentName, own: &str| match readers.get(agent) {
        Some(skill) => Found::One { agent: agent.clone(), skill: skill.clone(), own: own.to_owned() },
        None => Found::None,
    };
    if let Some((agent, own)) = uri.strip_prefix(MESH).and_then(|rest| rest.split_once('/'))
        && let Some(agent) = gateway.agents().find(|name| name.as_str() == agent)
    {
        return one(agent, own);
    }
    let having = |has: &dyn Fn(&bobbinet_engine::Offers) -> bool| -> Vec<&AgentName> {
        let has = |name: &&AgentName| gateway.agent(name).is_some_and(|agent| has(&agent.offers()));
        readers.keys().filter(has).collect()
    };
    let lists = having(&|offers| offers.resources.iter().any(|it| text_of(it, "uri").as_deref() == Some(uri)));
    let fits = |it: &Json| text_of(it, "uriTemplate").is_some_and(|template| fits(&template, uri));
    let found = if lists.is_empty() { having(&|offers| offers.templates.iter().any(fits)) } else { lists };
    let found = if found.is_empty() { readers.keys().collect() } else { found };
    match found.as_slice() {
        [] => Found::None,
        [only] => one(only, uri),
        several => Found::Several(several.iter().copied().cloned().collect()),
    }
}

/// Nobody knows which of these agents is meant.
pub(crate) fn several(agents: &[AgentName], uri: &str) -> RpcError {
    let addresses: Vec<String> = agents.iter().map(|agent| format!("{MESH}{agent}/{uri}")).collect();
    RpcError::invalid_params(&format!("several agents may have that resource: name one by {}", addresses.join(" or ")))
}

/// Whether an address can be one of a template's (RFC 6570): what stands between its names is there, in that order.
fn fits(template: &str, uri: &str) -> bool {
    let mut literals = Vec::new();
    let mut rest = template;
    while let Some((literal, behind)) = rest.split_once('{') {
        literals.push(literal);
        rest = behind.split_once('}').map_or("", |(_, behind)| behind);
    }
    let Some((first, between)) = literals.split_first() else { return template == uri };
    let Some(mut left) = uri.strip_prefix(first) else { return false };
    for literal in between {
        match left.find(literal) {
            Some(at) => left = left.get(at + literal.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_fits_a_template_that_it_may_be_made_by() {
        for (template, uri, expected) in [
            ("demo://{id}", "demo://7", true),
            ("demo://{id}/data", "demo://7/data", true),
            ("demo://{id}/data", "demo://7", false),
            ("demo://{a}/x/{b}", "demo://1/x/2", true),
            ("demo://{a}/x/{b}", "demo://1/y/2", false),
            ("other://{id}", "demo://7", false),
            ("demo://same", "demo://same", true),
            ("demo://{unclosed", "demo://7", true),
        ] {
            assert_eq!(fits(template, uri), expected, "{template} {uri}");
        }
    }
}
