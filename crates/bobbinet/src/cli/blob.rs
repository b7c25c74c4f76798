//! `bobbinet blob …`, as it is typed.

use std::path::PathBuf;

use clap::Subcommand;

use super::Target;

/// What is too large for a task or a message.
#[derive(Debug, Subcommand)]
pub(crate) enum Blob {
    /// Upload a file for a message to name: `bobbinet send … --file URL`
    Put {
        /// The file
        file: PathBuf,
        /// What it is [default: application/octet-stream]
        #[arg(long, value_name = "TYPE")]
        media_type: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Fetch what a task refers to, or what was uploaded; `bobbinet task download` fetches all of a task
    Get {
        /// Its URL, as the task shows it
        url: String,
        /// Where to; nothing is overwritten [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The data folder of the node, if it is not found by itself
        #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
        data_dir: Option<PathBuf>,
    },
}
