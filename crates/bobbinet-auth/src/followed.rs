//! A file whose content is followed as it changes.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use bobbinet_core::Timestamp;

use crate::keys::is_turn;

/// Reads a file, or says what is wrong with it.
type Read<T> = Box<dyn Fn(&Path) -> Result<T, String> + Send + Sync>;

/// What a file says. A change that cannot be read leaves what it said before, and is told in the log.
pub(crate) struct Followed<T> {
    path: PathBuf,
    /// What the log calls it.
    what: &'static str,
    /// How long a change may go unnoticed.
    interval: Duration,
    read: Read<T>,
    current: RwLock<Arc<Said<T>>>,
    /// When the file was last looked at, in milliseconds.
    looked: AtomicU64,
    /// What the file looked like when it was last read, and what was wrong with it.
    looking: Mutex<(Option<Look>, Option<String>)>,
}

/// What the file said when it was last read.
pub(crate) struct Said<T> {
    /// Grows each time that it is read anew.
    pub(crate) generation: u64,
    pub(crate) value: T,
}

/// By what a file is known to have changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    file: u64,
    length: u64,
    changed: (i64, i64),
}

impl<T> Followed<T> {
    /// What this file says now, and from now on.
    ///
    /// # Errors
    /// If it cannot be read the first time.
    pub(crate) fn open(path: &Path, what: &'static str, interval: Duration, read: Read<T>) -> Result<Self, String> {
        let look = look(path).ok();
        let current = RwLock::new(Arc::new(Said { generation: 0, value: read(path)? }));
        let (looked, looking) = (AtomicU64::new(0), Mutex::new((look, None)));
        Ok(Self { path: path.to_owned(), what, interval, read, current, looked, looking })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says, at most one interval behind the file.
    pub(crate) fn at(&self, now: Timestamp) -> Arc<Said<T>> {
        if is_turn(&self.looked, now, self.interval) {
            // Whoever looks already looks for all.
            if let Ok(mut looking) = self.looking.try_lock() {
                self.look(&mut looking);
            }
        }
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at once: for whoever has just changed it.
    pub(crate) fn refresh(&self) {
        self.look(&mut self.looking.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn look(&self, looking: &mut (Option<Look>, Option<String>)) {
        let now = look(&self.path).ok();
        if now == looking.0 && looking.1.is_none() {
            return;
        }
        let complaint = match (self.read)(&self.path) {
            Ok(value) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(Said { generation: current.generation + 1, value });
                None
            }
            Err(why) => Some(why),
        };
        if let Some(why) = complaint.as_ref().filter(|_| complaint != looking.1) {
            tracing::warn!(why, "{} cannot be read as they are now: the ones before count", self.what);
        }
        *looking = (now, complaint);
    }
}

/// Without what it says.
impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("path", &self.path).finish_non_exhaustive()
    }
}

fn look(path: &Path) -> io::Result<Look> {
    let metadata = fs::metadata(path)?;
    Ok(Look { file: metadata.ino(), length: metadata.len(), changed: (metadata.mtime(), metadata.mtime_nsec()) })
}
