//! Runs the standard's own kit and its example documents against the interpreter, and writes `docs/flow-conformance.md` to standard output:
//! `cargo run -p bobbinet-flow --example conformance -- FOLDER COMMIT`, where FOLDER holds a checkout of
//! open-workflow-specification/specification. Nobody is called: a stand-in answers for the public addresses.
//!
//! It ends with 1 if a scenario does not do what the kit says, or an example is refused for a reason that is not ours.
#![allow(clippy::unwrap_used, reason = "a tool for those who work on this crate")]

mod example;
mod gherkin;
mod scenario;
mod world;

use std::{fmt::Write as _, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, commit] = &arguments[..] else {
        eprintln!("conformance FOLDER COMMIT");
        return ExitCode::from(2);
    };
    let folder = Path::new(folder);
    let mut text = String::from(HEAD).replace("COMMIT", commit);
    let mut is_fine = true;

    let scenarios = files(&folder.join("ctk/features"), "feature");
    let scenarios: Vec<_> = scenarios.iter().flat_map(|(name, text)| gherkin::scenarios(name, text)).collect();
    let mut counts = [0_usize; 3];
    let mut rows = String::new();
    for read in &scenarios {
        let result = scenario::run(read);
        let told = match &result {
            scenario::Outcome::Passed => "passes".to_owned(),
            scenario::Outcome::Refused(why) => format!("outside our subset: {why}"),
            scenario::Outcome::Failed(why) => format!("**fails**: {why}"),
        };
        match &result {
            scenario::Outcome::Passed => counts[0] += 1,
            scenario::Outcome::Refused(_) => counts[1] += 1,
            scenario::Outcome::Failed(_) => counts[2] += 1,
        }
        is_fine &= !matches!(result, scenario::Outcome::Failed(_));
        let _ = writeln!(rows, "| {} | {} | {told} |", read.file, read.name);
    }
    let [passed, refused, failed] = counts;
    let _ = writeln!(
        text,
        "\n## The kit\n\n{} scenarios: {passed} pass, {refused} are outside our subset, {failed} fail.\n\n| feature | scenario | result |\n|---|---|---|\n{rows}",
        scenarios.len()
    );

    let examples = files(&folder.join("examples"), "yaml");
    let mut counts = [0_usize; 3];
    let mut rows = String::new();
    for (name, document) in &examples {
        let result = example::run(name, document);
        let told = match &result {
            example::Outcome::Runs(how) => format!("runs: {how}"),
            example::Outcome::Refused(why) => format!("refused: {why}"),
            example::Outcome::Odd(why) => format!("**{why}**"),
        };
        match &result {
            example::Outcome::Runs(_) => counts[0] += 1,
            example::Outcome::Refused(_) => counts[1] += 1,
            example::Outcome::Odd(_) => counts[2] += 1,
        }
        is_fine &= !matches!(result, example::Outcome::Odd(_));
        let _ = writeln!(rows, "| {name} | {} |", told.replace('|', "\\|"));
    }
    let [runs, refused, odd] = counts;
    let _ = write!(
        text,
        "## The examples\n\n{} documents: {runs} run, {refused} are refused for what they call, {odd} for another reason. What comes in is made up, and so are\nthe answers and events.\n\n| document | result |\n|---|---|\n{rows}",
        examples.len()
    );
    print!("{text}");
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const HEAD: &str = "\
# Conformance

How flows here do with the conformance kit and the examples of the Open Workflow DSL 1.0.3
(open-workflow-specification/specification at `COMMIT`). This page is made by
`cargo run -p bobbinet-flow --example conformance -- FOLDER COMMIT`.

The kit and the examples call public addresses; a stand-in answers for them, in the process. What is refused is refused by
`bobbinet flow check` and when a flow is loaded, with the step, its place and what to do instead: OpenAPI, gRPC and AsyncAPI, containers,
scripts and shells (wrap them as MCP servers, which become agents whose skills a flow calls), functions of catalogs (the agents of the
mesh are the catalog), and extensions.
";

/// The files of a folder that end so, by name.
fn files(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}
