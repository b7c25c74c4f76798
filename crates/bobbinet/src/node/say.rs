//! What a node says to the one who started it: where it is, what runs there, and what to type next.

use std::io::{self, IsTerminal};

use bobbinet_core::AgentName;
use comfy_table::{Table, presets::NOTHING};

use super::running::Running;
use crate::{
    config::{Finding, Severity},
    failure::Failure,
    output::Output,
    remark::{Remark, remark},
    shell::Typed,
};

/// The node is ready. One line that programs wait for; on a terminal also a table and a line to copy.
/// What is still starting is said, and called all the same: whoever calls it waits.
pub(super) fn ready(output: Output, node: &Running, starting: &[&AgentName]) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(node);
    }
    let is_starting = |name: &str| starting.iter().any(|starting| starting.as_str() == name);
    let state = |name: &str| if is_starting(name) { " (starting)" } else { "" };
    output.line(format_args!("listening on {}", node.url))?;
    if !io::stdout().is_terminal() {
        let line = |(name, url): (&String, &String)| output.line(format_args!("agent {name} at {url}{}", state(name)));
        return node.agents.iter().try_for_each(line);
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, url) in &node.agents {
        table.add_row([format!(" agent {name}"), format!("{url}{}", state(name))]);
    }
    output.line(table)?;
    if let Some(url) = node.agents.values().next() {
        output.line(format_args!("Try, in another terminal: {}", Typed::new("bobbinet card get").words(&[url])))?;
    }
    Ok(())
}

/// Something that was found in a configuration, on standard error.
pub(crate) fn finding(finding: &Finding) {
    match finding.severity {
        Severity::Error => remark(Remark::Error, finding),
        Severity::Warning => remark(Remark::Warning, finding),
        Severity::Note => remark(Remark::Note, finding),
    }
}
