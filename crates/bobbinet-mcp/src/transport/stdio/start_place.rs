//! Where a server is started, and the words it is started by there.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    env,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::launcher::Launcher;
use crate::{
    config::ServerCommand,
    work_folder::{PlacedCommand, WorkFolder},
};

pub(crate) struct StartPlace<'s> {
    pub(crate) command: Cow<'s, str>,
    pub(crate) args: Cow<'s, [String]>,
    pub(crate) env: Cow<'s, BTreeMap<String, String>>,
    /// Our own working directory, if there is none.
    pub(crate) folder: Option<PathBuf>,
    /// Whether that is the server's own.
    pub(crate) is_own: bool,
}

impl<'s> StartPlace<'s> {
    /// Makes the server's own folder, if it runs in that.
    ///
    /// # Errors
    /// That cannot be made, or is a link to somewhere else.
    pub(crate) fn of(agent: &str, server: &'s ServerCommand, launcher: &Launcher) -> io::Result<Self> {
        let ServerCommand { command, args, env: variables, cwd, relative_to, .. } = server;
        let as_written = |folder: Option<PathBuf>| Self {
            command: command.into(),
            args: args.into(),
            env: Cow::Borrowed(variables),
            folder,
            is_own: false,
        };
        let (None, Some(own_folders)) = (cwd, &launcher.own_folders) else {
            return Ok(as_written(cwd.clone().or_else(|| relative_to.clone())));
        };
        let there = relative_to.clone().map_or_else(env::current_dir, Ok)?;
        match WorkFolder::of(command, args, variables, &there) {
            WorkFolder::OfConfiguration(_) => Ok(as_written(Some(there))),
            WorkFolder::Own(PlacedCommand { command, args, env }) => {
                let folder = own_folders.join(agent);
                made(&folder).map_err(|error| {
                    let text = format!("the server's own folder {} cannot be made: {error}", folder.display());
                    io::Error::new(error.kind(), text)
                })?;
                Ok(Self {
                    command: command.into(),
                    args: args.into(),
                    env: Cow::Owned(env),
                    folder: Some(folder),
                    is_own: true,
                })
            }
        }
    }
}

/// Whoever may make a link there would have the server work where that leads.
fn made(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if folder.symlink_metadata()?.is_symlink() {
        return Err(io::Error::other("it is a link: put `cwd` into the agent's settings instead"));
    }
    Ok(())
}
