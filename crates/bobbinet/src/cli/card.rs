//! `bobbinet card …`, as it is typed.

use std::path::PathBuf;

use clap::Subcommand;

use super::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum Card {
    /// Fetch a card and show it
    Get {
        /// The agent: its URL, its name on a node of this machine, or a file with its card
        url: Option<String>,
        /// Say all that is wrong with it, and where, in place of showing it
        #[arg(long)]
        validate: bool,
        #[command(flatten)]
        target: Target,
    },
    /// See whether a card is signed, and by whom
    Verify {
        /// The agent: its URL, its name on a node of this machine, or a file with its card
        url: Option<String>,
        /// A file with the JWK set that its key must be in [default: the keys of its node, if that is on this machine]
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        /// The thumbprint (RFC 7638, SHA-256) that its key must have; may be repeated
        #[arg(long, value_name = "HASH", conflicts_with = "keys")]
        thumbprint: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
}
