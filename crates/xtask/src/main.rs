//! The project's chores, so that one command does each: `cargo xtask test` installs what the tests need and runs them.

mod fuzz;
mod modules;
mod run;
mod tools;

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Result, bail};

use crate::run::{cargo, root, run, step};

const HELP: &str = "\
cargo xtask test          install what the tests need, build, run all tests
cargo xtask test --long   the same with the long ones: 300 kills, 20,000 seeds
cargo xtask tools         only install what the tests need, and print where
cargo xtask reproductions four failures of shared MCP servers, directly and through Bobbinet, in two columns
cargo xtask fuzz T S      let libFuzzer try the target T, or all, for S seconds (tests/fuzz)
cargo xtask modules       only look for circles of modules
cargo xtask lint          that, format, clippy and docs, warnings denied";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match chore(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn chore(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["test"] => test(false),
        ["test", "--long"] => test(true),
        ["tools"] => {
            println!("{}", tools::install()?.root.display());
            Ok(())
        }
        ["reproductions"] => reproductions(),
        ["modules"] => modules::check(),
        ["fuzz", target, seconds] => fuzz::run(target, seconds),
        ["lint"] => lint(),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        other => bail!("no chore `{}`; these there are:\n{HELP}", other.join(" ")),
    }
}

/// All tests of all crates. The binary and the example are built first: the end-to-end tests run them as processes.
fn test(is_long: bool) -> Result<()> {
    let tools = step("tools", tools::install)?;
    step("build", || cargo(&["build", "--workspace", "--all-targets"], &[]))?;
    let mut environment = tools.environment();
    if is_long {
        environment.push(("BOBBINET_LONG".to_owned(), "1".to_owned()));
        environment.push(("BOBBINET_SEEDS".to_owned(), "20000".to_owned()));
    }
    step("tests", || cargo(&["test", "--workspace"], &environment))
}

/// What happens to the official MCP servers when several callers use them, with and without us (`tests/reproductions`).
fn reproductions() -> Result<()> {
    let modules = step("tools", tools::install_npm)?;
    step("build", || cargo(&["build", "--release", "-p", "bobbinet"], &[]))?;
    let (root, program) = (root(), release("bobbinet"));
    step("reproductions", || {
        let mut node = Command::new("node");
        node.arg(root.join("tests/reproductions/main.mjs")).arg("--modules").arg(modules);
        run(node.arg("--bobbinet").arg(program))
    })
}

/// A program of ours as it is built for use.
fn release(name: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("release").join(name)
}

fn lint() -> Result<()> {
    step("modules", modules::check)?;
    step("format", || cargo(&["fmt", "--all", "--check"], &[]))?;
    step("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"], &[]))?;
    let deny = [("RUSTDOCFLAGS".to_owned(), "--deny warnings".to_owned())];
    step("docs", || cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"], &deny))
}
