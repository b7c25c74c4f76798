//! `bobbinet store …`, as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Read all of it, and say what is damaged
    Check(DataDir),
    /// Write all of it to standard output, one JSON object to a line
    Export(Export),
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) place: DataDir,
    /// Go on where something is damaged, say so in a line of its own, and read a store that does not open from a copy
    #[arg(long)]
    pub(crate) salvage: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DataDir {
    /// The node's data folder [default: that of the node of this folder, else ./bobbinet-data]
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}
