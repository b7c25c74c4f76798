//! `bobbinet task …`, as it is typed.

use std::path::PathBuf;

use bobbinet_core::{ContextId, State};
use clap::{Args, Subcommand};

use super::{Delivery, Ending, PushConfig, Target, Waiting, values::state};
use crate::parts::Parts;

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// List tasks, the newest first
    List(TaskList),
    /// Show a task
    Get {
        /// Its id
        id: String,
        /// Wait until it has ended or asks
        #[arg(long, visible_alias = "watch")]
        wait: bool,
        /// How many messages of the history to show
        #[arg(long, value_name = "N", env = "A2ACLI_HISTORY", hide_env = true)]
        history: Option<u32>,
        #[command(flatten)]
        waiting: Waiting,
        #[command(flatten)]
        ending: Ending,
        #[command(flatten)]
        target: Target,
    },
    /// Show all that a node of this machine knows of a task: its log, its calls and what is known of their effects
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Follow a task until it has ended or asks
    Subscribe {
        /// Its id
        id: String,
        /// Give each event as it comes
        #[arg(long)]
        stream: bool,
        /// Go on after this event
        #[arg(long, value_name = "EVENT")]
        after: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
        #[command(flatten)]
        ending: Ending,
        #[command(flatten)]
        target: Target,
    },
    /// Write what a task has made into files; nothing is overwritten
    Download {
        /// Its id
        id: String,
        /// Only the artifact of this id
        #[arg(long = "artifact-id", visible_alias = "artifact", value_name = "ID")]
        artifact: Option<String>,
        /// Where to
        #[arg(short = 'd', long = "dir", visible_alias = "save", value_name = "FOLDER", default_value = ".")]
        folder: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Answer what a task asks
    Reply {
        /// Its id
        id: String,
        #[command(flatten)]
        parts: Parts,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        delivery: Delivery,
    },
    /// Webhooks of a task, at an agent of any make: have it send what happens to a URL, list, show, delete
    ///
    /// They are A2A's push notifications. For what a node of this machine has sent in vain, see `bobbinet push`.
    #[command(subcommand)]
    PushConfig(PushConfig),
    /// Cancel a task
    Cancel {
        /// Its id
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TaskList {
    /// Only those in this state, such as working or input-required
    #[arg(long, visible_alias = "status", value_parser = state)]
    pub(crate) state: Option<State>,
    /// Only those of this context
    #[arg(long, value_name = "ID", env = "A2ACLI_CONTEXT_ID", hide_env = true, value_parser = ContextId::parse)]
    pub(crate) context_id: Option<ContextId>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) page_size: u32,
    /// Where the page before ended
    #[arg(long, value_name = "TOKEN")]
    pub(crate) page_token: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
    /// One task to a line, with -o json
    #[arg(long)]
    pub(crate) stream: bool,
    /// Show with each task those that its run has begun. For the owner of the node
    #[arg(long, conflicts_with = "stream")]
    pub(crate) tree: bool,
}
