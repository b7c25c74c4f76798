//! A node's signing keys: Ed25519, one file each in a folder that only the node's owner can read.
//!
//! A file is PKCS#8 in PEM, named `<created, in milliseconds>-<key id>.pem`. The newest key signs, all of them verify, so
//! a rotation breaks no token that is on its way; a key goes when the last token that it can have signed has ended. The folder is the
//! truth: what another process adds or removes there is seen within [`REFRESH_INTERVAL`].

mod file;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::Timestamp;
use serde_json::{Value, json};

use file::Name;
pub(crate) use file::{Key, sync_folder, write_private};

use crate::{KeySet, VerifyingKey};

/// Keys in one folder. A token outlives its key's last use by minutes, so a handful is plenty; a hundred is a mistake.
pub const KEYS_MAX: usize = 100;

/// How long a change of the folder may go unnoticed by a running node.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// How much longer a key stays than its last token: clocks differ, and a process may sign with it until it sees the next one.
const RETIRED_MARGIN: Duration = Duration::from_secs(60);

/// How soon the folder is looked at again for key ids that are not known. A key that was just made signs at once, and whoever
/// makes up key ids is nobody yet: for him the folder is not listed each time.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder cannot be made, listed or synced.
    #[error("opening the key folder {}", path.display())]
    Folder {
        /// The folder of the keys.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key file cannot be read or written.
    #[error("reading or writing the key file {}", path.display())]
    File {
        /// The file that it is about.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could put a key of theirs into the folder, and with it call themselves the owner.
    #[error("others can write to the key folder (mode {mode:03o}): run `chmod 700 {}`", path.display())]
    FolderOpen {
        /// The folder of the keys.
        path: PathBuf,
        /// The permissions that it has.
        mode: u32,
    },
    /// Others can read a private key.
    #[error("others can read the key file (mode {mode:03o}): run `chmod 600 {}`", path.display())]
    FileOpen {
        /// The file of the key.
        path: PathBuf,
        /// The permissions that it has.
        mode: u32,
    },
    /// A file that the folder's owner has not put there, or no file at all.
    #[error("{} is no file of the one whom the key folder belongs to: move it out of the key folder", path.display())]
    NotOwn {
        /// The file that does not belong there.
        path: PathBuf,
    },
    /// A file that holds something else than its name promises.
    #[error("{} is not an Ed25519 key with the id in its name: move it out of the key folder", path.display())]
    NotAKey {
        /// The file that is no key.
        path: PathBuf,
    },
    /// A folder without a key.
    #[error("there is no key in {}; a node makes one when it first starts", path.display())]
    None {
        /// The folder that was looked into.
        path: PathBuf,
    },
    /// [`KEYS_MAX`] is reached.
    #[error("there are {KEYS_MAX} keys in {} already: remove old ones", path.display())]
    TooMany {
        /// The folder that is full.
        path: PathBuf,
    },
    /// The system gave no randomness for a new key.
    #[error("making an Ed25519 key")]
    Generate,
}

/// What may be told about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDescription {
    /// The key's id: its thumbprint (RFC 7638).
    pub kid: String,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it is the one that signs.
    pub is_current: bool,
    /// When the next one began to sign in its place.
    pub retired: Option<Timestamp>,
}

/// The keys of one folder at one moment.
struct Ring {
    /// Grows with every change of the set of keys; what was verified under another one must be verified again.
    generation: u64,
    /// Oldest first: the last one signs.
    keys: Vec<Arc<Key>>,
}

impl Ring {
    /// The key with this id.
    fn find(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name.kid == kid).map(Arc::as_ref)
    }

    fn named(&self, name: &Name) -> Option<&Arc<Key>> {
        self.keys.iter().find(|key| key.name == *name)
    }
}

/// A folder's keys, followed as the folder changes.
pub struct KeyRing {
    folder: PathBuf,
    ring: RwLock<Arc<Ring>>,
    /// One refresh at a time, so that a slower one cannot bring an older listing back. It holds the last complaint.
    refreshing: Mutex<Option<String>>,
    /// When the folder was last looked at, in milliseconds.
    refreshed: AtomicU64,
    /// When it was last looked at for a key id that was not known.
    looked: AtomicU64,
}

