//! Tokens that a person has got by `bobbinet auth login`: in a file of his own, which nobody else can read.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use bobbinet_engine::{Env, SystemEnv};
use serde::{Deserialize, Serialize};

/// Bytes of the file: thousands of tokens.
const FILE_LENGTH_MAX: u64 = 4 << 20;

/// How long before its end a token is no longer shown: it has to last for the call.
const SPARE_MILLIS: u64 = 30_000;

/// A token for an agent, and how to get the next one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    pub(super) access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    /// Milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<u64>,
    pub(super) token_url: String,
    pub(super) client_id: String,
}

impl Kept {
    pub(super) fn is_good(&self) -> bool {
        let now = SystemEnv.now().as_millis();
        self.expires_at.is_none_or(|until| until > now.saturating_add(SPARE_MILLIS))
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Tokens(PathBuf);

impl Tokens {
    /// The one of the person who runs the command.
    pub(super) fn own() -> Option<Self> {
        let home = std::env::home_dir().filter(|home| home.is_absolute())?;
        Some(Self(home.join(".config/bobbinet/tokens.json")))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The token for the agent at a URL.
    pub(super) fn get(&self, agent: &str) -> Option<Kept> {
        self.read().ok()?.remove(&key(agent))
    }

    pub(super) fn put(&self, agent: &str, kept: Kept) -> io::Result<()> {
        let mut all = self.read()?;
        all.insert(key(agent), kept);
        self.write(&all)
    }

    /// Forgets one; whether there was one.
    pub(super) fn remove(&self, agent: &str) -> io::Result<bool> {
        let mut all = self.read()?;
        let is_there = all.remove(&key(agent)).is_some();
        if is_there {
            self.write(&all)?;
        }
        Ok(is_there)
    }

    fn read(&self) -> io::Result<BTreeMap<String, Kept>> {
        let file = match fs::File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(FILE_LENGTH_MAX).read_to_end(&mut bytes)?;
        serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }

    /// All of it at once, or nothing: written beside it, and put in its place.
    fn write(&self, all: &BTreeMap<String, Kept>) -> io::Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let beside = self.0.with_extension(format!("{}.new", SystemEnv.uuid().simple()));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        serde_json::to_writer_pretty(&mut file, all)?;
        file.flush()?;
        file.sync_all()?;
        fs::rename(&beside, &self.0).inspect_err(|_| drop(fs::remove_file(&beside)))
    }
}

/// An agent is known by its URL, whether its card was named or it.
fn key(agent: &str) -> String {
    let bare = agent.trim_end_matches('/');
    let bare = [".well-known/agent-card.json", ".well-known/agent.json"]
        .iter()
        .find_map(|path| bare.strip_suffix(path))
        .unwrap_or(bare);
    bare.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_kept_where_nobody_else_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens(folder.path().join("a/tokens.json"));
        let kept = |token: &str, expires_at: Option<u64>| Kept {
            access_token: token.to_owned(),
            refresh_token: None,
            expires_at,
            token_url: "https://i/t".to_owned(),
            client_id: "me".to_owned(),
        };
        assert!(tokens.get("https://a").is_none());
        tokens.put("https://a/x", kept("one", None)).unwrap();
        tokens.put("https://b/.well-known/agent-card.json", kept("two", Some(5))).unwrap();
        assert_eq!(tokens.get("https://a/x/").unwrap().access_token, "one");
        let two = tokens.get("https://b/").unwrap();
        assert!(two.access_token == "two" && !two.is_good());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(tokens.path()), mode(tokens.path().parent().unwrap())), (0o600, 0o700));
        assert!(tokens.remove("https://b").unwrap() && !tokens.remove("https://b").unwrap());
        fs::write(tokens.path(), "{").unwrap();
        assert!(tokens.put("https://a", kept("x", None)).is_err(), "what cannot be read is not written over");
    }
}
