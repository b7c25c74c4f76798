//! Who holds what.

use std::{fmt, sync::Arc};

use bobbinet_core::{StreamId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The number of the format of what is written down. One with a higher one is refused.
const FORMAT: u32 = 1;

/// The SHA-256 of a content, which is its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobHash(pub [u8; 32]);

impl BlobHash {
    /// The hash in these 64 digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        hex::decode_to_slice(text, &mut hash).ok().filter(|()| is_lower)?;
        Some(Self(hash))
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// On whose account a blob is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobOwner {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The owner, one of that tenant's.
    pub owner: Arc<str>,
}

/// What is said of a blob by the one who keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobLabel {
    /// On whose account it is.
    pub owner: BlobOwner,
    /// What it is.
    pub media_type: Option<Arc<str>>,
    /// The name of the file that it is, or was.
    pub filename: Option<Arc<str>>,
    /// Since when.
    pub made: Timestamp,
    /// Until when at most, where no stream says so.
    pub expires: Option<Timestamp>,
    /// Whether it is kept for its owner to look at, and is not what it was meant to be: nothing else is made of it.
    pub is_quarantined: bool,
}

/// A blob, as one stream holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The stream.
    pub holder: StreamId,
    /// The content.
    pub hash: BlobHash,
    /// Bytes of it.
    pub length: u64,
    /// What was said of it.
    pub label: BlobLabel,
}

/// How it is written down.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    holder: String,
    sha256: String,
    length: u64,
    tenant: Arc<str>,
    owner: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filename: Option<Arc<str>>,
    made: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_false")]
    quarantined: bool,
}

impl Holding {
    /// The name that its file has.
    pub(super) fn file_name(&self) -> String {
        let mut name = Sha256::new();
        name.update(self.hash.0);
        name.update(self.holder.as_bytes());
        hex::encode(name.finalize())
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let Self { holder, hash, length, label } = self;
        let BlobLabel { owner, media_type, filename, made, expires, is_quarantined } = label.clone();
        let written = Written {
            format: FORMAT,
            holder: hex::encode(holder.as_bytes()),
            sha256: hash.to_string(),
            length: *length,
            tenant: owner.tenant,
            owner: owner.owner,
            media_type,
            filename,
            made,
            expires,
            quarantined: is_quarantined,
        };
        serde_json::to_vec(&written).expect("texts and numbers are JSON")
    }

    /// Reads it back; nothing if it was written by nobody we know.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(bytes).ok()?;
        let Written { format, holder, sha256, length, tenant, owner, media_type, filename, made, expires, quarantined } =
            written;
        if format > FORMAT {
            return None;
        }
        let owner = BlobOwner { tenant, owner };
        let label = BlobLabel { owner, media_type, filename, made, expires, is_quarantined: quarantined };
        let holder = StreamId::from_bytes(&hex::decode(holder).ok()?);
        Some(Self { holder, hash: BlobHash::parse(&sha256)?, length, label })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}
