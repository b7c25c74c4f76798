//! The pins of a server, as they are kept in its agent's folder.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::tool_definition::ToolDefinition;

const FILE: &str = "pins.json";

/// Earlier definitions of a tool that were let through and still are: of several processes of a server one may be older.
const EARLIER_MAX: usize = 8;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct KeptPins {
    /// What was started or called: what another server says is its first word.
    pub(super) command: Vec<String>,
    /// What the server called its version when that was let through which it says.
    #[serde(default)]
    pub(super) version: Option<String>,
    /// By the name of the skill.
    pub(super) tools: BTreeMap<String, Pin>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Pin {
    pub(super) hash: String,
    /// As text, to show what is different later.
    pub(super) shown: String,
    /// What was let through before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) earlier: Vec<String>,
    /// What somebody has looked at and not let through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
}

impl KeptPins {
    /// Those that are kept in this folder, if any are.
    pub(super) fn read(folder: &Path) -> Option<io::Result<Self>> {
        match fs::read(folder.join(FILE)) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(io::Error::from)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Durable when it returns. Blocks.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let (fresh, file) = (folder.join(format!("{FILE}.new")), folder.join(FILE));
        let mut written = fs::File::create(&fresh)?;
        written.write_all(&serde_json::to_vec(self)?)?;
        written.sync_all()?;
        fs::rename(fresh, file)?;
        fs::File::open(folder)?.sync_all()
    }
}

impl Pin {
    pub(super) fn let_through(&mut self, definition: &ToolDefinition) {
        let before = std::mem::replace(&mut self.hash, definition.hash.clone());
        self.shown.clone_from(&definition.shown);
        self.refused = None;
        self.earlier.retain(|hash| *hash != self.hash);
        self.earlier.push(before);
        let too_many = self.earlier.len().saturating_sub(EARLIER_MAX);
        self.earlier.drain(..too_many);
    }

    /// Whether it is from before `_meta` counted, and the rest is as it was.
    pub(super) fn is_as_before(&self, definition: &ToolDefinition) -> bool {
        definition.before.as_deref().is_some_and(|before| self.is_known(before))
    }

    /// Takes what it is now for what it was: what nobody was shown, nobody has looked at.
    pub(super) fn renew(&mut self, definition: &ToolDefinition) {
        self.earlier.push(std::mem::replace(&mut self.hash, definition.hash.clone()));
        self.earlier.retain(|hash| definition.before.as_ref() != Some(hash));
        self.shown.clone_from(&definition.shown);
    }

    pub(super) fn is_known(&self, hash: &str) -> bool {
        self.hash == hash || self.earlier.iter().any(|earlier| earlier == hash)
    }
}
