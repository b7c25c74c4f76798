//! Names that callers and models may take for one another: a tool that two agents offer, and names that look almost the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bobbinet_core::{AgentName, Description};
use bobbinet_engine::Engine;
use bobbinet_text::{Alike, alike, skeleton};

/// How often a node looks whether there are new names.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long after its start it does so for the first time: most servers are up by then.
const LOOK_FIRST: Duration = Duration::from_secs(10);

/// Names that are compared.
const NAMES_MAX: usize = 5_000;

/// Tools that are named which the same agents offer.
const NAMED_MAX: usize = 3;

/// Remarks that are made at a time.
const REMARKS_MAX: usize = 20;

/// What there is to say of these agents' names and of their tools', one line each. What the name of nothing else is like is not said.
pub(crate) fn remarks<'a>(agents: impl IntoIterator<Item = (&'a AgentName, Arc<Description>)>) -> BTreeSet<String> {
    let mut offered: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut names = Vec::new();
    for (agent, description) in agents {
        names.push(agent.as_str());
        for skill in &description.skills {
            // Prompts and resources are asked for by a word that all of them have.
            if !skill.id.as_str().contains(':') && offered.len() < NAMES_MAX {
                offered.entry(skill.id.as_str().to_owned()).or_default().insert(agent.as_str());
            }
        }
    }
    let mut remarks = BTreeSet::new();
    // One server under several names has all of its tools several times.
    let mut shared: BTreeMap<&BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
    for (skill, agents) in offered.iter().filter(|(_, agents)| agents.len() > 1) {
        shared.entry(agents).or_default().push(skill);
    }
    for (agents, skills) in shared {
        let what = match skills.as_slice() {
            [only] => format!("a tool {only:?}"),
            skills if skills.len() <= NAMED_MAX => format!("the tools {skills:?}"),
            skills => format!("{} tools of the same names, such as {:?}", skills.len(), &skills[..NAMED_MAX]),
        };
        let agents = list(agents);
        remarks.insert(format!(
            "several agents offer {what}: {agents}. A caller of one never gets another's; whoever chooses among all of them goes by the \
             agent's name"
        ));
    }
    for (one, other, kind) in pairs(&offered.keys().map(String::as_str).collect::<Vec<_>>()) {
        let (of_one, of_other) = (&offered[one], &offered[other]);
        // Or one server under several.
        let is_within_one = of_one == of_other;
        let how = match kind {
            Alike::Look => "look the same",
            // Within one server that is how names are made: `get_user`, `get_users`.
            Alike::OneLetter if is_within_one => continue,
            Alike::OneLetter => "are one letter apart",
        };
        let (of_one, of_other) = (list(of_one), list(of_other));
        remarks.insert(format!(
            "the tools {one:?} of {of_one} and {other:?} of {of_other} {how}: a model may take one for the other"
        ));
    }
    for (one, other, _) in pairs(&names) {
        remarks.insert(format!(
            "the agents {one:?} and {other:?} have almost the same name: somebody may call the wrong one"
        ));
    }
    remarks
}

fn list(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

/// The names that are alike. Each is compared with those that may be, and not with all.
fn pairs<'n>(names: &[&'n str]) -> Vec<(&'n str, &'n str, Alike)> {
    let mut near: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (number, name) in names.iter().enumerate() {
        let whole = skeleton(name);
        // Names that are one letter apart are the same without one letter of each.
        let letters = whole.char_indices().map(|(at, c)| format!("{}{}", &whole[..at], &whole[at + c.len_utf8()..]));
        for key in letters.take(64).chain([whole.clone()]) {
            near.entry(key).or_default().push(number);
        }
    }
    let mut found = BTreeSet::new();
    for numbers in near.values() {
        for (place, one) in numbers.iter().enumerate() {
            found.extend(numbers[place + 1..].iter().take(REMARKS_MAX).map(|other| (*one.min(other), *one.max(other))));
        }
    }
    let compared = found.into_iter().filter(|(one, other)| one != other).map(|(one, other)| (names[one], names[other]));
    compared.filter_map(|(one, other)| Some((one, other, alike(one, other)?))).collect()
}

/// Says in the log what there is to say, each once, for as long as this is not dropped.
pub(crate) async fn watch(engine: &Engine) {
    let mut said = BTreeSet::new();
    let mut pause = LOOK_FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = LOOK_EVERY;
        let new = remarks(engine.agents().map(|(name, agent)| (name, agent.describe())));
        let new = new.into_iter().filter(|remark| !said.contains(remark)).take(REMARKS_MAX).collect::<Vec<_>>();
        for remark in new {
            tracing::warn!("{remark}");
            said.insert(remark);
        }
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::{Effect, Skill, SkillId};

    use super::*;

    fn check(agents: &[(&str, &[&str])], expected: &[&str]) {
        let skill = |id: &&str| Skill {
            id: SkillId::parse(id).unwrap(),
            name: String::new(),
            description: String::new(),
            tags: Vec::new(),
            examples: Vec::new(),
            input: None,
            output: None,
            effect: Effect::ReadOnly,
        };
        let names = agents.iter().map(|(name, _)| AgentName::parse(name).unwrap()).collect::<Vec<_>>();
        let described = agents.iter().map(|(_, skills)| {
            Arc::new(Description { skills: skills.iter().map(skill).collect(), ..Description::default() })
        });
        let found = remarks(names.iter().zip(described)).into_iter().collect::<Vec<_>>();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}: {expected}");
        }
    }

    #[test]
    fn names_that_may_be_taken_for_one_another_are_told_and_no_others() {
        check(&[("docs", &["read_file", "write_file"]), ("mail", &["send", "resource:read", "prompt:x"])], &[]);
        check(
            &[("docs", &["read_file", "resource:read"]), ("files", &["read_file", "resource:read"])],
            &["a tool \"read_file\": docs, files"],
        );
        let four: &[&str] = &["get_user", "get_users", "put", "take"];
        check(
            &[("a", four), ("b", four), ("c", &["put"])],
            &["a tool \"put\": a, b, c", "the tools [\"get_user\", \"get_users\", \"take\"]: a, b"],
        );
        check(
            &[("a", four), ("b", four)],
            &["4 tools of the same names, such as [\"get_user\", \"get_users\", \"put\"]: a, b"],
        );
        check(&[("a", &["get_user", "get_users", "get_page_1", "get_page_2"]), ("b", &["put"])], &[]);
        check(
            &[("a", &["get_user"]), ("b", &["get_users"])],
            &["\"get_user\" of a and \"get_users\" of b are one letter apart"],
        );
        check(&[("a", &["read_file"]), ("b", &["re\u{430}d_file"])], &["look the same"]);
        check(&[("a", &["read_file", "read-file"])], &["\"read-file\" of a and \"read_file\" of a look the same"]);
        check(&[("memory", &[]), ("memorry", &[])], &["the agents \"memory\" and \"memorry\""]);
        check(&[("a", &["raed_file"]), ("b", &["read_file"])], &["one letter apart"]);
    }

    #[test]
    fn many_names_are_compared_in_good_time() {
        let skills = (0..2_000).map(|n| format!("a_tool_of_many_{}", (n * 7919) % 100_003)).collect::<Vec<_>>();
        let skills = skills.iter().map(String::as_str).collect::<Vec<_>>();
        check(&[("a", &skills)], &[]);
    }
}
