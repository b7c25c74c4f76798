//! What is kept of a login, so that nobody has to log in again after a restart: in a file of the node's owner alone.
//!
//! Not sealed with a key of the node's: that would lie beside it. Not in the store, which is copied and exported.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use bobbinet_outbound::oauth::ClientAuthMethod;
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// Bytes of a record.
const LENGTH_MAX: u64 = 256 << 10;

/// All that is kept of one login.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LoginRecord {
    /// As whom an authorization server knows this node that has given it a name by itself.
    pub(crate) registration: Option<Registration>,
    /// A login that somebody was asked for.
    pub(crate) pending: Option<PendingLogin>,
    /// The last one.
    pub(crate) login: Option<KeptLogin>,
}

/// This node by the word of one authorization server, and of no other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub(crate) issuer: String,
    pub(crate) redirect: String,
    pub(crate) id: String,
    pub(crate) secret: Option<String>,
    pub(crate) method: Option<ClientAuthMethod>,
}

/// A login that has not come back yet, with what its answer is compared to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingLogin {
    pub(crate) state: String,
    pub(crate) verifier: String,
    pub(crate) issuer: String,
    pub(crate) says_issuer: bool,
    #[serde(with = "url_text")]
    pub(crate) token_url: Url,
    pub(crate) client: String,
    pub(crate) method: ClientAuthMethod,
    pub(crate) redirect: String,
    pub(crate) resource: String,
    pub(crate) scopes: Vec<String>,
    /// Where the browser goes.
    pub(crate) url: String,
    /// Milliseconds since the epoch.
    pub(crate) begun_at: u64,
}

/// What a login has brought.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptLogin {
    pub(crate) issuer: String,
    pub(crate) resource: String,
    pub(crate) client: String,
    /// What was asked for.
    pub(crate) scopes: Vec<String>,
    pub(crate) access_token: String,
    /// Milliseconds since the epoch.
    pub(crate) good_until: u64,
    pub(crate) refresh_token: Option<String>,
}

impl LoginRecord {
    /// What is kept in a file; nothing if there is none.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(LENGTH_MAX).read_to_end(&mut bytes)?;
        // Its words may be secret.
        serde_json::from_slice(&bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no record of a login"))
    }

    /// Keeps all of it or nothing, durably: it is written beside the file, and put in its place.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let beside = path.with_extension("new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        let text = serde_json::to_vec(self)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(folder)?.sync_all()
    }
}

/// A URL as its text.
mod url_text {
    use reqwest::Url;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(url.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Without what is secret.
impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("issuer", &self.issuer).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Without what is secret.
impl fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingLogin").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Without what is secret.
impl fmt::Debug for KeptLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptLogin").field("issuer", &self.issuer).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_of_a_login_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        assert_eq!(LoginRecord::read(&path).unwrap(), LoginRecord::default());
        let login = KeptLogin {
            issuer: "https://i".to_owned(),
            resource: "https://a".to_owned(),
            client: "n".to_owned(),
            scopes: vec!["r".to_owned()],
            access_token: "s3cret".to_owned(),
            good_until: 5,
            refresh_token: Some("s3cret".to_owned()),
        };
        let record = LoginRecord { login: Some(login), ..LoginRecord::default() };
        for _ in 0..2 {
            record.write(&path).unwrap();
            assert_eq!(LoginRecord::read(&path).unwrap(), record);
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{record:?}").contains("s3cret"));
        fs::write(&path, "s3cret").unwrap();
        assert!(!LoginRecord::read(&path).unwrap_err().to_string().contains("s3cret"));
    }
}
