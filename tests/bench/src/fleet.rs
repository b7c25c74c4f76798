//! A node with ten MCP servers: how long until it listens and until all of them can be called, and what each holds while nobody calls.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    process,
    server::{Place, Server},
    wrapping::Wrapping,
};

/// How many servers.
const SERVERS: usize = 10;

/// How long all of them rest before their memory is looked at.
const REST: Duration = Duration::from_millis(500);

/// One start.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Fleet {
    /// From the start of the process until it listens, in milliseconds.
    pub(crate) listening_millis: f64,
    /// And until all its servers are ready.
    pub(crate) ready_millis: f64,
    /// What the node itself holds for each idle server beyond the first.
    pub(crate) node_bytes: u64,
    /// What the process that hides the node's files from a server holds.
    pub(crate) shim_bytes: u64,
    /// The server itself.
    pub(crate) server_bytes: u64,
}

/// Starts a node with ten servers, and one with a single server to compare with. Memory is each process's own and its share of what several
/// have in common (PSS).
pub(crate) async fn measure(wrapping: &Wrapping, place: &Place) -> Result<Fleet> {
    let one = start(wrapping, place, 1).await?;
    let ten = start(wrapping, place, SERVERS).await?;
    let more = ten.node_bytes.saturating_sub(one.node_bytes);
    Ok(Fleet { node_bytes: more / (SERVERS as u64 - 1), ..ten })
}

async fn start(wrapping: &Wrapping, place: &Place, servers: usize) -> Result<Fleet> {
    let configuration = place.folder.join("fleet.yaml");
    fs::write(&configuration, wrapping.agent_lines(servers)).context("writing a configuration")?;
    let recipe = wrapping.up("fleet", "with many servers", &configuration);
    let server = Server::start(&recipe, place).await?;
    tokio::time::sleep(REST).await;
    let family = process::tree(server.pid);
    let shims = process::children(server.pid);
    let below: Vec<u32> = family.into_iter().filter(|pid| *pid != server.pid && !shims.contains(pid)).collect();
    let count = servers as u64;
    let found = Fleet {
        listening_millis: server.listening_after.as_secs_f64() * 1e3,
        ready_millis: server.ready_after.as_secs_f64() * 1e3,
        node_bytes: process::proportional(&[server.pid]),
        shim_bytes: process::proportional(&shims) / count,
        server_bytes: process::proportional(&below) / count,
    };
    server.stop().await?;
    Ok(found)
}
