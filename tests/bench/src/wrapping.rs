//! `bobbinet` around the MCP server of this program.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::server::{DATA, READY, Recipe, Server, Token, URL};

/// Its agent's name.
pub(crate) const NAME: &str = "bench";

/// Where a whole node has that agent.
const BELOW: &str = "/agents/bench";

/// Where a whole node has its MCP server.
const DOOR: &str = "/mcp";

/// What wraps, and what is wrapped.
#[derive(Clone, Debug)]
pub(crate) struct Wrapping {
    pub(crate) bobbinet: PathBuf,
    /// This program.
    pub(crate) program: PathBuf,
}

impl Wrapping {
    /// `bobbinet agent` with these flags beside the usual ones.
    pub(crate) fn agent(&self, name: &'static str, title: &str, flags: &[String]) -> Recipe {
        self.one(name, title, &[&words(&["--trust-hints"]), flags].concat())
    }

    /// The same, of whose tool nobody knows what it changes.
    pub(crate) fn unknown_agent(&self, name: &'static str, title: &str) -> Recipe {
        self.one(name, title, &[])
    }

    fn one(&self, name: &'static str, title: &str, flags: &[String]) -> Recipe {
        let usual = ["agent", "--name", NAME, "--listen", "127.0.0.1:0", "--data-dir", DATA];
        let mut arguments = words(&usual);
        arguments.extend_from_slice(flags);
        arguments.extend([words(&["--"]), self.server()].concat());
        self.recipe(name, title, arguments, "")
    }

    /// `bobbinet up` with this configuration, which names the agent as [`Self::agent_line`] does.
    pub(crate) fn up(&self, name: &'static str, title: &str, configuration: &Path) -> Recipe {
        let file = configuration.display().to_string();
        let arguments = words(&["up", &file, "--listen", "127.0.0.1:0", "--data-dir", DATA]);
        self.recipe(name, title, arguments, BELOW)
    }

    /// The same, asked at its `/mcp`.
    pub(crate) fn door(&self, name: &'static str, title: &str, configuration: &Path) -> Recipe {
        Recipe { below: DOOR, has_card: false, ..self.up(name, title, configuration) }
    }

    /// A configuration with so many agents like it, in YAML. The first has its name.
    pub(crate) fn agent_lines(&self, count: usize) -> String {
        let command = serde_json::Value::from(self.server());
        let agent = |number: usize| match number {
            0 => format!("  {NAME}: {{ mcp: {{ command: {command} }} }}\n"),
            _ => format!("  {NAME}{number}: {{ mcp: {{ command: {command} }} }}\n"),
        };
        ["agents:\n".to_owned()].into_iter().chain((0..count).map(agent)).collect()
    }

    /// The agent in a configuration, in YAML.
    pub(crate) fn agent_line(&self) -> String {
        let command = serde_json::Value::from(self.server());
        format!("agents: {{ {NAME}: {{ mcp: {{ command: {command} }}, effects: {{ echo: read-only }} }} }}")
    }

    /// A token for a principal of the node's, made by the node's keys.
    pub(crate) async fn token_for(&self, principal: &str, server: &Server) -> Result<String> {
        let arguments = ["token", "mint", "--for", principal, "--data-dir", DATA, "--audience", URL];
        server.credential(&self.bobbinet, &words(&arguments)).await
    }

    /// An API key for a principal of the node's.
    pub(crate) async fn api_key_for(&self, principal: &str, server: &Server) -> Result<String> {
        let arguments = ["key", "create", "--for", principal, "--data-dir", DATA];
        server.credential(&self.bobbinet, &words(&arguments)).await
    }

    fn server(&self) -> Vec<String> {
        vec![self.program.display().to_string(), "mcp-echo".to_owned()]
    }

    fn recipe(&self, name: &'static str, title: &str, arguments: Vec<String>, below: &'static str) -> Recipe {
        let mint = words(&["token", "mint", "--data-dir", DATA, "--audience", URL, "--ttl", "10m"]);
        Recipe {
            name,
            title: title.to_owned(),
            program: self.bobbinet.clone(),
            arguments,
            token: Token::Minted(self.bobbinet.clone(), mint),
            ready: READY,
            below,
            has_card: true,
            tls: None,
        }
    }
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
