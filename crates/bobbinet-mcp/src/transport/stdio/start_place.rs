//! Where a server is started.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::launcher::Launcher;
use crate::config::WorkFolder;

/// The folder that a server is started in; `None`: our own working directory. One of the server's own is made, if it is not there.
///
/// # Errors
/// That cannot be made, or is a link to somewhere else.
pub(crate) fn folder(agent: &str, cwd: &WorkFolder, launcher: &Launcher) -> io::Result<Option<PathBuf>> {
    match cwd {
        WorkFolder::Ours => Ok(None),
        WorkFolder::At(folder) => Ok(Some(folder.clone())),
        WorkFolder::Own => {
            let Some(all) = &launcher.own_folders else {
                return Err(io::Error::other(
                    "there is no place for folders of servers' own: name a folder with `cwd`",
                ));
            };
            let folder = all.join(agent);
            make(&folder).map_err(|error| {
                let text = format!("the server's own folder {} cannot be made: {error}", folder.display());
                io::Error::new(error.kind(), text)
            })?;
            Ok(Some(folder))
        }
    }
}

/// Whoever may make a link there would have the server work where that leads.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if folder.symlink_metadata()?.is_symlink() {
        return Err(io::Error::other("it is a link: name the folder that is meant with `cwd`"));
    }
    Ok(())
}
