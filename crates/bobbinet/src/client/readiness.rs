//! Waiting for an agent of a node on this machine whose server starts for the first time.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;

use super::progress::Progress;
use crate::{node::Running, output::Output};

/// How often the node is asked.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// How long one answer of a node on this machine may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What a node says of itself.
#[derive(Deserialize)]
struct Report {
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    #[serde(default)]
    starting: bool,
    reason: Option<String>,
}

/// Waits for as long as the node says that this agent is starting. Gives whether there was anything to wait for.
pub(super) async fn wait(node: &Running, agent: &str, output: Output) -> bool {
    let mut progress = None;
    while let Some(reason) = starting(node, agent).await {
        tracing::debug!(agent, reason = reason.as_deref(), "the agent is starting; waiting");
        progress
            .get_or_insert_with(|| Progress::new(output))
            .wait(&format!("agent {agent} is starting: {}", reason.unwrap_or_default()));
        sleep(ASK_INTERVAL).await;
    }
    progress.is_some()
}

/// If the agent is starting: what the node says about that. A node that says nothing has nothing to wait for.
async fn starting(node: &Running, agent: &str) -> Option<Option<String>> {
    let http = node.http().timeout(ANSWER_MAX).build().ok()?;
    let answer = http.get(format!("{}/readyz?verbose", node.url)).send().await.ok()?;
    let report: Report = answer.json().await.ok()?;
    let name = format!("agent/{agent}");
    report.checks.into_iter().find(|check| check.name == name && check.starting).map(|check| check.reason)
}
