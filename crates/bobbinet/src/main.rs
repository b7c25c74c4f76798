//! `bobbinet`: any MCP server becomes a durable A2A agent.
//!
//! What is typed becomes a command ([`cli`]). A node is put together and run by [`node`], from what [`config`] has read;
//! everything else is a client of one ([`client`]), or looks into a data folder ([`keys`], [`store`]). What goes wrong
//! is a [`failure::Failure`], which knows its exit code and what to do next.
//!
//! It must not decide what a task does, nor how a message looks: it wires the other crates together, and talks to the person.
//! Begin with `run` below, then `node/start.rs`, which puts a node together, and `node/run.rs`, which is its life.

mod alike_names;
mod cli;
mod client;
mod config;
mod data_folder;
mod demo;
mod demo_servers;
mod failure;
mod flow;
mod format;
mod import;
mod keys;
mod mcp_host;
mod node;
mod output;
mod own_folder;
mod parts;
mod peers;
mod policy;
mod principals;
mod remark;
mod settings;
mod shell;
mod store;
mod telemetry;

use std::{ffi::OsString, future::Future, io::Write, path::PathBuf, process::ExitCode};

use bobbinet_core::text;
use clap::{CommandFactory, FromArgMatches, error::ErrorKind};
use cli::{Cli, Command, Config, Global};
use failure::{Code, Failure};
use format::Format;
use output::Output;
use settings::Sources;
use telemetry::Telemetry;
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|argument| argument == node::SHIM) {
        // Before any thread is started: the shim blocks signals for its only one.
        return bobbinet_mcp::exec_mcp(arguments.into_iter().skip(1));
    }
    // At once: no other program of the same user may read our memory or our environment, a wrapped server least of all.
    nix::sys::prctl::set_dumpable(false).ok();
    bobbinet_auth::install();
    let (Cli { global, command }, sources) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(exit) => return exit,
    };
    match run(&global, command, &sources) {
        Ok(exit) => exit,
        Err(failure) => failure.report(global.output),
    }
}

/// Reads what was typed, with the settings of `.env` files as defaults. What cannot be read has been answered.
fn parse(arguments: &[OsString]) -> Result<(Cli, Sources), ExitCode> {
    let format = typed_format(arguments);
    let settings = settings::from_files(after(arguments, "--config").map(PathBuf::from).as_deref())
        .map_err(|error| Failure::new(Code::Usage, error).report(format))?;
    let command = settings::apply(Cli::command(), &settings);
    let parsed = command
        .try_get_matches_from(arguments)
        .and_then(|typed| Ok((Cli::from_arg_matches(&typed)?, Sources { typed, files: settings })));
    parsed.map_err(|error| {
        let is_asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if is_asked_for {
            print(&error);
            return ExitCode::SUCCESS;
        }
        if format == Format::Json {
            let text = error.render().to_string();
            let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            return Failure::new(Code::Usage, message).hint("bobbinet --help").report(format);
        }
        print(&error);
        ExitCode::from(Code::Usage.exit())
    })
}

/// Prints help, or what is wrong with what was typed. A `.env` file's words may be in either: then it has no colours.
fn print(error: &clap::Error) {
    let text = error.render().to_string();
    let fit = text::lines(&text);
    // Whoever does not read any more does not want to know.
    if fit == text {
        error.print().ok();
    } else if error.use_stderr() {
        write!(anstream::stderr(), "{fit}").ok();
    } else {
        write!(std::io::stdout(), "{fit}").ok();
    }
}

/// The format that was asked for, for errors in the rest of what was typed.
fn typed_format(arguments: &[OsString]) -> Format {
    let typed = after(arguments, "--output").or_else(|| after(arguments, "-o"));
    let typed = typed.or_else(|| std::env::var("A2ACLI_OUTPUT").ok());
    if typed.as_deref() == Some("json") { Format::Json } else { Format::Text }
}

/// What follows a flag, in its own argument or behind `=`, before the command of a server begins.
fn after(arguments: &[OsString], flag: &str) -> Option<String> {
    let mut arguments =
        arguments.iter().map(|argument| argument.to_string_lossy()).take_while(|argument| argument != "--");
    while let Some(argument) = arguments.next() {
        if argument == flag {
            return arguments.next().map(|value| value.into_owned());
        }
        let is_short = flag.len() == 2 && argument.len() > 2;
        if let Some(rest) = argument.strip_prefix(flag).filter(|rest| is_short || rest.starts_with('=')) {
            return Some(rest.trim_start_matches('=').to_owned());
        }
    }
    None
}

