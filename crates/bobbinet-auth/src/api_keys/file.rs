//! The file of API keys: what stands in it, and how it is changed.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::Path,
};

use bobbinet_core::{Principal, Tenant, Timestamp};
use nix::{errno::Errno, fcntl::OFlag};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{API_KEYS_MAX, ApiKeyDescription, ApiKeysError, ID_BYTES, hexadecimal, is_fit, is_hexadecimal};
use crate::keys::{sync_folder, write_private};

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// Bytes of a file: room for [`API_KEYS_MAX`] keys of the longest names.
const FILE_LENGTH_MAX: u64 = 1 << 20;

/// Keys by their ids.
pub(super) type Records = BTreeMap<String, Record>;

/// One key, without its secret.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    description: ApiKeyDescription,
    /// The SHA-256 of the whole key.
    pub(super) hash: [u8; HASH_BYTES],
    pub(super) expires: Option<Timestamp>,
}

impl Record {
    pub(super) fn new(description: &ApiKeyDescription, hash: &[u8]) -> Self {
        let hash = hash.try_into().expect("a SHA-256 has 32 bytes");
        Self { description: description.clone(), hash, expires: description.expires }
    }

    pub(super) fn description(&self) -> ApiKeyDescription {
        self.description.clone()
    }
}

/// The file as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    keys: Vec<WrittenKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    id: String,
    principal: Principal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<Tenant>,
    sha256: String,
    /// In milliseconds, as are all times here.
    created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
}

/// The keys in a file; none if it is not there.
pub(super) fn read(path: &Path) -> Result<Records, String> {
    let fault = |error: io::Error| format!("reading {}: {error}", path.display());
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Records::new()),
        Err(error) => return Err(fault(error)),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(format!("others can write to {0} (mode {mode:03o}): run `chmod 600 {0}`", path.display()));
    }
    if metadata.len() > FILE_LENGTH_MAX {
        return Err(format!("{} is longer than {FILE_LENGTH_MAX} bytes", path.display()));
    }
    let text = fs::read(path).map_err(fault)?;
    parse(&text).map_err(|why| format!("{}: {why}", path.display()))
}

fn parse(text: &[u8]) -> Result<Records, String> {
    let Written { keys } =
        serde_json::from_slice(text).map_err(|error| format!("it is no file of API keys: {error}"))?;
    if keys.len() > API_KEYS_MAX {
        return Err(format!("it has more than {API_KEYS_MAX} keys"));
    }
    let mut records = Records::new();
    for WrittenKey { id, principal, tenant, sha256, created, expires } in keys {
        let hash = bytes_of(&sha256).filter(|_| is_hexadecimal(&id, ID_BYTES));
        let Some(hash) = hash else { return Err(format!("key {id:?} has no id or no hash of the right form")) };
        if !is_fit(&principal) {
            return Err(format!("key {id:?} is {principal}'s, and that name is the node's, or an issuer's"));
        }
        let description = ApiKeyDescription { id: id.clone(), principal, tenant, created, expires };
        if records.insert(id.clone(), Record::new(&description, &hash)).is_some() {
            return Err(format!("key {id:?} stands in it twice"));
        }
    }
    Ok(records)
}

fn bytes_of(text: &str) -> Option<[u8; HASH_BYTES]> {
    let mut bytes = [0; HASH_BYTES];
    if !is_hexadecimal(text, HASH_BYTES) {
        return None;
    }
    for (byte, place) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(&text[place..place + 2], 16).ok()?;
    }
    Some(bytes)
}

/// The system's own user, who may change what is another's.
const ROOT: u32 = 0;

/// Whose the file is, and what others may do with it. It stays so, whoever changes it: a node that could not read it any more would go on
/// with the keys of before.
struct Standing {
    user: u32,
    group: u32,
    mode: u32,
}

