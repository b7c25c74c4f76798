//! Three small MCP servers, real ones, that know nothing of Bobbinet: what the demo wraps.
//!
//! They speak over standard input and output, so any MCP host can start them: `bobbinet demo-server notes FOLDER`.

mod greeter;
mod notes;
mod report;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rmcp::{ServerHandler, ServiceExt, transport::stdio};

/// The servers that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// Notes on disk
    Notes,
    /// A report that takes its time and says how far it is
    Report,
    /// Asks who is there, and greets
    Greeter,
}

impl Name {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Notes => "notes",
            Self::Report => "report",
            Self::Greeter => "greeter",
        }
    }
}

/// One of the demo's MCP servers, on standard input and output.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Which of them to be
    pub(crate) name: Name,
    /// Where it keeps its files
    pub(crate) folder: PathBuf,
}

/// The file of the notes server: a note to a line.
pub(crate) const NOTES_FILE: &str = "notes.txt";

/// The file of the report server: a line for each time that it began to write a report.
pub(crate) const RUNS_FILE: &str = "runs.txt";

/// Is the server until its standard input ends.
pub(crate) async fn serve(args: Args) -> io::Result<()> {
    fs::create_dir_all(&args.folder)?;
    match args.name {
        Name::Notes => until_the_end(notes::Notes::new(args.folder.join(NOTES_FILE))).await,
        Name::Report => until_the_end(report::Report::new(args.folder.join(RUNS_FILE))).await,
        Name::Greeter => until_the_end(greeter::Greeter).await,
    }
}

async fn until_the_end<S: ServerHandler>(server: S) -> io::Result<()> {
    let running = server.serve(stdio()).await.map_err(io::Error::other)?;
    running.waiting().await.map_err(io::Error::other)?;
    Ok(())
}

/// Adds a line to a file. When this returns, it is on disk.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    // One write: a kill leaves all of the line or nothing.
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

/// The lines of a file; none if there is no file yet.
pub(crate) fn lines(path: &Path) -> io::Result<Vec<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
