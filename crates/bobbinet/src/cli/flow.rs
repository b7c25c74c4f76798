//! `bobbinet flow …`, as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Delivery;

/// What can be done with a flow.
#[derive(Debug, Subcommand)]
pub(crate) enum Flow {
    /// Run a flow once, and tell each step. Its agents are those of the configuration that is here, if there is one
    Run(Box<FlowRun>),
    /// Look for mistakes in a flow without running anything
    Check(FlowCheck),
    /// Draw a flow: as Mermaid, or as SVG
    Graph(FlowGraph),
}

/// How a flow is run once.
#[derive(Debug, Args)]
pub(crate) struct FlowRun {
    /// The flow: a file in the Open Workflow DSL
    pub(crate) file: PathBuf,
    /// Its input: JSON, or @FILE
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) input: Option<String>,
    /// What to answer when a step asks: text, or a JSON object; may be repeated, for the questions in their order
    #[arg(long, value_name = "ANSWER")]
    pub(crate) answer: Vec<String>,
    /// Where its agents are configured [default: the first of bobbinet.yaml, mcp.json … that is here]
    #[arg(short = 'f', long = "file", value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// A secret that the flow reads, and the variable that has it; may be repeated
    #[arg(long, value_name = "NAME[=VARIABLE]")]
    pub(crate) secret: Vec<String>,
    /// Keep the task in this folder, instead of one that is gone when the flow has ended
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) delivery: Delivery,
}

/// How a flow is looked at.
#[derive(Debug, Args)]
pub(crate) struct FlowCheck {
    /// The flow: a file in YAML or JSON
    pub(crate) file: PathBuf,
    /// The configuration with the agents that the flow calls [default: the first that is there]
    #[arg(short = 'f', long = "file", value_name = "CONFIG")]
    pub(crate) configuration: Option<PathBuf>,
    /// Where the node keeps its data, if not where the configuration says
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// How a flow is drawn.
#[derive(Debug, Args)]
pub(crate) struct FlowGraph {
    /// The flow: a file in YAML or JSON
    pub(crate) file: PathBuf,
    /// As a picture, in place of Mermaid's text
    #[arg(long)]
    pub(crate) svg: bool,
}
