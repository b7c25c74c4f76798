//! Folders and files of the store: made for their owner alone, and in a way that a power cut does not undo.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

/// Makes what was created, renamed or removed in a folder survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder for its owner alone, and those above it that are not there. With `synced`, each that is made survives a
/// power cut when this returns: a file's own sync says nothing of the folders on the way to it.
///
/// # Errors
/// If one cannot be made. A parent that cannot be synced is a warning.
pub fn make(folder: &Path, synced: bool) -> io::Result<()> {
    make_with(folder, &mut |parent| if synced { sync_folder(parent) } else { Ok(()) })
}

fn make_with(folder: &Path, sync: &mut impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    make_with(parent, sync)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        // Another process was faster; its power cut is ours as well.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        Err(error) => return Err(error),
    }
    // A folder in which we may make something and which we may not read, such as one of mode 0300, cannot be synced.
    if let Err(error) = sync(parent) {
        tracing::warn!(
            folder = %parent.display(), %error,
            "a new folder's parent could not be synced: a power cut in the next seconds may lose the store"
        );
    }
    Ok(())
}

/// Takes from others what they may do with what is in a folder. sled makes its files readable for everybody.
pub(super) fn close_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let mode = metadata.permissions().mode();
        if !metadata.is_symlink() && mode & 0o077 != 0 {
            fs::set_permissions(entry.path(), Permissions::from_mode(mode & 0o700))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_that_is_made_is_synced_into_its_parent() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("a/b/c");
        let mut synced = Vec::new();
        let mut sync = |parent: &Path| {
            synced.push(parent.to_owned());
            Ok(())
        };
        make_with(&folder, &mut sync).expect("made");
        make_with(&folder, &mut sync).expect("there already");
        assert_eq!(synced, [root.path().to_owned(), root.path().join("a"), root.path().join("a/b")]);
        assert_eq!(fs::metadata(&folder).expect("there").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_parent_that_cannot_be_synced_is_no_error() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("a");
        make_with(&folder, &mut |_: &Path| Err(io::ErrorKind::PermissionDenied.into())).expect("made");
        assert!(folder.is_dir());
    }
}
