//! API keys, for callers that cannot renew a token: made by the node's owner, shown once, kept as hashes in one file.
//!
//! A key is `bbk_<id>_<secret>`, all in hexadecimal: the prefix is for programs that look for leaked secrets, the id is what the key is
//! looked up by, and the secret has 256 bits, so that a plain SHA-256 of it tells nothing. The file is the truth: a key that is taken
//! out of it is refused within [`API_KEYS_LOOK_INTERVAL`], and one that is put in is taken as soon.

mod file;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use bobbinet_core::{Principal, Tenant, Timestamp};

use crate::{NODE_OWNER, Rejected, SUBJECT_MARK, followed::Followed};
pub(crate) use file::Record;
use file::{Records, edit, read};

/// What each key begins with.
pub const API_KEY_PREFIX: &str = "bbk_";

/// The file of a node's API keys, in its key folder.
pub const API_KEYS_FILE: &str = "api-keys.json";

/// Keys in one file. A node with more callers than this wants an issuer.
pub const API_KEYS_MAX: usize = 1_000;

/// How long a change of the file may go unnoticed by a running node.
pub const API_KEYS_LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Bytes of a key's id, which is written in twice as many characters.
const ID_BYTES: usize = 8;

/// Bytes of a key's secret.
const SECRET_BYTES: usize = 32;

/// Why API keys cannot be read, made or revoked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ApiKeysError(pub(crate) String);

/// What may be told about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyDescription {
    /// What it is looked up by, and revoked by.
    pub id: String,
    /// Whose it is.
    pub principal: Principal,
    /// His tenant, where the configuration does not say it.
    pub tenant: Option<Tenant>,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused, if it ever is.
    pub expires: Option<Timestamp>,
}

/// The API keys in a file, followed as it changes.
#[derive(Debug)]
pub struct ApiKeys {
    path: PathBuf,
    records: Followed<Records>,
}

impl ApiKeys {
    /// The keys in this file; none if it is not there.
    ///
    /// # Errors
    /// If it cannot be read, or others can write to it: they could add a key of theirs.
    pub fn open(path: &Path) -> Result<Self, ApiKeysError> {
        let records = Followed::open(path, "the API keys", API_KEYS_LOOK_INTERVAL, Box::new(read));
        Ok(Self { path: path.to_owned(), records: records.map_err(ApiKeysError)? })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What keys there are, the oldest first.
    pub fn list(&self) -> Vec<ApiKeyDescription> {
        self.records.refresh();
        let mut keys: Vec<_> = self.records.at(Timestamp::default()).value.values().map(Record::description).collect();
        keys.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
        keys
    }

    /// Makes a key, durable on return, and returns it: it cannot be shown again. `tenant` is for a principal whom the configuration
    /// does not name.
    ///
    /// # Errors
    /// If there are too many already, the file cannot be written, or nobody but the node itself may have this name.
    pub fn create(
        &self,
        principal: Principal,
        tenant: Option<Tenant>,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(String, ApiKeyDescription), ApiKeysError> {
        if !is_fit(&principal) {
            return Err(ApiKeysError(format!(
                "no API key can be {principal}'s: that name is the node's, or an issuer's"
            )));
        }
        let mut random = [0; ID_BYTES + SECRET_BYTES];
        getrandom::fill(&mut random).map_err(|_| ApiKeysError("the system gave no randomness for a key".to_owned()))?;
        let (id, secret) = random.split_at(ID_BYTES);
        let id = hexadecimal(id);
        let key = format!("{API_KEY_PREFIX}{id}_{}", hexadecimal(secret));
        let description = ApiKeyDescription { id: id.clone(), principal, tenant, created: now, expires };
        let record = Record::new(&description, digest(&SHA256, key.as_bytes()).as_ref());
        edit(&self.path, |records| {
            if records.len() >= API_KEYS_MAX {
                return Err(ApiKeysError(format!("there are {API_KEYS_MAX} API keys already: revoke old ones")));
            }
            records.insert(id, record);
            Ok(())
        })?;
        self.records.refresh();
        Ok((key, description))
    }

    /// Takes a key back, durable on return; what it was, or nothing if there is none of this id.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn revoke(&self, id: &str) -> Result<Option<ApiKeyDescription>, ApiKeysError> {
        let record = edit(&self.path, |records| Ok(records.remove(id)))?;
        self.records.refresh();
        Ok(record.as_ref().map(Record::description))
    }

    /// The record of this key, if it is one, and good now.
    pub(crate) fn check(&self, key: &str, now: Timestamp) -> Result<ApiKeyDescription, Rejected> {
        let id = id_of(key).ok_or(Rejected::Malformed("form, as an API key,"))?;
        let found = self.records.at(now);
        let record = found.value.get(id).ok_or_else(|| Rejected::UnknownApiKey { id: id.to_owned() })?;
        let hash = digest(&SHA256, key.as_bytes());
        verify_slices_are_equal(&record.hash, hash.as_ref())
            .map_err(|_| Rejected::WrongApiKey { id: id.to_owned() })?;
        if record.expires.is_some_and(|expires| now >= expires) {
            return Err(Rejected::Expired);
        }
        Ok(record.description())
    }
}

/// Whether somebody may be called so who is known by a key: neither the node's owner, nor a subject of an issuer's.
fn is_fit(principal: &Principal) -> bool {
    principal.as_str() != NODE_OWNER && !principal.as_str().contains(SUBJECT_MARK)
}

/// The id in a key of the right form.
fn id_of(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix(API_KEY_PREFIX)?.split_once('_')?;
    (is_hexadecimal(id, ID_BYTES) && is_hexadecimal(secret, SECRET_BYTES)).then_some(id)
}

fn is_hexadecimal(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}")).expect("a text takes what is written to it");
        text
    })
}
