//! `bobbinet flow check`: all that can be said of a flow before it runs, against the agents that are known here.

use bobbinet_flow::{
    check::{check, check_in},
    document::{Definition, Reading},
    finding::{Finding, Severity},
    limits::Limits,
};
use serde_json::json;

use super::{mesh, source};
use crate::{
    cli::FlowCheck,
    failure::{Code, Failure},
    output::Output,
};

pub(crate) async fn run(output: Output, command: FlowCheck) -> Result<(), Failure> {
    let FlowCheck { file, configuration, data_dir } = command;
    let limits = Limits::default();
    let name = file.display().to_string();
    let text = source::read(&file, &limits)?;
    let mesh = mesh::known(configuration, data_dir).await?;
    let Reading { definition, mut findings } = Definition::read(&name, &text, &limits);
    if let Some(definition) = &definition {
        findings.extend(match &mesh {
            Some(mesh) => check_in(definition, &name, &text, mesh),
            None => check(definition, &name, &text),
        });
        findings.sort_by_key(|finding| finding.at);
    }
    let agents: Vec<&str> = mesh.iter().flat_map(mesh::Mesh::names).collect();
    report(output, &name, definition.as_ref(), mesh.is_some().then_some(&agents[..]), &findings)?;
    match findings.iter().any(Finding::is_error) {
        true => Err(Failure::told(Code::Config, "the flow has faults")),
        false => Ok(()),
    }
}

fn report(
    output: Output,
    file: &str,
    definition: Option<&Definition>,
    agents: Option<&[&str]>,
    findings: &[Finding],
) -> Result<(), Failure> {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    if output.is_json() {
        let flow = definition.map(|flow| {
            json!({ "namespace": flow.namespace, "name": flow.name, "version": flow.version, "steps": flow.tasks.len() })
        });
        return output.json(&json!({
            "file": file, "ok": errors == 0, "flow": flow, "agents": agents, "findings": findings,
        }));
    }
    findings.iter().for_each(source::tell);
    output.field("File", file)?;
    if let Some(Definition { namespace, name, version, .. }) = definition {
        output.field("Flow", format_args!("{namespace}/{name} {version}"))?;
    }
    match agents {
        Some(agents) => output.field("Agents", agents.join(", "))?,
        None => output.field("Agents", "not checked: there is no configuration here, and no node runs here")?,
    }
    output.field("Errors", errors)?;
    output.field("Warnings", warnings)?;
    output.field("Notes", notes)
}
