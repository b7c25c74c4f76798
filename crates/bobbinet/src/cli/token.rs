//! `bobbinet token …`, as it is typed.

use std::time::Duration;

use clap::Subcommand;

use super::{Target, values::duration};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token for one agent, and print it alone
    Mint {
        /// The URL that it is for, if not that of the agent
        #[arg(long, value_name = "URL", conflicts_with = "agent")]
        audience: Option<String>,
        /// Who it is for, by his name under `principals` of the node's bobbinet.yaml [default: the node's owner]
        #[arg(long = "for", value_name = "NAME")]
        named: Option<String>,
        /// Who it is for, by a name that the node's bobbinet.yaml does not have
        #[arg(long, value_name = "NAME", conflicts_with = "named", hide_short_help = true)]
        sub: Option<String>,
        /// How long it is good for: up to 15 minutes, or to the principal's `life` [default: 5m, or that]
        #[arg(long, visible_alias = "life", value_name = "TIME", value_parser = duration)]
        ttl: Option<Duration>,
        #[command(flatten)]
        target: Target,
    },
}
