//! What is put right in a store's folder before sled looks at it, and who may look at all.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{OpenError, folder::sync_folder};

/// How long a lock is waited for: a child that is being started has its parent's files open until it becomes another
/// program, and a process that was killed a moment ago may not be quite gone.
const WAIT: Duration = Duration::from_secs(1);

/// Held for as long as a store is open. The lock goes with the process, however it ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock is held by keeping the file open")] File);

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { doing: "opening the LOCK file", source };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(folder.join("LOCK"))
            .map_err(io)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < WAIT => thread::sleep(Duration::from_millis(10)),
                Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { folder: folder.to_owned() }),
                Err(TryLockError::Error(source)) => {
                    return Err(OpenError::Io { doing: "locking the LOCK file", source });
                }
            }
        }
    }
}

/// Finishes or removes a snapshot that sled was writing when it was killed.
///
/// sled writes `snap.<lsn>.generating` and renames it. When it opens it takes the newest file that begins with `snap.`,
/// also one that was never finished, and then refuses to open for ever. A whole one may be used: it is what the rename
/// would have made of it. Without a torn one, the snapshot before and the log are what sled would have begun from.
pub(super) fn snapshots(folder: &Path) -> io::Result<()> {
    let mut healed = false;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(finished) = name.strip_suffix(".generating").filter(|name| name.starts_with("snap.")) else {
            continue;
        };
        if is_whole(&fs::read(&path)?) {
            tracing::warn!(file = name, "finishing a snapshot that was being written when the process ended");
            fs::rename(&path, folder.join(finished))?;
        } else {
            tracing::warn!(file = name, "removing a snapshot that was being written when the process ended");
            fs::remove_file(&path)?;
        }
        healed = true;
    }
    if healed { sync_folder(folder) } else { Ok(()) }
}

/// A snapshot ends with its length in eight bytes and a checksum in four.
fn is_whole(snapshot: &[u8]) -> bool {
    let Some((body, end)) = snapshot.len().checked_sub(12).map(|length| snapshot.split_at(length)) else {
        return false;
    };
    !body.is_empty() && end[..8] == (body.len() as u64).to_le_bytes() && end[8..] == crc32fast::hash(body).to_le_bytes()
}
