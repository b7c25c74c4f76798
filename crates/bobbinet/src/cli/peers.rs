//! `bobbinet peers …`, as it is typed.

use std::path::PathBuf;

use bobbinet_core::AgentName;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Peers {
    /// List the peers of a node, and whether each is there
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        place: PeerPlace,
    },
    /// Add an agent by its URL, or all agents of a node; kept in the node's data folder
    Add(Box<PeerAdd>),
    /// Remove one that was added
    Rm {
        /// Its URL, or its name
        peer: String,
        #[command(flatten)]
        place: PeerPlace,
    },
    /// Try one out: its card, how quick it is, and whether it lets this node in
    Test {
        /// Its name, or a URL
        peer: String,
        #[command(flatten)]
        place: PeerPlace,
        #[command(flatten)]
        auth: PeerAuthArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PeerAdd {
    /// The URL of an agent, of its card, or of a node
    pub(crate) url: String,
    /// What it is called here, if it is one agent [default: after its card]
    #[arg(long, value_parser = AgentName::parse)]
    pub(crate) name: Option<AgentName>,
    #[command(flatten)]
    pub(crate) auth: PeerAuthArgs,
    #[command(flatten)]
    pub(crate) place: PeerPlace,
}

/// How a peer is shown who calls.
#[derive(Clone, Debug, Args)]
pub(crate) struct PeerAuthArgs {
    /// Show it a token of this node (node), or nothing (none) [default: node, if the node has an issuer's name]
    #[arg(long, value_name = "WORD", conflicts_with = "auth_file")]
    pub(crate) auth: Option<String>,
    /// Show it the token in this file, which is read anew as it changes
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_file: Option<PathBuf>,
}

/// The node whose peers are meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct PeerPlace {
    /// The node's bobbinet.yaml [default: the first that is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The node's data folder [default: that of the file]
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}
