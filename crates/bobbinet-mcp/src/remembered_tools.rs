//! A server's newest tool list, kept in the agent's folder: an agent that starts again knows its tools, and what running
//! them twice means, before its server is up.

use std::{fs, io, path::Path};

use rmcp::model::ServerPeerInfo;
use serde::{Deserialize, Serialize};

use crate::{
    config::{McpConfig, ProtocolEra},
    listing::RawTool,
};

const FILE: &str = "tools.json";

/// What was learned of a server.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RememberedTools {
    /// What was started or called: of another server, these are not the tools.
    command: Vec<String>,
    pub(crate) info: Option<ServerPeerInfo>,
    pub(crate) tools: Vec<RawTool>,
}

impl RememberedTools {
    pub(crate) fn new(config: &McpConfig, info: Option<&ServerPeerInfo>, tools: &[RawTool]) -> Self {
        Self { command: config.server.words(), info: info.cloned(), tools: tools.to_vec() }
    }

    /// What was learned of this server in an earlier life. A file that cannot be read is as good as none.
    pub(crate) fn read(config: &McpConfig, folder: &Path) -> Option<Self> {
        let read: Self = serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()?;
        (read.command == config.server.words()).then_some(read)
    }

    /// The era that the server was spoken to in, which need not be asked for again: some servers end at that question.
    pub(crate) fn era(&self) -> Option<ProtocolEra> {
        let version = &self.info.as_ref()?.protocol_version;
        Some(if version.has_initialize() { ProtocolEra::Legacy } else { ProtocolEra::Modern })
    }

    /// Keeps it, whole or not at all. It need not survive a power cut: the server says it again.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let fresh = folder.join(format!("{FILE}.new"));
        fs::write(&fresh, serde_json::to_vec(self)?)?;
        fs::rename(fresh, folder.join(FILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_remembered_for_the_same_command_only() {
        let folder = tempfile::tempdir().unwrap();
        let config = |argument: &str| McpConfig::new("files", "server", &[argument]);
        let tool: RawTool = serde_json::from_str(
            r#"{"name":"look","inputSchema":{"type":"object","n":1.0},"annotations":{"readOnlyHint":true}}"#,
        )
        .unwrap();
        assert!(RememberedTools::read(&config("a"), folder.path()).is_none());
        RememberedTools::new(&config("a"), None, std::slice::from_ref(&tool)).write(folder.path()).unwrap();
        let read = RememberedTools::read(&config("a"), folder.path()).unwrap();
        assert_eq!(read.tools, [tool]);
        assert!(RememberedTools::read(&config("b"), folder.path()).is_none());
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(RememberedTools::read(&config("a"), folder.path()).is_none());
    }
}