fn run(global: &Global, command: Command, sources: &Sources) -> Result<ExitCode, Failure> {
    let output = Output { format: global.output, is_verbose: global.verbose };
    let client = || client::Client::new(global);
    let done = |result: Result<(), Failure>| result.map(|()| ExitCode::SUCCESS);
    match command {
        Command::Up(up) => done(run_node(global, node::up(output, up)?)),
        Command::Agent(agent) => done(run_node(global, node::agent(output, *agent)?)),
        Command::Mcp(args) => done(run_mcp(global, args)),
        Command::Demo(args) => block_on(global, demo::run(args, global.output))?,
        Command::DemoServer(args) => block_on(global, demo::serve(args))?,
        Command::Card(card) => done(block_on(global, client()?.card(card))?),
        Command::Probe { url } => done(block_on(global, client()?.probe(&url))?),
        Command::Send(send) => done(block_on(global, client()?.send(*send))?),
        Command::Call(call) => done(block_on(global, client()?.call(*call))?),
        Command::Flow(cli::Flow::Run(run)) => done(run_flow(global, *run)),
        Command::Task(task) => done(block_on(global, client()?.task(*task))?),
        Command::Blob(blob) => done(block_on(global, client()?.blob(blob))?),
        Command::Push(push) => done(block_on(global, client()?.push(push))?),
        Command::Check(check) => done(node::check(output, check)),
        Command::Import(command) => done(import::run(output, command)),
        Command::Flow(cli::Flow::Check(check)) => done(block_on(global, flow::check(output, check))?),
        Command::Flow(cli::Flow::Graph(graph)) => done(flow::graph(output, graph)),
        Command::Auth(auth) => done(block_on(global, client()?.auth(auth))?),
        Command::Token(token) => done(block_on(global, client()?.token(token))?),
        Command::Peers { command, place } => done(block_on(global, peers::run(output, command, place))?),
        Command::Key(key) => done(keys::key(output, key)),
        Command::Policy(cli::Policy::Test(test)) => done(policy::test(output, &test)),
        Command::Store(command) => done(store::run(output, command)),
        Command::Config(Config::Show) => done(settings::show(output, &Cli::command(), sources)),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "bobbinet", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::ExecMcp { .. } => Err(Failure::new(Code::Usage, "exec-mcp comes first, before any option")),
    }
}

/// Runs a node on all cores, and closes its traces when its runtime is gone.
fn run_node(global: &Global, plan: node::Plan) -> Result<(), Failure> {
    let telemetry = Telemetry {
        filter: global.log.as_deref(),
        is_debug: global.debug,
        is_node: true,
        otlp: plan.node.otlp.as_deref(),
    };
    let open = telemetry::start(&telemetry)?;
    let output = Output { format: global.output, is_verbose: global.verbose };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = runtime(Builder::new_multi_thread().worker_threads(cores))?;
    let result = runtime.block_on(node::run(output, plan));
    drop(runtime);
    open.close();
    result
}

/// Runs a flow on a node of its own, on all cores.
fn run_flow(global: &Global, command: cli::FlowRun) -> Result<(), Failure> {
    let output = Output { format: global.output, is_verbose: global.verbose };
    let prepared = flow::prepare(output, &command)?;
    let telemetry = Telemetry { filter: global.log.as_deref(), is_debug: global.debug, ..Telemetry::default() };
    let _open = telemetry::start(&telemetry)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    runtime(Builder::new_multi_thread().worker_threads(cores))?.block_on(flow::run_once(global, command, prepared))
}

/// Is an MCP server for a host, until that has gone; with a node of its own on all cores, if it has none.
fn run_mcp(global: &Global, command: cli::Mcp) -> Result<(), Failure> {
    let output = Output { format: global.output, is_verbose: global.verbose };
    if let Some(host) = command.print_config {
        return mcp_host::print_entry(output, &command, host);
    }
    let prepared = mcp_host::prepare(output, &command)?;
    let telemetry = Telemetry { filter: global.log.as_deref(), is_debug: global.debug, ..Telemetry::default() };
    let _open = telemetry::start(&telemetry)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = runtime(Builder::new_multi_thread().worker_threads(if prepared.has_node() { cores } else { 1 }))?;
    let result = runtime.block_on(mcp_host::run(global, command, prepared));
    // Standard input may be read still, and nobody ends that.
    runtime.shutdown_background();
    result
}

/// Runs a command, for which one thread is plenty.
fn block_on<F: Future>(global: &Global, command: F) -> Result<F::Output, Failure> {
    let telemetry = Telemetry { filter: global.log.as_deref(), is_debug: global.debug, ..Telemetry::default() };
    let _open = telemetry::start(&telemetry)?;
    Ok(runtime(&mut Builder::new_current_thread())?.block_on(command))
}

fn runtime(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder.enable_all().build().map_err(|error| Failure::of(Code::Internal, &error))
}
