//! The name of a tool, from the agent and the skill that it stands for, and back. A pure function of the two: no other agent changes it, and
//! it is the same after each restart.
//!
//! `agent__skill` where that can be a name for every host: letters, digits, `_` and `-`, 64 of them at the most (several hosts refuse dots).
//! Else what cannot stand there becomes `_`, what is too long is cut, and a hash of both names follows.

use std::collections::BTreeMap;

use bobbinet_core::{AgentName, SkillId};
use sha2::{Digest, Sha256};

/// The longest name that every host takes.
pub const TOOL_NAME_MAX: usize = 64;

/// Between an agent's name and its skill's.
const SEPARATOR: &str = "__";

/// Letters of the hash behind a name that is not the plain one.
const HASH_LENGTH: usize = 8;

/// What a long agent's name is cut to, where its skill's name needs the room.
const AGENT_CUT: usize = 20;

/// The tools that are no agent's, which no agent's tool may be called.
pub(crate) const MESH_TOOLS: [&str; 3] = ["mesh_agents", "mesh_send", "mesh_task"];

/// What a tool stands for: a skill of an agent, or the agent as such, if it has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The agent.
    pub agent: AgentName,
    /// Its skill. An agent without any is told a message.
    pub skill: Option<SkillId>,
}

impl Target {
    /// The name of its tool, as far as it depends on nothing else: two in four billion may share one that has a hash.
    pub fn tool_name(&self) -> String {
        self.plain_name().unwrap_or_else(|| self.hashed_name(0))
    }

    /// `agent__skill`, if it can be a name, and no other target's.
    fn plain_name(&self) -> Option<String> {
        let agent = self.agent.as_str();
        // The first separator of the name is then the one that was put there.
        let is_clear = !agent.contains(SEPARATOR) && (self.skill.is_none() || !agent.ends_with('_'));
        let name = match &self.skill {
            Some(skill) => format!("{agent}{SEPARATOR}{skill}"),
            None => agent.to_owned(),
        };
        let is_fit = name.len() <= TOOL_NAME_MAX && name.chars().all(is_legal) && !MESH_TOOLS.contains(&name.as_str());
        (is_clear && is_fit).then_some(name)
    }

    /// The name where the plain one cannot be. `turn` counts from 0 those that others have.
    fn hashed_name(&self, turn: u32) -> String {
        let legal = |text: &str| text.chars().map(|c| if is_legal(c) { c } else { '_' }).collect::<String>();
        let (mut agent, mut skill) = (legal(self.agent.as_str()), String::new());
        let room = TOOL_NAME_MAX - HASH_LENGTH - 1;
        if let Some(of_agent) = &self.skill {
            skill = format!("{SEPARATOR}{}", legal(of_agent.as_str()));
            agent.truncate(room.saturating_sub(skill.len()).max(AGENT_CUT));
        }
        let mut name = agent + &skill;
        name.truncate(room);
        let mut hash = Sha256::new();
        hash.update(self.agent.as_str());
        hash.update([0]);
        if let Some(skill) = &self.skill {
            hash.update(skill.as_str());
            hash.update([0]);
        }
        if turn > 0 {
            hash.update(turn.to_be_bytes());
        }
        let hash: String = hash.finalize().iter().take(HASH_LENGTH / 2).map(|byte| format!("{byte:02x}")).collect();
        format!("{name}_{hash}")
    }
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// How tools are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// `agent__skill`: a pure function of both, whichever other agents there are.
    #[default]
    AgentAndSkill,
    /// The skill's name alone, where no other agent has one of that name: for a node that stands before one server. It depends on all agents.
    SkillAlone,
}

/// Each target with a name that no other has.
pub fn name_all(naming: Naming, targets: impl IntoIterator<Item = Target>) -> BTreeMap<String, Target> {
    match naming {
        Naming::AgentAndSkill => name_by_both(targets),
        Naming::SkillAlone => name_by_skill(targets),
    }
}

fn name_by_skill(targets: impl IntoIterator<Item = Target>) -> BTreeMap<String, Target> {
    let mut by_skill: BTreeMap<String, Vec<Target>> = BTreeMap::new();
    for target in targets {
        let name = target.skill.as_ref().map_or(target.agent.as_str(), SkillId::as_str).to_owned();
        by_skill.entry(name).or_default().push(target);
    }
    let is_fit = |name: &str| name.len() <= TOOL_NAME_MAX && name.chars().all(is_legal) && !MESH_TOOLS.contains(&name);
    let (mut named, mut others) = (BTreeMap::new(), Vec::new());
    for (name, mut targets) in by_skill {
        targets.sort();
        targets.dedup();
        match targets.as_slice() {
            [only] if is_fit(&name) => drop(named.insert(name, only.clone())),
            _ => others.extend(targets),
        }
    }
    for (name, target) in name_by_both(others) {
        named.entry(name).or_insert(target);
    }
    named
}

