//! A tool call over MCP (2026-07-28, streamable HTTP): at the `/mcp` of a node that wraps the tool's server, and at a server on the official
//! SDK with nothing in between.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use serde::Serialize;

use crate::{
    a2a::{Endpoint, Shown, cut},
    asker::Sayings,
    events::Streamed,
    http::Connection,
    load::{self, Ask, Shape},
    sample::Sample,
    server::{Place, Recipe, Server},
    wrapping::{NAME, Wrapping},
};

/// How many calls there are at a time.
const CALLS: [usize; 3] = [1, 16, 64];

/// Where a host calls a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Door {
    /// A server on rmcp, over streamable HTTP.
    Direct,
    /// The `/mcp` of a node, which wraps the server over stdio.
    Node,
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct rmcp over HTTP",
            Self::Node => "/mcp of a node",
        })
    }
}

/// Both.
#[derive(Debug)]
pub(crate) struct Doors {
    wrapping: Wrapping,
    direct: Recipe,
    configuration: PathBuf,
}

impl Doors {
    /// Writes the node's configuration into this folder.
    pub(crate) fn begin(wrapping: Wrapping, direct: Recipe, folder: &Path) -> Result<Self> {
        let configuration = folder.join("doors.yaml");
        fs::write(&configuration, wrapping.agent_line()).context("writing a configuration")?;
        Ok(Self { wrapping, direct, configuration })
    }

    /// Measures each once, with each number of calls.
    pub(crate) async fn round(
        &self,
        place: &Place,
        shape: impl Fn(usize) -> Shape,
    ) -> Result<BTreeMap<(Door, usize), Sample>> {
        let node = self.wrapping.door("doors", "the door of a node", &self.configuration);
        let skill = format!("{NAME}__echo");
        let mut found = BTreeMap::new();
        for (door, recipe, tool) in [(Door::Direct, &self.direct, "echo"), (Door::Node, &node, skill.as_str())] {
            let server = Server::start(recipe, place).await?;
            for calls in CALLS {
                let mut hosts = Vec::with_capacity(calls);
                for number in 0..calls {
                    hosts.push(Host::at(&server.endpoint, tool, number).await?);
                }
                found.insert((door, calls), load::watch(server.pid, shape(calls), hosts).await?);
            }
            server.stop().await?;
        }
        Ok(found)
    }
}

/// A host that makes one call at a time on a connection of its own.
#[derive(Debug)]
struct Host {
    endpoint: Endpoint,
    connection: Connection,
    /// All of a request but its length and its body.
    head: String,
    tool: String,
    sayings: Sayings,
    request: String,
}

impl Host {
    async fn at(endpoint: &Endpoint, tool: &str, number: usize) -> Result<Self> {
        let Endpoint { address, path, shown, .. } = endpoint;
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n\
             mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: {tool}\r\n"
        );
        if let Shown::This(token) = shown {
            let _ = write!(head, "authorization: Bearer {token}\r\n");
        }
        let connection = Connection::open(endpoint).await?;
        let (tool, sayings) = (tool.to_owned(), Sayings::of(number));
        Ok(Self { endpoint: endpoint.clone(), connection, head, tool, sayings, request: String::new() })
    }
}

impl Ask for Host {
    async fn ask(&mut self) -> Result<Option<Streamed>> {
        self.sayings.say_new();
        let Self { connection, head, tool, sayings: Sayings { text, said, .. }, request, .. } = self;
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{said},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":"{text}"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"bench","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        );
        request.clear();
        let _ = write!(request, "{head}content-length: {}\r\n\r\n{body}", body.len());
        let (status, answer) = connection.exchange(request.as_bytes()).await?;
        ensure!(status == 200, "the status is {status}: {}", cut(answer));
        let is_it = memmem::find(answer, text.as_bytes()).is_some() && memmem::find(answer, b"\"content\"").is_some();
        ensure!(is_it, "not the result of {text:?}: {}", cut(answer));
        Ok(None)
    }

    async fn begin_again(&mut self) -> Result<()> {
        self.connection = Connection::open(&self.endpoint).await?;
        Ok(())
    }
}
