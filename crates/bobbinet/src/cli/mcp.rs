//! `bobbinet mcp …`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which node, and for which host.
#[derive(Debug, Args)]
pub(crate) struct Mcp {
    /// A bobbinet.yaml or an mcp.json. If no node of it runs, one is started, for as long as the host is there
    #[arg(conflicts_with = "node")]
    pub(crate) file: Option<PathBuf>,
    /// The node's URL, such as `https://agents.example.com` [default: the node of this folder, or the only one there is]
    #[arg(long, value_name = "URL")]
    pub(crate) node: Option<String>,
    /// The data folder of the node
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print what to add to a host's configuration, and do nothing else
    #[arg(long, value_name = "HOST")]
    pub(crate) print_config: Option<McpHost>,
}

/// A host whose configuration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum McpHost {
    /// Claude Desktop
    Claude,
    /// Claude Code
    ClaudeCode,
    /// Cursor
    Cursor,
    /// VS Code
    Vscode,
}
