//! A JWK set in a file, followed as the file changes.

use std::{fmt, fs, io, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::Timestamp;

use super::{JWKS_LENGTH_MAX, JwksFault, Keys, parse};
use crate::{Algorithm, KeySet, VerifyingKey, followed::Followed};

/// How long a change of the file may go unnoticed.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The keys in a file. A change that cannot be read leaves them as they were, and is told in the log.
pub struct FileKeys(Followed<Keys>);

impl FileKeys {
    /// The keys of this file.
    ///
    /// # Errors
    /// If it cannot be read, or has no key for any of these algorithms.
    pub fn open(path: &Path, algorithms: Vec<Algorithm>) -> Result<Self, JwksFault> {
        crate::install();
        let read = move |path: &Path| read(path, &algorithms).map_err(|JwksFault(why)| why);
        let followed =
            Followed::open(path, "the issuer's keys", REFRESH_INTERVAL, Box::new(read)).map_err(JwksFault)?;
        if followed.at(Timestamp::from_millis(0)).value.is_empty() {
            return Err(JwksFault(format!("{} has no key that could check a signature", path.display())));
        }
        Ok(Self(followed))
    }
}

#[async_trait]
impl KeySet for FileKeys {
    fn generation(&self, now: Timestamp) -> u64 {
        self.0.at(now).generation
    }

    async fn find(&self, kid: &str, now: Timestamp) -> Option<Arc<VerifyingKey>> {
        self.0.at(now).value.get(kid).cloned()
    }
}

/// Without the keys.
impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeys").field("path", &self.0.path()).finish_non_exhaustive()
    }
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
