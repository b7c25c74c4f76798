//! What flows can reach, beside agents by their names.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::AgentName;
use bobbinet_flow::document::Definition;

use crate::CredentialsInHand;

/// What flows can reach, beside agents by their names.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    flows: BTreeMap<(String, String), Vec<(String, AgentName)>>,
    http: Option<AgentName>,
    a2a: Option<AgentName>,
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

    pub(crate) fn credentials(&self) -> &CredentialsInHand {
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

    /// The agent of a flow: in this version, or in any if that is `latest`.
    pub(crate) fn flow(&self, namespace: &str, name: &str, version: &str) -> Option<&AgentName> {
        let versions = self.flows.get(&(namespace.to_owned(), name.to_owned()))?;
        let mut fit = versions.iter().filter(|(known, _)| version == "latest" || known == version);
        fit.next_back().map(|(_, agent)| agent)
    }

    pub(crate) fn http(&self) -> Option<&AgentName> {
        self.http.as_ref()
    }

    pub(crate) fn a2a(&self) -> Option<&AgentName> {
        self.a2a.as_ref()
    }
}
