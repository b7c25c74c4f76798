//! The demo: three agents, an orchestrator that is a flow, and a kill -9 for each on stage.

mod acts;
mod client;
mod family;
mod stage;
mod tell;

use std::{io, process::ExitCode};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::Demo,
    demo_servers,
    failure::{Code, Failure},
    format::Format,
    remark::add,
};

use stage::Stage;
use tell::Teller;

/// What the process ends with when it was interrupted, as shells have it: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the demo from beginning to end. It looks at all that it claims; nothing of it is left running.
///
/// # Errors
/// If something is not as it claims.
pub(crate) async fn run(args: Demo, format: Format) -> Result<ExitCode, Failure> {
    let mut teller = Teller::new(format);
    let mut stage = Stage::new().map_err(|error| Failure::of(Code::Internal, &error))?;
    let played = tokio::select! {
        biased;
        interrupted = interruption() => interrupted.map(|()| None).map_err(|error| Failure::of(Code::Internal, &error)),
        played = acts::play(&mut stage, &mut teller) => played.map(Some),
    };
    let logs = if played.as_ref().is_err_and(|failure| !failure.is_told()) { stage.logs() } else { String::new() };
    let left = stage.clear(args.keep).await;
    match played {
        Ok(Some(())) => {
            teller.check("no process of the demo is left", left.is_empty())?;
            teller.end(args.keep.then(|| stage.folder()))?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(None) => Ok(ExitCode::from(INTERRUPTED)),
        Err(failure) => {
            if !logs.is_empty() {
                add(logs);
            }
            Err(failure.hint(
                "this is a fault of Bobbinet's, or the machine is very busy; --keep leaves the folder to look at",
            ))
        }
    }
}

/// Is one of the demo's MCP servers until its standard input ends.
///
/// # Errors
/// If its folder cannot be made, or its client does not speak MCP.
pub(crate) async fn serve(args: demo_servers::Args) -> Result<ExitCode, Failure> {
    match demo_servers::serve(args).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::of(Code::Internal, &error)),
    }
}

/// Ctrl-C, or whatever else asks for an end.
async fn interruption() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
