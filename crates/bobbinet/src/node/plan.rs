//! What a node is to be, as it was typed and configured.

use std::collections::BTreeMap;

use bobbinet_core::AgentName;
use bobbinet_http::Mount;

use crate::config::{AgentConfig, CallersConfig, FlowConfig, NodeConfig};

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) node: NodeConfig,
    pub(crate) agents: BTreeMap<AgentName, AgentConfig>,
    /// Who may call beside the node's owner.
    pub(crate) callers: CallersConfig,
    /// Flows that are agents too.
    pub(crate) flows: BTreeMap<AgentName, FlowConfig>,
    /// Where the agents stand.
    pub(crate) mount: Mount,
}
