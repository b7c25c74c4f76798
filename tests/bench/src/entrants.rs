//! Who takes part: our agent, the floors, the yardsticks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    measure::Measure,
    server::{CARD, DATA, READY, Recipe, Token},
    wrapping::{Wrapping, words},
    yardsticks::{self, Folders},
};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// `examples/echo`: our agent, durable.
    Echo,
    /// The same agent in all bindings of both versions, beside each other.
    Bindings,
    /// A bare handler, in memory.
    FloorMemory,
    /// A bare handler on our store, with the same commits.
    FloorSled,
    /// The official Rust SDK.
    Rust,
    /// The official Python SDK.
    Python,
    /// The official JavaScript SDK.
    Node,
    /// A tool call through `bobbinet`, next to the same call made directly.
    Wrapped,
    /// `GetTask` by callers who are known in different ways.
    Callers,
    /// Tasks that are told to webhooks.
    Webhooks,
    /// A tool call at `/mcp`, next to the same call at a server on rmcp over HTTP.
    Doors,
    /// The start and the memory of a node with ten MCP servers.
    Fleet,
}

/// How many times fewer tasks a slow server is filled with.
const SLOW: u64 = 5;

/// What takes part, and what could not be had.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) entrants: Vec<Entrant>,
    /// What else is wanted, of the kinds that are measured around our MCP server.
    pub(crate) wrapped: Vec<Which>,
    pub(crate) wrapping: Wrapping,
    /// A server on the official SDK of MCP, if that is wanted.
    pub(crate) rmcp: Option<Recipe>,
    pub(crate) missing: Vec<String>,
}

/// Builds and installs what is asked for; all if nothing is said. With the `echo` of another build it is asked what this one is.
pub(crate) fn prepare(folders: &Folders, only: &[Which], before: Option<&Path>, build: bool) -> Result<Prepared> {
    let is_wanted = |which: Which| only.is_empty() || only.contains(&which);
    let program = std::env::current_exe().context("finding this program")?;
    let is_any_wanted = |of: &[Which]| of.iter().any(|which| is_wanted(*which));
    let ours: Vec<&str> = [
        (is_any_wanted(&[Which::Echo, Which::Bindings]), "echo"),
        (is_any_wanted(&[Which::Wrapped, Which::Callers, Which::Webhooks, Which::Doors, Which::Fleet]), "bobbinet"),
    ]
    .into_iter()
    .filter(|(is_wanted, _)| *is_wanted)
    .map(|(_, package)| package)
    .collect();
    if build && !ours.is_empty() {
        yardsticks::build(folders, &ours)?;
    }
    let (mut entrants, mut wrapped): (Vec<Entrant>, Vec<Which>) =
        (before.map(echo_before).into_iter().collect(), Vec::new());
    let (mut missing, mut rmcp) = (Vec::new(), None);
    for which in Which::value_variants().iter().copied().filter(|which| is_wanted(*which)) {
        let entrant = match which {
            Which::Echo => Ok(echo(folders)),
            Which::Bindings => Ok(bindings(folders)),
            Which::FloorMemory => Ok(floor_memory(&program)),
            Which::FloorSled => Ok(floor_sled(&program)),
            Which::Rust => yardsticks::rust(folders).map(|recipe| yardstick(recipe, 1)),
            Which::Python => yardsticks::python(folders).map(|recipe| yardstick(recipe, SLOW)),
            Which::Node => yardsticks::node(folders).map(|recipe| yardstick(recipe, SLOW)),
            Which::Wrapped | Which::Callers | Which::Webhooks | Which::Fleet => {
                wrapped.push(which);
                continue;
            }
            Which::Doors => match yardsticks::rmcp(folders) {
                Ok(recipe) => {
                    rmcp = Some(recipe);
                    wrapped.push(which);
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        match entrant {
            Ok(entrant) => entrants.push(entrant),
            Err(error) => missing.push(format!("{which:?} does not take part: {error:#}")),
        }
    }
    let wrapping = Wrapping { bobbinet: folders.binaries.join("bobbinet"), program };
    Ok(Prepared { entrants, wrapped, wrapping, rmcp, missing })
}

/// A server and what it takes part in.
#[derive(Clone, Debug)]
pub(crate) struct Entrant {
    pub(crate) recipe: Recipe,
    /// What it is asked.
    pub(crate) measures: &'static [Measure],
    /// Whether it answers `GetTask`.
    pub(crate) gets: bool,
    /// What it is filled with for lists and memory is divided by this; `None`: it is not filled.
    pub(crate) fill: Option<u64>,
    /// Whether it is our agent: its commits are counted, and it is started again on what it kept.
    pub(crate) is_ours: bool,
    /// Whether its starts are timed.
    pub(crate) is_timed: bool,
}

fn echo(folders: &Folders) -> Entrant {
    let recipe = echo_with("echo", "bobbinet, examples/echo, durable on sled", &[], folders);
    Entrant { recipe, measures: Measure::COMMON, gets: true, fill: Some(1), is_ours: true, is_timed: true }
}

fn echo_before(program: &Path) -> Entrant {
    let recipe = echo_by("before", "examples/echo of another build", &[], program.to_owned());
    Entrant { recipe, measures: Measure::COMMON, gets: true, fill: None, is_ours: false, is_timed: false }
}

fn bindings(folders: &Folders) -> Entrant {
    let recipe = echo_with("bindings", "the same with --grpc, in each binding", &["--grpc"], folders);
    Entrant { recipe, measures: Measure::BINDINGS, gets: true, fill: None, is_ours: false, is_timed: false }
}

fn echo_with(name: &'static str, title: &str, flags: &[&str], folders: &Folders) -> Recipe {
    echo_by(name, title, flags, folders.binaries.join("echo"))
}

fn echo_by(name: &'static str, title: &str, flags: &[&str], program: PathBuf) -> Recipe {
    let usual = words(&["--listen", "127.0.0.1:0", "--data-dir", DATA, "--print-token"]);
    Recipe {
        name,
        title: title.to_owned(),
        program,
        arguments: [usual, words(flags)].concat(),
        token: Token::Printed,
        ready: READY,
        below: "",
        has_card: true,
        tls: None,
    }
}

fn floor_memory(program: &Path) -> Entrant {
    let recipe = Recipe {
        name: "floor-memory",
        title: "a bare axum handler, in memory".to_owned(),
        program: program.to_owned(),
        arguments: words(&["floor", "memory"]),
        token: Token::None,
        ready: CARD,
        below: "",
        has_card: true,
        tls: None,
    };
    Entrant { recipe, measures: Measure::COMMON, gets: true, fill: None, is_ours: false, is_timed: true }
}

fn floor_sled(program: &Path) -> Entrant {
    let recipe = Recipe {
        name: "floor-sled",
        title: "the same handler with echo's commits on bobbinet's sled store".to_owned(),
        program: program.to_owned(),
        arguments: words(&["floor", "sled", "--data-dir", DATA]),
        token: Token::None,
        ready: CARD,
        below: "",
        has_card: true,
        tls: None,
    };
    Entrant { recipe, measures: Measure::COMMON, gets: false, fill: None, is_ours: false, is_timed: true }
}

fn yardstick(recipe: Recipe, divisor: u64) -> Entrant {
    Entrant { recipe, measures: Measure::COMMON, gets: true, fill: Some(divisor), is_ours: false, is_timed: true }
}
