//! A report that takes its time: it says how far it is, and writes down each time that it is begun.

use std::{path::PathBuf, time::Duration};

use rmcp::{
    Peer, RoleServer, ServerHandler,
    handler::server::wrapper::Parameters,
    model::{ProgressNotificationParam, RequestMetaObject},
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::append;

/// How long a section takes.
const PACE: Duration = Duration::from_millis(300);

/// An MCP server whose tool makes a slow report, section by section.
#[derive(Clone, Debug)]
pub(super) struct Report {
    runs: PathBuf,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// What it is about.
    topic: String,
    /// How many sections; each takes a third of a second.
    #[serde(default = "some_sections")]
    #[schemars(range(min = 1, max = 1000))]
    sections: u32,
}

fn some_sections() -> u32 {
    8
}

impl Report {
    /// A server that notes its runs in this file.
    pub(super) fn new(runs: PathBuf) -> Self {
        Self { runs }
    }
}

#[tool_router]
impl Report {
    #[tool(
        description = "Writes a report, section by section, and says how far it is. Changes nothing.",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn make_report(
        &self,
        Parameters(wanted): Parameters<Wanted>,
        meta: RequestMetaObject,
        client: Peer<RoleServer>,
    ) -> Result<String, String> {
        append(&self.runs, &format!("process {}: {}", std::process::id(), wanted.topic))
            .map_err(|error| error.to_string())?;
        let mut report = format!("# {}\n", wanted.topic);
        for section in 1..=wanted.sections {
            tokio::time::sleep(PACE).await;
            report += &format!("\n## Section {section}\nAll about {}, part {section}.\n", wanted.topic);
            if let Some(token) = meta.get_progress_token() {
                let done = ProgressNotificationParam::new(token, f64::from(section))
                    .with_total(f64::from(wanted.sections))
                    .with_message(format!("section {section} of {}", wanted.sections));
                client.notify_progress(done).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(report)
    }
}

#[tool_handler(name = "report", version = "1.0.0", instructions = "Writes reports, slowly.")]
impl ServerHandler for Report {}
