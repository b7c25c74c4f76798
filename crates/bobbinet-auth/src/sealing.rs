//! Sealing what callers entrust to the node, so that who reads its store without its keys reads nothing.

use std::{fmt, fs, io, os::unix::fs::MetadataExt, path::Path};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use uuid::Uuid;

use crate::{
    KeysError,
    keys::{sync_folder, write_private},
};

/// The file of the key, in the folder of the node's keys. Not renewed with them: what was sealed is to open as long as it is kept.
const FILE: &str = "sealing.key";

/// Bytes of a key of AES-256.
const KEY_LENGTH: usize = 32;

/// A key that seals texts (AES-256-GCM). Nothing can print it.
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    /// The key of a folder of keys, which is there. The first time one is made; it is durable on return.
    ///
    /// # Errors
    /// If it cannot be made or read, or others can read it.
    pub fn open_or_create(folder: &Path) -> Result<Self, KeysError> {
        let path = folder.join(FILE);
        let file_error = |source| KeysError::File { path: path.clone(), source };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = vec![0; KEY_LENGTH];
                getrandom::fill(&mut key).map_err(|_| KeysError::Generate)?;
                create(folder, &path, &key).map_err(file_error)?;
                // Another process may have been first.
                fs::read(&path).map_err(file_error)?
            }
            Err(error) => return Err(file_error(error)),
        };
        let mode = fs::metadata(&path).map_err(file_error)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeysError::FileOpen { path, mode });
        }
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| KeysError::NotAKey { path })?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals a text for a purpose: it opens for no other. `None` if there is no randomness to be had.
    pub fn seal(&self, purpose: &[u8], text: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut sealed = text.as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(unique, Aad::from(purpose), &mut sealed).ok()?;
        Some(STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// What was sealed; `None` if it was not by this key and for this purpose.
    pub fn open(&self, purpose: &[u8], sealed: &str) -> Option<String> {
        let mut bytes = STANDARD_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.0.open_in_place(nonce, Aad::from(purpose), sealed).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

/// Whoever finds one that is there leaves it: a key that something was sealed with is never replaced.
fn create(folder: &Path, path: &Path, key: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!(".{}.new", Uuid::new_v4()));
    let linked = write_private(&temporary, key).and_then(|_| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    fs::remove_file(&temporary).ok();
    linked?;
    sync_folder(folder)
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_for_its_purpose_alone() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [key, other] = folders.each_ref().map(|folder| SealingKey::open_or_create(folder.path()).unwrap());
        let sealed = key.seal(b"task", "hush").unwrap();
        assert!(!sealed.contains("hush") && sealed != key.seal(b"task", "hush").unwrap());
        let again = SealingKey::open_or_create(folders[0].path()).unwrap();
        assert_eq!(again.open(b"task", &sealed).as_deref(), Some("hush"));
        assert_eq!((key.open(b"other", &sealed), other.open(b"task", &sealed)), (None, None));
        for bad in ["", "AAAA", "?", &sealed[1..]] {
            assert_eq!(key.open(b"task", bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        SealingKey::open_or_create(folder.path()).unwrap();
        let path = folder.path().join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(SealingKey::open_or_create(folder.path()), Err(KeysError::FileOpen { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(matches!(SealingKey::open_or_create(folder.path()), Err(KeysError::NotAKey { .. })));
    }
}
