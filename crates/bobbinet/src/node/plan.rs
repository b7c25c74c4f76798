//! What a node is to be, as it was typed and configured.

use std::{collections::BTreeMap, path::PathBuf};

use bobbinet_core::AgentName;
use bobbinet_http::Mount;

use super::reload::CallersSource;
use crate::{
    config::{AgentConfig, CallersConfig, Flows, ModelSettings, NodeConfig, NodePeer, PeerSettings},
    output::Output,
};

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) node: NodeConfig,
    pub(crate) agents: BTreeMap<AgentName, AgentConfig>,
    /// Agents that are somewhere else.
    pub(crate) remotes: BTreeMap<AgentName, PeerSettings>,
    /// Language models.
    pub(crate) models: BTreeMap<AgentName, ModelSettings>,
    /// Nodes all of whose agents are agents of this one.
    pub(crate) peers: Vec<NodePeer>,
    /// The data folder of the node that this one stands in for before its peers: those that were added there, and that node's keys. Its own
    /// if none.
    pub(crate) home: Option<PathBuf>,
    /// Who may call beside the node's owner.
    pub(crate) callers: CallersConfig,
    /// Where that is configured, and read again when it changes.
    pub(crate) callers_source: CallersSource,
    /// Flows that are agents too.
    pub(crate) flows: Flows,
    /// Where the agents stand.
    pub(crate) mount: Mount,
}

/// Who is told that a node is ready.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whom {
    /// Whoever reads its output.
    Everybody(Output),
    /// Nobody: it is a command's own.
    Nobody,
}
