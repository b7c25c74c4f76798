//! Which node's data folder a command is about that works on the folder itself.

use std::path::PathBuf;

use crate::{
    cli::DataDir,
    config::{self, DATA, Strictness},
    failure::{Code, Failure},
    node::Running,
};

/// The folder that was named; else that of the node that runs for the working folder; else the one that the configuration here names;
/// else the usual one.
pub(crate) fn of(place: DataDir) -> PathBuf {
    let of_running = || Running::all().into_iter().find(Running::is_here).map(|node| node.data);
    let of_file = || Some(config::read(&config::default_file()?, Strictness::Lenient).config.node.data);
    place.data_dir.or_else(of_running).or_else(of_file).unwrap_or_else(|| PathBuf::from(DATA))
}

/// The same where there must be such a folder already, unless it was named: nobody is to make another one by being elsewhere.
///
/// # Errors
/// There is none.
pub(crate) fn that_is_there(place: DataDir) -> Result<PathBuf, Failure> {
    let is_named = place.data_dir.is_some();
    let folder = of(place);
    if is_named || folder.is_dir() {
        return Ok(folder);
    }
    Err(Failure::new(Code::Config, format!("there is no node's data folder {}", folder.display()))
        .hint("run it where the node was started, or name the node's data folder with --data-dir"))
}
