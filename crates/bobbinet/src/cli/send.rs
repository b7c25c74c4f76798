//! `bobbinet send` and `bobbinet call`, as they are typed, and what else waits for a task.

use std::{path::PathBuf, time::Duration};

use bobbinet_core::ContextId;
use clap::{Args, builder::FalseyValueParser};
use tokio::time::Instant;

use super::{Target, values::duration};
use crate::parts::Parts;

/// How to send, and what to do then.
#[derive(Clone, Debug, Args)]
pub(crate) struct Delivery {
    /// Follow what happens, as it happens
    #[arg(long, conflicts_with = "is_async")]
    pub(crate) stream: bool,
    /// Do not wait for the task to end or to ask
    #[arg(long = "async", visible_alias = "no-wait", env = "A2ACLI_ASYNC", hide_env = true, value_parser = FalseyValueParser::new())]
    pub(crate) is_async: bool,
    /// Wait for the task to end or to ask, which is the default
    #[arg(long, conflicts_with = "is_async", hide_short_help = true)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    #[command(flatten)]
    pub(crate) ending: Ending,
    /// How many messages of the history to show
    #[arg(long, value_name = "N", env = "A2ACLI_HISTORY", hide_env = true)]
    pub(crate) history: Option<u32>,
    /// A key under which a repetition of this request finds the same task
    #[arg(long, value_name = "KEY", hide_short_help = true)]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) parts: Parts,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Go on with this task: answer what it asks
    #[arg(long, value_name = "ID", env = "A2ACLI_TASK_ID", hide_env = true)]
    pub(crate) task_id: Option<String>,
    /// Group the message with what has this context
    #[arg(long, value_name = "ID", env = "A2ACLI_CONTEXT_ID", hide_env = true, value_parser = ContextId::parse)]
    pub(crate) context_id: Option<ContextId>,
    /// A JSON object that goes with the message
    #[arg(long, value_name = "JSON", env = "A2ACLI_METADATA", hide_env = true, hide_short_help = true)]
    pub(crate) metadata: Option<String>,
    #[command(flatten)]
    pub(crate) delivery: Delivery,
}

#[derive(Debug, Args)]
pub(crate) struct Call {
    /// The skill: AGENT.SKILL, or only SKILL with -a
    pub(crate) skill: String,
    /// Its arguments: NAME=VALUE, or NAME:=JSON; or all of them as one JSON object
    #[arg(value_name = "NAME=VALUE")]
    pub(crate) arguments: Vec<String>,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Group the call with what has this context
    #[arg(long, value_name = "ID", env = "A2ACLI_CONTEXT_ID", hide_env = true, value_parser = ContextId::parse)]
    pub(crate) context_id: Option<ContextId>,
    #[command(flatten)]
    pub(crate) delivery: Delivery,
}

/// How to wait for a task.
#[derive(Clone, Debug, Args)]
pub(crate) struct Waiting {
    /// How long to wait before giving up; the task goes on
    #[arg(long, value_name = "TIME", env = "A2ACLI_TIMEOUT", hide_env = true, value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// How often to look, where an agent cannot stream
    #[arg(long, value_name = "TIME", hide_short_help = true, env = "A2ACLI_POLL_INTERVAL", hide_env = true, default_value = "2s", value_parser = duration)]
    pub(crate) poll_interval: Duration,
}

impl Waiting {
    /// When to give up, counted from now.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timeout.map(|timeout| Instant::now() + timeout)
    }
}

/// What to do with what a task comes to.
#[derive(Clone, Debug, Args)]
pub(crate) struct Ending {
    /// Say by the exit code how the task stands
    ///
    /// 0 completed, 10 failed, 11 rejected, 12 canceled, 13 not ended: it asks, or is at work. Without this the exit
    /// code says only whether the command did its job.
    #[arg(long)]
    pub(crate) fail: bool,
    /// Write the files that the task has made into this folder; nothing is overwritten
    #[arg(long, value_name = "FOLDER")]
    pub(crate) save: Option<PathBuf>,
}
