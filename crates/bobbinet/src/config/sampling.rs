//! Who says what an MCP server wants a language model to say: `sampling: { agent: NAME }`, or `sampling: { url, name, key }` of a model that
//! becomes an agent for it, `NAME-model`; or `sampling: caller`, the client of whoever calls, as with `roots: caller`.

use std::collections::BTreeMap;

use bobbinet_core::AgentName;
use bobbinet_text::Position;

use super::{
    AgentConfig, Config,
    models::{self, ModelSettings},
    reader::Reader,
    tree::Node,
};

/// Who says it, and where in the file that stands.
#[derive(Clone, Debug)]
pub(crate) struct SamplingSettings {
    who: SamplingModel,
    at: Position,
}

#[derive(Clone, Debug)]
enum SamplingModel {
    Agent(AgentName),
    Own(Box<ModelSettings>),
}

impl SamplingSettings {
    /// The agent that says it, once that is settled.
    pub(crate) fn agent(&self) -> Option<&AgentName> {
        match &self.who {
            SamplingModel::Agent(name) => Some(name),
            SamplingModel::Own(_) => None,
        }
    }
}

/// The agent that a server's own model becomes.
fn own_model(server: &AgentName) -> Option<AgentName> {
    AgentName::parse(&format!("{server}-model")).ok()
}

/// The agents that models will be which were named for single servers: policy may say who calls them.
pub(super) fn own_models(agents: &BTreeMap<AgentName, AgentConfig>) -> impl Iterator<Item = AgentName> {
    let has_own = |agent: &AgentConfig| {
        agent.sampling.as_ref().is_some_and(|sampling| matches!(sampling.who, SamplingModel::Own(_)))
    };
    agents.iter().filter(move |(_, agent)| has_own(agent)).filter_map(|(name, _)| own_model(name))
}

/// What stands for the client of whoever calls, where somebody else could be named.
const CALLER: &str = "caller";

/// Whether it is the client of whoever calls that the server may ask.
pub(super) fn is_of_caller(node: &Node) -> bool {
    node.as_written() == Some(CALLER)
}

/// Reads what is said of it.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<SamplingSettings> {
    let at = node.at;
    if node.get("agent").is_none() {
        let own = models::endpoint(reader, node, "sampling")?;
        return Some(SamplingSettings { who: SamplingModel::Own(Box::new(own)), at });
    }
    let fields = reader.fields(node, "sampling", &["agent"]);
    let node = fields.get("agent")?;
    let name = reader.parsed(node, "agent", |text| AgentName::parse(text).ok())?;
    Some(SamplingSettings { who: SamplingModel::Agent(name), at })
}

/// Whether there is an agent of this name, or may be: what a node calls its agents is known when it is asked.
pub(super) fn is_known(config: &Config, name: &AgentName) -> bool {
    let Config { agents, remotes, models, peers, flows, .. } = config;
    let is_own = agents.contains_key(name) || remotes.contains_key(name) || models.contains_key(name);
    is_own || !peers.is_empty() || flows.names().any(|flow| flow == name)
}

/// Makes agents of the models that were named for single servers, and looks whether the agents are there that were.
pub(super) fn settle(reader: &mut Reader<'_>, config: &mut Config) {
    let wanted = config.agents.iter().filter_map(|(name, agent)| Some((name.clone(), agent.sampling.clone()?)));
    for (name, SamplingSettings { who, at }) in wanted.collect::<Vec<_>>() {
        match who {
            SamplingModel::Agent(agent) if is_known(config, &agent) => {}
            SamplingModel::Agent(agent) => {
                let hint = "name one of the file's, such as `writer: { model: { url, name, key } }`";
                reader.fault_with_hint(at, format!("there is no agent {agent} to speak for {name}"), hint);
            }
            SamplingModel::Own(model) => {
                let own = match own_model(&name) {
                    Some(own) if !is_known(config, &own) || !config.peers.is_empty() => own,
                    Some(_) | None => {
                        let hint = "make the model an agent, and name that: sampling: { agent: NAME }";
                        reader.fault_with_hint(at, format!("the model of {name} cannot be called {name}-model"), hint);
                        continue;
                    }
                };
                config.models.insert(own.clone(), *model);
                if let Some(agent) = config.agents.get_mut(&name) {
                    agent.sampling = Some(SamplingSettings { who: SamplingModel::Agent(own), at });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::config::{Strictness, finding::Source, read_source};

    fn check(agents: &str, expected: &str) {
        let text = format!("agents:\n  docs: {{ mcp: {{ command: [ls] }}, {agents}\n");
        let source = Source { name: "bobbinet.yaml".to_owned(), text, folder: ".".into() };
        let reading = read_source(&source, BTreeMap::new(), Strictness::Lenient);
        let found = match reading.findings.iter().find(|finding| finding.is_error()) {
            Some(finding) => finding.message.clone(),
            None => {
                let docs = reading.config.agents.into_iter().find(|(name, _)| name.as_str() == "docs").unwrap().1;
                let speaks = docs.into_mcp("docs").sampling.map(|sampling| sampling.agent.to_string());
                let models = reading.config.models.keys().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
                format!("{} of {models}", speaks.unwrap_or_default())
            }
        };
        assert!(found.contains(expected), "{agents}: {found}");
    }

    #[test]
    fn policy_says_who_may_call_the_model_that_becomes_an_agent() {
        let findings = |on: &str| {
            let text = format!(
                "agents:\n  docs: {{ mcp: {{ command: [ls] }}, sampling: {{ url: \"https://api.example.com/v1\", name: m }} }}\n\
                 policy: [{{ allow: \"caller.principal == 'ann'\", on: {on} }}]\n"
            );
            let source = Source { name: "bobbinet.yaml".to_owned(), text, folder: ".".into() };
            let reading = read_source(&source, BTreeMap::new(), Strictness::Lenient);
            let errors = reading.findings.iter().filter(|finding| finding.is_error());
            errors.map(|finding| finding.message.clone()).collect::<Vec<_>>()
        };
        assert_eq!(findings("docs-model"), [""; 0]);
        assert_eq!(findings("other-model"), ["there is no agent \"other-model\""]);
    }

    #[test]
    fn a_callers_own_client_is_lent_where_that_is_said_and_nowhere_else() {
        let lends = |settings: &str| {
            let text = format!("agents: {{ docs: {{ mcp: {{ command: [ls] }}{settings} }} }}");
            let source = Source { name: "bobbinet.yaml".to_owned(), text, folder: ".".into() };
            let reading = read_source(&source, BTreeMap::new(), Strictness::Lenient);
            assert!(!reading.findings.iter().any(|finding| finding.is_error()), "{settings}: {:?}", reading.findings);
            let docs = reading.config.agents.into_iter().next().unwrap().1.into_mcp("docs");
            (docs.lends.sampling, docs.lends.roots, docs.roots.len(), docs.sampling.is_some())
        };
        assert_eq!(lends(""), (false, false, 0, false));
        assert_eq!(lends(", roots: [caller]"), (false, false, 1, false));
        assert_eq!(lends(", sampling: caller, roots: caller"), (true, true, 0, false));
    }

    #[test]
    fn a_model_speaks_for_a_server_by_its_agent_or_becomes_one() {
        let writer =
            "sampling: { agent: writer } }\n  writer: { model: { url: \"https://api.example.com/v1\", name: m } }";
        check(writer, "writer of writer");
        check("sampling: { agent: nobody } }", "there is no agent nobody to speak for docs");
        check("sampling: { url: \"https://api.example.com/v1\", name: m } }", "docs-model of docs-model");
        check("sampling: { name: m } }", "has no url or no name");
    }
}
