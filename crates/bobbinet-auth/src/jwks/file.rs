//! A JWK set in a file, followed as the file changes.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::Timestamp;

use super::{JWKS_LENGTH_MAX, JwksFault, Keys, parse};
use crate::{Algorithm, KeySet, VerifyingKey, keys::is_turn};

/// How long a change of the file may go unnoticed.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The keys in a file. A change that cannot be read leaves them as they were, and is told in the log.
pub struct FileKeys {
    path: PathBuf,
    algorithms: Vec<Algorithm>,
    keys: RwLock<Arc<Snapshot>>,
    /// When the file was last looked at, in milliseconds.
    looked: AtomicU64,
    /// What the file looked like when it was last read, and what was wrong with it.
    looking: Mutex<(Option<Look>, Option<String>)>,
}

struct Snapshot {
    generation: u64,
    keys: Keys,
}

/// By what a file is known to have changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    file: u64,
    length: u64,
    changed: (i64, i64),
}

impl FileKeys {
    /// The keys of this file.
    ///
    /// # Errors
    /// If it cannot be read, or has no key for any of these algorithms.
    pub fn open(path: &Path, algorithms: Vec<Algorithm>) -> Result<Self, JwksFault> {
        crate::install();
        let look = look(path).ok();
        let keys = read(path, &algorithms)?;
        if keys.is_empty() {
            return Err(JwksFault(format!("{} has no key that could check a signature", path.display())));
        }
        let keys = RwLock::new(Arc::new(Snapshot { generation: 0, keys }));
        let looking = Mutex::new((look, None));
        Ok(Self { path: path.to_owned(), algorithms, keys, looked: AtomicU64::new(0), looking })
    }

    fn at(&self, now: Timestamp) -> Arc<Snapshot> {
        if is_turn(&self.looked, now, REFRESH_INTERVAL) {
            self.look();
        }
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn look(&self) {
        // Whoever looks already looks for all.
        let Ok(mut looking) = self.looking.try_lock() else { return };
        let now = look(&self.path).ok();
        if now == looking.0 && looking.1.is_none() {
            return;
        }
        let complaint = match read(&self.path, &self.algorithms) {
            Ok(keys) => {
                let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(Snapshot { generation: current.generation + 1, keys });
                None
            }
            Err(fault) => Some(fault.to_string()),
        };
        if let Some(why) = complaint.as_ref().filter(|_| complaint != looking.1) {
            tracing::warn!(why, "the issuer's keys cannot be read as they are now: the ones before count");
        }
        *looking = (now, complaint);
    }
}

#[async_trait]
impl KeySet for FileKeys {
    fn generation(&self, now: Timestamp) -> u64 {
        self.at(now).generation
    }

    async fn find(&self, kid: &str, now: Timestamp) -> Option<Arc<VerifyingKey>> {
        self.at(now).keys.get(kid).cloned()
    }
}

/// Without the keys.
impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeys").field("path", &self.path).finish_non_exhaustive()
    }
}

fn look(path: &Path) -> io::Result<Look> {
    let metadata = fs::metadata(path)?;
    Ok(Look { file: metadata.ino(), length: metadata.len(), changed: (metadata.mtime(), metadata.mtime_nsec()) })
}

fn read(path: &Path, algorithms: &[Algorithm]) -> Result<Keys, JwksFault> {
    let fault = |error: io::Error| JwksFault(format!("reading {}: {error}", path.display()));
    let length = fs::metadata(path).map_err(fault)?.len();
    if usize::try_from(length).is_ok_and(|length| length > JWKS_LENGTH_MAX) {
        return Err(JwksFault(format!("{} is longer than {JWKS_LENGTH_MAX} bytes", path.display())));
    }
    let text = fs::read(path).map_err(fault)?;
    parse(&text, algorithms).map_err(|JwksFault(why)| JwksFault(format!("{}: {why}", path.display())))
}
