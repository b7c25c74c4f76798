//! What a node says to the one who started it: where it is, what runs there, and what to type next.

use std::io::{self, IsTerminal};

use comfy_table::{Table, presets::NOTHING};

use super::running::Running;
use crate::{
    config::{Finding, Severity},
    failure::{Failure, label},
    output::Output,
};

/// The node is ready. One line that programs wait for; on a terminal also a table and a line to copy.
pub(super) fn ready(output: Output, node: &Running) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(node);
    }
    output.line(format_args!("listening on {}", node.url))?;
    if !io::stdout().is_terminal() {
        return node.agents.iter().try_for_each(|(name, url)| output.line(format_args!("agent {name} at {url}")));
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, url) in &node.agents {
        table.add_row([format!(" agent {name}"), url.clone()]);
    }
    output.line(table)?;
    if let Some(name) = node.agents.keys().next() {
        output.line(format_args!("Try, in another terminal: bobbinet card get {name}"))?;
    }
    Ok(())
}

/// Something that was found in a configuration, on standard error.
pub(super) fn finding(finding: &Finding) {
    let cyan = label();
    let red = cyan.fg_color(Some(anstyle::AnsiColor::Red.into()));
    match finding.severity {
        Severity::Error => anstream::eprintln!("{red}error:{red:#} {finding}"),
        Severity::Warning => {
            let yellow = cyan.fg_color(Some(anstyle::AnsiColor::Yellow.into()));
            anstream::eprintln!("{yellow}warning:{yellow:#} {finding}");
        }
        Severity::Note => anstream::eprintln!("{cyan}note:{cyan:#} {finding}"),
    }
}
