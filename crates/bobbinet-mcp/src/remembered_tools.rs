//! What a server offers, as it listed it last, kept in the agent's folder: an agent that starts again knows its tools, and what running
//! them twice means, before its server is up.

use std::{fs, io, path::Path};

use rmcp::model::ServerPeerInfo;
use serde::{Deserialize, Serialize};

use crate::{
    config::{McpConfig, ProtocolEra},
    listing::{Offers, RawTool},
    prompts::RawPrompt,
    resources::{RawResource, RawTemplate},
};

const FILE: &str = "tools.json";

/// What was learned of a server.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RememberedTools {
    /// What was started or called: of another server, these are not the tools.
    command: Vec<String>,
    pub(crate) info: Option<ServerPeerInfo>,
    tools: Vec<RawTool>,
    // Earlier versions kept nothing but tools.
    #[serde(default)]
    resources: Vec<RawResource>,
    #[serde(default)]
    templates: Vec<RawTemplate>,
    #[serde(default)]
    prompts: Vec<RawPrompt>,
}

impl RememberedTools {
    pub(crate) fn new(config: &McpConfig, info: Option<&ServerPeerInfo>, offers: &Offers) -> Self {
        let Offers { tools, resources, templates, prompts } = offers.clone();
        Self { command: config.server.words(), info: info.cloned(), tools, resources, templates, prompts }
    }

    /// What was offered.
    pub(crate) fn offers(&self) -> Offers {
        let Self { tools, resources, templates, prompts, .. } = self;
        let (tools, resources) = (tools.clone(), resources.clone());
        Offers { tools, resources, templates: templates.clone(), prompts: prompts.clone() }
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
        let prompt = serde_json::from_str(r#"{"name":"p","arguments":[{"name":"x","required":true}]}"#).unwrap();
        let resource = serde_json::from_str(r#"{"uri":"u:a"}"#).unwrap();
        let offers = Offers { prompts: vec![prompt], resources: vec![resource], ..Offers::from(vec![tool]) };
        RememberedTools::new(&config("a"), None, &offers).write(folder.path()).unwrap();
        let read = RememberedTools::read(&config("a"), folder.path()).unwrap();
        assert_eq!(read.offers(), offers);
        assert!(RememberedTools::read(&config("b"), folder.path()).is_none());
        // What an earlier version has kept is known too.
        let command = serde_json::to_string(&config("a").server.words()).unwrap();
        fs::write(folder.path().join(FILE), format!(r#"{{"command":{command},"info":null,"tools":[{{"name":"t"}}]}}"#))
            .unwrap();
        assert_eq!(RememberedTools::read(&config("a"), folder.path()).unwrap().offers().tools.len(), 1);
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(RememberedTools::read(&config("a"), folder.path()).is_none());
    }
}
