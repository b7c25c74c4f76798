//! Key files: how they are named, made, checked and read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bobbinet_core::Timestamp;
use jsonwebtoken::{DecodingKey, EncodingKey};
use uuid::Uuid;

use super::{KEYS_MAX, KeysError};
use crate::{Algorithm, VerifyingKey};

/// Bytes of a key file: an Ed25519 key takes 119, and nothing else belongs here.
const FILE_LENGTH_MAX: u64 = 4 << 10;

/// What a key file's name says. Ordered by age.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) created: Timestamp,
    pub(crate) kid: String,
}

impl Name {
    fn parse(file: &str) -> Option<Self> {
        let (created, kid) = file.strip_suffix(".pem")?.split_once('-')?;
        Some(Self { created: Timestamp::from_millis(created.parse().ok()?), kid: kid.to_owned() })
    }

    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}-{}.pem", self.created.as_millis(), self.kid))
    }
}

/// One key, both halves. It has neither `Debug` nor `Serialize`: nothing can print it.
pub(crate) struct Key {
    pub(crate) name: Name,
    /// The public half as a JWK has it.
    pub(crate) x: String,
    pub(crate) signing: EncodingKey,
    pub(crate) verifying: Arc<VerifyingKey>,
}

impl Key {
    /// Reads the key of this name, if it is a file of the folder's owner, or of the system's, that only he can read. Anything
    /// else that stands there under the name was put there by somebody else; a pipe would keep its reader waiting.
    pub(crate) fn read(folder: &Path, owner: Owner, name: Name) -> Result<Self, KeysError> {
        let path = name.path(folder);
        let file_error = |source| KeysError::File { path: path.clone(), source };
        let found = fs::symlink_metadata(&path).map_err(file_error)?;
        if !found.is_file() || !owner.may_have_made(&found) {
            return Err(KeysError::NotOwn { path });
        }
        let file = File::open(&path).map_err(file_error)?;
        let metadata = file.metadata().map_err(file_error)?;
        if (metadata.dev(), metadata.ino()) != (found.dev(), found.ino()) {
            return Err(KeysError::NotOwn { path });
        }
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeysError::FileOpen { path, mode });
        }
        if metadata.len() > FILE_LENGTH_MAX {
            return Err(KeysError::NotAKey { path });
        }
        let mut pem = Vec::new();
        file.take(FILE_LENGTH_MAX).read_to_end(&mut pem).map_err(file_error)?;
        Self::parse(&pem, name).ok_or(KeysError::NotAKey { path })
    }

    fn parse(pem: &[u8], name: Name) -> Option<Self> {
        let signing = EncodingKey::from_ed_pem(pem).ok()?;
        let pair = Ed25519KeyPair::from_pkcs8(signing.as_bytes()).ok()?;
        let public = pair.public_key().as_ref();
        let x = URL_SAFE_NO_PAD.encode(public);
        let is_named_right = thumbprint(&x) == name.kid;
        let verifying = VerifyingKey::new(Algorithm::EdDSA, DecodingKey::from_ed_der(public))?;
        is_named_right.then(|| Self { name, x, signing, verifying: Arc::new(verifying) })
    }
}

/// The id of the key with this public half: RFC 7638, with the members that RFC 8037 section 2 requires.
fn thumbprint(x: &str) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

/// Makes the folder for its owner alone, unless it is there.
pub(crate) fn create_folder(folder: &Path) -> Result<(), KeysError> {
    if folder.is_dir() {
        return Ok(());
    }
    let folder_error = |source| KeysError::Folder { path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(folder_error)?;
    match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_folder(parent).map_err(folder_error),
        None => sync_folder(Path::new(".")).map_err(folder_error),
    }
}

/// The user whom a key folder belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u32);

impl Owner {
    /// The system's own user may put a file wherever he likes.
    fn may_have_made(self, file: &fs::Metadata) -> bool {
        file.uid() == self.0 || file.uid() == 0
    }
}

/// Refuses a folder into which others can write. One that is not there has no key.
pub(crate) fn check_folder(folder: &Path) -> Result<Owner, KeysError> {
    let path = folder.to_owned();
    match fs::metadata(folder) {
        Ok(metadata) => match metadata.permissions().mode() & 0o777 {
            mode if mode & 0o022 != 0 => Err(KeysError::FolderOpen { path, mode }),
            _ => Ok(Owner(metadata.uid())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KeysError::None { path }),
        Err(source) => Err(KeysError::Folder { path, source }),
    }
}

/// The key files of the folder, oldest first. A folder that is gone has none; other files are left alone.
pub(crate) fn list(folder: &Path) -> Result<Vec<Name>, KeysError> {
    let folder_error = |source| KeysError::Folder { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(folder_error(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.map_err(folder_error)?.file_name();
        names.extend(file.to_str().and_then(Name::parse));
        if names.len() > KEYS_MAX {
            return Err(KeysError::TooMany { path: folder.to_owned() });
        }
    }
    names.sort();
    Ok(names)
}

/// Deletes the files of these keys, durably.
pub(crate) fn delete(folder: &Path, names: &[&Name]) -> Result<(), KeysError> {
    for name in names {
        let path = name.path(folder);
        match fs::remove_file(&path) {
            Ok(()) => {}
            // Somebody else has dropped it as well.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(KeysError::File { path, source }),
        }
    }
    sync_folder(folder).map_err(|source| KeysError::Folder { path: folder.to_owned(), source })
}

/// Makes a key and its file; durable, whole and closed to others from its first byte on.
pub(crate) fn create_key(folder: &Path, created: Timestamp) -> Result<Name, KeysError> {
    // The seed comes from the system: the library's own generator takes a good part of a node's first start to get going.
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| KeysError::Generate)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeysError::Generate)?;
    let kid = thumbprint(&URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()));
    // Version 1 of PKCS#8: the one that OpenSSL reads and writes. In base64 it is exactly one line of PEM.
    let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeysError::Generate)?;
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8.as_ref()));

    let name = Name { created, kid };
    let path = name.path(folder);
    let temporary = folder.join(format!(".{}.new", Uuid::new_v4()));
    let written = write_private(&temporary, pem.as_bytes())
        .and_then(|_| fs::rename(&temporary, &path))
        .and_then(|()| sync_folder(folder));
    written.map_err(|source| {
        // What is left of a failed attempt is a key that never signed anything; if it cannot go, it does no harm.
        fs::remove_file(&temporary).ok();
        KeysError::File { path, source }
    })?;
    Ok(name)
}

pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(file)
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_is_the_thumbprint_of_rfc_8037_appendix_a_3() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        assert_eq!(thumbprint(x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_key_files_name_is_its_age_and_its_id() {
        let name = Name { created: Timestamp::from_millis(12), kid: "a-b_c".to_owned() };
        assert_eq!(name.path(Path::new("keys")), Path::new("keys/12-a-b_c.pem"));
        assert_eq!(Name::parse("12-a-b_c.pem"), Some(name));
        for other in ["12-a", "a.pem", "x-a.pem", ".12-a.new", ""] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