fn name_by_both(targets: impl IntoIterator<Item = Target>) -> BTreeMap<String, Target> {
    let mut named = BTreeMap::new();
    let (mut others, targets): (Vec<_>, Vec<_>) = targets.into_iter().map(|target| (target.plain_name(), target)).fold(
        (Vec::new(), Vec::new()),
        |(mut others, mut plain), (name, target)| {
            match name {
                Some(name) => plain.push((name, target)),
                None => others.push(target),
            }
            (others, plain)
        },
    );
    named.extend(targets);
    others.sort();
    others.dedup();
    for target in others {
        let free = (0..).map(|turn| target.hashed_name(turn)).find(|name| !named.contains_key(name));
        if let Some(name) = free {
            named.insert(name, target);
        }
    }
    named
}

/// The agent and the skill of a plain name: of one that this gives, no other can be meant.
pub(crate) fn split(name: &str) -> Option<(&str, Option<&str>)> {
    match name.split_once(SEPARATOR) {
        Some((agent, skill)) if !agent.is_empty() && !skill.is_empty() => Some((agent, Some(skill))),
        Some(_) => None,
        None => Some((name, None)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(agent: &str, skill: &str) -> Target {
        let skill = (!skill.is_empty()).then(|| SkillId::parse(skill).unwrap());
        Target { agent: AgentName::parse(agent).unwrap(), skill }
    }

    #[test]
    fn a_tool_is_called_after_its_agent_and_skill() {
        let long = "a".repeat(70);
        for (agent, skill, expected) in [
            ("files", "read_file", "files__read_file"),
            ("files", "Read-File", "files__Read-File"),
            ("files", "_x", "files___x"),
            ("my-agent", "", "my-agent"),
            ("files", "browser.click", "files__browser_click_80139902"),
            ("files", "browser_click", "files__browser_click"),
            ("files", "a/b c", "files__a_b_c_95343846"),
            ("files", "größe", "files__gr__e_6e953219"),
            // Whose `__` would be the separator?
            ("a__b", "c", "a__b__c_eeae3f8b"),
            ("a", "b__c", "a__b__c"),
            ("a_", "b", "a___b_5b1248d1"),
            ("a", "_b", "a___b"),
            ("a__b", "", "a__b_84621ed1"),
            ("mesh_task", "", "mesh_task_de213e60"),
            ("mesh_task", "x", "mesh_task__x"),
            ("files", long.as_str(), "files__aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_9da27727"),
            (long.as_str(), "read", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa__read_ffb94b03"),
            (long.as_str(), long.as_str(), "aaaaaaaaaaaaaaaaaaaa__aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_05488761"),
        ] {
            let name = target(agent, skill).tool_name();
            assert_eq!(name, expected, "{agent} {skill}");
            assert!(name.len() <= TOOL_NAME_MAX);
        }
    }

    #[test]
    fn a_clash_of_hashes_is_settled_by_another() {
        let (one, other) = (target("a", "x.y"), target("a__", "z"));
        let taken = one.hashed_name(0);
        let named = name_all(Naming::AgentAndSkill, [one.clone(), other.clone(), one.clone()]);
        assert_eq!(named.len(), 2, "the same twice is the same");
        assert_eq!(named.get(&taken), Some(&one));
        // A plain name that looks like a hashed one keeps it.
        let (agent, skill) = taken.split_once("__").unwrap();
        let plain = target(agent, skill);
        let named = name_all(Naming::AgentAndSkill, [one.clone(), plain.clone()]);
        assert_eq!((named.get(&taken), named.get(&one.hashed_name(1))), (Some(&plain), Some(&one)));
    }

    proptest! {
        #[test]
        fn every_name_is_legal_and_leads_back(
            targets in prop::collection::vec(("[a-c_-]{1,4}|[a-z]{60,80}", prop::option::of("[ab_./é-]{1,4}|[a-z._]{50,90}")), 1..40),
        ) {
            let targets: Vec<Target> = targets
                .iter()
                .filter_map(|(agent, skill)| {
                    let skill = skill.as_deref().map(SkillId::parse).transpose().ok()?;
                    Some(Target { agent: AgentName::parse(agent).ok()?, skill })
                })
                .collect();
            let named = name_all(Naming::AgentAndSkill, targets.clone());
            for (name, target) in &named {
                prop_assert!(!name.is_empty() && name.len() <= TOOL_NAME_MAX && name.chars().all(is_legal), "{name}");
                prop_assert!(!MESH_TOOLS.contains(&name.as_str()));
                // Whatever other agents there are, it is called so.
                prop_assert_eq!(name, &target.tool_name());
                if target.plain_name().is_some() {
                    let skill = target.skill.as_ref().map(SkillId::as_str);
                    prop_assert_eq!(split(name), Some((target.agent.as_str(), skill)));
                }
            }
            let mut all = targets;
            all.sort();
            all.dedup();
            prop_assert_eq!(named.len(), all.len(), "no two have one name");
        }
    }

    #[test]
    fn a_skill_is_called_by_its_own_name_where_no_other_has_it() {
        let named = name_all(
            Naming::SkillAlone,
            [
                target("a", "read"),
                target("b", "read"),
                target("b", "b.c"),
                target("c", "mesh_task"),
                target("d", "write"),
            ],
        );
        let (write, hashed) = (target("d", "write"), target("b", "b.c").tool_name());
        assert_eq!(named.get("write"), Some(&write));
        let names: Vec<&str> = named.keys().map(String::as_str).collect();
        let mut expected = vec!["a__read", "b__read", hashed.as_str(), "c__mesh_task", "write"];
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}
