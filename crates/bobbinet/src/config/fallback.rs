//! Who is called where an agent's server cannot be: `fallback: NAME`.

use bobbinet_core::AgentName;
use bobbinet_text::Position;

use super::{Config, reader::Reader, sampling, tree::Node};

/// Who it is, and where in the file that stands.
#[derive(Clone, Debug)]
pub(crate) struct FallbackSettings {
    pub(crate) agent: AgentName,
    at: Position,
}

/// Reads what is said of it.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<FallbackSettings> {
    let agent = reader.parsed(node, "fallback", |text| AgentName::parse(text).ok())?;
    Some(FallbackSettings { agent, at: node.at })
}

/// Looks whether the agents are there that were named, and that none comes back to itself.
pub(super) fn settle(reader: &mut Reader<'_>, config: &Config) {
    for (name, agent) in &config.agents {
        let Some(FallbackSettings { agent: other, at }) = &agent.fallback else { continue };
        if !sampling::is_known(config, other) {
            let message = format!("there is no agent {other} to be called in place of {name}");
            reader.fault_with_hint(*at, message, "name another agent of the file, which has the same tools");
        } else if let Some(way) = circle(config, name) {
            let way = way.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" -> ");
            reader.fault_with_hint(
                *at,
                format!("fallback comes back to where it began: {way}"),
                "take one of them out",
            );
        }
    }
}

/// The way from this agent back to it, if there is one.
fn circle<'a>(config: &'a Config, begin: &'a AgentName) -> Option<Vec<&'a AgentName>> {
    let mut way = vec![begin];
    loop {
        let next = &config.agents.get(*way.last()?)?.fallback.as_ref()?.agent;
        if way.contains(&next) {
            way.push(next);
            return (next == begin).then_some(way);
        }
        way.push(next);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::config::{Strictness, finding::Source, read_source};

    /// What is wrong with agents that name these as their fallbacks, or who is called in place of the first.
    fn check(fallbacks: &[(&str, &str)], expected: &str) {
        let agent = |(name, fallback): &(&str, &str)| {
            let fallback = if fallback.is_empty() { String::new() } else { format!(", fallback: {fallback}") };
            format!("  {name}: {{ mcp: {{ command: [ls] }}{fallback} }}\n")
        };
        let text = format!("agents:\n{}", fallbacks.iter().map(agent).collect::<String>());
        let source = Source { name: "bobbinet.yaml".to_owned(), text: text.clone(), folder: ".".into() };
        let reading = read_source(&source, BTreeMap::new(), Strictness::Lenient);
        let found = match reading.findings.iter().find(|finding| finding.is_error()) {
            Some(finding) => finding.message.clone(),
            None => {
                let first = reading.config.agents.into_iter().next().unwrap().1;
                first.into_mcp("a").fallback.map(|it| it.to_string()).unwrap_or_default()
            }
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn another_agent_is_called_in_place_of_one_and_none_comes_back_to_itself() {
        check(&[("a", "b"), ("b", "")], "b");
        check(&[("a", "b"), ("b", "c"), ("c", "")], "b");
        check(&[("a", "x")], "there is no agent x to be called in place of a");
        check(&[("a", "a")], "fallback comes back to where it began: a -> a");
        check(&[("a", "b"), ("b", "a")], "fallback comes back to where it began: a -> b -> a");
        check(&[("a", "b"), ("b", "c"), ("c", "b")], "fallback comes back to where it began: b -> c -> b");
        check(&[("a", "A b")], "fallback cannot be \"A b\"");
    }
}
