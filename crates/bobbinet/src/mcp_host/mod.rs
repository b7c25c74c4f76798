//! `bobbinet mcp`: all agents of a node as one MCP server, for a host that starts its servers itself.

mod entry;

use std::{path::PathBuf, time::Duration};

use bobbinet_mcp_server::bridge;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Global, Mcp},
    client::Client,
    failure::{Code, Failure},
    node::{self, Plan, Running},
    output::Output,
    remark::{Remark, remark},
};

pub(crate) use entry::print_entry;

/// How long the runs of a node of its own may take to end when its host has gone: hosts wait for two seconds, and then kill. What has not
/// ended goes on with the next start.
const OWN_GRACE: Duration = Duration::from_secs(1);

/// How often it is looked whether a node of its own has started.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The node that is meant.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The node to be started, if none runs.
    plan: Option<Box<Plan>>,
    data: Option<PathBuf>,
}

impl Prepared {
    /// Whether a node is to be started.
    pub(crate) fn has_node(&self) -> bool {
        self.plan.is_some()
    }
}

/// Reads the file that was named, if its node does not run.
pub(crate) fn prepare(output: Output, command: &Mcp) -> Result<Prepared, Failure> {
    let Some(file) = &command.file else { return Ok(Prepared { plan: None, data: command.data_dir.clone() }) };
    let file = std::path::absolute(file).map_err(|error| Failure::of(Code::Usage, &error))?;
    // Its user sees this in the log of the host, which has started us with a few of his variables.
    let mut plan = node::of_own(output, file, command.data_dir.clone())
        .inspect_err(|_| remark(Remark::Note, entry::FEW_VARIABLES))?;
    let data = plan.node.data.clone();
    if Running::at(&data).is_some() {
        return Ok(Prepared { plan: None, data: Some(data) });
    }
    plan.node.pre_stop_delay = Duration::ZERO;
    plan.node.grace = OWN_GRACE;
    Ok(Prepared { plan: Some(Box::new(plan)), data: Some(data) })
}

/// Passes messages on until the host says no more.
pub(crate) async fn run(global: &Global, command: Mcp, prepared: Prepared) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let own = prepared.plan.as_ref().and(prepared.data.clone());
    let passing = async {
        // A node that cannot start ends, and this with it.
        while own.as_deref().is_some_and(|data| Running::at(data).is_none()) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let door = client.mcp_door(command.node, prepared.data).await?;
        let passed = bridge(tokio::io::stdin(), tokio::io::stdout(), door).await;
        passed.map_err(|error| Failure::of(Code::Internal, &error))
    };
    let Some(plan) = prepared.plan else { return passing.await };
    let stop = CancellationToken::new();
    let mut life = Box::pin(node::run_until(*plan, stop.clone()));
    tokio::select! {
        biased;
        ended = &mut life => ended,
        passed = passing => {
            stop.cancel();
            passed.and(life.await)
        }
    }
}
