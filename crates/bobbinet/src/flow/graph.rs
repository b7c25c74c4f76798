//! `bobbinet flow graph`: a flow as a picture.

use bobbinet_flow::{
    document::{Definition, Reading},
    finding::Finding,
    graph::mermaid,
    limits::Limits,
    svg::svg,
};
use serde_json::json;

use super::source;
use crate::{
    cli::FlowGraph,
    failure::{Code, Failure},
    output::Output,
};

pub(crate) fn run(output: Output, command: FlowGraph) -> Result<(), Failure> {
    let FlowGraph { file, svg: is_svg } = command;
    let limits = Limits::default();
    let name = file.display().to_string();
    let text = source::read(&file, &limits)?;
    let Reading { definition, findings } = Definition::read(&name, &text, &limits);
    let Some(definition) = definition else {
        let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.is_error()).collect();
        if output.is_json() {
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return Err(Failure::new(Code::Config, all.join("\n")).hint("bobbinet flow check shows every mistake"));
        }
        errors.into_iter().for_each(source::tell);
        return Err(Failure::told(Code::Config, "the flow has faults"));
    };
    let (format, graph) = if is_svg { ("svg", svg(&definition)) } else { ("mermaid", mermaid(&definition)) };
    match output.is_json() {
        true => output.json(&json!({ "file": name, "format": format, "graph": graph })),
        false => output.line(graph.trim_end()),
    }
}
