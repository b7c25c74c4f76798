//! Who takes part: our agent, the floors, the yardsticks.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    server::{CARD, DATA, Recipe, Token, URL},
    suite::Entrant,
    yardsticks::{self, Folders},
};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// `examples/echo`: our agent, durable.
    Echo,
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
}

/// Where Bobbinet says that it can work: store, listener, and the MCP server it wraps.
const READY: &str = "/readyz";

/// How many times fewer tasks a slow server is filled with.
const SLOW: u64 = 5;

/// What takes part, what wraps the MCP server, and what could not be had.
pub(crate) type Prepared = (Vec<Entrant>, Option<Recipe>, Vec<String>);

/// Builds and installs what is asked for; all if nothing is said.
pub(crate) fn prepare(folders: &Folders, only: &[Which], build: bool) -> Result<Prepared> {
    let is_wanted = |which: Which| only.is_empty() || only.contains(&which);
    let program = std::env::current_exe().context("finding this program")?;
    let ours: Vec<&str> = [(Which::Echo, "echo"), (Which::Wrapped, "bobbinet")]
        .into_iter()
        .filter(|(which, _)| is_wanted(*which))
        .map(|(_, package)| package)
        .collect();
    if build && !ours.is_empty() {
        yardsticks::build(folders, &ours)?;
    }
    let mut entrants = Vec::new();
    let mut missing = Vec::new();
    for which in Which::value_variants().iter().copied().filter(|which| is_wanted(*which)) {
        let entrant = match which {
            Which::Echo => Ok(echo(folders)),
            Which::FloorMemory => Ok(floor_memory(&program)),
            Which::FloorSled => Ok(floor_sled(&program)),
            Which::Rust => yardsticks::rust(folders).map(|recipe| yardstick(recipe, 1)),
            Which::Python => yardsticks::python(folders).map(|recipe| yardstick(recipe, SLOW)),
            Which::Node => yardsticks::node(folders).map(|recipe| yardstick(recipe, SLOW)),
            Which::Wrapped => continue,
        };
        match entrant {
            Ok(entrant) => entrants.push(entrant),
            Err(error) => missing.push(format!("{which:?} does not take part: {error:#}")),
        }
    }
    Ok((entrants, is_wanted(Which::Wrapped).then(|| wrapped(folders, &program)), missing))
}

fn echo(folders: &Folders) -> Entrant {
    let recipe = Recipe {
        name: "echo",
        title: "bobbinet, examples/echo, durable on sled".to_owned(),
        program: folders.binaries.join("echo"),
        arguments: words(&["--listen", "127.0.0.1:0", "--data-dir", DATA, "--print-token"]),
        token: Token::Printed,
        ready: READY,
    };
    Entrant { recipe, gets: true, fill: Some(1), is_ours: true }
}

fn floor_memory(program: &Path) -> Entrant {
    let recipe = Recipe {
        name: "floor-memory",
        title: "a bare axum handler, in memory".to_owned(),
        program: program.to_owned(),
        arguments: words(&["floor", "memory"]),
        token: Token::None,
        ready: CARD,
    };
    Entrant { recipe, gets: true, fill: None, is_ours: false }
}

fn floor_sled(program: &Path) -> Entrant {
    let recipe = Recipe {
        name: "floor-sled",
        title: "the same handler with echo's commits on bobbinet's sled store".to_owned(),
        program: program.to_owned(),
        arguments: words(&["floor", "sled", "--data-dir", DATA]),
        token: Token::None,
        ready: CARD,
    };
    Entrant { recipe, gets: false, fill: None, is_ours: false }
}

fn yardstick(recipe: Recipe, divisor: u64) -> Entrant {
    Entrant { recipe, gets: true, fill: Some(divisor), is_ours: false }
}

/// Bobbinet around the MCP server of this program.
fn wrapped(folders: &Folders, program: &Path) -> Recipe {
    let bobbinet = folders.binaries.join("bobbinet");
    let mut arguments =
        words(&["agent", "--name", "bench", "--listen", "127.0.0.1:0", "--data-dir", DATA, "--trust-hints", "--"]);
    arguments.extend([program.display().to_string(), "mcp-echo".to_owned()]);
    Recipe {
        name: "wrapped",
        title: "bobbinet agent around an MCP server over stdio".to_owned(),
        token: Token::Minted(
            bobbinet.clone(),
            words(&["token", "mint", "--data-dir", DATA, "--audience", URL, "--ttl", "10m"]),
        ),
        ready: READY,
        program: bobbinet,
        arguments,
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
