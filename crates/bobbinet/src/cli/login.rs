//! What can be typed about logins of a node at MCP servers elsewhere.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{Target, values::positive_duration};

/// `bobbinet login`
#[derive(Debug, Args)]
pub(crate) struct ServerLogin {
    /// The agent: its name on a node of this machine, or its URL [default: the one there is]
    #[arg(value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// Show where logins stand, and begin none
    #[arg(long)]
    pub(crate) list: bool,
    /// Show the address, and open no browser
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// How long to wait for the person at the browser
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = positive_duration)]
    pub(crate) timeout: Duration,
    /// The data folder of the node, if it is not found by itself
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// `bobbinet logout`
#[derive(Debug, Args)]
pub(crate) struct ServerLogout {
    /// The agent: its name on a node of this machine, or its URL [default: the one there is]
    #[arg(value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// The data folder of the node, if it is not found by itself
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

impl ServerLogin {
    pub(crate) fn target(&self) -> Target {
        Target { agent: self.agent.clone(), data_dir: self.data_dir.clone() }
    }
}

impl ServerLogout {
    pub(crate) fn target(&self) -> Target {
        Target { agent: self.agent.clone(), data_dir: self.data_dir.clone() }
    }
}
