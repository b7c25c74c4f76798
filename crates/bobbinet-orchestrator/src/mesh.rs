//! What flows can reach, beside agents by their names.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::AgentName;
use bobbinet_flow::document::Definition;
use semver::Version;

use crate::CredentialsInHand;

/// What flows can reach, beside agents by their names.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    flows: BTreeMap<(String, String), Vec<(String, AgentName)>>,
    http: Option<AgentName>,
    a2a: Option<AgentName>,
    mcp: Option<AgentName>,
    has_commands: bool,
    credentials: Arc<CredentialsInHand>,
}

impl Mesh {
    /// With a flow, which others can run as `run: workflow`.
    #[must_use]
    pub fn with_flow(mut self, definition: &Definition, agent: AgentName) -> Self {
        let key = (definition.namespace.clone(), definition.name.clone());
        self.flows.entry(key).or_default().push((definition.version.clone(), agent));
        self
    }

    /// With these credentials in hand, which the agents that make requests know too.
    #[must_use]
    pub fn with_credentials(self, credentials: Arc<CredentialsInHand>) -> Self {
        Self { credentials, ..self }
    }

    pub(crate) fn credentials(&self) -> &Arc<CredentialsInHand> {
        &self.credentials
    }

    /// With the agent that makes HTTP requests.
    #[must_use]
    pub fn with_http(self, agent: AgentName) -> Self {
        Self { http: Some(agent), ..self }
    }

    /// With the agent that calls agents by URL.
    #[must_use]
    pub fn with_a2a(self, agent: AgentName) -> Self {
        Self { a2a: Some(agent), ..self }
    }

    /// With the agent that calls MCP servers by URL.
    #[must_use]
    pub fn with_mcp(self, agent: AgentName) -> Self {
        Self { mcp: Some(agent), ..self }
    }

    /// For flows that may have it start MCP servers.
    #[must_use]
    pub fn with_commands(self) -> Self {
        Self { has_commands: true, ..self }
    }

    /// The agent of a flow: in this version, or in the newest if that is `latest`.
    pub(crate) fn flow(&self, namespace: &str, name: &str, version: &str) -> Option<&AgentName> {
        let versions = self.flows.get(&(namespace.to_owned(), name.to_owned()))?;
        let fit = versions.iter().filter(|(known, _)| version == "latest" || known == version);
        fit.max_by(|(one, _), (other, _)| precedence(one).cmp(&precedence(other))).map(|(_, agent)| agent)
    }

    pub(crate) fn http(&self) -> Option<&AgentName> {
        self.http.as_ref()
    }

    pub(crate) fn mcp(&self) -> Option<&AgentName> {
        self.mcp.as_ref()
    }

    pub(crate) fn has_commands(&self) -> bool {
        self.has_commands
    }

    pub(crate) fn a2a(&self) -> Option<&AgentName> {
        self.a2a.as_ref()
    }
}

/// A version by which the newer of two is greater (Semantic Versioning 2.0.0, section 11). What is none is older than all that are.
fn precedence(version: &str) -> Option<Version> {
    Version::parse(version).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_the_newest() {
        let versions = ["1.10.0", "1.9.0", "2.0.0-rc.1", "1.10.0-beta", "next"];
        let newest = versions.into_iter().max_by_key(|version| precedence(version));
        assert_eq!(newest, Some("2.0.0-rc.1"));
        let newest = versions.into_iter().filter(|version| !version.starts_with('2')).max_by_key(|it| precedence(it));
        assert_eq!(newest, Some("1.10.0"));
    }
}
