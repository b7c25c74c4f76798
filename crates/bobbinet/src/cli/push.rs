//! `bobbinet push …`, as it is typed.

use clap::Subcommand;

use super::Target;

/// Webhooks whose receivers have not taken an event.
#[derive(Debug, Subcommand)]
pub(crate) enum Push {
    /// List the dead letters of a node of this machine, and what is tried again
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Try a webhook again: now if it waits, and from where it was given up if it is a dead letter
    Retry {
        /// The task's id
        task: String,
        /// The webhook's id
        webhook: String,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a webhook, with what it was not told
    Drop {
        /// The task's id
        task: String,
        /// The webhook's id
        webhook: String,
        #[command(flatten)]
        target: Target,
    },
}