impl Standing {
    /// What it is; `None` if the file is not there.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(it) => Ok(Some(Self { user: it.uid(), group: it.gid(), mode: it.mode() & 0o777 })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a new file to its owner, if it is not his.
    fn hand_over(&self, file: &File) -> io::Result<()> {
        let own = file.metadata()?;
        let is_for_group = self.mode & 0o070 != 0;
        match own.uid() == self.user && (own.gid() == self.group || !is_for_group) {
            true => Ok(()),
            false => fchown(file, Some(self.user), Some(self.group)),
        }
    }

    /// Makes a new file what the old one is.
    fn keep(&self, file: &File, path: &Path) -> Result<(), ApiKeysError> {
        self.hand_over(file).map_err(|error| {
            ApiKeysError(format!(
                "{} is of user {user} and group {}, and cannot be given back to them after a change ({error}): \
                 run this as that user, with `sudo -u '#{user}'`, or as root",
                path.display(),
                self.group,
                user = self.user,
            ))
        })?;
        let changed = file.set_permissions(Permissions::from_mode(self.mode)).and_then(|()| file.sync_all());
        changed.map_err(|error| ApiKeysError(format!("writing {}: {error}", path.display())))
    }
}

/// Changes the file: whole and durable on return, one process after the other.
pub(super) fn edit<T>(
    path: &Path,
    change: impl FnOnce(&mut Records) -> Result<T, ApiKeysError>,
) -> Result<T, ApiKeysError> {
    let fault = |error: io::Error| ApiKeysError(format!("writing {}: {error}", path.display()));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // The lock stands beside it: the file itself is another one after each change.
    let lock = open_lock(&path.with_file_name(format!(".{name}.lock")))?;
    lock.lock().map_err(fault)?;
    let standing = Standing::of(path).map_err(fault)?;
    let mut records = read(path).map_err(ApiKeysError)?;
    let result = change(&mut records)?;
    let key = |record: &Record| {
        let ApiKeyDescription { id, principal, tenant, created, expires } = record.description();
        WrittenKey { id, principal, tenant, sha256: hexadecimal(&record.hash), created, expires }
    };
    let written = Written { keys: records.values().map(key).collect() };
    let mut text = serde_json::to_vec_pretty(&written).map_err(|error| fault(error.into()))?;
    text.push(b'\n');
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let temporary = folder.join(format!(".{}.new", Uuid::new_v4()));
    let done = write_private(&temporary, &text).map_err(fault).and_then(|new| {
        match &standing {
            Some(standing) => standing.keep(&new, path)?,
            None => hand_to_owner_of(folder, &new).map_err(fault)?,
        }
        fs::rename(&temporary, path).and_then(|()| sync_folder(folder)).map_err(fault)
    });
    if done.is_err() {
        fs::remove_file(&temporary).ok();
    }
    done?;
    // Or the file's owner could not take it the next time.
    if let Ok(Some(standing)) = Standing::of(path) {
        standing.hand_over(&lock).ok();
    }
    Ok(result)
}

/// The lock, which is a file of its own: who may write into the folder could have laid another one in its place, to be given it.
fn open_lock(path: &Path) -> Result<File, ApiKeysError> {
    let fault = |error: io::Error| ApiKeysError(format!("writing {}: {error}", path.display()));
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(flags).open(path);
    let lock = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::ELOOP as i32 => odd(path, "it is a link"),
        Some(_) | None => fault(error),
    })?;
    let metadata = lock.metadata().map_err(fault)?;
    if !metadata.is_file() || metadata.nlink() != 1 {
        return Err(odd(path, "it is no file of its own"));
    }
    Ok(lock)
}

fn odd(path: &Path, why: &str) -> ApiKeysError {
    ApiKeysError(format!(
        "{} is to be the lock of the API keys, and {why}: look who has laid it there, and remove it",
        path.display()
    ))
}

/// A first file that the system's own user makes is for whoever the folder belongs to, as far as he may give it away.
fn hand_to_owner_of(folder: &Path, file: &File) -> io::Result<()> {
    let owner = fs::metadata(folder)?;
    if file.metadata()?.uid() == ROOT && owner.uid() != ROOT {
        fchown(file, Some(owner.uid()), Some(owner.gid())).ok();
    }
    Ok(())
}
