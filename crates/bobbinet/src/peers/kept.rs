//! Peers that were added by a command, in a node's data folder.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use bobbinet_core::AgentName;
use bobbinet_outbound::ClientTlsFiles;
use serde::{Deserialize, Serialize};

use crate::config::{AuthSettings, NodePeer, peer_url};

/// The folder of all that a node keeps of its peers, in its data folder. It is hidden from wrapped servers: whoever could write there could
/// have the node show its secrets to anybody.
pub(crate) const PEERS_FOLDER: &str = "peers";

/// The file, in that folder.
const FILE: &str = "added.json";

/// What was added. Who is called, and with what, is the owner's business: so is the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) peers: Vec<KeptPeer>,
}

/// One peer that was added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptPeer {
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<AgentName>,
    #[serde(default)]
    pub(crate) auth: KeptAuth,
}

/// How one that was added is shown who calls: no secret is typed, so none is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeptAuth {
    /// As is usual.
    #[default]
    Default,
    /// Not at all.
    None,
    /// With a token of this node.
    Node,
    /// With the token in this file.
    File(PathBuf),
}

impl KeptAuth {
    /// As a configuration would say it.
    pub(crate) fn settings(&self) -> AuthSettings {
        match self {
            Self::Default => AuthSettings::Default,
            Self::None => AuthSettings::None,
            Self::Node => AuthSettings::Node(None),
            Self::File(path) => AuthSettings::File(path.clone()),
        }
    }
}

impl Kept {
    /// What the data folder has; nothing if none was ever added.
    pub(crate) fn read(data: &Path) -> io::Result<Self> {
        match fs::read(Self::file(data)) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Says so in the data folder. Whole, or not at all.
    pub(crate) fn write(&self, data: &Path) -> io::Result<()> {
        bobbinet_store::make_folder(&data.join(PEERS_FOLDER), true)?;
        let (file, new) = (Self::file(data), Self::file(data).with_extension("new"));
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        out.write_all(&serde_json::to_vec_pretty(self)?)?;
        out.sync_data()?;
        fs::rename(&new, file)
    }

    /// Where it is.
    pub(crate) fn file(data: &Path) -> PathBuf {
        data.join(PEERS_FOLDER).join(FILE)
    }

    /// As a configuration would say it.
    pub(crate) fn nodes(self) -> Vec<NodePeer> {
        self.peers.into_iter().filter_map(|peer| peer.node().ok()).collect()
    }
}

impl KeptPeer {
    /// As a configuration would say it.
    pub(crate) fn node(&self) -> Result<NodePeer, String> {
        Ok(NodePeer {
            url: peer_url(&self.url)?,
            auth: self.auth.settings(),
            tls: ClientTlsFiles::default(),
            card_keys: None,
            name: self.name.clone(),
        })
    }
}
