//! One of the ways to an agent, by its name.

use std::fmt;

use bobbinet_wire::Protocol;
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// One of the ways to an agent: over what, in which version of A2A, where, and for which tenant. Its words mean the same to the next
/// process, and with another card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Way(String);

impl Way {
    pub(super) fn new(protocol: Protocol, url: &Url, tenant: Option<&str>) -> Self {
        let (transport, version) = (protocol.transport.name(), protocol.version.name());
        let tenant = tenant.map(|tenant| format!(" {tenant}")).unwrap_or_default();
        Self(format!("{transport} {version} {url}{tenant}"))
    }

    /// Where it leads.
    pub fn url(&self) -> &str {
        self.0.split(' ').nth(2).unwrap_or(&self.0)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
