//! The benchmark: Bobbinet's echo agent next to bare floors and to the official SDKs, in one run on one machine.
//!
//! How to run it and how to read what it prints: README.md beside this crate's manifest.

mod a2a;
mod alone;
mod asker;
mod callers;
mod commits;
mod doors;
mod entrants;
mod events;
mod fleet;
mod floor;
mod grpc;
mod http;
mod in_process;
mod load;
mod machine;
mod mcp;
mod measure;
mod oidc;
mod process;
mod receiver;
mod report;
mod sample;
mod server;
mod suite;
mod targets;
mod tls;
mod webhooks;
mod wrapping;
mod yardsticks;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use crate::{
    entrants::{Prepared, Which},
    load::Shape,
    process::Cores,
    report::Report,
    server::Place,
    suite::{Findings, Settings, Suite},
    yardsticks::Folders,
};

/// Measures Bobbinet next to floors and to the official A2A SDKs.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a floor, for looking at it by itself.
    Floor {
        /// Which.
        #[command(subcommand)]
        kind: Floor,
    },
    /// Puts a load on a server that runs already.
    Load(alone::Alone),
    /// Serves the tool `echo` over MCP on standard input and output.
    McpEcho,
    /// Calls it by turns directly and through the engine in this process: to look at the wrap with a profiler meanwhile.
    Wrap {
        /// How many calls at a time.
        #[arg(long, default_value_t = 1)]
        calls: usize,
        /// For how long each turn.
        #[arg(long, default_value_t = 4.0)]
        seconds: f64,
        /// How many turns.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Through the engine only.
        #[arg(long)]
        alone: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Floor {
    /// A bare handler that keeps tasks in a map.
    Memory,
    /// The same handler with the commits of Bobbinet's echo agent, on the same store.
    Sled {
        /// Where the store is.
        #[arg(long)]
        data_dir: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// How often everything is measured. The servers take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each measurement lasts, in seconds.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How long the load runs before anything is counted, in seconds.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Among how many tasks to list: 100,000, or 5,000 when it is to be quick. Slow servers get a fifth.
    #[arg(long)]
    tasks: Option<u64>,
    /// How often each server is started to see how long it takes.
    #[arg(long, default_value_t = 10)]
    starts: usize,
    /// Two rounds of one second and few tasks: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// Measures only these.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Which>,
    /// The `echo` of another build, measured beside this one's: what a change costs.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// Takes the binaries and yardsticks as they are.
    #[arg(long)]
    no_build: bool,
    /// What day it is, for the report.
    #[arg(long)]
    date: Option<String>,
    /// How the report is written. Progress goes to standard error.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Tables in Markdown.
    Text,
    /// Every sample, for programs.
    Json,
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|argument| argument == in_process::SHIM) {
        return Ok(bobbinet_mcp::exec_mcp(arguments.into_iter().skip(1)));
    }
    let cli = Cli::parse();
    match cli.command {
        // As axum's own examples do, and as Bobbinet does: as many threads as there are cores to run on.
        Some(Command::Floor { kind }) => {
            let runtime = Runtime::new().context("starting the runtime")?;
            runtime.block_on(async {
                match kind {
                    Floor::Memory => floor::serve(None).await,
                    Floor::Sled { data_dir } => floor::serve(Some(&data_dir)).await,
                }
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Load(alone)) => {
            single_threaded()?.block_on(alone.run())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::McpEcho) => {
            single_threaded()?.block_on(mcp::serve())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Wrap { calls, seconds, rounds, alone }) => {
            let shape = Shape {
                connections: calls,
                warm_up: Duration::from_millis(500),
                window: Duration::from_secs_f64(seconds),
            };
            let cores = Cores::choose()?;
            Cores::pin(cores.load)?;
            let place = Place { cores, folder: std::env::temp_dir() };
            Runtime::new()
                .context("starting the runtime")?
                .block_on(in_process::turns(&place, shape, rounds, alone))?;
            Ok(ExitCode::SUCCESS)
        }
        None => cli.run.go(),
    }
}

/// A folder for this run's data, below `all`. What runs that are over have left there goes.
fn data_folder(all: &Path) -> Result<PathBuf> {
    let mine = all.join(std::process::id().to_string());
    std::fs::create_dir_all(&mine).with_context(|| format!("making {}", mine.display()))?;
    for entry in std::fs::read_dir(all).context("looking for what is left of earlier runs")?.flatten() {
        let is_over = !Path::new("/proc").join(entry.file_name()).exists();
        if is_over && entry.path().is_dir() {
            std::fs::remove_dir_all(entry.path()).context("removing what is left of an earlier run")?;
        }
    }
    Ok(mine)
}

fn single_threaded() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("starting the runtime")
}

impl Run {
    fn go(self) -> Result<ExitCode> {
        let folders = Folders::find()?;
        let data = data_folder(&folders.target.join("bench-data"))?;
        let prepared = entrants::prepare(&folders, &self.only, self.before.as_deref(), !self.no_build)?;
        let settings = self.settings();
        let machine = machine::Machine::look(&data, &folders.root);
        let place = Place { cores: Cores::choose()?, folder: data };
        // Before the runtime: all that this thread starts stays there.
        Cores::pin(place.cores.load)?;
        let Prepared { entrants, wrapped, wrapping, rmcp, missing } = prepared;
        let servers = entrants.iter().map(|one| (one.recipe.name, one.recipe.title.clone())).collect();
        let findings = Findings { problems: missing, ..Findings::default() };
        let mut suite = Suite { settings, place, entrants, wrapped, wrapping, rmcp, findings };
        let begin = Instant::now();
        let finished = single_threaded()?.block_on(async {
            let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            tokio::select! {
                biased;
                _ = interrupt.recv() => anyhow::Ok(false),
                _ = terminate.recv() => Ok(false),
                () = suite.run() => Ok(true),
            }
        })?;
        if !finished {
            eprintln!("interrupted: all servers are stopped");
            return Ok(ExitCode::from(130));
        }
        let took_seconds = begin.elapsed().as_secs_f64();
        let targets = targets::judge(&suite.findings);
        let findings = suite.findings;
        let report = Report { date: self.date, took_seconds, machine, settings, servers, findings, targets };
        match self.output {
            Output::Text => print!("{}", report.text()),
            Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        }
        // A missed target is a result. A wrong answer makes the numbers worthless.
        Ok(if report.findings.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn settings(&self) -> Settings {
        let settings = Settings {
            rounds: self.rounds,
            window_seconds: self.seconds,
            warm_up_seconds: self.warm_up,
            tasks: self.tasks.unwrap_or(100_000),
            starts: self.starts,
            syncs: 300,
        };
        match self.quick {
            false => settings,
            true => Settings {
                rounds: 2,
                window_seconds: 1.0,
                warm_up_seconds: 0.3,
                tasks: self.tasks.unwrap_or(5_000),
                starts: 3,
                syncs: 100,
            },
        }
    }
}
