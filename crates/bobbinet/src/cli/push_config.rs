//! `bobbinet task push-config …`, as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum PushConfig {
    /// Have a task's agent send what happens to the task to a URL. One of the same id is replaced
    Create(PushConfigCreate),
    /// Show one webhook of a task; what is secret in it is not shown
    Get {
        /// The task's id
        task: String,
        /// The webhook's id
        webhook: String,
        #[command(flatten)]
        target: Target,
    },
    /// List the webhooks of a task; what is secret in them is not shown
    List {
        /// The task's id
        task: String,
        /// How many at most [default: as many as the agent shows at once]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
        page_size: Option<u32>,
        /// Where the page before ended
        #[arg(long, value_name = "TOKEN")]
        page_token: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Have a task's agent send nothing more to a webhook
    Delete {
        /// The task's id
        task: String,
        /// The webhook's id
        webhook: String,
        #[command(flatten)]
        target: Target,
    },
}

/// A webhook that is wanted. What is secret is never typed, since others on the machine can see that.
#[derive(Debug, Args)]
pub(crate) struct PushConfigCreate {
    /// The task's id
    pub(crate) task: String,
    /// Where to: a URL that the agent can reach
    pub(crate) url: String,
    /// What to call it among the webhooks of the task [default: as the agent likes]
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// The environment variable with a token, by which the receiver knows what the agent sends
    #[arg(long, value_name = "VARIABLE", conflicts_with = "token_file")]
    pub(crate) token_env: Option<String>,
    /// The file with that token
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How the agent authenticates to the receiver: a scheme of HTTP [default: Bearer, if there are credentials]
    #[arg(long, value_name = "SCHEME")]
    pub(crate) scheme: Option<String>,
    /// The environment variable with the credentials that follow the scheme
    #[arg(long, value_name = "VARIABLE", conflicts_with = "credentials_file")]
    pub(crate) credentials_env: Option<String>,
    /// The file with those credentials
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: Target,
}