impl KeyRing {
    /// The keys of a folder that a node has used before; [`KeysError::None`] if it holds none.
    pub fn open(folder: &Path) -> Result<Self, KeysError> {
        let ring = Self::read(folder)?;
        if ring.snapshot().keys.is_empty() {
            return Err(KeysError::None { path: folder.to_owned() });
        }
        Ok(ring)
    }

    /// The keys of a folder. On the first start the folder and a first key are made; both are durable on return.
    pub fn open_or_create(folder: &Path, now: Timestamp) -> Result<Self, KeysError> {
        file::create_folder(folder)?;
        let ring = Self::read(folder)?;
        if ring.snapshot().keys.is_empty() {
            ring.new_key(now)?;
        }
        Ok(ring)
    }

    fn read(folder: &Path) -> Result<Self, KeysError> {
        crate::install();
        file::check_folder(folder)?;
        let ring = Self {
            folder: folder.to_owned(),
            ring: RwLock::new(Arc::new(Ring { generation: 0, keys: Vec::new() })),
            refreshing: Mutex::new(None),
            refreshed: AtomicU64::new(0),
            looked: AtomicU64::new(0),
        };
        ring.refresh()?;
        Ok(ring)
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What keys there are, oldest first.
    pub fn list(&self) -> Vec<KeyDescription> {
        let ring = self.snapshot();
        let describe = |(position, key): (usize, &Arc<Key>)| {
            let next = ring.keys.get(position + 1);
            KeyDescription {
                kid: key.name.kid.clone(),
                created: key.name.created,
                is_current: next.is_none(),
                retired: next.map(|next| next.name.created),
            }
        };
        ring.keys.iter().enumerate().map(describe).collect()
    }

    /// Makes a key that signs from now on. The older ones still verify, here and in every process on this folder.
    pub fn new_key(&self, now: Timestamp) -> Result<KeyDescription, KeysError> {
        let ring = self.snapshot();
        if ring.keys.len() >= KEYS_MAX {
            return Err(KeysError::TooMany { path: self.folder.clone() });
        }
        // The newest key signs, so a clock that was set back must not make this one older than the last.
        let after_last = ring.keys.last().map(|key| key.name.created.after(Duration::from_millis(1)));
        let created = after_last.map_or(now, |after_last| now.max(after_last));
        let name = file::create_key(&self.folder, created)?;
        self.refresh()?;
        Ok(KeyDescription { kid: name.kid, created: name.created, is_current: true, retired: None })
    }

    /// Deletes the keys whose last token has ended, if none lives longer than this: the next key signs for longer than that. What
    /// they were.
    ///
    /// # Errors
    /// If one cannot be deleted.
    pub fn drop_retired(&self, now: Timestamp, life_max: Duration) -> Result<Vec<KeyDescription>, KeysError> {
        self.refresh()?;
        let is_over = |retired: Timestamp| now >= retired.after(life_max).after(RETIRED_MARGIN);
        let over: Vec<KeyDescription> =
            self.list().into_iter().filter(|key| key.retired.is_some_and(is_over)).collect();
        if over.is_empty() {
            return Ok(over);
        }
        let ring = self.snapshot();
        let names = ring.keys.iter().map(|key| &key.name).filter(|name| over.iter().any(|key| key.kid == name.kid));
        file::delete(&self.folder, &names.collect::<Vec<_>>())?;
        self.refresh()?;
        Ok(over)
    }

    /// The same as [`Self::jwks`], with what has come to the folder by now.
    pub fn jwks_at(&self, now: Timestamp) -> Value {
        self.at(now);
        self.jwks()
    }

    /// The public keys as a JWK set (RFC 7517 section 5, RFC 8037 section 2), for anyone to read.
    pub fn jwks(&self) -> Value {
        let jwk = |key: &Arc<Key>| json!({ "kty": "OKP", "crv": "Ed25519", "x": key.x, "kid": key.name.kid, "alg": "EdDSA", "use": "sig" });
        json!({ "keys": self.snapshot().keys.iter().map(jwk).collect::<Vec<_>>() })
    }

    /// Looks at the folder again. Keys that are gone are dropped even when a new file cannot be used, which is then
    /// the error; it is tried again the next time. A folder into which others can write gives no new keys.
    pub fn refresh(&self) -> Result<(), KeysError> {
        let _one = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        self.look()
    }

    /// With the lock of `refreshing` held.
    fn look(&self) -> Result<(), KeysError> {
        let names = file::list(&self.folder)?;
        let old = self.snapshot();
        if old.keys.iter().map(|key| &key.name).eq(&names) {
            return Ok(());
        }
        let owner = file::check_folder(&self.folder);
        let mut keys = Vec::with_capacity(names.len());
        let mut fault = None;
        for name in names {
            match (old.named(&name), &owner) {
                (Some(key), _) => keys.push(key.clone()),
                (None, Ok(owner)) => match Key::read(&self.folder, *owner, name) {
                    Ok(key) => keys.push(Arc::new(key)),
                    Err(error) => fault = Some(error),
                },
                (None, Err(_)) => {}
            }
        }
        let is_changed = !keys.iter().map(|key| &key.name).eq(old.keys.iter().map(|key| &key.name));
        if is_changed {
            let ring = Arc::new(Ring { generation: old.generation + 1, keys });
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        }
        owner.map(drop).and(fault.map_or(Ok(()), Err))
    }

    /// The keys as of now, at most [`REFRESH_INTERVAL`] behind the folder. A folder that cannot be listed leaves the
    /// keys as they were: a node that is out of file handles must not lock its owner out.
    fn at(&self, now: Timestamp) -> Arc<Ring> {
        if is_turn(&self.refreshed, now, REFRESH_INTERVAL) {
            self.refresh_or_warn();
        }
        self.snapshot()
    }

    /// The keys for a key id that is not known: after a look at the folder, unless there was one within [`LOOK_INTERVAL`].
    fn refreshed(&self, now: Timestamp) -> Arc<Ring> {
        if is_turn(&self.looked, now, LOOK_INTERVAL) {
            self.refresh_or_warn();
        }
        self.snapshot()
    }

    /// Waits for nobody: whoever looks already looks for all.
    fn refresh_or_warn(&self) {
        let mut complaint = match self.refreshing.try_lock() {
            Ok(complaint) => complaint,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let now = self.look().err().map(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{error}{cause}")
        });
        if let Some(why) = now.as_ref().filter(|_| now != *complaint) {
            tracing::warn!(why, "the key folder cannot be used as it is now: no new keys are taken from it");
        }
        *complaint = now;
    }

    /// The key that signs.
    pub(crate) fn current(&self, now: Timestamp) -> Result<Arc<Key>, KeysError> {
        self.at(now).keys.last().cloned().ok_or_else(|| KeysError::None { path: self.folder.clone() })
    }

    fn snapshot(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl KeySet for KeyRing {
    fn generation(&self, now: Timestamp) -> u64 {
        self.at(now).generation
    }

    async fn find(&self, kid: &str, now: Timestamp) -> Option<Arc<VerifyingKey>> {
        let known = self.at(now);
        let key = known.find(kid).map(|key| key.verifying.clone());
        key.or_else(|| self.refreshed(now).find(kid).map(|key| key.verifying.clone()))
    }
}

/// Whether so much time is over since somebody's last turn, or the clock was set back, and the turn is the caller's.
pub(crate) fn is_turn(last: &AtomicU64, now: Timestamp, interval: Duration) -> bool {
    let before = last.load(Ordering::Relaxed);
    let last_turn = Timestamp::from_millis(before);
    let is_due = now < last_turn || now >= last_turn.after(interval);
    is_due && last.compare_exchange(before, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Names the keys, never their contents.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("folder", &self.folder).field("keys", &self.list()).finish()
    }
}
