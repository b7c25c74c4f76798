//! `bobbinet flow …`: flows in the Open Workflow DSL, for the person who writes one.

mod check;
mod graph;
mod mesh;
mod source;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{failure::Failure, output::Output};

/// What can be done with a flow.
#[derive(Debug, Subcommand)]
pub(crate) enum Flow {
    /// Look for mistakes in a flow without running anything
    Check(Check),
    /// Draw a flow: as Mermaid, or as SVG
    Graph(Graph),
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The flow: a file in YAML or JSON
    file: PathBuf,
    /// The configuration with the agents that the flow calls [default: the first that is there]
    #[arg(short = 'f', long = "file", value_name = "CONFIG")]
    configuration: Option<PathBuf>,
    /// Where the node keeps its data, if not where the configuration says
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// The flow: a file in YAML or JSON
    file: PathBuf,
    /// As a picture, in place of Mermaid's text
    #[arg(long)]
    svg: bool,
}

/// Does what was asked for.
pub(crate) async fn run(output: Output, command: Flow) -> Result<(), Failure> {
    match command {
        Flow::Check(check) => check::run(output, check).await,
        Flow::Graph(graph) => graph::run(output, graph),
    }
}
